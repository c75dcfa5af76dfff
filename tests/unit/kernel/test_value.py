"""The codec: every dtype, order, stride, size and nesting comes back as it was."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eais.channel import PIECE_BYTES
from eais.errors import EaisError, InputRejected, UsageError
from eais.rpc.v1 import value_pb2
from eais.value import (
    MAX_DEPTH,
    MAX_DIMS,
    Deferred,
    checked_size,
    decode_value,
    deferred_tensors,
    encode_tensor,
    encode_value,
)

T = value_pb2.ElementType
NATIVE = ["f2", "f4", "f8", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "?", "c8", "c16"]
ORDERS: list[Literal["<", ">", "="]] = ["<", ">", "="]


def through_wire(value: Any, inline_limit: int = 1 << 20) -> Any:
    """Encode, serialise, send the pieces, parse, put the pieces together, decode."""
    deferred = Deferred(inline_limit)
    sent = value_pb2.Value.FromString(encode_value(value, deferred).SerializeToString())
    sizes = [tensor.deferred_bytes for tensor in deferred_tensors(sent)]
    buffers = [bytearray() for _ in sizes]
    for index, offset, data in deferred.pieces():
        assert 0 < len(data) <= PIECE_BYTES
        assert offset == len(buffers[index])
        buffers[index] += data
    assert [len(buffer) for buffer in buffers] == sizes
    return decode_value(sent, iter(buffers))


def same(got: Any, want: Any) -> None:
    assert isinstance(got, np.ndarray)
    assert got.dtype == want.dtype.newbyteorder("<")
    assert got.shape == want.shape
    assert got.tobytes() == want.astype(got.dtype).tobytes()
    assert got.flags.writeable


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Arrays of any native dtype and byte order, also transposed, reversed, sliced, broadcast."""
    dtype = np.dtype(draw(st.sampled_from(NATIVE))).newbyteorder(draw(st.sampled_from(ORDERS)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    count = int(np.prod(shape))
    raw = random.Random(draw(st.integers(0, 1 << 32))).randbytes(count * dtype.itemsize)
    array = np.frombuffer(raw, dtype=dtype)
    if dtype.kind == "b":
        array = np.frombuffer(bytes(b & 1 for b in raw), dtype=dtype)
    array = array.reshape(shape)
    match draw(st.sampled_from(["plain", "transposed", "reversed", "sliced", "fortran", "broad"])):
        case "transposed":
            return array.T
        case "reversed":
            return array[::-1] if array.ndim else array
        case "sliced":
            return array[..., ::2] if array.ndim else array
        case "fortran":
            return np.asfortranarray(array)
        case "broad":
            return np.broadcast_to(array, (2, *array.shape))
    return array


@settings(max_examples=300, deadline=None)
@given(arrays(), st.sampled_from([0, 7, 1 << 20]))
def test_arrays_come_back_bit_by_bit(array: Any, inline_limit: int) -> None:
    same(through_wire(array, inline_limit), array)


@pytest.mark.parametrize("name", [*NATIVE, "longlong", "ulonglong", "intc", "l", "q", "L", "Q"])
def test_each_dtype_is_served_by_each_of_its_names(name: str) -> None:
    same(through_wire(np.arange(3).astype(name)), np.arange(3).astype(name))


def test_nan_payloads_and_negative_zero_survive() -> None:
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000, 1], np.uint32)
    assert through_wire(bits.view(np.float32)).view(np.uint32).tolist() == bits.tolist()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


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


def test_a_scalar_string_has_no_dims() -> None:
    assert through_wire(np.array("x", dtype=object)).shape == ()


@pytest.mark.parametrize("value", [1.5, 3, True, "x", b"x", np.float32(2.5), np.int8(-1)])
def test_scalars_become_tensors_without_dims(value: Any) -> None:
    got = through_wire(value)
    assert got.shape == ()
    assert got.item() == (value.decode() if isinstance(value, bytes) else value)


keys = st.integers(-(1 << 62), 1 << 62)
maps = st.one_of(
    st.dictionaries(keys, st.floats(allow_nan=False), max_size=5),
    st.dictionaries(keys, texts, max_size=5),
    st.dictionaries(texts, st.floats(allow_nan=False), max_size=5),
    st.dictionaries(texts, keys, max_size=5),
    st.dictionaries(texts, texts, max_size=5),
)


