"""A request: it is made, and what became of it is noted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Final

from eais.errors import EaisError
from eais_client.load.checking import difference
from eais_client.load.generator.counts import Failed, Notes
from eais_client.load.generator.work import Called, Work
from eais_client.load.target import RequestFailed

LATE: Final = "DEADLINE_EXCEEDED"
_TEXT_CHARS: Final = 300


@dataclass(slots=True)
class Request:
    """One request.

    Attributes:
        number: its place among all of this process; unique.
        due: when it is to be sent.
        free_at: when whoever sends it was free to.
        checks: whether its answer is compared.
        model: its place in the plan.
        sent: when it was sent; 0 before.
        ended: when its call returned; 0 before.
        task: that waits for it, in an event loop.
    """

    work: Work
    notes: Notes
    number: int
    due: float
    free_at: float
    checks: bool
    model: int
    sent: float = 0.0
    ended: float = 0.0
    task: asyncio.Task[None] | None = None

    def make(self) -> None:
        """Call, wait, and note what became of it."""
        work, called, feeds = self._begin()
        self.sent = work.now()
        try:
            answer = called.caller.call(feeds, work.timeout_s)
        except Exception as error:  # noqa: BLE001 - whatever a target raises is a failed request
            self.ended = work.now()
            self._failed(error)
        else:
            self.ended = work.now()
            self._answered(called, answer)

    async def make_async(self) -> None:
        """As `make`, in the running event loop."""
        work, called, feeds = self._begin()
        self.task = asyncio.current_task()
        self.sent = work.now()
        try:
            answer = await called.caller.call_async(feeds, work.timeout_s)
        except asyncio.CancelledError:
            self.task = None
            if self.number in work.under_way:  # the phase is over; else it was given up
                raise
            work.hung.discard(self.number)
        except Exception as error:  # noqa: BLE001 - whatever a target raises is a failed request
            self.task, self.ended = None, work.now()
            self._failed(error)
        else:
            self.task, self.ended = None, work.now()
            self._answered(called, answer)

    def give_up(self, notes: Notes) -> None:
        """Its time is over, and it isn't under way any more: note that in `notes`."""
        text = f"no answer within {self.work.timeout_s:g} s"
        notes.failed.append(self._as_failed(self.work.now(), LATE, text))

    def cancel(self) -> None:
        """Let its task go on without it, if it still waits; in the event loop's thread."""
        if self.task is not None:
            self.task.cancel()

    def _begin(self) -> tuple[Work, Called, dict[str, object]]:
        work = self.work
        work.under_way[self.number] = self
        called = work.models[self.model]
        variants = called.prepared.feeds
        return work, called, variants[self.number % len(variants)]  # type: ignore[return-value]

    def _is_heard_of(self) -> bool:
        """Whether what becomes of it counts: it wasn't given up before."""
        work = self.work
        if work.under_way.pop(self.number, None) is None:
            work.hung.discard(self.number)
            return False
        return True

    def _answered(self, called: Called, answer: Sequence[object]) -> None:
        """Note when it came, where its time went, and whether it is right."""
        if not self._is_heard_of():
            return
        notes, took = self.notes, self.ended - self.sent
        if took > self.work.timeout_s:
            self._note_failed(LATE, f"answered after {took:.3f} s, not within the time for it")
            return
        try:
            split = called.caller.last_split()
            said = self._compared(called, answer) if self.checks else ""
        except Exception as error:  # noqa: BLE001 - an answer that nobody can read is a wrong one
            said = f"can't be read: {type(error).__name__}: {error}"[:_TEXT_CHARS]
            split = None
        if said:
            self._note_failed("", said)
            return
        if split is not None:
            notes.splits.extend((self.model, self.due, *split))
        notes.done.extend((self.model, self.due, self.sent, self.ended, self.free_at))

    def _compared(self, called: Called, answer: Sequence[object]) -> str:
        right = called.prepared.answers
        if right is None:
            return ""
        self.notes.checked.append((self.model, self.due))
        return difference(answer, right[self.number % len(right)], called.prepared.tolerance)

    def _failed(self, error: Exception) -> None:
        if self._is_heard_of():
            self._note_failed(*reason_of(error))

    def _note_failed(self, reason: str, text: str) -> None:
        self.notes.failed.append(self._as_failed(self.ended, reason, text))

    def _as_failed(self, ended: float, reason: str, text: str) -> Failed:
        return Failed(self.model, self.due, self.sent, ended, self.free_at, reason, text)


def reason_of(error: Exception) -> tuple[str, str]:
    """What a failure is counted under, and what it said."""
    if isinstance(error, EaisError):
        return error.reason, error.message[:_TEXT_CHARS]
    if isinstance(error, RequestFailed):
        return error.reason, str(error)[:_TEXT_CHARS]
    if isinstance(error, TimeoutError | asyncio.TimeoutError | FutureTimeoutError):
        return LATE, str(error)[:_TEXT_CHARS] or "no answer in time"
    return type(error).__name__, str(error)[:_TEXT_CHARS]
