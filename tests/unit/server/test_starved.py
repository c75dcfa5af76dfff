"""Workers that say nothing because they have no CPU, and those that are hung on a busy machine."""

from __future__ import annotations

import pytest

from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from tests.unit.server.supervision_bench import (
    EI,
    IDLE,
    KILL,
    Bench,
    deaths,
    dies,
    seated,
)

STARVED = "it got no CPU for too long"
WAITS, WORKS = on.CpuTime(waited_s=0.35), on.CpuTime(waited_s=0.1, ran_s=0.2)
LOOK_S = 0.4


def seen(
    loop: on.CpuTime = WAITS,
    most: on.CpuTime = WAITS,
    over_s: float = LOOK_S,
    listener_waited_s: float = 0.0,
) -> on.CpuSeen:
    """Of a worker whose threads all wait, unless it is said otherwise."""
    return on.CpuSeen(0, over_s, loop, most, listener_waited_s)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def silent(bench: Bench, kind: str = "silent") -> int:
    """A worker that is at the end of its patience; its spare ones speak."""
    worker = seated(bench)
    bench.after(0.0)
    if kind == "stands":
        turns = bench.state.workers[worker].turns
        bench.tell(on.Beat(worker, turns))
        assert bench.state.workers[worker].stands
    bench.now += 1.0
    others(bench, worker)
    return worker


def others(bench: Bench, worker: int) -> list[do.Action]:
    """All but `worker` speak, then time is seen to have passed."""
    spoke = (on.Beat(w.id, w.turns + 1) for w in bench.speaking() if w.id != worker)
    return bench.tell(*spoke, on.Tick())


def look(bench: Bench, worker: int) -> list[do.Action]:
    """The next one; what follows but for other workers."""
    bench.now += LOOK_S
    return [a for a in others(bench, worker) if getattr(a, "worker", 0) == worker]


def looks_until_killed(bench: Bench, worker: int) -> float:
    """Seconds of further silence, and the worker is killed then."""
    for count in range(1, 200):
        if any(isinstance(action, do.Kill) for action in look(bench, worker)):
            return count * LOOK_S
    raise AssertionError("it is never killed")


def test_it_is_asked_for_at_the_second_look_and_no_sooner(bench: Bench) -> None:
    (worker,) = bench.serving()
    bench.said.clear()
    silent(bench)
    assert bench.said == [do.WatchCpu(worker)]
    assert look(bench, worker) == [do.Kill(worker, "its heartbeat stopped")]
    assert bench.said[:2] == [do.WatchCpu(worker), do.AskCpu(worker)]


@pytest.mark.parametrize("kind", ["silent", "stands"])
def test_one_that_waits_for_a_cpu_lives_and_is_heard_again(bench: Bench, kind: str) -> None:
    (worker,) = bench.serving("a")
    bench.cpu = seen()
    silent(bench, kind)
    for _ in range(20):
        assert look(bench, worker) == []
    bench.tell(on.Beat(worker, bench.state.workers[worker].turns + 1))
    bench.said.clear()
    bench.cpu = IDLE
    bench.after(0.9)
    assert bench.said == []
    silent(bench)
    assert look(bench, worker) == [do.Kill(worker, "its heartbeat stopped")]


@pytest.mark.parametrize("kind", ["silent", "stands"])
def test_its_patience_has_an_end_and_nobody_is_blamed(bench: Bench, kind: str) -> None:
    bench.serving("a", "b")
    bench.cpu = seen()
    for _ in range(3):
        worker = silent(bench, kind)
        assert 1.0 + looks_until_killed(bench, worker) == pytest.approx(10.0, abs=LOOK_S)
        assert bench.state.workers[worker].killed == STARVED
        dies(bench, worker, KILL, running=("a",))
    assert bench.state.quarantine.records() == ()
    sessions = bench.state.leases[EI].sessions.values()
    assert not any(session.suspect_run or session.suspect_load for session in sessions)


