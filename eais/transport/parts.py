"""What the messages of a data stream say, as plain tuples that are cheap to make. (Brain)

A value on the wire is a `TensorPart`, a `SequencePart`, a `MapPart`, or None for an optional
value that isn't there. Large raw bytes are views on the message that they came in, small ones
copies, so that no message is kept for a few bytes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from eais.rpc.v1 import common_pb2, worker_pb2

Buffer: TypeAlias = bytes | bytearray | memoryview
#: TensorPart | SequencePart | MapPart | None; SequencePart holds the same.
ValuePart: TypeAlias = Any


class TensorPart(NamedTuple):
    """A tensor, not yet checked: `eais.transport.tensors.checked_size` does it.

    Attributes:
        type: `value_pb2.ElementType`, or any other number that was sent.
        dims: as sent.
        raw: the elements' bytes; b"" when they follow in pieces, are strings, or are none.
        deferred_bytes: how many bytes follow in pieces.
        strings: elements of a STRING tensor.
    """

    type: int
    dims: tuple[int, ...]
    raw: Buffer = b""
    deferred_bytes: int = 0
    strings: Sequence[bytes] = ()


class SequencePart(NamedTuple):
    """A list of values."""

    values: list[ValuePart]


class MapPart(NamedTuple):
    """Two tensors, of one dimension and equal length if the sender is right."""

    keys: TensorPart
    values: TensorPart


class RunPart(NamedTuple):
    """A Run.

    Attributes:
        timeout_us: 0 for none.
        size: bytes of it on the wire, without pieces.
    """

    call_id: int = 0
    instance: str = ""
    epoch: int = 0
    session: str = ""
    inputs: Sequence[tuple[str, ValuePart]] = ()
    outputs: tuple[str, ...] = ()
    timeout_us: int = 0
    config_entries: Mapping[str, str] = {}
    tag: str = ""
    traceparent: str = ""
    tracestate: str = ""
    size: int = 0


class AnswerPart(NamedTuple):
    """An Answer, with its Account (all 0 when it has none).

    Attributes:
        error: set when the call failed; then there are no outputs.
        size: bytes of it on the wire, without pieces.
    """

    call_id: int = 0
    error: common_pb2.Error | None = None
    outputs: Sequence[ValuePart] = ()
    queue_ns: int = 0
    compute_ns: int = 0
    batch_size: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    size: int = 0


class PiecePart(NamedTuple):
    """Bytes of a deferred tensor, from `offset` on."""

    call_id: int
    tensor: int
    offset: int
    data: Buffer


class ToWorkerParts(NamedTuple):
    """A message to a worker."""

    hello: common_pb2.Hello | None = None
    runs: Sequence[RunPart] = ()
    pieces: Sequence[PiecePart] = ()
    cancels: Sequence[int] = ()
    hold: Sequence[str] = ()
    release: Sequence[str] = ()
    ring_wanted: bool = False
    ring_begins: bool = False


class ToClientParts(NamedTuple):
    """A message to a client."""

    hello: common_pb2.HelloReply | None = None
    answers: Sequence[AnswerPart] = ()
    pieces: Sequence[PiecePart] = ()
    draining: bool = False
    ring_offer: worker_pb2.RingOffer | None = None
    ring_begins: bool = False
