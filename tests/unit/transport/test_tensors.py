"""Values come out of messages as they went in, or are refused before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eais.channel import PIECE_BYTES
from eais.errors import EaisError, InputRejected, UsageError
from eais.rpc.v1 import value_pb2
from eais.transport.messages import value_part
from eais.transport.parts import MapPart, SequencePart, TensorPart, ValuePart
from eais.transport.tensors import checked_size, deferred_tensors, value_of
from eais.transport.value_reading import read_value
from eais.transport.value_writing import write_value
from eais.value import MAX_DEPTH, MAX_DIMS, Deferred
from tests.unit.transport.values import NATIVE, arrays, keys, maps, texts, value_messages

T = value_pb2.ElementType


def through_wire(value: Any, inline_limit: int = 1 << 20) -> Any:
    """Write, send the pieces, put them together, read, decode."""
    deferred = Deferred(inline_limit)
    data = b"".join(write_value(value, deferred))
    part = read_value(data, 0, len(data))
    sizes = [tensor.deferred_bytes for tensor in deferred_tensors(part)]
    buffers = [bytearray() for _ in sizes]
    for index, offset, piece in deferred.pieces():
        assert 0 < len(piece) <= PIECE_BYTES
        assert offset == len(buffers[index])
        buffers[index] += piece
    assert [len(buffer) for buffer in buffers] == sizes
    return value_of(part, iter(buffers))


def same(got: Any, want: Any) -> None:
    assert isinstance(got, np.ndarray)
    assert got.dtype == want.dtype.newbyteorder("<")
    assert got.shape == want.shape
    assert got.tobytes() == want.astype(got.dtype).tobytes()
    assert got.flags.writeable


@settings(max_examples=400, deadline=None)
@given(arrays(), st.sampled_from([0, 7, 1 << 20]))
def test_arrays_come_back_bit_by_bit(array: Any, inline_limit: int) -> None:
    same(through_wire(array, inline_limit), array)


@pytest.mark.parametrize("name", [*NATIVE, "longlong", "ulonglong", "intc", "l", "q", "L", "Q"])
def test_each_dtype_is_served_by_each_of_its_names(name: str) -> None:
    same(through_wire(np.arange(3).astype(name)), np.arange(3).astype(name))


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("size", [5000, 100_000])
def test_large_arrays_of_any_order_come_back_too(order: str, size: int) -> None:
    array = np.arange(size).astype(f"{order}f8")
    same(through_wire(array), array)
    same(through_wire(array[::3]), array[::3])
    same(through_wire(array, 0), array)


def test_nan_payloads_and_negative_zero_survive() -> None:
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000, 1], np.uint32)
    assert through_wire(bits.view(np.float32)).view(np.uint32).tolist() == bits.tolist()


def test_an_array_is_its_own_memory() -> None:
    data = b"".join(write_value(np.zeros(3), Deferred()))
    part = read_value(data, 0, len(data))
    first, second = value_of(part), value_of(part)
    first[:] = 1
    assert second.tolist() == [0, 0, 0]
    assert part.raw == bytes(24)


@settings(deadline=None)
@given(st.lists(texts, max_size=6))
def test_strings_come_back_with_nul_and_empty_ones(items: list[str]) -> None:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    got = through_wire(array)
    assert got.dtype == object
    assert got.tolist() == items


@pytest.mark.parametrize(
    "array",
    [
        np.array([["a", "bé"], ["", "d"]]),
        np.array([[b"a", b"b\xc3\xa9"], [b"", b"d"]]),
        np.array([[b"a", "bé"], ["", b"d"]], dtype=object),
    ],
    ids=["U", "S", "mixed"],
)
def test_string_arrays_of_each_kind_are_one_on_the_wire(array: Any) -> None:
    assert through_wire(array).tolist() == [["a", "bé"], ["", "d"]]


def test_void_strings_keep_their_bytes() -> None:
    assert through_wire(np.array([b"must", b"have"], np.void)).tolist() == ["must", "have"]


@pytest.mark.parametrize("value", [1.5, 3, True, "x", b"x", np.float32(2.5), np.int8(-1)])
def test_scalars_become_tensors_without_dims(value: Any) -> None:
    got = through_wire(value)
    assert got.shape == ()
    assert got.item() == (value.decode() if isinstance(value, bytes) else value)


@settings(deadline=None)
@given(maps, st.sampled_from([0, 1 << 20]))
def test_maps_come_back_with_their_scalars(value: dict[Any, Any], inline_limit: int) -> None:
    got = through_wire(value, inline_limit)
    assert repr(got) == repr(value)


@settings(deadline=None)
@given(st.dictionaries(keys, texts))
def test_numpy_scalars_in_a_map_come_back_as_their_values(value: dict[int, str]) -> None:
    assert through_wire({np.int64(key): text for key, text in value.items()}) == value


def test_sequences_nest_and_none_is_absent() -> None:
    value = [[np.arange(3), None], [{1: 0.5}], []]
    got = through_wire(value, inline_limit=0)
    same(got[0][0], np.arange(3))
    assert got[0][1] is None
    assert got[1:] == [[{1: 0.5}], []]


def test_deferred_tensors_are_numbered_depth_first() -> None:
    value = [np.full(2, 1.0), {1: 2.0}, [np.full(3, 3.0)], np.full(4, 4.0)]
    got = through_wire(value, inline_limit=0)
    assert got[1] == {1: 2.0}
    assert [got[0][0], got[2][0][0], got[3][0]] == [1.0, 3.0, 4.0]


def test_small_tensors_are_deferred_too_once_the_message_is_full() -> None:
    deferred = Deferred(inline_left=20)
    data = b"".join(write_value([np.zeros(8, np.uint8) for _ in range(4)], deferred))
    part = read_value(data, 0, len(data))
    assert [tensor.deferred_bytes for tensor in part.values] == [0, 0, 8, 8]
    assert len(deferred.buffers) == 2


def test_a_large_tensor_is_cut_into_pieces() -> None:
    deferred = Deferred()
    write_value(np.arange(PIECE_BYTES // 4 * 2 + 3, dtype=np.float32), deferred)
    assert [(index, offset, len(data)) for index, offset, data in deferred.pieces()] == [
        (0, 0, PIECE_BYTES),
        (0, PIECE_BYTES, PIECE_BYTES),
        (0, 2 * PIECE_BYTES, 12),
    ]


def test_pieces_put_together_become_the_array_without_a_copy() -> None:
    buffer = bytearray(24)
    got = value_of(TensorPart(T.DOUBLE, (3,), deferred_bytes=24), iter([buffer]))
    assert np.shares_memory(got, np.frombuffer(buffer))


SIZES_THAT_LIE = [
    TensorPart(T.FLOAT, (2,), bytes(7)),
    TensorPart(T.FLOAT, (-1,)),
    TensorPart(T.FLOAT, (-2, -2), bytes(16)),
    TensorPart(T.FLOAT, (1 << 62, 4)),
    TensorPart(T.FLOAT, (0, 1 << 62, 1 << 62), bytes(4)),
    TensorPart(T.FLOAT, (0, 1 << 62, 1 << 62)),
    TensorPart(T.STRING, (1 << 62, 0)),
    TensorPart(T.FLOAT, (1,) * (MAX_DIMS + 1), bytes(4)),
    TensorPart(T.FLOAT, (2,), deferred_bytes=7),
    TensorPart(T.FLOAT, (2,), bytes(8), 8),
    TensorPart(T.FLOAT, (2,), bytes(8), 0, [b"x"]),
    TensorPart(T.STRING, (2,), strings=[b"x"]),
    TensorPart(T.STRING, (1,), strings=[b"x"], deferred_bytes=8),
    TensorPart(T.STRING, (1,), b"x", strings=[b"x"]),
]


@pytest.mark.parametrize("part", SIZES_THAT_LIE)
def test_sizes_that_lie_are_refused_before_anything_is_allocated(part: TensorPart) -> None:
    for check in (checked_size, value_of):
        with pytest.raises(InputRejected) as caught:
            check(part)
        assert caught.value.reason == "INPUT_SIZE"


@pytest.mark.parametrize("kind", [0, 99, T.INT4])
def test_element_types_that_are_not_served_are_refused(kind: int) -> None:
    for check in (checked_size, value_of):
        with pytest.raises(InputRejected) as caught:
            check(TensorPart(kind, ()))
        assert caught.value.reason == "INPUT_DTYPE"


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0, 2), (1, 0)])
def test_zero_sized_tensors_are_legal(shape: tuple[int, ...]) -> None:
    for limit in (0, 100):
        assert through_wire(np.zeros(shape, np.float32), limit).shape == shape


def test_bool_bytes_are_kept_bit_by_bit() -> None:
    got = value_of(TensorPart(T.BOOL, (3,), b"\x00\x01\x07"))
    assert got.view(np.uint8).tolist() == [0, 1, 7]


def test_strings_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(InputRejected) as caught:
        value_of(TensorPart(T.STRING, (1,), strings=[b"\xff"]))
    assert caught.value.reason == "INPUT_REJECTED"


def test_a_map_whose_halves_differ_is_refused() -> None:
    one = TensorPart(T.INT64, (1,), bytes(8))
    two = TensorPart(T.INT64, (2,), bytes(16))
    grid = TensorPart(T.INT64, (1, 1), bytes(8))
    for halves in ((one, two), (grid, grid)):
        with pytest.raises(InputRejected) as caught:
            value_of(MapPart(*halves))
        assert caught.value.reason == "INPUT_SIZE"


def nested(depth: int) -> ValuePart:
    part = None
    for _ in range(depth):
        part = SequencePart([part])
    return part


def test_depth_is_bounded_where_values_come_in() -> None:
    assert list(deferred_tensors(nested(MAX_DEPTH))) == []
    for read in (lambda part: list(deferred_tensors(part)), value_of):
        with pytest.raises(UsageError) as caught:
            read(nested(MAX_DEPTH + 1))
        assert caught.value.reason == "MALFORMED_MESSAGE"


EXTENDED = [T.BFLOAT16, T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ]


@pytest.mark.parametrize("kind", EXTENDED)
def test_types_that_numpy_lacks_come_as_their_bits(kind: int) -> None:
    size = 2 if kind == T.BFLOAT16 else 1
    got = value_of(TensorPart(kind, (3,), bytes(range(3 * size))))
    assert got.dtype == np.dtype(f"<u{size}")
    assert got.tobytes() == bytes(range(3 * size))


@settings(max_examples=300, deadline=None)
@given(value_messages)
def test_whatever_comes_in_is_a_value_or_a_refusal(message: value_pb2.Value) -> None:
    part = value_part(message)
    refusals = {"INPUT_SIZE", "INPUT_DTYPE", "INPUT_REJECTED", "MALFORMED_MESSAGE"}
    assert outcome(part) in {"value", *refusals}


def outcome(part: ValuePart) -> str:
    def buffers() -> Iterator[bytearray]:
        for tensor in deferred_tensors(part):
            yield bytearray(tensor.deferred_bytes)

    try:
        value_of(part, buffers())
    except EaisError as error:
        return error.reason
    return "value"
