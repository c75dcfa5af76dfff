"""Whose doing a death is, and what takes it back."""

from __future__ import annotations

from dataclasses import replace
from signal import Signals
from typing import Any

import pytest

from eais_server.supervision import WorkerState
from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from eais_server.supervision.quarantine import Model
from tests.unit.server.supervision_bench import (
    EI,
    KILL,
    SEGV,
    TENANT,
    A,
    Bench,
    deaths,
    dies,
    failure,
    load_dies,
    open_sessions,
    run_dies,
    seated,
    seated_loading,
)

FAULTS = [Signals[name] for name in ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGSYS")]
TERM = Signals.SIGTERM


@pytest.fixture
def bench() -> Bench:
    return Bench()


# What counts, and against whom


@pytest.mark.parametrize("signal", FAULTS)
def test_a_fault_counts_against_what_ran_alone(bench: Bench, signal: Signals) -> None:
    bench.serving("a", "b")
    run_dies(bench, "a", signal=signal)
    assert (deaths(bench), deaths(bench, Model(TENANT, "model-b"))) == (1, 0)
    run_dies(bench, "a", signal=signal)
    assert bench.state.quarantine.condemned(A)


@pytest.mark.parametrize("signal", FAULTS)
def test_a_fault_counts_against_what_was_loading(bench: Bench, signal: Signals) -> None:
    bench.serving("b")
    first = failure(load_dies(bench, signal), do.RefuseSession)
    assert (first.reason, first.metadata) == (
        "MODEL_CRASHED",
        {"stage": "load", "signal": signal.name},
    )
    second = failure(load_dies(bench, signal), do.RefuseSession)
    assert second.reason == "MODEL_QUARANTINED"
    assert second.metadata == {
        "deaths": "2",
        "stage": "load",
        "signal": signal.name,
        "ends_in_s": "86400",
    }
    assert open_sessions(bench) == ["b"]


@pytest.mark.parametrize("loading", ["", "a"])
@pytest.mark.parametrize(
    "how",
    [
        on.WorkerExited(0, KILL),
        on.WorkerExited(0, TERM),
        on.WorkerExited(0, Signals.SIGINT),
        on.WorkerExited(0, code=1),
        on.WorkerExited(0, code=0),
    ],
    ids=["kill", "term", "int", "1", "0"],
)
def test_other_ends_count_for_nobody(bench: Bench, how: on.WorkerExited, loading: str) -> None:
    bench.serving("b")
    for _ in range(4):
        worker = seated(bench)
        if loading:
            bench.tell(on.LoadAsked(EI, "a", "model-a"))
        running = () if loading else ("b",)
        bench.tell(replace(how, worker=worker, loading=loading, running=running))
    assert bench.state.quarantine.records() == ()
    assert not any(session.suspect_run for session in bench.state.leases[EI].sessions.values())
    assert "b" in open_sessions(bench)


def test_several_runs_of_one_model_are_that_models(bench: Bench) -> None:
    """Two sessions, such as of other options, that load the same model."""
    bench.serving()
    for session in ("a", "a2"):
        bench.tell(on.LoadAsked(EI, session, "model-a"))
        bench.tell(on.SessionLoaded(seated(bench), session, b""))
    run_dies(bench, "a", "a2")
    assert deaths(bench) == 1


def test_runs_of_several_models_count_for_none_and_are_suspects(bench: Bench) -> None:
    bench.serving("a", "b", "c")
    run_dies(bench, "a", "b")
    assert bench.state.quarantine.records() == ()
    sessions = bench.state.leases[EI].sessions
    assert [s.id for s in sessions.values() if s.suspect_run] == ["a", "b"]


def test_what_isnt_known_here_stands_for_something_else_that_ran(bench: Bench) -> None:
    bench.serving("a")
    run_dies(bench, "a", "nobody")
    assert deaths(bench) == 0


def test_a_death_with_nothing_in_flight_is_nobodys(bench: Bench) -> None:
    bench.serving("a")
    for _ in range(3):
        run_dies(bench)
    assert bench.state.quarantine.records() == ()


def test_a_load_that_hadnt_begun_yet_is_blamed_for_nothing(bench: Bench) -> None:
    worker = bench.serving()[0]
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    dies(bench, worker)
    assert deaths(bench) == 0
    assert open_sessions(bench) == ["a"]


def test_a_worker_that_claims_another_load_than_it_was_told_blames_nobody(bench: Bench) -> None:
    worker = bench.serving("b")[0]
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    dies(bench, worker, loading="b")
    assert bench.state.quarantine.records() == ()


def test_an_out_of_memory_kill_counts(bench: Bench) -> None:
    bench.serving("a")
    run_dies(bench, "a", signal=KILL, out_of_memory=True)
    forgotten = failure(run_dies(bench, "a", signal=KILL, out_of_memory=True), do.ForgetSession)
    assert forgotten.reason == "MODEL_QUARANTINED"
    assert forgotten.metadata["cause"] == "memory"


def test_a_load_that_takes_all_memory_is_said_to(bench: Bench) -> None:
    bench.serving()
    refused = failure(load_dies(bench, KILL, out_of_memory=True), do.RefuseSession)
    assert refused.reason == "MODEL_CRASHED"
    assert refused.metadata == {"stage": "load", "signal": "SIGKILL", "cause": "memory"}
    assert "memory" in refused.message


def test_another_ones_kill_for_memory_isnt_our_own_kill(bench: Bench) -> None:
    worker = bench.serving("a")[0]
    bench.tell(on.WorkerAstray(worker, "it said nonsense"))
    dies(bench, worker, KILL, running=("a",), out_of_memory=True)
    assert deaths(bench) == 0


def hang(bench: Bench, kind: str) -> int:
    """A worker that is killed for a hang, while it runs what the test says next."""
    worker = seated(bench)
    if kind == "stuck":
        bench.tell(on.WorkerStuck(worker))
    elif kind == "overruns":
        bench.tell(on.WorkerOverran(worker))
    else:
        if kind == "stands":
            bench.tell(on.Beat(worker, 5), on.Beat(worker, 5))
        bench.silence(1.0)
        bench.silence(0.4)
    assert bench.state.workers[worker].killed
    return worker


@pytest.mark.parametrize("kind", ["stuck", "silent", "stands", "overruns"])
def test_a_kill_for_a_hang_counts_against_what_ran_alone(bench: Bench, kind: str) -> None:
    bench.serving("a", "b")
    dies(bench, hang(bench, kind), KILL, running=("a", "b"))
    assert bench.state.quarantine.records() == ()
    dies(bench, hang(bench, kind), KILL, running=("a",))
    assert deaths(bench) == 1
    dies(bench, hang(bench, kind), KILL, running=())
    assert deaths(bench) == 1
    found = dies(bench, hang(bench, kind), KILL, running=("a",))
    assert (
        failure(found, do.ForgetSession).metadata["cause"] == "overrun"
        if kind == "overruns"
        else "hang"
    )


@pytest.mark.parametrize("kind", ["stuck", "silent", "stands"])
@pytest.mark.parametrize("loading", ["", "a"])
def test_a_hang_of_a_worker_that_somebody_stopped_counts_for_nobody(
    bench: Bench, kind: str, loading: str
) -> None:
    """No fault of the model's that it does nothing then; it isn't a suspect either."""
    bench.serving("b")
    for _ in range(3):
        worker = hang(bench, kind)
        if loading:
            bench.tell(on.LoadAsked(EI, "a", "model-a"))
        running = () if loading else ("b",)
        dies(bench, worker, KILL, loading=loading, running=running, stopped=True)
    assert bench.state.quarantine.records() == ()
    sessions = bench.state.leases[EI].sessions.values()
    assert not any(session.suspect_run or session.suspect_load for session in sessions)
    assert "b" in open_sessions(bench)


def test_a_worker_that_crashed_though_it_was_stopped_counts(bench: Bench) -> None:
    """A stopped one can't: it was let go on, and the model did it."""
    bench.serving("a")
    dies(bench, hang(bench, "silent"), SEGV, running=("a",), stopped=True)
    assert deaths(bench) == 1


def frozen_load(bench: Bench, *, stopped: bool) -> list[do.Action]:
    worker = seated(bench)
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    return freezes(bench, worker, stopped=stopped)


def freezes(bench: Bench, worker: int, *, stopped: bool) -> list[do.Action]:
    """The worker is silent while it loads a, until it is killed."""
    bench.silence(5.0)
    bench.silence(0.4)
    assert bench.state.workers[worker].killed
    return dies(bench, worker, KILL, loading="a", stopped=stopped)


def test_a_load_that_freezes_its_worker_counts(bench: Bench) -> None:
    bench.serving("b")
    first = failure(frozen_load(bench, stopped=False), do.RefuseSession)
    assert first.reason == "MODEL_CRASHED"
    assert first.metadata == {"stage": "load", "signal": "SIGKILL", "cause": "hang"}
    assert "froze" in first.message
    second = failure(frozen_load(bench, stopped=False), do.RefuseSession)
    assert (second.reason, second.metadata["cause"]) == ("MODEL_QUARANTINED", "hang")


def test_a_load_whose_worker_somebody_stopped_is_done_again(bench: Bench) -> None:
    bench.serving()
    frozen_load(bench, stopped=True)
    for _ in range(2):
        freezes(bench, seated_loading(bench), stopped=True)
    assert bench.state.quarantine.records() == ()
    found = bench.tell(on.SessionLoaded(seated_loading(bench), "a", b""))
    assert do.KeepSession(EI, "a", b"") in found


def test_a_kill_for_another_reason_counts_for_nobody(bench: Bench) -> None:
    bench.serving("a")
    for _ in range(3):
        worker = seated(bench)
        bench.tell(on.WorkerAstray(worker, "it said nonsense"))
        dies(bench, worker, KILL, running=("a",))
    assert bench.state.quarantine.records() == ()


def test_a_fault_counts_though_the_worker_was_to_end_anyway(bench: Bench) -> None:
    worker = bench.serving("a")[0]
    bench.tell(on.LeaseRevoked(EI, 5.0))
    dies(bench, worker, SEGV, running=("a",))
    assert deaths(bench) == 1


def late_load(bench: Bench, **seen: Any) -> list[do.Action]:
    worker = seated(bench)
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    bench.after(120.0)
    return dies(bench, worker, KILL, **seen)


def test_loads_that_take_too_long_count_whatever_ran_beside(bench: Bench) -> None:
    bench.serving("b")
    first = failure(late_load(bench, loading="a", running=("b",)), do.RefuseSession)
    assert (first.reason, first.metadata["limit_s"]) == ("MODEL_LOAD_TIMEOUT", "120")
    second = failure(late_load(bench, loading="a", running=("b",)), do.RefuseSession)
    assert second.reason == "MODEL_QUARANTINED"
    assert second.metadata["cause"] == "load_timeout"
    assert not bench.state.leases[EI].sessions["b"].suspect_run


def test_a_load_that_never_came_to_the_runtime_is_late_and_not_counted(bench: Bench) -> None:
    """It is the disk that is slow."""
    bench.serving()
    assert failure(late_load(bench), do.RefuseSession).reason == "MODEL_LOAD_TIMEOUT"
    assert deaths(bench) == 0


# Successes


def test_a_load_takes_back_deaths_of_loads(bench: Bench) -> None:
    bench.serving()
    load_dies(bench)
    worker = seated(bench)
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    assert do.KeepQuarantine(()) in bench.tell(on.SessionLoaded(worker, "a", b""))
    assert deaths(bench) == 0


def test_a_load_takes_no_death_of_a_run_back(bench: Bench) -> None:
    bench.serving("a")
    run_dies(bench, "a")
    seated(bench)  # it was loaded again
    assert deaths(bench) == 1


def test_a_run_takes_all_back(bench: Bench) -> None:
    bench.serving("a")
    for _ in range(5):
        run_dies(bench, "a")
        assert deaths(bench) == 1
        worker = seated(bench)
        assert do.KeepQuarantine(()) in bench.tell(on.RunsAnswered(worker, ("a",)))
        assert deaths(bench) == 0


def test_a_run_that_was_seen_only_after_the_death_came_before_it(bench: Bench) -> None:
    bench.serving("a")
    for _ in range(3):
        run_dies(bench, "a", answered=("a",))
        assert deaths(bench) == 1


def test_a_run_of_another_model_takes_nothing_back(bench: Bench) -> None:
    bench.serving("a", "b")
    run_dies(bench, "a")
    bench.tell(on.RunsAnswered(seated(bench), ("b", "nobody")))
    assert deaths(bench) == 1


def test_a_death_while_running_and_one_while_loading_are_two(bench: Bench) -> None:
    bench.serving("a")
    run_dies(bench, "a")
    bench.after(6.0)
    bench.spare()
    (worker,) = (w.id for w in bench.state.workers.values() if w.state is WorkerState.ADOPTING)
    bench.tell(on.WorkerBound(worker, 4001))
    forgotten = failure(dies(bench, worker, loading="a"), do.ForgetSession)
    assert forgotten.reason == "MODEL_QUARANTINED"
    assert (forgotten.metadata["deaths"], forgotten.metadata["stage"]) == ("2", "load")
