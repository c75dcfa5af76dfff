"""Values as the generated classes have them: the oracle of the codec's tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eais.rpc.v1 import value_pb2
from eais.value import DTYPES, TYPE_OF, Deferred, RawTensor

STRING = value_pb2.ElementType.STRING


def value_message(value: Any, deferred: Deferred) -> value_pb2.Value:
    """`value` as a message; what is too large for it goes to `deferred`."""
    if value is None:
        return value_pb2.Value(absent=value_pb2.Absent())
    if isinstance(value, Mapping):
        keys = tensor_message(_scalars(list(value), np.dtype("i8")), deferred)
        values = tensor_message(_scalars(list(value.values()), np.dtype("f4")), deferred)
        return value_pb2.Value(map=value_pb2.Map(keys=keys, values=values))
    if isinstance(value, list | tuple):
        parts = [value_message(part, deferred) for part in value]
        return value_pb2.Value(sequence=value_pb2.Sequence(values=parts))
    if isinstance(value, RawTensor):
        tensor = tensor_message(value.bits, deferred)
        tensor.type = value.element_type  # type: ignore[assignment]
        return value_pb2.Value(tensor=tensor)
    if isinstance(value, str | bytes):
        value = np.array(value, dtype=object)
    return value_pb2.Value(tensor=tensor_message(np.asarray(value), deferred))


def _scalars(items: list[Any], if_empty: np.dtype[Any]) -> Any:
    if items and isinstance(items[0], str | bytes):
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array
    return np.asarray(items) if items else np.empty(0, if_empty)


def tensor_message(array: Any, deferred: Deferred) -> value_pb2.Tensor:
    """An array as a message."""
    if array.dtype.kind in "OUSV":
        strings = [
            item if isinstance(item, bytes) else str(item).encode()
            for item in array.ravel().tolist()
        ]
        return value_pb2.Tensor(type=STRING, dims=array.shape, strings=strings)
    kind = TYPE_OF[array.dtype.newbyteorder("<")]
    data = array.astype(DTYPES[kind]).tobytes()
    tensor = value_pb2.Tensor(type=kind, dims=array.shape)  # type: ignore[arg-type]
    if len(data) <= min(deferred.inline_limit, deferred.inline_left):
        deferred.inline_left -= len(data)
        tensor.raw = data
    else:
        tensor.deferred_bytes = len(data)
        deferred.buffers.append(memoryview(data))
    return tensor
