"""What follows from deaths: who is condemned, who is suspected, who is told."""

from __future__ import annotations

import pytest

from eais_server.supervision import Limits, State, WorkerState
from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from eais_server.supervision.held import Suspect
from tests.unit.server.supervision_bench import (
    EI,
    KILL,
    TENANT,
    A,
    Bench,
    deaths,
    dies,
    failure,
    models,
    open_sessions,
    run_dies,
    seated,
    seated_loading,
)


@pytest.fixture
def bench() -> Bench:
    return Bench()


# What follows


def test_counts_are_durable_before_anything_is_said(bench: Bench) -> None:
    bench.serving("a")
    for _ in range(2):
        said = run_dies(bench, "a")
        assert isinstance(said[0], do.KeepQuarantine)
        assert said[0].records == bench.state.quarantine.records()


def test_a_kept_session_that_kills_twice_while_it_loads_is_forgotten(bench: Bench) -> None:
    worker = bench.serving("a")[0]
    dies(bench, worker, KILL)
    found: list[do.Action] = []
    for _ in range(2):
        bench.after(6.0)
        bench.spare()
        (worker,) = (w.id for w in bench.state.workers.values() if w.seat)
        bench.tell(on.WorkerBound(worker, 4000))
        found = dies(bench, worker, loading="a")
    assert failure(found, do.ForgetSession).reason == "MODEL_QUARANTINED"
    assert open_sessions(bench) == []


def test_a_condemned_model_is_taken_from_all_instances_of_the_tenant(bench: Bench) -> None:
    bench.serving("a")
    others = {"ei-2": TENANT, "ei-3": "another"}
    for instance, tenant in others.items():
        bench.spare()
        bench.tell(on.LeaseTaken(instance, tenant, 1, (on.SlotAsked(1),), {"z": "model-a"}))
        bench.bring_up()
    worker = bench.state.leases[EI].slots[1].worker
    dies(bench, worker, running=("a",))
    bench.spare()
    found = dies(bench, bench.bring_up(), running=("a",))
    told = [action for action in found if isinstance(action, do.Unload)]
    assert [unload.worker for unload in told] == [bench.state.leases["ei-2"].slots[1].worker]
    assert told[0].failure is not None
    assert told[0].failure.reason == "MODEL_QUARANTINED"
    gone = [action.instance for action in found if isinstance(action, do.ForgetSession)]
    assert gone == [EI, "ei-2"]
    assert list(bench.state.leases["ei-3"].sessions) == ["z"]


def condemned(bench: Bench) -> Bench:
    bench.serving("a")
    run_dies(bench, "a")
    run_dies(bench, "a")
    assert open_sessions(bench) == []
    return bench


def test_a_condemned_model_is_refused_without_a_worker(bench: Bench) -> None:
    worker = seated(condemned(bench))
    refused = bench.tell(on.LoadAsked(EI, "new", "model-a"))
    assert failure(refused, do.RefuseSession).reason == "MODEL_QUARANTINED"
    assert not bench.state.workers[worker].loading


def test_a_condemned_model_is_no_part_of_a_lease_that_is_taken_up_again(bench: Bench) -> None:
    condemned(bench)
    lease = on.LeaseTaken("ei-2", TENANT, 1, (on.SlotAsked(1),), models("a", "b"))
    forgotten = failure(bench.tell(lease), do.ForgetSession)
    assert forgotten.reason == "MODEL_QUARANTINED"
    assert list(bench.state.leases["ei-2"].sessions) == ["b"]


def test_another_tenants_same_model_is_its_own_affair(bench: Bench) -> None:
    condemned(bench)
    bench.tell(on.LeaseTaken("ei-2", "another", 1, (on.SlotAsked(1),), models("a")))
    assert list(bench.state.leases["ei-2"].sessions) == ["a"]


def test_a_quarantine_ends_and_begins_anew() -> None:
    bench = condemned(Bench(State(Limits(quarantine_s=60.0))))
    bench.after(59.0)
    assert bench.state.quarantine.refusal(A, bench.now)
    bench.after(2.0)
    worker = seated(bench)
    assert do.Load(worker, EI, "a") in bench.tell(on.LoadAsked(EI, "a", "model-a"))
    assert deaths(bench) == 0


def test_a_load_that_ends_workers_by_exit_codes_is_given_up_and_not_condemned(
    bench: Bench,
) -> None:
    bench.serving()
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    found: list[do.Action] = []
    for _ in range(5):
        found = dies(bench, seated_loading(bench), 0, code=3, loading="a")
    refused = failure(found, do.RefuseSession)
    assert (refused.reason, refused.metadata["exit_code"]) == ("PROCESS_FAILED", "3")
    assert deaths(bench) == 0


def test_kills_from_outside_never_end_an_open(bench: Bench) -> None:
    bench.serving()
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    for _ in range(8):
        dies(bench, seated_loading(bench), KILL, loading="a")
    assert open_sessions(bench) == ["a"]
    bench.tell(on.SessionLoaded(seated_loading(bench), "a", b"s"))
    assert bench.last(do.KeepSession) == do.KeepSession(EI, "a", b"s")


