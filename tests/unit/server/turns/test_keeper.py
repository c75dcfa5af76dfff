from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from eais_server.turns.brain import actions as do
from eais_server.turns.keeper import RINGS, Keeper
from eais_server.turns.meter import CpuMeter, process_clock, unseen
from eais_server.turns.page import Seat
from eais_server.turns.table import Table, Worker
from eais_server.turns.turn import Turn
from tests.unit.server.turns.seats import turn_of

WAIT_S = 30.0


@pytest.fixture
def told() -> queue.SimpleQueue[do.Action]:
    return queue.SimpleQueue()


@pytest.fixture
def keeper(told: queue.SimpleQueue[do.Action]) -> Iterator[Keeper]:
    made = Keeper(Table(told.put))
    made.start()
    yield made
    made.close()


def join(keeper: Keeper, number: int, pid: int = 0) -> Turn:
    seat = Seat()
    turn = turn_of(seat, time.monotonic_ns)
    seat.allow(0, 0)
    pidfd = os.pidfd_open(pid or os.getpid())
    keeper.join(Worker(number, "cpu0", 500, seat, pidfd, unseen))
    return turn


def child(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", f"print(flush=True);{program}"], stdout=subprocess.PIPE
    )


def test_workers_take_turns(keeper: Keeper) -> None:
    turns = [join(keeper, number) for number in range(3)]
    batches = [0, 0, 0]
    both = threading.Lock()

    def run(number: int) -> None:
        for _ in range(20):
            with turns[number]:
                assert both.acquire(blocking=False), "two have the turn"
                batches[number] += 1
                both.release()
            turns[number].rest()

    running = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(WAIT_S)
    assert batches == [20, 20, 20]


def test_the_turn_of_a_worker_that_is_killed_goes_on(keeper: Keeper) -> None:
    process = child("import time; time.sleep(600)")
    holder = join(keeper, 1, process.pid)
    holder.__enter__()
    other = join(keeper, 2)
    waiting = threading.Thread(target=other.__enter__)
    waiting.start()
    process.kill()
    process.communicate()
    waiting.join(WAIT_S)
    assert not waiting.is_alive()


def test_who_leaves_is_forgotten(keeper: Keeper) -> None:
    holder, other = join(keeper, 1), join(keeper, 2)
    holder.__enter__()
    keeper.excuse(1, excused=True)
    keeper.leave(1)
    other.__enter__()
    keeper.leave(1)


def test_who_rings_all_the_time_doesnt_keep_others_from_their_turns(keeper: Keeper) -> None:
    seat = Seat()
    bell = os.dup(seat.request)
    pidfd = os.pidfd_open(os.getpid())
    keeper.join(Worker(1, "cpu0", 500, seat, pidfd, unseen))
    done = threading.Event()

    def ring() -> None:
        while not done.is_set():
            os.eventfd_write(bell, 1)

    ringing = threading.Thread(target=ring)
    ringing.start()
    try:
        other = join(keeper, 2)
        for _ in range(3 * RINGS):
            with other:
                pass
            other.rest()
    finally:
        done.set()
        ringing.join()
        os.close(bell)


def test_who_never_asks_is_stopped_and_killed(told: queue.SimpleQueue[do.Action]) -> None:
    """A real process, but the counters, and with them the time, are ours."""
    process = child("import time; time.sleep(600)")
    now, used = [10**9], [0]
    table = Table(told.put, clock=lambda: now[0])
    seats = Seat(), Seat()
    turn = turn_of(seats[0], lambda: now[0])
    own, theirs = os.pidfd_open(os.getpid()), os.pidfd_open(process.pid)
    table.join(Worker(1, "cpu0", 500, seats[0], own, lambda: now[0] // 2))
    table.join(Worker(2, "cpu0", 500, seats[1], theirs, lambda: used[0]))
    assert turn.try_take()
    kinds: list[type[do.Action]] = []
    while do.Kill not in kinds:
        now[0] += 10**7
        used[0] += 10**7
        table.look_around()
        while not told.empty():
            kinds.append(type(told.get()))
    table.close()
    assert kinds[:2] == [do.Withhold, do.Stop]
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_it_ends_without_having_begun() -> None:
    Keeper(Table(lambda action: None)).close()


# what was used


def test_another_processs_cpu_time_is_seen_while_it_runs() -> None:
    process = child("\nwhile True: pass")
    try:
        assert process.stdout
        process.stdout.readline()
        meter = CpuMeter(process.pid)
        before = meter()
        while meter() <= before:
            pass
        assert CpuMeter(process.pid, cores=4)() < meter()
    finally:
        process.kill()
        process.communicate()
    last = meter()
    assert last >= before
    assert meter() == last


def test_the_clock_is_the_one_of_all_threads() -> None:
    own = time.clock_gettime_ns(process_clock(os.getpid()))
    assert own <= time.process_time_ns()


def test_what_isnt_seen_is_none() -> None:
    assert unseen() is None