@settings(deadline=None)
@given(maps, st.sampled_from([0, 1 << 20]))
def test_maps_come_back_with_their_scalars(value: dict[Any, Any], inline_limit: int) -> None:
    got = through_wire(value, inline_limit)
    assert got == value
    assert list(got) == list(value)
    assert [type(v) for v in got.values()] == [type(v) for v in value.values()]


def test_numpy_scalars_in_a_map_come_back_as_their_values() -> None:
    got = through_wire({np.int64(1): np.float32(0.1), np.int64(2): np.float32(0.2)})
    assert got == {1: float(np.float32(0.1)), 2: float(np.float32(0.2))}


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


def test_a_large_tensor_is_cut_into_pieces() -> None:
    array = np.arange(PIECE_BYTES // 4 * 2 + 3, dtype=np.float32)
    deferred = Deferred()
    encode_tensor(array, deferred)
    assert [(i, o, len(d)) for i, o, d in deferred.pieces()] == [
        (0, 0, PIECE_BYTES),
        (0, PIECE_BYTES, PIECE_BYTES),
        (0, 2 * PIECE_BYTES, 12),
    ]
    same(through_wire(array, 0), array)


def test_small_tensors_are_deferred_too_once_the_message_is_full() -> None:
    deferred = Deferred(inline_left=20)
    wire = encode_value([np.zeros(8, np.uint8) for _ in range(4)], deferred)
    sizes = [part.tensor.deferred_bytes for part in wire.sequence.values]
    assert sizes == [0, 0, 8, 8]
    assert len(deferred.buffers) == 2


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        np.array(["2024-01-01"], "M8[D]"),
        np.zeros(1, "i4,f4"),
        np.zeros(1, np.longdouble),
        {1: object()},
        {1: np.zeros(2)},
    ],
    ids=["object", "set", "datetime", "struct", "longdouble", "map of objects", "map of arrays"],
)
def test_what_no_model_takes_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InputRejected) as caught:
        encode_value(value, Deferred())
    assert caught.value.reason == "INPUT_DTYPE"


def tensor(**fields: Any) -> value_pb2.Tensor:
    return value_pb2.Tensor(**fields)


@pytest.mark.parametrize(
    "wire",
    [
        tensor(type=T.FLOAT, dims=[2], raw=bytes(7)),
        tensor(type=T.FLOAT, dims=[-1], raw=b""),
        tensor(type=T.FLOAT, dims=[-2, -2], raw=bytes(16)),
        tensor(type=T.FLOAT, dims=[1 << 62, 4]),
        tensor(type=T.FLOAT, dims=[0, 1 << 62, 1 << 62], raw=bytes(4)),
        tensor(type=T.FLOAT, dims=[0, 1 << 62, 1 << 62]),
        tensor(type=T.STRING, dims=[1 << 62, 0]),
        tensor(type=T.FLOAT, dims=[1] * (MAX_DIMS + 1), raw=bytes(4)),
        tensor(type=T.FLOAT, dims=[2], deferred_bytes=7),
        tensor(type=T.FLOAT, dims=[2], raw=bytes(8), deferred_bytes=8),
        tensor(type=T.FLOAT, dims=[2], raw=bytes(8), strings=[b"x"]),
        tensor(type=T.STRING, dims=[2], strings=[b"x"]),
        tensor(type=T.STRING, dims=[1], strings=[b"x"], deferred_bytes=8),
        tensor(type=T.STRING, dims=[1], strings=[b"x"], raw=b"x"),
    ],
)
def test_sizes_that_lie_are_refused_before_anything_is_allocated(wire: value_pb2.Tensor) -> None:
    with pytest.raises(InputRejected) as caught:
        checked_size(wire)
    assert caught.value.reason == "INPUT_SIZE"


@pytest.mark.parametrize("kind", [0, 99, T.INT4])
def test_element_types_that_are_not_served_are_refused(kind: int) -> None:
    with pytest.raises(InputRejected) as caught:
        checked_size(tensor(type=kind))
    assert caught.value.reason == "INPUT_DTYPE"


def test_zero_sized_tensors_are_legal() -> None:
    got = through_wire(np.zeros((0, 3), np.float32), inline_limit=0)
    assert got.shape == (0, 3)


