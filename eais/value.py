"""Numpy values to wire values and back: the one codec.

A fixed-size tensor's elements travel as little-endian row-major bytes. A
tensor above `inline_limit` bytes is deferred: its bytes are handed to the
caller beside the message, to be sent as Piece messages.

Element types that numpy itself lacks (bfloat16, float8, 4-bit) are carried as
the bytes of the unsigned integers of the same width; `session` gives them
their meaning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from eais.channel import INLINE_BYTES, INLINE_TENSOR_BYTES, PIECE_BYTES
from eais.errors import InputRejected, UsageError
from eais.rpc.v1 import value_pb2

Array: TypeAlias = npt.NDArray[Any]
#: What a session takes and gives: an array, a list of values, a dict of scalars, None.
Value: TypeAlias = Any

_T = value_pb2.ElementType

MAX_DIMS: Final = 64
MAX_ELEMENTS: Final = 1 << 48
MAX_DEPTH: Final = 8

DTYPES: Final[Mapping[int, np.dtype[Any]]] = {
    _T.FLOAT: np.dtype("<f4"),
    _T.UINT8: np.dtype("u1"),
    _T.INT8: np.dtype("i1"),
    _T.UINT16: np.dtype("<u2"),
    _T.INT16: np.dtype("<i2"),
    _T.INT32: np.dtype("<i4"),
    _T.INT64: np.dtype("<i8"),
    _T.BOOL: np.dtype("?"),
    _T.FLOAT16: np.dtype("<f2"),
    _T.DOUBLE: np.dtype("<f8"),
    _T.UINT32: np.dtype("<u4"),
    _T.UINT64: np.dtype("<u8"),
    _T.COMPLEX64: np.dtype("<c8"),
    _T.COMPLEX128: np.dtype("<c16"),
    _T.BFLOAT16: np.dtype("<u2"),
    _T.FLOAT8E4M3FN: np.dtype("u1"),
    _T.FLOAT8E4M3FNUZ: np.dtype("u1"),
    _T.FLOAT8E5M2: np.dtype("u1"),
    _T.FLOAT8E5M2FNUZ: np.dtype("u1"),
}
TYPE_OF: Final[Mapping[np.dtype[Any], int]] = {
    dtype: kind for kind, dtype in reversed(list(DTYPES.items()))
}


@dataclass(frozen=True, slots=True)
class RawTensor:
    """A tensor of an element type that numpy lacks.

    Attributes:
        element_type: its number in ONNX's TensorProto.DataType.
        bits: the elements' bits in unsigned integers of their width, in the tensor's shape.
    """

    element_type: int
    bits: Any


@dataclass
class Deferred:
    """Tensor bytes that follow a message, in the order in which it names them.

    Attributes:
        inline_limit: a tensor of at most so many bytes goes into the message,
        inline_left: as long as all of them together are at most so many.
        buffers: the bytes of the others.
    """

    inline_limit: int = INLINE_TENSOR_BYTES
    inline_left: int = INLINE_BYTES
    buffers: list[memoryview] = field(default_factory=list)

    def pieces(self) -> Iterator[tuple[int, int, memoryview]]:
        """(tensor, offset, bytes) in order, each of at most `PIECE_BYTES`."""
        for index, buffer in enumerate(self.buffers):
            for offset in range(0, len(buffer), PIECE_BYTES):
                yield index, offset, buffer[offset : offset + PIECE_BYTES]


def encode_value(value: Value, deferred: Deferred) -> value_pb2.Value:
    """A run's input or output as a message.

    Takes arrays, lists of values, dicts of scalars, `RawTensor`s, None; `InputRejected`
    INPUT_DTYPE for anything else.
    """
    if value is None:
        return value_pb2.Value(absent=value_pb2.Absent())
    if isinstance(value, np.ndarray):
        return value_pb2.Value(tensor=encode_tensor(value, deferred))
    if isinstance(value, Mapping):
        return value_pb2.Value(map=_encode_map(value, deferred))
    if isinstance(value, list | tuple):
        parts = [encode_value(part, deferred) for part in value]
        return value_pb2.Value(sequence=value_pb2.Sequence(values=parts))
    if isinstance(value, str | bytes):
        return value_pb2.Value(tensor=encode_tensor(np.array(value, dtype=object), deferred))
    if isinstance(value, RawTensor):
        tensor = encode_tensor(value.bits, deferred)
        tensor.type = value.element_type  # type: ignore[assignment]
        return value_pb2.Value(tensor=tensor)
    if isinstance(value, np.generic | int | float):
        return value_pb2.Value(tensor=encode_tensor(_numbers(value), deferred))
    raise _not_a_value(value)


def _not_a_value(value: object) -> InputRejected:
    return InputRejected(
        "INPUT_DTYPE", f"a {type(value).__name__} is not a tensor, list or dict of scalars"
    )


def _numbers(value: Any) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "biufcSUV":
        raise _not_a_value(value)
    return array


def _encode_map(value: Mapping[Any, Any], deferred: Deferred) -> value_pb2.Map:
    keys = _scalars(list(value.keys()), np.dtype(np.int64))
    values = _scalars(list(value.values()), np.dtype(np.float32))
    return value_pb2.Map(keys=encode_tensor(keys, deferred), values=encode_tensor(values, deferred))


def _scalars(items: list[Any], if_empty: np.dtype[Any]) -> Array:
    """One dimension of strings or numbers; Python's float is float64, its int int64."""
    if not items:
        return np.empty(0, if_empty)
    if all(isinstance(item, str | bytes) for item in items):
        return _objects(items)
    if not all(isinstance(item, np.number | np.bool_ | int | float) for item in items):
        raise _not_a_value({})
    return _numbers(items)


