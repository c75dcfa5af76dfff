"""What waits to be sent on one stream: small answers fused, large ones in pieces. (Brain)

Each message carries all small answers that wait and one piece of the oldest
large one, so that nobody waits behind a large answer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from eais.rpc.v1 import common_pb2, worker_pb2
from eais.value import Deferred

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
    """

    def __init__(self, limit: int, backlog: Backlog | None = None) -> None:
        self._limit = limit
        self._backlog = backlog or Backlog(limit)
        self._hello: common_pb2.HelloReply | None = None
        self._draining = False
        self._answers: deque[tuple[worker_pb2.Answer, int, Deferred]] = deque()
        self._pieces: deque[tuple[int, int, int, memoryview]] = deque()
        self._bytes = 0
        self._answer_bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether more calls should be run for this stream."""
        return not self._bytes or self._bytes < min(self._limit, self._backlog.free)

    @property
    def may_read(self) -> bool:
        """Whether more messages should be taken: each call that is refused is an answer, too.

        What waits in pieces is no reason to stop, since a cancel may be what comes next.
        """
        return self._answer_bytes < MAX_UNREAD_BYTES and len(self._answers) < MAX_UNREAD

    @property
    def waiting(self) -> bool:
        """Whether there is something to send."""
        return bool(self._hello or self._draining or self._answers or self._pieces)

    def hello(self, reply: common_pb2.HelloReply) -> None:
        """Send this first."""
        self._hello = reply

    def drain(self) -> None:
        """Tell the client that no new calls are taken."""
        self._draining = True

    def add(self, answer: worker_pb2.Answer, deferred: Deferred) -> int:
        """Queue an answer and the tensors that follow it; how many bytes that are."""
        size = answer.ByteSize()
        self._answers.append((answer, size, deferred))
        total = size + sum(len(buffer) for buffer in deferred.buffers)
        self._answer_bytes += size
        self._hold(total)
        return total

    def cancel(self, call_id: int, cancelled: worker_pb2.Answer) -> None:
        """Send no more of the call's answer: `cancelled` in its place, if nothing of it is sent."""
        for index, (answer, size, deferred) in enumerate(self._answers):
            if answer.call_id == call_id:
                self._hold(-size - sum(len(buffer) for buffer in deferred.buffers))
                self._answer_bytes -= size
                del self._answers[index]
                self.add(cancelled, Deferred())
                return
        dropped = [piece for piece in self._pieces if piece[0] == call_id]
        if dropped:
            self._hold(-sum(len(data) for *_, data in dropped))
            self._pieces = deque(piece for piece in self._pieces if piece[0] != call_id)

    def close(self) -> None:
        """The stream is gone: nothing waits any more."""
        self._answers.clear()
        self._pieces.clear()
        self._hold(-self._bytes)
        self._answer_bytes = 0

    def _hold(self, size: int) -> None:
        self._bytes += size
        self._backlog.held += size

    def next(self) -> worker_pb2.ToClient | None:
        """The next message; None when nothing waits."""
        if not self.waiting:
            return None
        if self._hello is not None:
            # Nothing is sent before it, nor with it.
            hello, self._hello = self._hello, None
            return worker_pb2.ToClient(hello=hello)
        message = worker_pb2.ToClient(draining=self._draining)
        self._draining = False
        self._add_answers(message)
        self._add_piece(message)
        return message

    def _add_answers(self, message: worker_pb2.ToClient) -> None:
        size = 0
        while self._answers and (size == 0 or size + self._answers[0][1] <= FUSED_BYTES):
            answer, own, deferred = self._answers.popleft()
            message.answers.append(answer)
            size += own
            self._answer_bytes -= own
            self._hold(-own)
            self._pieces.extend((answer.call_id, *piece) for piece in deferred.pieces())

    def _add_piece(self, message: worker_pb2.ToClient) -> None:
        if self._pieces:
            call_id, tensor, offset, data = self._pieces.popleft()
            self._hold(-len(data))
            message.pieces.add(call_id=call_id, tensor=tensor, offset=offset, data=bytes(data))
