"""How busy this machine's CPU cores are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

_STAT: Final = Path("/proc/stat")
# Of the line "cpu": user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
_FIELDS: Final = 8
_RESTING: Final = slice(3, 5)


def read_stat() -> str:
    """What the kernel counts; "" where that can't be read."""
    try:
        return _STAT.read_text()
    except OSError:
        return ""


def loadavg() -> float:
    """Load over the last minute, by core; 0 where that isn't known."""
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except OSError:
        return 0.0


class CpuLoad:
    """Load since the look before, 0 to 1; of the last minute where the kernel counts no time.

    Args:
        stat: reads /proc/stat.
        minute: load over the last minute.
    """

    def __init__(
        self, stat: Callable[[], str] = read_stat, minute: Callable[[], float] = loadavg
    ) -> None:
        self._stat = stat
        self._minute = minute
        self._last = _counted(stat())

    def look(self) -> float:
        """The load between the last look and this."""
        (busy, total), (was_busy, was_total) = _counted(self._stat()), self._last
        if total <= was_total:
            return min(1.0, self._minute())
        self._last = busy, total
        return min(1.0, max(0.0, (busy - was_busy) / (total - was_total)))


def _counted(text: str) -> tuple[int, int]:
    """Ticks of all cores together: at work, and all."""
    name, *ticks = (text.splitlines() or ["cpu"])[0].split()
    if name != "cpu" or not all(tick.isdecimal() for tick in ticks):
        return 0, 0
    counted = [int(tick) for tick in ticks[:_FIELDS]]
    return sum(counted) - sum(counted[_RESTING]), sum(counted)
