"""Tells when something is late: one timer of the event loop over any number of deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from eais_server.worker.deadlines import Deadline, Deadlines

T = TypeVar("T")


class Alarm(Generic[T]):
    """Deadlines on the event loop's clock; all on the event loop.

    Args:
        late: told each item whose deadline came.
    """

    def __init__(self, late: Callable[[T], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._late = late
        self._deadlines: Deadlines[T] = Deadlines()
        self._timer: asyncio.Handle | None = None
        # Not all loops' timers tell it themselves: uvloop's don't for what is due already.
        self._timer_s = 0.0

    def set(self, after_s: float, item: T) -> Deadline[T]:
        """Tell of `item` after so many seconds, unless it is given up before."""
        made = self._deadlines.add(self._loop.time() + after_s, item)
        self._arm(made.at_s)
        return made

    def give_up(self, deadline: Deadline[T]) -> None:
        """Tell nothing of it."""
        self._deadlines.give_up(deadline)

    def _arm(self, at_s: float) -> None:
        """Have the timer come at `at_s`, unless it comes before."""
        if self._timer is not None:
            if self._timer_s <= at_s:
                return
            self._timer.cancel()
        self._timer_s = at_s
        self._timer = self._loop.call_at(at_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        for item in self._deadlines.due(self._loop.time()):
            self._late(item)
        if self._deadlines.next_s is not None:
            self._arm(self._deadlines.next_s)
