"""Named values in a DMA buffer: `fpga_pb2.Values`, and after it the bytes of their tensors. (Brain)

The bytes of each tensor begin at the next multiple of 64, in the order in which the values name
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from eais.errors import InputRejected, make_error
from eais.rpc.v1 import fpga_pb2, value_pb2
from eais.transport.messages import value_part
from eais.transport.parts import Buffer, TensorPart
from eais.transport.tensors import deferred_tensors, value_of
from eais.transport.value_writing import Parts, write_value
from eais.transport.wire_format import number
from eais.value import Deferred, RawTensor, Value

ALIGN_BYTES: Final = 64

# Types that numpy lacks begin there.
_FIRST_EXTENDED: Final = int(value_pb2.ElementType.BFLOAT16)


class Packed(NamedTuple):
    """Values as they will lie in a buffer.

    Attributes:
        values_bytes: of the message at its begin.
        size: of all of it.
        pieces: what lies where.
    """

    values_bytes: int
    size: int
    pieces: list[tuple[int, Buffer]]

    def put(self, view: memoryview) -> None:
        """Write it down, in `size` bytes or more."""
        for at, piece in self.pieces:
            view[at : at + len(piece)] = piece


def pack(values: Iterable[tuple[str, Value]]) -> Packed:
    """Lay values out.

    Raises:
        InputRejected: as `write_value`.
    """
    deferred = Deferred(inline_limit=0, inline_left=0)
    message = Parts()
    for name, value in values:
        text = name.encode()
        named = Parts()
        named.add(b"\x0a" + number(len(text)) + text)
        named.add_field(b"\x12", write_value(value, deferred))
        message.add_field(b"\x0a", named)
    head = b"".join(message)
    pieces: list[tuple[int, Buffer]] = [(0, head)]
    at = len(head)
    for buffer in deferred.buffers:
        at = _aligned(at)
        pieces.append((at, buffer))
        at += len(buffer)
    return Packed(len(head), at, pieces)


def unpack(
    view: memoryview, values_bytes: int, keep: Callable[[memoryview], Buffer]
) -> list[tuple[str, Value]]:
    """What lies in a buffer, whoever wrote it.

    Args:
        view: all of it.
        values_bytes: of the message at its begin.
        keep: what to make an array of: the bytes where they are, or a copy.

    Raises:
        UsageError: MALFORMED_MESSAGE, or an INPUT_… reason.
    """
    try:
        message = fpga_pb2.Values.FromString(bytes(view[:values_bytes]))
    except DecodeError:
        raise make_error("MALFORMED_MESSAGE", "the buffer doesn't begin with values") from None
    found = []
    at = values_bytes
    for named in message.values:
        part = value_part(named.value)
        chunks = []
        for tensor in deferred_tensors(part):
            begin = _aligned(at)
            at = begin + tensor.deferred_bytes
            if at > len(view):
                raise InputRejected("INPUT_SIZE", "a tensor ends behind the end of the input")
            chunks.append(keep(view[begin:at]))
        value = value_of(part, iter(chunks))
        if isinstance(part, TensorPart) and part.type >= _FIRST_EXTENDED:
            value = RawTensor(part.type, value)
        found.append((named.name, value))
    return found


def _aligned(at: int) -> int:
    return -(-at // ALIGN_BYTES) * ALIGN_BYTES