def test_a_load_without_a_cpu_has_its_own_patience_and_is_done_again(bench: Bench) -> None:
    bench.serving()
    bench.cpu = seen()
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    worker = seated(bench)
    bench.after(0.0)
    bench.now += 5.0
    others(bench, worker)
    assert 5.0 + looks_until_killed(bench, worker) == pytest.approx(50.0, abs=LOOK_S)
    dies(bench, worker, KILL, loading="a")
    assert deaths(bench) == 0
    assert bench.state.leases[EI].sessions["a"].ends == 0
    bench.after(6.0)
    seated(bench)
    assert do.KeepSession(EI, "a", b"signature") in bench.said


@pytest.mark.parametrize(
    ("kind", "cpu", "why"),
    [
        ("silent", seen(most=WORKS), "its heartbeat stopped"),
        ("silent", seen(most=on.CpuTime()), "its heartbeat stopped"),
        ("silent", seen(over_s=0.7), "its heartbeat stopped"),
        ("silent", on.CpuSeen(0), "its heartbeat stopped"),
        ("silent", seen(most=on.CpuTime(9.0, 0.5), over_s=9.5), "its heartbeat stopped"),
        ("stands", seen(loop=WORKS), "its event loop stands still"),
        ("stands", seen(loop=on.CpuTime()), "its event loop stands still"),
        ("stands", seen(loop=on.CpuTime(9.0, 0.5), over_s=9.5), "its event loop stands still"),
    ],
    ids=[
        "had a CPU",
        "slept",
        "waited for half of the time",
        "nothing can be told",
        "waited, but ran for long",
        "the loop had a CPU",
        "the loop slept",
        "the loop waited, but ran for long",
    ],
)
def test_one_that_could_speak_is_killed_at_its_second_look_and_counted(
    bench: Bench, kind: str, cpu: on.CpuSeen, why: str
) -> None:
    bench.serving("a")
    bench.cpu = cpu
    worker = silent(bench, kind)
    assert look(bench, worker) == [do.Kill(worker, why)]
    dies(bench, worker, KILL, running=("a",))
    assert deaths(bench) == 1


def test_one_that_hangs_once_it_has_a_cpu_again_is_found_then(bench: Bench) -> None:
    (worker,) = bench.serving()
    bench.cpu = seen()
    silent(bench)
    assert look(bench, worker) == []
    bench.cpu = seen(most=on.CpuTime(0.4, 0.0), over_s=0.8 + 1e-9)
    assert look(bench, worker) == [do.Kill(worker, "its heartbeat stopped")]


def test_a_listener_that_waited_itself_blames_no_worker(bench: Bench) -> None:
    (worker,) = bench.serving()
    bench.cpu = seen(loop=on.CpuTime(), most=on.CpuTime(), listener_waited_s=0.3)
    silent(bench)
    assert look(bench, worker) == []


def test_an_answer_that_comes_late_is_nothing(bench: Bench) -> None:
    """It spoke meanwhile, and is silent again: that is another silence."""
    (worker,) = bench.serving()
    silent(bench)
    bench.state.workers[worker].asked = True
    bench.tell(on.Beat(worker, bench.state.workers[worker].turns + 1))
    late = on.CpuSeen(worker, LOOK_S)
    assert bench.tell(late) == []
    bench.now += 1.0
    assert others(bench, worker) == []
    assert bench.tell(late) == []
    assert bench.tell(on.CpuSeen(worker + 100, LOOK_S)) == []
    assert look(bench, worker) == [do.Kill(worker, "its heartbeat stopped")]
    assert bench.tell(late) == []


def test_it_is_asked_once_at_a_time(bench: Bench) -> None:
    """What asks may be kept from it by a slow disk."""
    (worker,) = bench.serving()
    silent(bench)
    bench.state.workers[worker].asked = True
    bench.said.clear()
    for _ in range(3):
        assert look(bench, worker) == []
        assert bench.state.next_wake(bench.now) > bench.now
    assert bench.said == []
    assert bench.tell(on.CpuSeen(worker))[:1] == [do.Kill(worker, "its heartbeat stopped")]


def test_one_that_is_stopped_for_its_debt_is_waited_for(bench: Bench) -> None:
    (worker,) = bench.serving()
    silent(bench)
    assert bench.tell(on.CpuSeen.starved(worker)) == []
    assert not bench.state.workers[worker].killed
