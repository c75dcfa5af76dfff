"""What waits to be sent on one stream: small answers fused, large ones in pieces. (Brain)

A message carries all small answers that wait, or one piece of the oldest large one, by turns: so
nobody waits behind a large answer, and whoever carries a piece sees that it is nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from eais.channel import PIECE_BYTES
from eais.rpc.v1 import common_pb2
from eais.transport.parts import Buffer, PiecePart
from eais.transport.wire_format import SMALL_BYTES
from eais.transport.writing import EncodedAnswer, only, to_client

FUSED_BYTES: Final = 1 << 20
"""Answers are fused into one message up to about so many bytes."""
MAX_UNREAD_BYTES: Final = 32 << 20
"""Of answers without their pieces, that wait for the client of one stream."""
MAX_UNREAD: Final = 8192
"""Such answers: a cancel looks through them."""


@dataclass(eq=False, slots=True)
class Backlog:
    """Bytes that wait in the outboxes of all streams."""

    limit: int
    held: int = 0

    @property
    def free(self) -> int:
        """What is left of the limit."""
        return max(0, self.limit - self.held)


class Outbox:
    """Answers in the order in which they came to be.

    Args:
        limit: bytes above which `has_room` says no.
        backlog: of all streams together: one that holds something already gets no more than
            is left free.

    Attributes:
        taken: messages that were given to be sent.
        piece_bytes: the most of a piece; whoever sends may change it.
    """

    def __init__(self, limit: int, backlog: Backlog | None = None) -> None:
        self._limit = limit
        self._backlog = backlog or Backlog(limit)
        self._hello: common_pb2.HelloReply | None = None
        self._draining = False
        self._answers: deque[EncodedAnswer] = deque()
        self._pieces: deque[PiecePart] = deque()
        self._piece_next = False
        self._bytes = 0
        self._answer_bytes = 0
        # Answers of which pieces wait.
        self._large = 0
        self.taken = 0
        self.piece_bytes = PIECE_BYTES

    @property
    def has_room(self) -> bool:
        """Whether more calls should be run for this stream, whatever they answer."""
        return not self._bytes or self._bytes < min(self._limit, self._backlog.free)

    @property
    def has_room_for_small(self) -> bool:
        """Whether calls should be whose answers don't come in pieces: they pass one that does."""
        if not self._bytes:
            return True
        return self.has_room or (self._large < 2 and self._answer_bytes < self._limit)

    @property
    def may_read(self) -> bool:
        """Whether more messages should be taken: each call that is refused is an answer, too.

        What waits in pieces is no reason to stop, since a cancel may be what comes next.
        """
        return self._answer_bytes < MAX_UNREAD_BYTES and len(self._answers) < MAX_UNREAD

    @property
    def waiting(self) -> bool:
        """Whether there is something to send."""
        return bool(self._answers or self._pieces or self._hello or self._draining)

    def hello(self, reply: common_pb2.HelloReply) -> None:
        """Send this first."""
        self._hello = reply

    def drain(self) -> None:
        """Tell the client that no new calls are taken."""
        self._draining = True

    def add(self, answer: EncodedAnswer) -> int:
        """Queue an answer and the tensors that follow it; how many bytes that are."""
        total = answer.size
        if answer.deferred.buffers:
            total += _deferred_bytes(answer)
        if total > SMALL_BYTES and (self._answers or self._pieces):
            answer = self._apart(answer)
        self._answers.append(answer)
        self._answer_bytes += answer.size
        self._large += total > answer.size
        self._hold(total)
        return total

    def _apart(self, answer: EncodedAnswer) -> EncodedAnswer:
        """The answer, with copies of what would keep more than is counted: a whole batch's outputs.

        What the answer before it keeps anyway is left as it is: they are of one batch.
        """
        kept = _wholes(self._answers[-1]) if self._answers else []
        deferred = answer.deferred
        deferred.buffers = [memoryview(_own(buffer, kept)) for buffer in deferred.buffers]
        return answer._replace(parts=[_own(part, kept) for part in answer.parts])

    def cancel(self, call_id: int, cancelled: EncodedAnswer) -> None:
        """Send no more of the call's answer: `cancelled` in its place, if nothing of it is sent."""
        for index, answer in enumerate(self._answers):
            if answer.call_id == call_id:
                follows = _deferred_bytes(answer)
                self._hold(-answer.size - follows)
                self._large -= follows > 0
                self._answer_bytes -= answer.size
                del self._answers[index]
                self.add(cancelled)
                return
        dropped = [piece for piece in self._pieces if piece.call_id == call_id]
        if dropped:
            self._large -= 1
            self._hold(-sum(len(piece.data) for piece in dropped))
            self._pieces = deque(piece for piece in self._pieces if piece.call_id != call_id)

    def close(self) -> None:
        """The stream is gone: nothing waits any more."""
        self._answers.clear()
        self._pieces.clear()
        self._hold(-self._bytes)
        self._answer_bytes = self._large = 0

    def _hold(self, size: int) -> None:
        self._bytes += size
        self._backlog.held += size

    def next(self) -> list[Buffer] | None:
        """The next message, in parts; None when nothing waits."""
        if not self.waiting:
            return None
        self.taken += 1
        if not (self._pieces or self._draining or self._hello is not None):
            self._piece_next = True
            return only(self._next_answers())
        if self._hello is not None:
            # Nothing is sent before it, nor with it.
            hello, self._hello = self._hello, None
            return to_client(hello=hello)
        if self._pieces and (self._piece_next or not (self._answers or self._draining)):
            self._piece_next = False
            return to_client(pieces=self._next_piece())
        self._piece_next = True
        draining, self._draining = self._draining, False
        return to_client(self._next_answers(), draining=draining)

    def _next_answers(self) -> Sequence[EncodedAnswer]:
        waiting = self._answers
        found: list[EncodedAnswer] = []
        size = 0
        while waiting and (not size or size + waiting[0].size <= FUSED_BYTES):
            answer = waiting.popleft()
            found.append(answer)
            size += answer.size
            if answer.deferred.buffers:
                pieces = answer.deferred.pieces(self.piece_bytes)
                self._pieces.extend(PiecePart(answer.call_id, *piece) for piece in pieces)
        self._answer_bytes -= size
        self._hold(-size)
        return found

    def _next_piece(self) -> Sequence[PiecePart]:
        if not self._pieces:
            return ()
        piece = self._pieces.popleft()
        self._hold(-len(piece.data))
        # Those of an answer follow each other.
        if not self._pieces or self._pieces[0].call_id != piece.call_id:
            self._large -= 1
        return (piece,)


@dataclass(frozen=True, eq=False, slots=True)
class Lane:
    """Calls of a stream that wait for the same room: those with small answers, or with large ones.

    So who is sent a large answer needn't wait for its end to have a small call run.
    """

    outbox: Outbox
    large: bool

    @property
    def has_room(self) -> bool:
        """Whether one of them may run."""
        return self.outbox.has_room if self.large else self.outbox.has_room_for_small


def _deferred_bytes(answer: EncodedAnswer) -> int:
    return sum(map(len, answer.deferred.buffers))


def _wholes(answer: EncodedAnswer) -> list[Any]:
    """What the answer's large tensors are views of."""
    return [_whole(buffer) for buffer in (*answer.parts, *answer.deferred.buffers)]


def _own(buffer: Buffer, kept: Sequence[Any]) -> Buffer:
    """The same bytes, that keep nothing else but what is kept."""
    whole = _whole(buffer)
    if getattr(whole, "nbytes", 0) <= len(buffer) or any(whole is other for other in kept):
        return buffer
    return bytes(buffer)


def _whole(buffer: Buffer) -> Any:
    """The array that `buffer` is a part of, if it is one's."""
    return getattr(buffer.obj, "base", None) if isinstance(buffer, memoryview) else None
