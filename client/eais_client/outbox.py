"""What waits to be sent on a data stream, fused into as few messages as it fits.

One message takes everything small that waits, and one piece of one large tensor; the
large calls take turns, so that none of them stands in the way of the others.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from eais.channel import PIECE_BYTES
from eais.rpc.hello import hello
from eais.rpc.v1 import worker_pb2
from eais.value import Deferred

# Well below MAX_MESSAGE_BYTES, so that a piece and a run above it still fit.
FUSED_BYTES = 4 << 20

Pieces = Iterator[tuple[int, int, memoryview]]


class Outbox:
    """A queue with one reader (the stream) and any number of writers."""

    def __init__(self, software: str) -> None:
        self._hello = hello(software)
        self._more = threading.Condition()
        self._closed = False
        self._holds: list[str] = []
        self._releases: list[str] = []
        self._cancels: list[int] = []
        self._runs: deque[worker_pb2.Run] = deque()
        self._tensors: dict[int, Deferred] = {}
        self._pieces: deque[tuple[int, Pieces]] = deque()

    def put(self, run: worker_pb2.Run, deferred: Deferred) -> None:
        """Queue a call and the bytes that follow it."""
        with self._more:
            if self._closed:
                return
            self._runs.append(run)
            if deferred.buffers:
                self._tensors[run.call_id] = deferred
            self._more.notify()

    def cancel(self, call: int) -> None:
        """Queue a cancel; what is left to send of the call isn't sent."""
        with self._more:
            kept = deque(run for run in self._runs if run.call_id != call)
            unsent, self._runs = len(kept) < len(self._runs), kept
            self._tensors.pop(call, None)
            self._pieces = deque(item for item in self._pieces if item[0] != call)
            if not unsent:
                self._cancels.append(call)
                self._more.notify()

    def hold(self, session: str) -> None:
        """Queue the start of a session's use."""
        with self._more:
            self._holds.append(session)
            self._more.notify()

    def release(self, session: str) -> None:
        """Queue the end of a session's use."""
        with self._more:
            self._releases.append(session)
            self._more.notify()

    def close(self) -> None:
        """End `messages`; what waits is dropped."""
        with self._more:
            self._closed = True
            self._runs.clear()
            self._tensors.clear()
            self._pieces.clear()
            self._more.notify()

    def messages(self) -> Iterator[worker_pb2.ToWorker]:
        """Hello, then what waits, until `close`; blocks while nothing waits."""
        yield worker_pb2.ToWorker(hello=self._hello)
        while True:
            message = self._next()
            if message is None:
                return
            yield message

    def _next(self) -> worker_pb2.ToWorker | None:
        with self._more:
            while not self._closed and not self._waiting():
                self._more.wait()
            return None if self._closed else self._fused()

    def _waiting(self) -> bool:
        return bool(self._runs or self._pieces or self._cancels or self._holds or self._releases)

    def _fused(self) -> worker_pb2.ToWorker:
        message = worker_pb2.ToWorker(
            hold=self._holds, release=self._releases, cancels=map(_cancel, self._cancels)
        )
        self._holds, self._releases, self._cancels = [], [], []
        size = 0
        while self._runs and (not size or size + self._runs[0].ByteSize() <= FUSED_BYTES):
            run = self._runs.popleft()
            size += run.ByteSize()
            message.runs.append(run)
            if run.call_id in self._tensors:
                pieces = self._tensors.pop(run.call_id).pieces()
                self._pieces.append((run.call_id, pieces))
        if size <= FUSED_BYTES:
            self._add_piece(message)
        return message

    def _add_piece(self, message: worker_pb2.ToWorker) -> None:
        while self._pieces:
            call, pieces = self._pieces.popleft()
            piece = next(pieces, None)
            if piece is None:
                continue
            tensor, offset, data = piece
            message.pieces.add(call_id=call, tensor=tensor, offset=offset, data=bytes(data))
            if len(data) == PIECE_BYTES or self._pieces:
                self._pieces.append((call, pieces))
            else:
                self._pieces.appendleft((call, pieces))
            return


def _cancel(call: int) -> worker_pb2.Cancel:
    return worker_pb2.Cancel(call_id=call)
