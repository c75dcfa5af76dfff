"""What threads had of the CPUs and waited for them, from a made procfs and the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eais_server.listener.cpu_waits import CpuWaits, ThreadLook, cpu_time, thread_look
from eais_server.supervision.events import CpuSeen, CpuTime

MAIN, OTHER = 700, 701
MS = 1_000_000
COUNTED = thread_look(Path("/proc/self")) is not None


class Procfs:
    """A procfs with one worker's threads, and the listener's own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.own(0)

    def thread(self, tid: int, state: str, ran_ms: int, waited_ms: int) -> None:
        self._write(self.root / str(MAIN) / "task" / str(tid), state, ran_ms, waited_ms)

    def own(self, waited_ms: int) -> None:
        self._write(self.root / "self", "R", 0, waited_ms)

    def _write(self, folder: Path, state: str, ran_ms: int, waited_ms: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "schedstat").write_text(f"{ran_ms * MS} {waited_ms * MS} 7\n")
        (folder / "stat").write_text(f"{MAIN} (a) worker) {state} 1 2 3\n")


@pytest.fixture
def procfs(tmp_path: Path) -> Procfs:
    return Procfs(tmp_path)


def times(found: CpuTime) -> tuple[float, float]:
    return round(found.waited_s, 6), round(found.ran_s, 6)


@pytest.mark.parametrize(
    ("first", "last", "waited_s", "ran_s"),
    [
        (("R", 0, 0), ("R", 0, 0), 1.0, 0.0),
        (("R", 0, 0), ("R", 50, 400), 0.95, 0.05),
        (("R", 0, 0), ("R", 1000, 0), 0.0, 1.0),
        (("R", 0, 0), ("R", 400, 100), 0.1, 0.4),
        (("S", 0, 0), ("R", 0, 0), 0.0, 0.0),
        (("S", 0, 0), ("S", 10, 600), 0.6, 0.01),
        (("R", 0, 0), ("S", 100, 9000), 0.9, 0.1),
        (("T", 5, 9), ("T", 5, 9), 0.0, 0.0),
        (("S", 5, 9), ("D", 5, 9), 0.0, 0.0),
        (("R", 0, 0), ("R", 1400, 0), 0.0, 1.0),
    ],
    ids=[
        "a wait that goes on",
        "short runs between waits",
        "alone on its CPU",
        "it runs more than it waits",
        "it has only just become ready",
        "waits that ended",
        "a wait that began before",
        "stopped",
        "waits for a disk",
        "counted a moment later than the clock was read",
    ],
)
def test_what_two_looks_say_of_a_thread(
    first: tuple[str, int, int], last: tuple[str, int, int], waited_s: float, ran_s: float
) -> None:
    looks = [ThreadLook(ran * MS, waited * MS, state) for state, ran, waited in (first, last)]
    assert times(cpu_time(looks[0], looks[1], 1.0)) == (waited_s, ran_s)


def test_the_loops_thread_and_the_most_of_all(procfs: Procfs) -> None:
    waits = CpuWaits(procfs.root)
    procfs.thread(MAIN, "S", 10, 20)
    procfs.thread(OTHER, "S", 30, 40)
    procfs.own(5)
    waits.watch(1, MAIN, 100.0)
    procfs.thread(MAIN, "S", 11, 120)
    procfs.thread(OTHER, "S", 230, 41)
    procfs.thread(OTHER + 1, "S", 900, 900)  # it came between the two
    procfs.own(305)
    seen = waits.seen(1, MAIN, 101.0)
    assert (seen.worker, seen.over_s) == (1, 1.0)
    assert times(seen.loop) == (0.1, 0.001)
    assert times(seen.most) == (0.1, 0.2)
    assert round(seen.listener_waited_s, 6) == 0.3


@pytest.mark.parametrize("state", ["T", "t"])
def test_nobody_waits_in_a_worker_that_is_stopped(procfs: Procfs, state: str) -> None:
    waits = CpuWaits(procfs.root)
    procfs.thread(MAIN, "R", 0, 0)
    waits.watch(1, MAIN, 100.0)
    procfs.thread(MAIN, state, 0, 900)
    procfs.own(900)
    assert waits.seen(1, MAIN, 101.0) == CpuSeen(1)


