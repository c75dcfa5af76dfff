"""Writes the messages of a data stream, byte for byte as the generated classes do. (Brain)

Fields stand in the order of their numbers, and what has its default value is left out. A
message is given out as buffers that follow each other; large arrays aren't copied into them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eais.rpc.v1 import common_pb2, worker_pb2
from eais.transport.answer_writing import AnswerWriter, EncodedAnswer, refusal
from eais.transport.parts import Buffer, PiecePart
from eais.transport.run_writing import EncodedRun, RunBody, RunWriter
from eais.transport.value_writing import joined
from eais.transport.wire_format import SMALL_BYTES, number, number_field

__all__ = [
    "AnswerWriter",
    "EncodedAnswer",
    "EncodedRun",
    "RunBody",
    "RunWriter",
    "only",
    "refusal",
    "to_client",
    "to_worker",
]


def to_worker(
    runs: Sequence[EncodedRun] = (),
    pieces: Sequence[PiecePart] = (),
    cancels: Sequence[int] = (),
    hold: Sequence[str] = (),
    release: Sequence[str] = (),
    hello: common_pb2.Hello | None = None,
    ring_wanted: bool = False,
    ring_begins: bool = False,
) -> list[Buffer]:
    """A message to a worker; [] if there is nothing in it."""
    if runs and not (pieces or cancels or hold or release or hello or ring_wanted or ring_begins):
        return only(runs)
    parts: list[Buffer] = []
    if hello is not None:
        parts += _field(b"\x0a", hello.SerializeToString())
    _add_encoded(parts, runs)
    for piece in pieces:
        parts += _piece(piece)
    for call_id in cancels:
        parts += _field(b"\x22", number_field(b"\x08", call_id))
    for session in hold:
        parts += _field(b"\x2a", session.encode())
    for session in release:
        parts += _field(b"\x32", session.encode())
    if ring_wanted:
        parts.append(b"\x38\x01")
    if ring_begins:
        parts.append(b"\x40\x01")
    return joined(parts)


def to_client(
    answers: Sequence[EncodedAnswer] = (),
    pieces: Sequence[PiecePart] = (),
    hello: common_pb2.HelloReply | None = None,
    draining: bool = False,
    ring_offer: worker_pb2.RingOffer | None = None,
    ring_begins: bool = False,
) -> list[Buffer]:
    """A message to a client; [] if there is nothing in it."""
    if answers and not (pieces or hello or draining or ring_offer or ring_begins):
        return only(answers)
    parts: list[Buffer] = []
    if hello is not None:
        parts += _field(b"\x0a", hello.SerializeToString())
    _add_encoded(parts, answers)
    for piece in pieces:
        parts += _piece(piece)
    if draining:
        parts.append(b"\x20\x01")
    if ring_offer is not None:
        parts += _field(b"\x2a", ring_offer.SerializeToString())
    if ring_begins:
        parts.append(b"\x30\x01")
    return joined(parts)


def only(encoded: Sequence[EncodedRun | EncodedAnswer]) -> list[Buffer]:
    """A message to a worker that is nothing but these runs, or to a client but these answers."""
    if len(encoded) == 1:
        one = encoded[0]
        if one.size <= SMALL_BYTES:
            return [b"\x12" + number(one.size) + b"".join(one.parts)]
    parts: list[Buffer] = []
    _add_encoded(parts, encoded)
    return joined(parts)


def _add_encoded(parts: list[Buffer], encoded: Iterable[EncodedRun | EncodedAnswer]) -> None:
    """Runs of a ToWorker and answers of a ToClient are both field 2."""
    for one in encoded:
        parts.append(b"\x12" + number(one.size))
        parts += one.parts


def _piece(piece: PiecePart) -> tuple[Buffer, Buffer]:
    call_id, tensor, offset, data = piece
    head = (
        number_field(b"\x08", call_id)
        + number_field(b"\x10", tensor)
        + number_field(b"\x18", offset)
    )
    size = len(data)
    if size:
        head += b"\x22" + number(size)
    return b"\x1a" + number(len(head) + size) + head, data


def _field(tag: bytes, data: bytes) -> tuple[bytes, bytes]:
    return tag + number(len(data)), data
