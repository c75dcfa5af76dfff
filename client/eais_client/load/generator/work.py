"""What the callers of a process share in one phase: what to call with, until when, and how."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eais.errors import EaisError
from eais_client.load.checking import Prepared, difference
from eais_client.load.generator.counts import Done, Failed, Notes
from eais_client.load.target import Caller, RequestFailed

Clock = Callable[[], float]
GRACE_S = 2.0
"""How long after a phase's end what is due but wasn't sent may still be."""
_TEXT_CHARS = 300


@dataclass(frozen=True, slots=True)
class Called:
    """A model that is open, and what it is called with."""

    caller: Caller
    prepared: Prepared


@dataclass(slots=True)
class Work:
    """One phase's.

    Attributes:
        models: each model, in the plan's order.
        models_of: the model of each request, by its number.
        due: when each request of an open loop is due, monotonic seconds; None in a closed loop.
        callers: of a closed loop; of an open one the most requests under way at once.
        begin, end: of the phase, its warm part included; monotonic seconds.
        live: whether the load may be planned anew while it is on.
        stopped: set by `stop`.
        now: the clock.
    """

    models: Sequence[Called]
    models_of: NDArray[np.int64]
    due: NDArray[np.float64] | None
    callers: int
    begin: float
    end: float
    timeout_s: float
    check_share: float
    seed: int
    live: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)
    now: Clock = time.monotonic
    _changed: threading.Event = field(default_factory=threading.Event)

    def model_of(self, number: int) -> int:
        """The model of a request."""
        return int(self.models_of[number % len(self.models_of)])

    def sleep_until(self, moment: float) -> None:
        """Until then, or until it is stopped."""
        while (left := moment - self.now()) > 0 and not self.stopped.wait(left):
            pass

    def wait_for(self, number: int) -> float | None:
        """Sleep until the open loop's request of this number is due; when that was, or is.

        None: there is no such request, or nothing is to be sent any more.
        """
        while not self.over():
            # Before the plan is looked at, so that no change of it is missed.
            changed, due = self._changed, self.due
            assert due is not None
            if number < len(due):
                moment = float(due[number])
                if (left := moment - self.now()) <= 0:
                    return moment
            elif not self.live or (left := self.end - self.now()) <= 0:
                return None
            changed.wait(left)
        return None

    def replan(self, begin: float, moments: NDArray[np.float64], end: float) -> None:
        """What was due from `begin` on isn't; these moments are, and the phase ends at `end`."""
        assert self.due is not None
        kept = self.due[: np.searchsorted(self.due, begin)]
        self.due, self.end = np.concatenate([kept, moments]), end
        self._wake()

    def stop(self) -> None:
        """End the phase before its time."""
        self.stopped.set()
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, threading.Event()
        changed.set()

    @property
    def last_sending(self) -> float:
        """After which nothing is sent any more."""
        return self.end + GRACE_S if self.due is not None else self.end

    def over(self) -> bool:
        """Whether nothing is to be sent any more."""
        return self.stopped.is_set() or self.now() >= self.last_sending


@dataclass(slots=True)
class Request:
    """A request that is made now."""

    work: Work
    notes: Notes
    number: int
    due: float
    free_at: float
    checks: bool
    model: int = 0
    sent: float = 0.0

    def make(self) -> None:
        """Call, wait, and note what became of it."""
        work = self.work
        called = work.models[self.model]
        feeds = called.prepared.feeds[self.number % len(called.prepared.feeds)]
        self.sent = work.now()
        try:
            answer = called.caller.call(feeds, work.timeout_s)
        except Exception as error:  # noqa: BLE001 - whatever a target raises is a failed request
            self.failed(error)
        else:
            self.answered(answer)

    async def make_async(self) -> None:
        """As `make`, in the running event loop."""
        work = self.work
        called = work.models[self.model]
        feeds = called.prepared.feeds[self.number % len(called.prepared.feeds)]
        self.sent = work.now()
        try:
            answer = await called.caller.call_async(feeds, work.timeout_s)
        except Exception as error:  # noqa: BLE001 - whatever a target raises is a failed request
            self.failed(error)
        else:
            self.answered(answer)

    def answered(self, answer: Sequence[object]) -> None:
        """Note an answer: when it came, where its time went, and whether it is right."""
        ended, notes, model = self.work.now(), self.notes, self.model
        if ended - self.sent > self.work.timeout_s:
            text = f"answered after {ended - self.sent:.3f} s, not within the time for it"
            self._note_failed(ended, "DEADLINE_EXCEEDED", text)
            return
        called = self.work.models[model]
        split = called.caller.last_split()
        if split is not None:
            notes.splits.append((model, self.due, split))
        right = called.prepared.answers
        if self.checks and right is not None:
            notes.checked.append((model, self.due))
            want = right[self.number % len(right)]
            if said := difference(answer, want, called.prepared.tolerance):
                self._note_failed(ended, "", said)
                return
        notes.done.append(Done(model, self.due, self.sent, ended, self.free_at))

    def failed(self, error: Exception) -> None:
        """Note a failure."""
        reason, text = reason_of(error)
        self._note_failed(self.work.now(), reason, text)

    def _note_failed(self, ended: float, reason: str, text: str) -> None:
        made = Failed(self.model, self.due, self.sent, ended, self.free_at, reason, text)
        self.notes.failed.append(made)


def reason_of(error: Exception) -> tuple[str, str]:
    """What a failure is counted under, and what it said."""
    if isinstance(error, EaisError):
        return error.reason, error.message[:_TEXT_CHARS]
    if isinstance(error, RequestFailed):
        return error.reason, str(error)[:_TEXT_CHARS]
    if isinstance(error, TimeoutError | asyncio.TimeoutError | FutureTimeoutError):
        return "DEADLINE_EXCEEDED", str(error)[:_TEXT_CHARS] or "no answer in time"
    return type(error).__name__, str(error)[:_TEXT_CHARS]
