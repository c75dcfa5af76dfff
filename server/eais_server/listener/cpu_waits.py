"""What worker processes wait for a CPU, by Linux's count for each thread.

`/proc/PID/task/TID/schedstat` has three numbers: nanoseconds on a CPU, nanoseconds in the queue
for one, and how often it got one. The second grows only when a wait ends. So a thread that is
ready to run at both looks and got no CPU between has waited all the time; so has one, but for
what it ran, that waited longer than it ran whenever it did run. Where the kernel doesn't count
(it is built without), nobody waited.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eais_server.supervision.events import CpuSeen, CpuTime

_NS: Final = 1e-9
_READY: Final = "R"
_STOPPED: Final = ("T", "t")
_NONE: Final = CpuTime()


@dataclass(frozen=True, slots=True)
class ThreadLook:
    """One thread's counters, ns, and its state: a letter, as in `/proc/PID/stat`."""

    ran_ns: int
    waited_ns: int
    state: str


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen `at`: a worker's threads by their ids, and what this process waited, ns."""

    at: float
    threads: Mapping[int, ThreadLook]
    own_waited_ns: int


class CpuWaits:
    """Looks at workers that say nothing; at others never.

    Args:
        proc: where procfs is mounted.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._first: dict[int, _Look] = {}

    def watch(self, worker: int, pid: int, now: float) -> None:
        """From now on it counts what worker number `worker`, process `pid`, gets of the CPUs."""
        self._first[worker] = self._look(pid, now)

    def seen(self, worker: int, pid: int, now: float) -> CpuSeen:
        """What it got since `watch`; nothing is known of one that wasn't watched."""
        first, last = self._first.get(worker), self._look(pid, now)
        main = last.threads.get(pid)
        if first is None or main is None or main.state in _STOPPED:
            return CpuSeen(worker)
        over_s = last.at - first.at
        found = {
            tid: cpu_time(first.threads[tid], thread, over_s)
            for tid, thread in last.threads.items()
            if tid in first.threads
        }
        most = CpuTime(
            max((time.waited_s for time in found.values()), default=0.0),
            max((time.ran_s for time in found.values()), default=0.0),
        )
        own_s = (last.own_waited_ns - first.own_waited_ns) * _NS
        return CpuSeen(worker, over_s, found.get(pid, _NONE), most, min(own_s, over_s))

    def forget(self, worker: int) -> None:
        """The worker has exited."""
        self._first.pop(worker, None)

    def _look(self, pid: int, now: float) -> _Look:
        own = thread_look(self._proc / "self")
        threads = dict(self._threads(self._proc / str(pid) / "task"))
        return _Look(now, threads, own.waited_ns if own else 0)

    def _threads(self, tasks: Path) -> Iterator[tuple[int, ThreadLook]]:
        try:
            folders = [folder for folder in tasks.iterdir() if folder.name.isdigit()]
        except OSError:
            return  # the process has exited
        for folder in folders:
            if look := thread_look(folder):
                yield int(folder.name), look


def thread_look(folder: Path) -> ThreadLook | None:
    """What stands in a thread's folder of procfs; None if the kernel says nothing of it."""
    try:
        counters = (folder / "schedstat").read_text().split()
        stat = (folder / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The program's name, in brackets, may have any characters.
    state = stat.rpartition(")")[2].split()[:1]
    if len(counters) < 2 or not state:
        return None
    return ThreadLook(int(counters[0]), int(counters[1]), state[0])


def cpu_time(first: ThreadLook, last: ThreadLook, over_s: float) -> CpuTime:
    """What a thread had of the CPUs, and waited for them, in `over_s` between two looks."""
    ran_s = min((last.ran_ns - first.ran_ns) * _NS, over_s)
    ended_s = (last.waited_ns - first.waited_ns) * _NS
    ready = first.state == last.state == _READY
    # A wait that goes on isn't counted yet, one that began before the first look is in whole.
    waited_s = over_s if ready and ended_s >= ran_s else ended_s
    return CpuTime(min(waited_s, over_s - ran_s), ran_s)