def _objects(items: list[Any]) -> Array:
    # Not np.array(items), which cuts NUL off the end of strings.
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def encode_tensor(array: Array, deferred: Deferred) -> value_pb2.Tensor:
    """Any array of a supported dtype, any strides; strings as object, U, S or void arrays.

    Raises:
        InputRejected: INPUT_DTYPE for another dtype, INPUT_REJECTED for a string that UTF-8
            can't write.
    """
    if array.dtype.kind in "OUS" or (array.dtype.kind == "V" and array.dtype.names is None):
        strings = [_utf8(item) for item in array.ravel().tolist()]
        return value_pb2.Tensor(type=_T.STRING, dims=array.shape, strings=strings)
    kind = TYPE_OF.get(array.dtype.newbyteorder("<"))
    if kind is None:
        raise InputRejected("INPUT_DTYPE", f"dtype {array.dtype} can't be sent")
    tensor = value_pb2.Tensor(type=kind, dims=array.shape)  # type: ignore[arg-type]
    if array.nbytes <= min(deferred.inline_limit, deferred.inline_left):
        deferred.inline_left -= array.nbytes
        tensor.raw = array.astype(DTYPES[kind], copy=False).tobytes()
        return tensor
    flat = np.ascontiguousarray(array, dtype=DTYPES[kind]).reshape(-1)
    tensor.deferred_bytes = array.nbytes
    deferred.buffers.append(flat.view(np.uint8).data)
    return tensor


def _utf8(item: object) -> bytes:
    if isinstance(item, bytes):
        return item
    try:
        # As onnxruntime does with what is no string.
        return str(item).encode()
    except UnicodeEncodeError as error:
        raise InputRejected("INPUT_REJECTED", str(error)) from None


