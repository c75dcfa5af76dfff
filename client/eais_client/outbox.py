"""What waits to be sent on a data stream, fused into as few messages as it fits.

A message takes everything small that waits, or one piece of one large tensor, by turns; the large
calls take turns, too, so that none of them stands in the way of the others.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from collections.abc import Iterator

from eais.channel import PIECE_BYTES
from eais.rpc.hello import hello
from eais.transport.parts import Buffer, PiecePart
from eais.transport.writing import EncodedRun, only, to_worker
from eais.value import Deferred

# Of small calls in one message, well below MAX_MESSAGE_BYTES; one that is larger goes by itself.
FUSED_BYTES = 4 << 20

Pieces = Iterator[tuple[int, int, memoryview]]


class Outbox:
    """A queue that whoever has to send asks for messages, and any thread puts something in.

    `waiting`: whether there is a message to be sent. `piece_bytes`: the most of a piece; whoever
    sends may change it.
    """

    def __init__(self, software: str) -> None:
        self._hello = hello(software)
        self._lock = allocate_lock()
        self._closed = False
        self.waiting = False
        self.piece_bytes = PIECE_BYTES
        # Sessions of which the worker is to be told whether they are in use: what was said last.
        # A message holds before it releases, so none may say both of one.
        self._uses: dict[str, bool] = {}
        self._cancels: list[int] = []
        self._runs: deque[EncodedRun] = deque()
        self._tensors: dict[int, Deferred] = {}
        self._pieces: deque[tuple[int, Pieces]] = deque()
        self._piece_next = False

    def put(self, run: EncodedRun, deferred: Deferred) -> None:
        """Queue a call and the bytes that follow it."""
        with self._lock:
            if self._closed:
                return
            if deferred.buffers:
                self._tensors[run.call_id] = deferred
            self._runs.append(run)
            self.waiting = True

    def cancel(self, call: int) -> None:
        """Queue a cancel; what is left to send of the call isn't sent."""
        with self._lock:
            kept = deque(run for run in self._runs if run.call_id != call)
            unsent, self._runs = len(kept) < len(self._runs), kept
            self._tensors.pop(call, None)
            self._pieces = deque(item for item in self._pieces if item[0] != call)
            if not unsent:
                self._cancels.append(call)
            self.waiting = self._has_some()

    def hold(self, session: str) -> None:
        """Queue the start of a session's use."""
        with self._lock:
            self._uses[session] = True
            self.waiting = True

    def release(self, session: str) -> None:
        """Queue the end of a session's use."""
        with self._lock:
            self._uses[session] = False
            self.waiting = True

    def close(self) -> None:
        """There are no more messages; what waits is dropped."""
        with self._lock:
            self._closed = True
            self._runs.clear()
            self._tensors.clear()
            self._pieces.clear()
            self._uses, self._cancels = {}, []
            self.waiting = False

    def _has_some(self) -> bool:
        return bool(self._runs or self._pieces or self._cancels or self._uses)

    def first_message(self) -> list[Buffer]:
        """What a stream begins with, and before which nothing may be sent."""
        return to_worker(hello=self._hello)

    def next_message(self) -> list[Buffer] | None:
        """All that waits, as far as it fits one message; None if nothing does."""
        with self._lock:
            if not self.waiting:
                return None
            if self._pieces and (piece := self._piece_in_turn()) is not None:
                return piece
            # Most often one small call waits, and nothing else.
            runs = self._fitting_runs()
            if self._pieces or self._uses or self._cancels:
                return self._fused(runs)
            self.waiting = bool(self._runs)
            return only(runs) if runs else None

    def _piece_in_turn(self) -> list[Buffer] | None:
        """The next piece, unless it is the turn of what is small, and there is some."""
        if not self._piece_next and (self._runs or self._uses or self._cancels):
            self._piece_next = True
            return None
        self._piece_next = False
        piece = self._next_piece()
        self.waiting = self._has_some()
        return None if piece is None else to_worker(pieces=(piece,))

    def _fused(self, runs: list[EncodedRun]) -> list[Buffer] | None:
        uses, cancels = self._uses, self._cancels
        self._uses, self._cancels = {}, []
        holds = [session for session, used in uses.items() if used]
        releases = [session for session, used in uses.items() if not used]
        self.waiting = self._has_some()
        if not (runs or cancels or holds or releases):
            return None
        return to_worker(runs, (), cancels, holds, releases)

    def _fitting_runs(self) -> list[EncodedRun]:
        runs: list[EncodedRun] = []
        size, waiting = 0, self._runs
        while waiting and (not size or size + waiting[0].size <= FUSED_BYTES):
            run = waiting.popleft()
            size += run.size
            runs.append(run)
            if self._tensors and run.call_id in self._tensors:
                pieces = self._tensors.pop(run.call_id).pieces(self.piece_bytes)
                self._pieces.append((run.call_id, pieces))
        return runs

    def _next_piece(self) -> PiecePart | None:
        while self._pieces:
            call, pieces = self._pieces.popleft()
            piece = next(pieces, None)
            if piece is None:
                continue
            tensor, offset, data = piece
            if len(data) >= PIECE_BYTES or self._pieces:
                self._pieces.append((call, pieces))
            else:
                self._pieces.appendleft((call, pieces))
            return PiecePart(call, tensor, offset, data)
        return None