def test_where_nothing_is_counted_nobody_waited(procfs: Procfs) -> None:
    waits = CpuWaits(procfs.root)
    waits.watch(1, MAIN, 100.0)  # no such process
    procfs.thread(MAIN, "R", 0, 900)
    assert waits.seen(1, MAIN, 101.0).most == CpuTime()
    assert waits.seen(2, MAIN, 101.0) == CpuSeen(2)
    (procfs.root / str(MAIN) / "task" / str(MAIN) / "schedstat").unlink()
    assert waits.seen(1, MAIN, 101.0) == CpuSeen(1)


def test_one_that_was_forgotten_is_known_no_more(procfs: Procfs) -> None:
    waits = CpuWaits(procfs.root)
    procfs.thread(MAIN, "R", 0, 0)
    waits.watch(1, MAIN, 100.0)
    waits.forget(1)
    waits.forget(1)
    assert waits.seen(1, MAIN, 101.0) == CpuSeen(1)


def test_a_line_that_is_cut_short_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("")
    (tmp_path / "schedstat").write_text("1 2 3\n")
    assert thread_look(tmp_path) is None
    assert thread_look(tmp_path / "none") is None


# The real one

SPINS = "while True: pass"


@pytest.fixture
def start() -> Iterator[Callable[[str, int], subprocess.Popen[bytes]]]:
    """Starts Python programs on one core, with a nice value."""
    core = {min(os.sched_getaffinity(0))}
    begun: list[subprocess.Popen[bytes]] = []

    def started(program: str, nice: int) -> subprocess.Popen[bytes]:
        begun.append(subprocess.Popen([sys.executable, "-I", "-c", program]))
        pid = begun[-1].pid
        os.sched_setaffinity(pid, core)
        os.setpriority(os.PRIO_PROCESS, pid, nice)
        return begun[-1]

    yield started
    for process in begun:
        process.kill()
        process.wait()


def watched(waits: CpuWaits, pid: int, enough: Callable[[CpuSeen], bool]) -> CpuSeen:
    """The process is looked at from now on until what was seen is enough."""
    waits.watch(1, pid, time.monotonic())
    pause, ends_at = threading.Event(), time.monotonic() + 30
    while not enough(seen := waits.seen(1, pid, time.monotonic())):
        assert time.monotonic() < ends_at, f"it never came to that: {seen}"
        pause.wait(0.05)
    return seen


@pytest.mark.skipif(not COUNTED, reason="this kernel doesn't count waits for a CPU")
def test_a_process_that_others_keep_from_its_core_waits(
    start: Callable[[str, int], subprocess.Popen[bytes]],
) -> None:
    starved = start(SPINS, 19)
    for _ in range(3):
        start(SPINS, 0)
    seen = watched(CpuWaits(), starved.pid, lambda seen: seen.loop.waited_s > 0.5)
    assert seen.loop.waited_s + seen.loop.ran_s <= seen.over_s + 1e-9
    assert seen.most.waited_s >= seen.loop.waited_s


@pytest.mark.skipif(not COUNTED, reason="this kernel doesn't count waits for a CPU")
def test_a_process_that_spins_beside_others_is_seen_to_run(
    start: Callable[[str, int], subprocess.Popen[bytes]],
) -> None:
    """So that one which hangs and computes is told from one that has no CPU."""
    spins = start(SPINS, 0)
    for _ in range(2):
        start(SPINS, 0)
    seen = watched(CpuWaits(), spins.pid, lambda seen: seen.loop.ran_s >= 0.3)
    assert seen.most.ran_s >= seen.loop.ran_s


@pytest.mark.skipif(not COUNTED, reason="this kernel doesn't count waits for a CPU")
def test_a_process_that_is_stopped_waits_for_none(
    start: Callable[[str, int], subprocess.Popen[bytes]],
) -> None:
    waits = CpuWaits()
    stopped = start(SPINS, 0)
    os.kill(stopped.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
    waits.watch(1, stopped.pid, time.monotonic())
    assert waits.seen(1, stopped.pid, time.monotonic() + 1) == CpuSeen(1)