def test_bool_bytes_are_kept_bit_by_bit() -> None:
    wire = value_pb2.Value(tensor=tensor(type=T.BOOL, dims=[3], raw=b"\x00\x01\x07"))
    got = decode_value(wire, iter(()))
    assert got.view(np.uint8).tolist() == [0, 1, 7]


def test_strings_that_are_not_utf8_are_refused() -> None:
    wire = value_pb2.Value(tensor=tensor(type=T.STRING, dims=[1], strings=[b"\xff"]))
    with pytest.raises(InputRejected):
        decode_value(wire, iter(()))


def test_strings_that_utf8_has_no_bytes_for_are_refused() -> None:
    with pytest.raises(InputRejected):
        encode_value(np.array(["\ud800"], dtype=object), Deferred())


def test_a_map_whose_halves_differ_is_refused() -> None:
    one = tensor(type=T.INT64, dims=[1], raw=bytes(8))
    two = tensor(type=T.INT64, dims=[2], raw=bytes(16))
    grid = tensor(type=T.INT64, dims=[1, 1], raw=bytes(8))
    for halves in ((one, two), (grid, grid)):
        wire = value_pb2.Value(map=value_pb2.Map(keys=halves[0], values=halves[1]))
        with pytest.raises(InputRejected) as caught:
            decode_value(wire, iter(()))
        assert caught.value.reason == "INPUT_SIZE"


def nested(depth: int) -> value_pb2.Value:
    wire = value_pb2.Value(absent=value_pb2.Absent())
    for _ in range(depth):
        wire = value_pb2.Value(sequence=value_pb2.Sequence(values=[wire]))
    return wire


def test_depth_is_bounded_where_values_come_in() -> None:
    assert list(deferred_tensors(nested(MAX_DEPTH))) == []
    for read in (lambda v: list(deferred_tensors(v)), lambda v: decode_value(v, iter(()))):
        with pytest.raises(UsageError) as caught:
            read(nested(MAX_DEPTH + 1))
        assert caught.value.reason == "MALFORMED_MESSAGE"


EXTENDED = [T.BFLOAT16, T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ]


@pytest.mark.parametrize("kind", EXTENDED)
def test_types_that_numpy_lacks_come_as_their_bits(kind: int) -> None:
    size = 2 if kind == T.BFLOAT16 else 1
    wire = value_pb2.Value(tensor=tensor(type=kind, dims=[3], raw=bytes(range(3 * size))))
    got = decode_value(wire, iter(()))
    assert got.dtype == np.dtype(f"<u{size}")
    assert got.tobytes() == bytes(range(3 * size))


def _wire_values() -> st.SearchStrategy[value_pb2.Value]:
    small = st.integers(-2, 5)
    tensors = st.builds(
        value_pb2.Tensor,
        type=st.integers(0, 24),
        dims=st.lists(small, max_size=3),
        raw=st.binary(max_size=40),
        deferred_bytes=st.sampled_from([0, 0, 4, 8]),
        strings=st.lists(st.binary(max_size=3), max_size=3),
    )
    leaves = st.one_of(
        st.builds(lambda t: value_pb2.Value(tensor=t), tensors),
        st.builds(
            lambda k, v: value_pb2.Value(map=value_pb2.Map(keys=k, values=v)), tensors, tensors
        ),
        st.just(value_pb2.Value()),
    )
    return st.recursive(
        leaves,
        lambda inner: st.builds(
            lambda vs: value_pb2.Value(sequence=value_pb2.Sequence(values=vs)),
            st.lists(inner, max_size=3),
        ),
    )


@settings(max_examples=300, deadline=None)
@given(_wire_values())
def test_whatever_comes_in_is_a_value_or_a_refusal(wire: value_pb2.Value) -> None:
    assert outcome(wire) in {"value", "INPUT_SIZE", "INPUT_DTYPE", "INPUT_REJECTED"}


def outcome(wire: value_pb2.Value) -> str:
    def buffers() -> Iterator[bytearray]:
        for part in deferred_tensors(wire):
            yield bytearray(part.deferred_bytes)

    try:
        decode_value(wire, buffers())
    except EaisError as error:
        return error.reason
    return "value"
