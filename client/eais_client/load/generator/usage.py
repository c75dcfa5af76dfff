"""What processes of this machine use: CPU time and memory, from /proc (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds since a process began, and resident bytes now."""

    cpu_s: float
    rss: int


def used(pid: int, proc: Path = PROC) -> Used | None:
    """Of one process; None if there is none."""
    try:
        text = (proc / str(pid) / "stat").read_text()
    except OSError:
        return None
    # After the name, which may hold anything: utime and stime are fields 14 and 15, rss is 24.
    fields = text.rpartition(")")[2].split()
    return Used((int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE)


def with_children(pids: Iterable[int], proc: Path = PROC) -> set[int]:
    """These processes, and all that they started."""
    found, ahead = set[int](), list(pids)
    while ahead:
        pid = ahead.pop()
        if pid in found:
            continue
        found.add(pid)
        ahead += _children(pid, proc)
    return found


def _children(pid: int, proc: Path) -> list[int]:
    made = list[int]()
    try:
        for task in (proc / str(pid) / "task").iterdir():
            made += map(int, (task / "children").read_text().split())
    except OSError:  # it has ended
        return made
    return made


class Meter:
    """How much CPU some processes used between two looks; those that come or go, too."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._before: dict[int, float] | None = None

    def cpu_and_memory(self, pids: Iterable[int]) -> tuple[float, int]:
        """CPU seconds since the last look, 0 of the first; and resident bytes now."""
        found = {pid: used(pid, self._proc) for pid in with_children(pids, self._proc)}
        now = {pid: one for pid, one in found.items() if one is not None}
        before, self._before = self._before, {pid: one.cpu_s for pid, one in now.items()}
        # One that came since the last look began at nothing; one that went took with it what
        # it used since.
        spent = (
            0.0
            if before is None
            else sum(one.cpu_s - before.get(pid, 0.0) for pid, one in now.items())
        )
        return spent, sum(one.rss for one in now.values())
