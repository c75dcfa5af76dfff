"""Keeps an event loop from going to sleep for the moment in which the next message is due.

A loop that has slept is woken by another processor, and goes on with cold caches: that takes longer
than a small call does. Loops look for what is readable in each of their turns, so one that has
something to do in its next turn doesn't sleep.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

from eais.transport.spin import Spin


def thread_spin(*, allowed: bool | None = None) -> Spin:
    """A `Spin` of the thread that asks it, by the system's clocks.

    Args:
        allowed: as `Spin` has it; None: if this machine has processors for both ends.
    """
    if allowed is None:
        allowed = (os.cpu_count() or 1) > 1
    return Spin(allowed, time.monotonic_ns, time.thread_time_ns)


class Lookout:
    """Of one event loop, for all connections that are served on it.

    Args:
        quiet: whether nothing runs in this process that needs the processor meanwhile.
        spin: for how long it is worth while.

    Attributes:
        looking: whether the loop is kept awake now.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        quiet: Callable[[], bool],
        spin: Spin | None = None,
    ) -> None:
        self._loop = loop
        self._quiet = quiet
        self._spin = spin or thread_spin()
        self._until_ns = 0
        self.looking = False

    def said(self) -> None:
        """Something was answered: what comes next may come soon."""
        self._spin.forget()
        if not self._quiet():
            self._until_ns = 0
            return
        self._until_ns = self._spin.look_until()
        if not self.looking:
            self._look()

    def heard(self) -> None:
        """Something came."""
        self._spin.came()
        self._until_ns = 0

    def _look(self) -> None:
        self.looking = time.monotonic_ns() < self._until_ns
        if self.looking:
            self._loop.call_soon(self._look)
        else:
            self._spin.gave_up()