# Suspects


def named(actions: list[do.Action]) -> list[tuple[Suspect, ...]]:
    return [action.suspects for action in actions if isinstance(action, do.NameSuspects)]


def test_suspects_are_named_to_the_next_worker_before_it_serves(bench: Bench) -> None:
    bench.serving("a", "b", "c")
    run_dies(bench, "a", "b")
    before = len(bench.said)
    worker = seated(bench)
    told = [a for a in bench.said[before:] if isinstance(a, do.NameSuspects | do.Serve)]
    assert told == [
        do.NameSuspects(worker, (Suspect("a", 1.0), Suspect("b", 1.0))),
        do.Serve(worker),
    ]


def test_those_are_trusted_most_that_ran_before_and_killed_nobody(bench: Bench) -> None:
    worker = bench.serving("bad", "new", "good")[0]
    bench.tell(on.RunsAnswered(worker, ("good",)))
    run_dies(bench, "bad", "new", "good")
    run_dies(bench, "bad")
    before = len(bench.said)
    seated(bench)
    assert named(bench.said[before:]) == [
        (Suspect("good", 0.0), Suspect("new", 1.0), Suspect("bad", 1.0))
    ]


def test_what_died_alone_is_run_alone(bench: Bench) -> None:
    bench.serving("a", "b")
    run_dies(bench, "a")
    before = len(bench.said)
    seated(bench)
    assert named(bench.said[before:]) == [(Suspect("a", 1.0),)]


def test_an_answer_clears_a_suspect(bench: Bench) -> None:
    bench.serving("a", "b")
    run_dies(bench, "a", "b")
    worker = seated(bench)
    told = bench.tell(on.RunsAnswered(worker, ("a",)))
    assert told == [do.NameSuspects(worker, (Suspect("b", 1.0),))]
    assert bench.tell(on.RunsAnswered(worker, ("b",))) == [do.NameSuspects(worker, ())]
    assert bench.tell(on.RunsAnswered(worker, ("a", "b"))) == []


def test_workers_that_serve_are_told_too(bench: Bench) -> None:
    one, two = bench.serving("a", "b", slots=(1, 2))
    told = dies(bench, one, running=("a", "b"))
    assert do.NameSuspects(two, (Suspect("a", 1.0), Suspect("b", 1.0))) in told


def test_a_load_beside_runs_is_suspected_and_loaded_alone(bench: Bench) -> None:
    worker = bench.serving("b")[0]
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    assert not any(
        isinstance(action, do.RefuseSession)
        for action in dies(bench, worker, loading="a", running=("b",))
    )
    assert bench.state.quarantine.records() == ()
    bench.after(6.0)
    bench.spare()
    (worker,) = (w.id for w in bench.state.workers.values() if w.state is WorkerState.ADOPTING)
    bench.tell(on.WorkerBound(worker, 4000))
    said = bench.tell(on.SessionLoaded(worker, "b", b""))
    assert do.Load(worker, EI, "a") in said
    assert do.Serve(worker) not in said
    refused = failure(dies(bench, worker, loading="a"), do.RefuseSession)
    assert refused.reason == "MODEL_CRASHED"
    assert deaths(bench) == 1


def test_a_load_that_was_suspected_and_ends_well_is_kept(bench: Bench) -> None:
    worker = bench.serving("b")[0]
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    dies(bench, worker, loading="a", running=("b",))
    seated(bench)
    session = bench.state.leases[EI].sessions["a"]
    assert session.kept
    assert not session.suspect_load
    assert bench.last(do.KeepSession) == do.KeepSession(EI, "a", b"signature")


def test_runs_answered_in_a_worker_that_is_gone_are_nothing(bench: Bench) -> None:
    bench.serving("a")
    assert bench.tell(on.RunsAnswered(99, ("a",))) == []
    assert bench.tell(on.RunsAnswered(bench.spare(), ("a",))) == []


# Other runtimes than the reference


def test_a_death_while_another_runtime_was_tried_counts_against_nobody(bench: Bench) -> None:
    worker = bench.serving("a", "b")[0]
    assert not bench.state.reference_only(EI, "a")
    dies(bench, worker, loading="a")
    assert deaths(bench) == 0
    assert bench.state.reference_only(EI, "a")
    assert not bench.state.reference_only(EI, "b")
    seated(bench)
    assert sorted(open_sessions(bench)) == ["a", "b"]
    assert bench.state.reference_only(EI, "a")


def test_what_ran_when_a_worker_died_keeps_to_the_reference(bench: Bench) -> None:
    worker = bench.serving("a", "b", "c")[0]
    dies(bench, worker, running=("a", "b"))
    only = [name for name in "abc" if bench.state.reference_only(EI, name)]
    assert only == ["a", "b"]


def test_a_kill_from_outside_says_nothing_of_any_runtime(bench: Bench) -> None:
    worker = bench.serving("a")[0]
    dies(bench, worker, KILL, loading="a", running=("a",))
    assert not bench.state.reference_only(EI, "a")
    assert not bench.state.reference_only("ei-none", "a")