def checked_size(tensor: value_pb2.Tensor) -> tuple[tuple[int, ...], int]:
    """Shape and element count of an incoming tensor, before anything is allocated.

    Raises `InputRejected` INPUT_SIZE for negative dims, more than `MAX_DIMS` of
    them, products above `MAX_ELEMENTS` (dims of 0 left out), byte counts that don't fit, and
    elements given twice.
    """
    dims = tuple(tensor.dims)
    if len(dims) > MAX_DIMS or any(dim < 0 for dim in dims):
        raise InputRejected("INPUT_SIZE", f"at most {MAX_DIMS} dims, each >= 0, not {dims[:8]}")
    # Without the zeros, since no array of such a shape can be made even if it is empty.
    if math.prod(dim for dim in dims if dim) > MAX_ELEMENTS:
        raise InputRejected("INPUT_SIZE", "the product of the dims is too large")
    count = math.prod(dims)
    if tensor.type == _T.STRING:
        got, want, other = len(tensor.strings), count, tensor.deferred_bytes or len(tensor.raw)
    elif tensor.type in DTYPES:
        got = tensor.deferred_bytes or len(tensor.raw)
        want = count * DTYPES[tensor.type].itemsize
        other = len(tensor.strings) or (tensor.deferred_bytes and len(tensor.raw))
    else:
        raise InputRejected("INPUT_DTYPE", f"element type {tensor.type} is not served")
    if got != want:
        unit = "strings" if tensor.type == _T.STRING else "bytes"
        raise InputRejected(
            "INPUT_SIZE",
            f"dims {list(dims[:8])} need {want} {unit}, not {got}",
            metadata={"want": str(want), "got": str(got)},
        )
    if other:
        raise InputRejected("INPUT_SIZE", "the elements are given in two ways")
    return dims, count


def deferred_tensors(value: value_pb2.Value, depth: int = 0) -> Iterator[value_pb2.Tensor]:
    """The tensors of `value` whose bytes follow, in wire order.

    Raises `UsageError` MALFORMED_MESSAGE for values that nest deeper than `MAX_DEPTH`.
    """
    _check_depth(depth)
    match value.WhichOneof("kind"):
        case "tensor":
            parts = [value.tensor]
        case "map":
            parts = [value.map.keys, value.map.values]
        case "sequence":
            for part in value.sequence.values:
                yield from deferred_tensors(part, depth + 1)
            return
        case _:
            return
    yield from (part for part in parts if part.deferred_bytes)


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UsageError("MALFORMED_MESSAGE", f"values nest deeper than {MAX_DEPTH}")


def decode_value(value: value_pb2.Value, buffers: Iterator[bytearray], depth: int = 0) -> Value:
    """The numpy value behind a message; `buffers` gives deferred bytes in wire order.

    Arrays are writable and own their memory. Raises `InputRejected` INPUT_SIZE, INPUT_DTYPE or
    INPUT_REJECTED, and `UsageError` as `deferred_tensors` does.
    """
    _check_depth(depth)
    match value.WhichOneof("kind"):
        case "tensor":
            return decode_tensor(value.tensor, buffers)
        case "sequence":
            return [decode_value(part, buffers, depth + 1) for part in value.sequence.values]
        case "map":
            return _decode_map(value.map, buffers)
        case _:
            return None


def _decode_map(value: value_pb2.Map, buffers: Iterator[bytearray]) -> dict[Any, Any]:
    keys = decode_tensor(value.keys, buffers)
    values = decode_tensor(value.values, buffers)
    if keys.ndim != 1 or keys.shape != values.shape:
        raise InputRejected("INPUT_SIZE", "a map needs as many keys as values, in one dimension")
    return dict(zip(keys.tolist(), values.tolist(), strict=True))


def decode_tensor(tensor: value_pb2.Tensor, buffers: Iterator[bytearray]) -> Array:
    """An array of the tensor's shape; strings become an object array of str."""
    dims, _count = checked_size(tensor)
    if tensor.type == _T.STRING:
        return _decode_strings(tensor.strings, dims)
    data = next(buffers) if tensor.deferred_bytes else bytearray(tensor.raw)
    return _shaped(np.frombuffer(data, dtype=DTYPES[tensor.type]), dims)


def _decode_strings(strings: Sequence[bytes], dims: tuple[int, ...]) -> Array:
    array = np.empty(len(strings), dtype=object)
    try:
        array[:] = [item.decode() for item in strings]
    except UnicodeDecodeError:
        raise InputRejected("INPUT_REJECTED", "a string element is not UTF-8") from None
    return _shaped(array, dims)


def _shaped(array: Array, dims: tuple[int, ...]) -> Array:
    try:
        return array.reshape(dims)
    except ValueError:  # numpy before 2 has at most 32 dims
        raise InputRejected("INPUT_SIZE", f"no array has {len(dims)} dims here") from None
