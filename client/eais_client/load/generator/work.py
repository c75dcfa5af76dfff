"""What the callers of a process share in one phase: what to call with, until when, and how."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from eais_client.load.checking import Prepared
from eais_client.load.target import Caller

if TYPE_CHECKING:
    from eais_client.load.generator.request import Request

Clock = Callable[[], float]
GRACE_S: Final = 2.0
"""How long after a phase's end what is due but wasn't sent may still be."""
OVERDUE_S: Final = 0.25
"""How long after its time a request is given up: a target that keeps the time says so before."""

CHECKED_FIRST: Final = 16
"""Answers of a phase that are compared in any case: a share of few requests would be none."""


def nothing() -> None:
    """Nobody need know."""


def _shut() -> threading.Lock:
    """A lock that is held: whoever tries it sleeps, until its time is up or it is let go.

    What an event does with a condition and a list of those who wait, which costs more than many
    requests do, tens of thousands of times a second.
    """
    lock = threading.Lock()
    lock.acquire()
    return lock


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
        measured_from: when its warm part is over.
        live: whether the load may be planned anew while it is on.
        stopped: set by `stop`.
        under_way: requests that were sent, by number, and nothing was heard of yet.
        hung: numbers of those that were given up, though their call hasn't returned.
        now: the clock.
        on_change: called, from any thread, when it is planned anew or stopped.
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
    measured_from: float = -math.inf
    live: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)
    under_way: dict[int, Request] = field(default_factory=dict)
    hung: set[int] = field(default_factory=set)
    now: Clock = time.monotonic
    on_change: Callable[[], None] = nothing
    _stopped_at: float = math.inf
    _checked_first: int = 0
    _changed: threading.Lock = field(default_factory=lambda: _shut())

    def model_of(self, number: int) -> int:
        """The model of a request."""
        return int(self.models_of[number % len(self.models_of)])

    def checks(self, due: float, chance: random.Random) -> bool:
        """Whether the answer to a request is compared: a share are, and the first in any case."""
        if not self.check_share:
            return False
        if self._checked_first < CHECKED_FIRST and due >= self.measured_from:
            self._checked_first += 1
            return True
        return chance.random() < self.check_share

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
            if changed.acquire(timeout=left):
                changed.release()  # to the next of those who sleep there
        return None

    def replan(self, begin: float, moments: NDArray[np.float64], end: float) -> None:
        """What was due from `begin` on isn't; these moments are, and the phase ends at `end`."""
        assert self.due is not None
        kept = self.due[: np.searchsorted(self.due, begin)]
        self.due, self.end = np.concatenate([kept, moments]), end
        self._wake()

    def stop(self) -> None:
        """End the phase before its time."""
        self._stopped_at = min(self._stopped_at, self.now())
        self.stopped.set()
        self._wake()

    def given_up(self) -> list[Request]:
        """Requests whose time is over, which are then under way no more."""
        late = self.now() - self.timeout_s - OVERDUE_S
        overdue = [each for each in list(self.under_way.values()) if 0 < each.sent < late]
        found: list[Request] = []
        for each in overdue:
            self.hung.add(each.number)
            # Whoever takes it out of there is the one who says what became of it.
            if self.under_way.pop(each.number, None) is None:
                self.hung.discard(each.number)
            else:
                found.append(each)
        return found

    def _wake(self) -> None:
        changed, self._changed = self._changed, _shut()
        changed.release()
        self.on_change()

    @property
    def ended(self) -> float:
        """Until when requests are due: the end, or when it was stopped."""
        return min(self.end, self._stopped_at)

    @property
    def last_sending(self) -> float:
        """After which nothing is sent any more."""
        return self.end + GRACE_S if self.due is not None else self.end

    def over(self) -> bool:
        """Whether nothing is to be sent any more."""
        return self.stopped.is_set() or self.now() >= self.last_sending
