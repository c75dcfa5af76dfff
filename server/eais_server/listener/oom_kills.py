"""Whether the kernel killed a worker for want of memory: its counters, before and after.

A worker that is killed so exits by SIGKILL, as one does that somebody killed by hand. The
kernel counts its own kills for the whole host, and for each memory cgroup those of processes in
it. Where the worker's cgroup can be read, that counter must have grown too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOOK_EVERY_S: Final = 1.0

_COUNTER: Final = "oom_kill"


@dataclass(frozen=True, slots=True)
class _Seen:
    """The counters as they were `at`; None for those that can't be read."""

    at: float
    host: int | None
    cgroup: Path | None
    own: int | None


class OomKills:
    """Looks at the counters while workers live, and again when one has died.

    Args:
        proc: where procfs is mounted.
        cgroups: where the cgroup file systems are.
    """

    def __init__(self, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc = proc
        self._cgroups = cgroups
        self._seen: dict[int, _Seen] = {}

    def look(self, worker: int, pid: int, now: float) -> None:
        """Worker number `worker`, process `pid`, lives at `now`; often is no harm."""
        seen = self._seen.get(worker)
        if seen and now - seen.at < LOOK_EVERY_S:
            return
        cgroup = self._cgroup(pid)
        own = _count(cgroup) if cgroup else None
        self._seen[worker] = _Seen(now, self._host(), cgroup, own)

    def killed(self, worker: int) -> bool:
        """Whether there was such a kill since the worker, now dead, was looked at last."""
        seen = self._seen.pop(worker, None)
        if seen is None or not _grew(seen.host, self._host()):
            return False
        own = _count(seen.cgroup) if seen.cgroup else None
        return seen.own is None or own is None or own > seen.own

    def _host(self) -> int | None:
        return _count(self._proc / "vmstat")

    def _cgroup(self, pid: int) -> Path | None:
        """The file with the counter of the process's memory cgroup, version 1 or 2."""
        try:
            lines = (self._proc / str(pid) / "cgroup").read_text().splitlines()
        except OSError:
            return None
        paths = {kinds: path.lstrip("/") for _, kinds, path in (x.split(":", 2) for x in lines)}
        found = []
        if "memory" in paths:
            found.append(self._cgroups / "memory" / paths["memory"] / "memory.oom_control")
        elif "" in paths:
            found.append(self._cgroups / paths[""] / "memory.events")
        return next((file for file in found if file.is_file()), None)


def _grew(before: int | None, after: int | None) -> bool:
    return before is not None and after is not None and after > before


def _count(file: Path) -> int | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    pairs = (line.split() for line in lines)
    return next((int(p[1]) for p in pairs if len(p) == 2 and p[0] == _COUNTER), None)
