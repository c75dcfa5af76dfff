"""Writes values: arrays, lists, dicts of scalars, and what else a session takes or gives. (Brain)

A value is written as the parts of its Value message, in order; large tensors among them are
views of the caller's memory. A tensor above the limits of a `Deferred` is announced in its
place, and its bytes go there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from eais.errors import InputRejected
from eais.rpc.v1 import value_pb2
from eais.transport.parts import Buffer
from eais.transport.wire_format import SMALL_BYTES, number, number_field
from eais.value import DTYPES, TYPE_OF, Array, Deferred, RawTensor, Value

_STRING: Final = int(value_pb2.ElementType.STRING)
_ABSENT: Final = b"\x22\x00"
_PYTHON_KINDS: Final = "biufcSUV"


class Parts(list[Buffer]):
    """Buffers that follow each other; `size` bytes in all."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def add(self, data: Buffer) -> None:
        """Append a buffer."""
        self.append(data)
        self.size += len(data)

    def add_field(self, tag: bytes, inner: Parts) -> None:
        """Append a field with `inner` in it."""
        self.add(tag + number(inner.size))
        self += inner
        self.size += inner.size


def joined(parts: Sequence[Buffer]) -> list[Buffer]:
    """The same bytes, with small neighbours in one buffer."""
    made: list[Buffer] = []
    small: list[Buffer] = []
    for part in parts:
        if len(part) <= SMALL_BYTES:
            small.append(part)
            continue
        if small:
            made.append(b"".join(small))
            small = []
        made.append(part)
    if small:
        made.append(b"".join(small))
    return made


def write_value(value: Value, deferred: Deferred) -> Parts:
    """A Value.

    Raises:
        InputRejected: INPUT_DTYPE for a value that has no wire form, INPUT_REJECTED for a
            string that UTF-8 can't write.
    """
    parts = Parts()
    if value is None:
        parts.add(_ABSENT)
    elif isinstance(value, Mapping):
        parts.add_field(b"\x1a", _write_map(value, deferred))
    elif isinstance(value, list | tuple):
        parts.add_field(b"\x12", _write_sequence(value, deferred))
    elif isinstance(value, RawTensor):
        parts.add_field(b"\x0a", write_tensor(value.bits, deferred, value.element_type))
    else:
        parts.add_field(b"\x0a", write_tensor(_array(value), deferred))
    return parts


def _array(value: Value) -> Array:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, str | bytes):
        return np.array(value, dtype=object)
    if isinstance(value, np.generic | int | float):
        return _numbers(value)
    raise _not_a_value(value)


def _not_a_value(value: object) -> InputRejected:
    return InputRejected(
        "INPUT_DTYPE", f"a {type(value).__name__} is not a tensor, list or dict of scalars"
    )


def _numbers(value: Any) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in _PYTHON_KINDS:
        raise _not_a_value(value)
    return array


def _write_sequence(values: Sequence[Value], deferred: Deferred) -> Parts:
    parts = Parts()
    for value in values:
        parts.add_field(b"\x0a", write_value(value, deferred))
    return parts


def _write_map(value: Mapping[Any, Any], deferred: Deferred) -> Parts:
    keys = _scalars(list(value.keys()), np.dtype(np.int64))
    values = _scalars(list(value.values()), np.dtype(np.float32))
    parts = Parts()
    parts.add_field(b"\x0a", write_tensor(keys, deferred))
    parts.add_field(b"\x12", write_tensor(values, deferred))
    return parts


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


def write_tensor(array: Array, deferred: Deferred, element_type: int = 0) -> Parts:
    """A Tensor of any array of a supported dtype, with any strides.

    Strings are object, U, S or void arrays. `element_type` says what the elements are, if that
    isn't what their dtype says. Raises `InputRejected` as `write_value` does.
    """
    if array.dtype.kind in "OUS" or (array.dtype.kind == "V" and array.dtype.names is None):
        return _write_strings(array)
    kind = TYPE_OF.get(array.dtype.newbyteorder("<"))
    if kind is None:
        raise InputRejected("INPUT_DTYPE", f"dtype {array.dtype} can't be sent")
    size = array.nbytes
    parts = Parts()
    if size > min(deferred.inline_limit, deferred.inline_left):
        deferred.buffers.append(_view(array, DTYPES[kind]))
        parts.add(tensor_head(element_type or kind, array.shape) + b"\x20" + number(size))
        return parts
    deferred.inline_left -= size
    parts.add(tensor_head(element_type or kind, array.shape) + number_field(b"\x1a", size))
    if size > SMALL_BYTES:
        parts.add(_view(array, DTYPES[kind]))
    elif size:
        parts.add(array.astype(DTYPES[kind], copy=False).tobytes())
    return parts


def _view(array: Array, dtype: np.dtype[Any]) -> memoryview:
    flat = np.ascontiguousarray(array, dtype=dtype).reshape(-1)
    return flat.view(np.uint8).data


def _write_strings(array: Array) -> Parts:
    strings = [utf8(item) for item in array.ravel().tolist()]
    parts = Parts()
    parts.add(tensor_head(_STRING, array.shape))
    # What is left of a Tensor; the generated class is faster at it.
    parts.add(value_pb2.Tensor(strings=strings).SerializeToString())
    return parts


def utf8(item: object) -> bytes:
    """A string's bytes; `InputRejected` INPUT_REJECTED if UTF-8 can't write it."""
    if isinstance(item, bytes):
        return item
    try:
        # As onnxruntime does with what is no string.
        return str(item).encode()
    except UnicodeEncodeError as error:
        raise InputRejected("INPUT_REJECTED", str(error)) from None


def tensor_head(kind: int, shape: tuple[int, ...]) -> bytes:
    """A Tensor's type and dims."""
    head = number_field(b"\x08", kind)
    if shape:
        dims = b"".join(map(number, shape))
        head += b"\x12" + number(len(dims)) + dims
    return head


def inline_head(array: Array) -> tuple[bytes, int] | None:
    """What comes before the raw bytes of such an array, in its Value, and how many they are.

    None unless they are few, and the same as in memory (in C order).
    """
    kind = TYPE_OF.get(array.dtype)
    if kind is None or array.nbytes > SMALL_BYTES:
        return None
    size = array.nbytes
    head = tensor_head(kind, array.shape) + number_field(b"\x1a", size)
    return b"\x0a" + number(len(head) + size) + head, size
