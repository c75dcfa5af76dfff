"""Values as messages of the generated classes, for peers that speak with those.

Programs themselves write and read values without them: see `eais.transport`.
"""

from __future__ import annotations

from collections.abc import Iterator

from eais.rpc.v1 import value_pb2
from eais.transport.messages import value_part
from eais.transport.parts import Buffer
from eais.transport.tensors import deferred_tensors, value_of
from eais.transport.value_writing import write_value
from eais.value import Deferred, Value


def encode_value(value: Value, deferred: Deferred) -> value_pb2.Value:
    """A run's input or output as a message; `InputRejected` as `write_value`."""
    return value_pb2.Value.FromString(b"".join(write_value(value, deferred)))


def decode_value(message: value_pb2.Value, buffers: Iterator[Buffer]) -> Value:
    """The value behind a message; `InputRejected` and `UsageError` as `value_of`."""
    return value_of(value_part(message), buffers)


def deferred_sizes(message: value_pb2.Value) -> Iterator[int]:
    """Bytes of each tensor of `message` that follows in pieces, in wire order."""
    return (tensor.deferred_bytes for tensor in deferred_tensors(value_part(message)))
