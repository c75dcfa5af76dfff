"""Strategies for the codec's tests: values, messages, and bytes that are almost messages."""

from __future__ import annotations

import random
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eais.rpc.v1 import common_pb2, value_pb2, worker_pb2
from eais.value import RawTensor

NATIVE = ["f2", "f4", "f8", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "?", "c8", "c16"]
ORDERS: list[Literal["<", ">", "="]] = ["<", ">", "="]
SHAPES = ["plain", "transposed", "reversed", "sliced", "fortran", "broad", "frozen"]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.one_of(
    st.integers(0, 300),
    st.integers(0, (1 << 64) - 1),
    st.sampled_from([0, 127, 128, 16383, 16384, 1 << 21, (1 << 28) - 1, 1 << 28, 1 << 63]),
)
small_numbers = st.one_of(st.integers(0, 300), st.integers(0, (1 << 32) - 1))


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Arrays of any native dtype and byte order, any strides, zero sizes and zero dims."""
    dtype = np.dtype(draw(st.sampled_from(NATIVE))).newbyteorder(draw(st.sampled_from(ORDERS)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    count = int(np.prod(shape))
    raw = random.Random(draw(st.integers(0, 1 << 32))).randbytes(count * dtype.itemsize)
    if dtype.kind == "b":
        raw = bytes(byte & 1 for byte in raw)
    return _strided(np.frombuffer(raw, dtype=dtype).reshape(shape), draw(st.sampled_from(SHAPES)))


def _strided(array: Any, how: str) -> Any:
    match how:
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
        case "plain":
            return array.copy()
    return array


def _objects(items: list[Any]) -> Any:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


keys = st.integers(-(1 << 62), 1 << 62)
strings = st.lists(st.one_of(texts, st.binary(max_size=4)), max_size=5).map(_objects)
maps = st.one_of(
    st.dictionaries(keys, st.floats(), max_size=5),
    st.dictionaries(keys, texts, max_size=5),
    st.dictionaries(texts, st.floats(), max_size=5),
    st.dictionaries(texts, keys, max_size=5),
)
scalars = st.one_of(st.floats(), keys, st.booleans(), texts, st.binary(max_size=4))
extended = st.builds(
    lambda bits: RawTensor(value_pb2.ElementType.BFLOAT16, bits),
    hnp.arrays(np.uint16, hnp.array_shapes(min_side=0, max_side=3)),
)
leaves = st.one_of(arrays(), arrays(), strings, maps, scalars, extended, st.none())
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3), max_leaves=6)

tensor_messages = st.builds(
    value_pb2.Tensor,
    type=st.integers(0, 24),
    dims=st.lists(st.integers(-2, 300), max_size=3),
    raw=st.binary(max_size=40),
    deferred_bytes=st.sampled_from([0, 0, 4, 8]),
    strings=st.lists(st.binary(max_size=3), max_size=3),
)
value_messages = st.recursive(
    st.one_of(
        st.builds(lambda tensor: value_pb2.Value(tensor=tensor), tensor_messages),
        st.builds(
            lambda k, v: value_pb2.Value(map=value_pb2.Map(keys=k, values=v)),
            tensor_messages,
            tensor_messages,
        ),
        st.just(value_pb2.Value()),
        st.just(value_pb2.Value(absent=value_pb2.Absent())),
    ),
    lambda inner: st.builds(
        lambda parts: value_pb2.Value(sequence=value_pb2.Sequence(values=parts)),
        st.lists(inner, max_size=3),
    ),
    max_leaves=4,
)
run_messages = st.builds(
    worker_pb2.Run,
    call_id=numbers,
    instance=texts,
    epoch=numbers,
    session=texts,
    inputs=st.lists(st.builds(value_pb2.NamedValue, name=texts, value=value_messages), max_size=3),
    outputs=st.lists(texts, max_size=3),
    timeout_us=numbers,
    options=st.one_of(
        st.none(),
        st.builds(
            worker_pb2.RunOptions,
            config_entries=st.dictionaries(texts, texts, max_size=2),
            tag=texts,
        ),
    ),
    traceparent=texts,
    tracestate=texts,
)
piece_messages = st.builds(
    worker_pb2.Piece,
    call_id=numbers,
    tensor=small_numbers,
    offset=numbers,
    data=st.binary(max_size=30),
)
errors = st.builds(
    common_pb2.Error,
    reason=texts,
    message=texts,
    metadata=st.dictionaries(texts, texts, max_size=1),
    push_back_ms=small_numbers,
)
accounts = st.builds(
    worker_pb2.Account,
    queue_ns=numbers,
    compute_ns=numbers,
    batch_size=small_numbers,
    input_bytes=numbers,
    output_bytes=numbers,
)
answer_messages = st.builds(
    worker_pb2.Answer,
    call_id=numbers,
    error=st.one_of(st.none(), st.none(), errors),
    outputs=st.lists(value_messages, max_size=3),
    account=st.one_of(st.none(), accounts),
)
to_worker_messages = st.builds(
    worker_pb2.ToWorker,
    hello=st.one_of(
        st.none(), st.none(), st.builds(common_pb2.Hello, version=small_numbers, software=texts)
    ),
    runs=st.lists(run_messages, max_size=3),
    pieces=st.lists(piece_messages, max_size=2),
    cancels=st.lists(st.builds(worker_pb2.Cancel, call_id=numbers), max_size=2),
    hold=st.lists(texts, max_size=2),
    release=st.lists(texts, max_size=2),
    ring_wanted=st.booleans(),
    ring_begins=st.booleans(),
)
to_client_messages = st.builds(
    worker_pb2.ToClient,
    hello=st.one_of(
        st.none(),
        st.none(),
        st.builds(common_pb2.HelloReply, version=small_numbers, incarnation=numbers),
    ),
    answers=st.lists(answer_messages, max_size=3),
    pieces=st.lists(piece_messages, max_size=2),
    draining=st.booleans(),
    ring_offer=st.one_of(
        st.none(),
        st.none(),
        st.builds(worker_pb2.RingOffer, socket=texts, nonce=st.binary(max_size=4)),
    ),
    ring_begins=st.booleans(),
)


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[Any]) -> list[bytes]:
    """A message, and what is left of it after each of several kinds of damage, one on another."""
    data = draw(messages).SerializeToString()
    found = [data]
    for _ in range(draw(st.integers(0, 4))):
        data = _damage(draw, data)
        found.append(data)
    return found


def _damage(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    end = min(len(data), at + draw(st.integers(0, 12)))
    match draw(st.sampled_from(["flip", "cut", "double", "insert", "move", "end", "grow"])):
        case "flip":
            flipped = bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in data[at : at + 1])
            return data[:at] + flipped + data[at + 1 :]
        case "cut":
            return data[:at] + data[end:]
        case "double":
            return data[:end] + data[at:end] + data[end:]
        case "move":
            return data[:at] + data[end:] + data[at:end]
        case "end":
            return data[:at]
        case "grow":
            return data + data
    return data[:at] + draw(st.binary(max_size=6)) + data[at:]
