"""What a worker used of a device, by a clock that isn't its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

Meter = Callable[[], int | None]
"""Device time since some fixed moment, ns; None: nothing sees it."""

# Linux's clock of all threads of a process (clock_getcpuclockid): its id, upside down, and that
# it is the scheduler's, which counts a thread that runs just now, too. /proc says no more than
# what was counted at the last tick.
_SCHEDULED: Final = 2


def process_clock(pid: int) -> int:
    """The clock that counts the CPU time of process `pid`."""
    return (~pid << 3) | _SCHEDULED


def unseen() -> int | None:
    """Of a device that doesn't tell who uses it."""
    return None


class CpuMeter:
    """CPU time of all threads of a process, as time of the cores that it shares.

    Args:
        cores: that are one shared device.
        read: a clock by its number, ns.
    """

    def __init__(
        self, pid: int, cores: int = 1, read: Callable[[int], int] = time.clock_gettime_ns
    ) -> None:
        self._clock = process_clock(pid)
        self._cores = cores
        self._read = read
        self._last_ns = 0

    def __call__(self) -> int:
        """What it used; once it has exited, what that was when it was last looked."""
        with suppress(OSError):
            self._last_ns = self._read(self._clock) // self._cores
        return self._last_ns
