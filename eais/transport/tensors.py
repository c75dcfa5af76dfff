"""Tensors that came in: their checks, and their way into numpy. (Brain)"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from eais.errors import InputRejected, UsageError
from eais.rpc.v1 import value_pb2
from eais.transport.parts import Buffer, MapPart, SequencePart, TensorPart, ValuePart
from eais.value import DTYPES, MAX_DEPTH, MAX_DIMS, MAX_ELEMENTS, Array, Value

_STRING: Final = int(value_pb2.ElementType.STRING)
_FEW_DIMS: Final = 32
_NONE: Final[Iterator[Buffer]] = iter(())


def checked_size(part: TensorPart) -> int:
    """Element count of an incoming tensor, before anything is allocated.

    Raises `InputRejected` INPUT_SIZE for negative dims, more than `MAX_DIMS` of them, products
    above `MAX_ELEMENTS` (dims of 0 left out), byte counts that don't fit, and elements given
    twice; INPUT_DTYPE for an element type that isn't served.
    """
    dims = part.dims
    if len(dims) > MAX_DIMS or any(dim < 0 for dim in dims):
        raise InputRejected("INPUT_SIZE", f"at most {MAX_DIMS} dims, each >= 0, not {dims[:8]}")
    # Without the zeros, since no array of such a shape can be made even if it is empty.
    if math.prod(dim for dim in dims if dim) > MAX_ELEMENTS:
        raise InputRejected("INPUT_SIZE", "the product of the dims is too large")
    count = math.prod(dims)
    if part.type == _STRING:
        got, want, other = len(part.strings), count, part.deferred_bytes or len(part.raw)
    elif part.type in DTYPES:
        got = part.deferred_bytes or len(part.raw)
        want = count * DTYPES[part.type].itemsize
        other = len(part.strings) or (part.deferred_bytes and len(part.raw))
    else:
        raise InputRejected("INPUT_DTYPE", f"element type {part.type} is not served")
    if got != want:
        unit = "strings" if part.type == _STRING else "bytes"
        raise InputRejected(
            "INPUT_SIZE",
            f"dims {list(dims[:8])} need {want} {unit}, not {got}",
            metadata={"want": str(want), "got": str(got)},
        )
    if other:
        raise InputRejected("INPUT_SIZE", "the elements are given in two ways")
    return count


def deferred_tensors(part: ValuePart, depth: int = 0) -> Iterator[TensorPart]:
    """The tensors of a value whose bytes follow, in wire order.

    Raises `UsageError` MALFORMED_MESSAGE for values that nest deeper than `MAX_DEPTH`.
    """
    _check_depth(depth)
    tensors: Sequence[TensorPart]
    if isinstance(part, TensorPart):
        tensors = (part,)
    elif isinstance(part, SequencePart):
        for value in part.values:
            yield from deferred_tensors(value, depth + 1)
        return
    elif isinstance(part, MapPart):
        tensors = (part.keys, part.values)
    else:
        return
    yield from (tensor for tensor in tensors if tensor.deferred_bytes)


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UsageError("MALFORMED_MESSAGE", f"values nest deeper than {MAX_DEPTH}")


def value_of(part: ValuePart, buffers: Iterator[Buffer] = _NONE, depth: int = 0) -> Value:
    """The numpy value of a part; `buffers` gives deferred bytes in wire order.

    Arrays are writable and own their memory, or that of a writable one of `buffers`. Raises
    `InputRejected` INPUT_SIZE, INPUT_DTYPE or INPUT_REJECTED, and `UsageError` as
    `deferred_tensors` does.
    """
    _check_depth(depth)
    if isinstance(part, TensorPart):
        return array_of(part, buffers)
    if isinstance(part, SequencePart):
        return [value_of(value, buffers, depth + 1) for value in part.values]
    if isinstance(part, MapPart):
        return _map_of(part, buffers)
    return None


def _map_of(part: MapPart, buffers: Iterator[Buffer]) -> dict[Any, Any]:
    keys = array_of(part.keys, buffers)
    values = array_of(part.values, buffers)
    if keys.ndim != 1 or keys.shape != values.shape:
        raise InputRejected("INPUT_SIZE", "a map needs as many keys as values, in one dimension")
    return dict(zip(keys.tolist(), values.tolist(), strict=True))


def array_of(part: TensorPart, buffers: Iterator[Buffer] = _NONE) -> Array:
    """An array of the tensor's shape; strings become an object array of str."""
    kind, dims, raw, deferred_bytes, strings = part
    dtype = DTYPES.get(kind)
    if dtype is None or deferred_bytes or strings or len(dims) > _FEW_DIMS:
        return _checked_array(part, buffers)
    need = dtype.itemsize
    for dim in dims:
        if dim < 1:
            return _checked_array(part, buffers)
        need *= dim
    if need != len(raw):
        return _checked_array(part, buffers)
    return np.ndarray(dims, dtype, bytearray(raw))


def _checked_array(part: TensorPart, buffers: Iterator[Buffer]) -> Array:
    checked_size(part)
    if part.type == _STRING:
        return _shaped(_strings_of(part), part.dims)
    data = next(buffers) if part.deferred_bytes else part.raw
    if memoryview(data).readonly or not part.deferred_bytes:
        data = bytearray(data)
    return _shaped(np.frombuffer(data, dtype=DTYPES[part.type]), part.dims)


def _strings_of(part: TensorPart) -> Array:
    array = np.empty(len(part.strings), dtype=object)
    try:
        array[:] = [item.decode() for item in part.strings]
    except UnicodeDecodeError:
        raise InputRejected("INPUT_REJECTED", "a string element is not UTF-8") from None
    return array


def _shaped(array: Array, dims: tuple[int, ...]) -> Array:
    try:
        return array.reshape(dims)
    except ValueError:  # numpy before 2 has at most 32 dims
        raise InputRejected("INPUT_SIZE", f"no array has {len(dims)} dims here") from None
