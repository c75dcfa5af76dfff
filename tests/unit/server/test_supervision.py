from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from eais.transition import IllegalMove
from eais_server.supervision import WORKER_TABLE, Limits, State, WorkerEvent, WorkerState
from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from eais_server.supervision.held import NEVER
from tests.unit.server.supervision_bench import EI, TENANT, Bench, models

SEGV, KILL = 11, 9


@pytest.fixture
def bench() -> Bench:
    return Bench()


def kinds(actions: Iterable[do.Action]) -> list[type]:
    return [type(action) for action in actions]


# The table


def test_an_illegal_move_raises() -> None:
    with pytest.raises(IllegalMove):
        WORKER_TABLE.after(WorkerState.SPARE, WorkerEvent.SERVE)


def test_every_state_but_the_last_ends_in_an_exit() -> None:
    ends = {state for state in WorkerState if WORKER_TABLE.allows(state, WorkerEvent.EXIT)}
    assert ends == set(WorkerState) - {WorkerState.EXITED}


def test_the_diagram_in_the_docs_is_the_table() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "listener.md"
    drawn = page.read_text().split("<!-- generated: worker -->\n```mermaid\n")[1]
    assert drawn.split("\n```")[0] == WORKER_TABLE.mermaid()


# From nothing to serving


def test_a_spare_is_kept_warm(bench: Bench) -> None:
    assert bench.tell(on.Tick()) == [do.Spawn(1)]
    assert bench.tell(on.WorkerReady(1, 2)) == []
    assert bench.state.spares() == 1
    assert bench.after(3600) == []


def test_without_spares_a_worker_is_spawned_for_the_lease() -> None:
    bench = Bench(State(Limits(spares=0)))
    assert bench.tell(on.Tick()) == []
    taken = on.LeaseTaken(EI, TENANT, 7, (on.SlotAsked(1),))
    assert bench.tell(taken) == [do.Spawn(1)]
    assert bench.tell(on.WorkerReady(1, 2)) == [do.Adopt(1, EI, 1, 1, 0)]


def test_a_grant_adopts_the_spare_and_is_answered_when_it_serves(bench: Bench) -> None:
    bench.tell(on.Tick(), on.WorkerReady(1, 2))
    taken = bench.tell(on.LeaseTaken(EI, TENANT, 7, (on.SlotAsked(1),)))
    assert taken == [do.Adopt(1, EI, 1, 1, 0)]
    bound = bench.tell(on.WorkerBound(1, 4001))
    assert bound == [
        do.RecordPort(1, EI, 1, 4001),
        do.Serve(1),
        do.AnswerGranted(EI),
        do.Spawn(2),
    ]


def test_a_new_spare_waits_for_the_workers_that_are_waited_for(bench: Bench) -> None:
    assert bench.tell(on.LeaseTaken(EI, TENANT, 7, (on.SlotAsked(1), on.SlotAsked(2)))) == [
        do.Spawn(1),
        do.Spawn(2),
    ]
    bench.tell(on.WorkerReady(1, 2), on.WorkerReady(2, 2), on.WorkerBound(1, 4001))
    assert kinds(bench.said).count(do.Spawn) == 2
    assert bench.tell(on.WorkerBound(2, 4002))[-1] == do.Spawn(3)


def test_a_new_spare_waits_for_a_load_but_not_for_a_long_one(bench: Bench) -> None:
    (worker,) = bench.serving("a")
    spare = bench.spare()
    bench.tell(on.WorkerExited(worker, KILL))
    begun = bench.now
    assert bench.tell(on.WorkerBound(spare, 4000 + worker)) == [do.Load(spare, EI, "a")]
    assert bench.after(0.5) == []
    wake = bench.state.next_wake(bench.now)
    assert wake == begun + bench.state.limits.hurry_s
    bench.now = wake
    assert bench.tell(on.Tick()) == [do.Spawn(spare + 1)]
    bench.tell(on.WorkerReady(spare + 1, 2))
    assert bench.state.next_wake(bench.now) > wake, "nothing is to be done a second time"


def test_sessions_are_loaded_one_by_one_before_it_serves(bench: Bench) -> None:
    bench.tell(on.Tick(), on.WorkerReady(1, 2))
    slot = on.SlotAsked(1, port=4001, incarnation=3)
    taken = bench.tell(on.LeaseTaken(EI, TENANT, 7, (slot,), models("a", "b"), granted=True))
    assert taken == [do.Adopt(1, EI, 1, 4, 4001), do.Publish(EI)]
    assert bench.tell(on.WorkerBound(1, 4001)) == [do.Load(1, EI, "a")]
    assert bench.tell(on.SessionLoaded(1, "a", b"")) == [do.Load(1, EI, "b")]
    done = bench.tell(on.SessionLoaded(1, "b", b""))
    assert done == [do.Serve(1), do.Publish(EI), do.Spawn(2)]


def test_a_lease_with_two_slots_is_granted_when_both_serve(bench: Bench) -> None:
    bench.serving(slots=(1, 2))
    assert kinds(bench.said).count(do.AnswerGranted) == 1
    assert kinds(bench.said)[-2:] == [do.AnswerGranted, do.Spawn]
    assert [seat.n for seat in bench.state.seats(EI) if seat.serving] == [1, 2]


# Opening sessions


def test_an_open_loads_and_keeps(bench: Bench) -> None:
    (worker,) = bench.serving()
    assert bench.tell(on.LoadAsked(EI, "a", "model-a")) == [do.Load(worker, EI, "a")]
    loaded = bench.tell(on.SessionLoaded(worker, "a", b"signature"))
    assert loaded == [do.KeepSession(EI, "a", b"signature")]


def test_an_open_is_answered_when_all_serving_workers_have_it(bench: Bench) -> None:
    one, two = bench.serving(slots=(1, 2))
    assert bench.tell(on.LoadAsked(EI, "a", "model-a")) == [
        do.Load(one, EI, "a"),
        do.Load(two, EI, "a"),
    ]
    assert bench.tell(on.SessionLoaded(two, "a", b"s")) == []
    assert bench.tell(on.SessionLoaded(one, "a", b"s")) == [do.KeepSession(EI, "a", b"s")]


def test_a_refused_load_is_answered_and_not_kept(bench: Bench) -> None:
    (worker,) = bench.serving()
    failure = on.Failure("MODEL_PARSE", "no protobuf")
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    refused = bench.tell(on.LoadRefused(worker, "a", failure))
    assert refused == [do.Unload(worker, "a"), do.RefuseSession(EI, "a", failure)]
    assert bench.state.leases[EI].sessions == {}


def test_a_damaged_file_takes_the_session_from_the_other_workers(bench: Bench) -> None:
    one, two = bench.serving(slots=(1, 2))
    bench.tell(on.LoadAsked(EI, "a", "model-a"), on.SessionLoaded(one, "a", b"s"))
    failure = on.Failure("DIGEST_MISMATCH", "another file")
    refused = bench.tell(on.LoadRefused(two, "a", failure))
    assert refused == [
        do.Unload(two, "a"),
        do.Unload(one, "a"),
        do.RefuseSession(EI, "a", failure),
    ]


def test_an_open_on_a_lease_that_leaves_is_refused(bench: Bench) -> None:
    bench.serving()
    bench.tell(on.LeaseRevoked(EI, 1.0))
    (refused,) = bench.tell(on.LoadAsked(EI, "a", "model-a"))
    assert isinstance(refused, do.RefuseSession)
    assert refused.failure.reason == "DRAINING"


def test_a_dropped_session_is_unloaded(bench: Bench) -> None:
    (worker,) = bench.serving("a")
    assert bench.tell(on.SessionDropped(EI, "a")) == [do.Unload(worker, "a")]
    assert bench.tell(on.SessionDropped(EI, "a")) == []


def test_a_session_dropped_while_it_loads_is_unloaded_after(bench: Bench) -> None:
    one, two = bench.serving("a", slots=(1, 2))
    bench.tell(on.WorkerExited(one, KILL))
    three = bench.spare() if not bench.state.spares() else 0
    loading = [w for w in bench.state.workers.values() if w.state is WorkerState.ADOPTING]
    bench.tell(on.WorkerBound(loading[0].id, loading[0].id + 4000))
    assert loading[0].loading == "a"
    assert bench.tell(on.SessionDropped(EI, "a")) == [do.Unload(two, "a")]
    done = bench.tell(on.SessionLoaded(loading[0].id, "a", b""))
    assert do.Unload(loading[0].id, "a") in done
    assert do.Serve(loading[0].id) in done
    assert three in (0, loading[0].id)


# Deaths


def test_a_dead_worker_comes_back_at_once_at_its_port(bench: Bench) -> None:
    (worker,) = bench.serving("a")
    spare = bench.spare()
    gone = bench.tell(on.WorkerExited(worker, KILL))
    port = 4000 + worker
    assert gone == [do.Adopt(spare, EI, 1, 2, port), do.Publish(EI)]
    bound = bench.tell(on.WorkerBound(spare, port))
    assert bound == [do.Load(spare, EI, "a")]
    back = bench.tell(on.SessionLoaded(spare, "a", b""))
    assert back == [do.Serve(spare), do.Publish(EI), do.Spawn(spare + 1)]


def test_deaths_in_a_row_are_waited_out(bench: Bench) -> None:
    (worker,) = bench.serving()
    waits = []
    for _ in range(5):
        bench.spare()
        gone = bench.tell(on.WorkerExited(worker, SEGV))
        if do.Adopt not in kinds(gone):
            wake = bench.state.next_wake(bench.now)
            waits.append(round(wake - bench.now, 3))
            bench.now = wake
            assert do.Adopt in kinds(bench.tell(on.Tick()))
        worker = bench.bring_up()
    assert waits == [0.05, 0.1, 0.2, 0.4]


def test_spares_that_die_are_not_started_in_a_loop(bench: Bench) -> None:
    spawned = bench.tell(on.Tick())
    times = []
    for _ in range(6):
        worker = [action.worker for action in spawned if isinstance(action, do.Spawn)][-1]
        spawned = bench.tell(on.WorkerExited(worker, code=1))
        if not spawned:
            wake = bench.state.next_wake(bench.now)
            times.append(round(wake - bench.now, 3))
            bench.now = wake
            spawned = bench.tell(on.Tick())
    assert times == [0.05, 0.1, 0.2, 0.4, 0.8]


def test_a_port_that_was_taken_is_given_up(bench: Bench) -> None:
    (worker,) = bench.serving()
    spare = bench.spare()
    bench.tell(on.WorkerExited(worker, KILL))
    failed = bench.tell(on.BindFailed(spare, on.Failure("PORT", "taken")))
    assert failed[0] == do.Kill(spare, "it can't bind: taken")
    next_spare = bench.spare()
    bench.tell(on.WorkerExited(spare, KILL))
    bench.after(1.0)
    assert bench.last(do.Adopt) == do.Adopt(next_spare, EI, 1, 3, 0)
    bound = bench.tell(on.WorkerBound(next_spare, 5555))
    assert bound[:1] == [do.RecordPort(next_spare, EI, 1, 5555)]


def test_a_kill_from_outside_is_held_against_nobody_the_first_time(bench: Bench) -> None:
    (worker,) = bench.serving()
    bench.tell(on.LoadAsked(EI, "a", "model-a"), on.WorkerExited(worker, KILL))
    assert "a" in bench.state.leases[EI].sessions
    worker = bench.bring_up()
    assert bench.state.leases[EI].sessions["a"].kept
    assert bench.last(do.KeepSession) == do.KeepSession(EI, "a", b"signature")


def test_a_kept_session_survives_kills_from_outside(bench: Bench) -> None:
    bench.serving("a")
    for _ in range(4):
        bench.spare()
        bench.after(5.0)
        seated = next(w for w in bench.state.workers.values() if w.seat)
        if seated.state is WorkerState.ADOPTING:
            bench.tell(on.WorkerBound(seated.id, 4000))
        bench.tell(on.WorkerExited(seated.id, KILL))
    assert bench.state.leases[EI].sessions["a"].kept


def test_a_kept_session_that_is_refused_is_forgotten_and_the_rest_serves(bench: Bench) -> None:
    (worker,) = bench.serving("a", "b")
    bench.spare()
    bench.tell(on.WorkerExited(worker, KILL))
    worker = next(w.id for w in bench.state.workers.values() if w.seat)
    bench.tell(on.WorkerBound(worker, 4000))
    failure = on.Failure("MODEL_MEMORY", "no room")
    refused = bench.tell(on.LoadRefused(worker, "a", failure))
    assert do.ForgetSession(EI, "a", failure) in refused
    assert do.Serve(worker) in bench.tell(on.SessionLoaded(worker, "b", b""))


@pytest.mark.parametrize("reason", ["STORE_FULL", "STORE_UNAVAILABLE"])
def test_a_disk_that_fails_costs_a_worker_not_the_session(bench: Bench, reason: str) -> None:
    (worker,) = bench.serving("a")
    bench.spare()
    bench.tell(on.WorkerExited(worker, KILL))
    worker = next(w.id for w in bench.state.workers.values() if w.seat)
    bench.tell(on.WorkerBound(worker, 4000))
    kill, _ = bench.tell(on.LoadRefused(worker, "a", on.Failure(reason, "the disk is full")))
    assert kill == do.Kill(worker, "its models can't be laid out: the disk is full")
    bench.tell(on.WorkerExited(worker, KILL))
    assert bench.state.leases[EI].sessions["a"].kept


def test_a_load_that_takes_too_long_is_killed_and_answered(bench: Bench) -> None:
    (worker,) = bench.serving()
    bench.spare()
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    assert bench.after(119.9) == []
    assert bench.after(0.2) == [do.Kill(worker, "its load took too long"), do.Publish(EI)]
    refused = bench.tell(on.WorkerExited(worker, KILL))[0]
    assert isinstance(refused, do.RefuseSession)
    assert refused.failure.reason == "MODEL_LOAD_TIMEOUT"
    assert refused.failure.metadata["limit_s"] == "120"


def frozen(bench: Bench, worker: int, bound_s: float) -> None:
    """The worker spoke for the last time, and is killed that long after, and a second look."""
    bench.now += 0.3
    bench.tell(on.Beat(worker, bench.state.workers[worker].turns + 1))
    assert bench.state.next_wake(bench.now) == pytest.approx(bench.now + bound_s)
    assert bench.silence(bound_s - 0.1) == []
    assert bench.silence(0.2) == []
    assert bench.silence(0.3) == []
    assert bench.silence(0.2)[0] == do.Kill(worker, "its heartbeat stopped")
    bench.tell(on.Beat(worker, 1000))
    assert bench.silence(100.0)[:1] != [do.Kill(worker, "its heartbeat stopped")]


def test_a_heartbeat_that_stops_is_the_end(bench: Bench) -> None:
    (worker,) = bench.serving()
    frozen(bench, worker, 1.0)


def test_a_spare_that_is_frozen_is_replaced_before_it_is_wanted(bench: Bench) -> None:
    spare = 1
    bench.tell(on.Tick(), on.WorkerReady(spare, 2))
    frozen(bench, spare, 1.0)
    bench.tell(on.WorkerExited(spare, KILL))
    bench.tell(on.LeaseTaken(EI, TENANT, 7, (on.SlotAsked(1),)))
    bench.after(5.0)
    assert bench.bring_up() != spare


def test_a_spare_that_freezes_when_it_is_adopted_is_found_before_that_is_late(
    bench: Bench,
) -> None:
    bench.tell(on.Tick(), on.WorkerReady(1, 2), on.LeaseTaken(EI, TENANT, 7, (on.SlotAsked(1),)))
    frozen(bench, 1, 5.0)


@pytest.mark.parametrize("serves", [True, False])
def test_a_worker_that_freezes_while_it_loads_is_found_soon(bench: Bench, serves: bool) -> None:
    """One load is an Open of a worker that serves, the other a restarted worker's first."""
    (worker,) = bench.serving(*(() if serves else ("a",)))
    if serves:
        bench.tell(on.LoadAsked(EI, "a", "model-a"))
    else:
        bench.spare()
        bench.tell(on.WorkerExited(worker, KILL))
        (worker,) = (w.id for w in bench.state.workers.values() if w.seat)
        bench.tell(on.WorkerBound(worker, 4001))
    assert bench.state.workers[worker].loading == "a"
    bench.after(60.0)
    frozen(bench, worker, 5.0)


def test_a_worker_that_loaded_is_judged_as_before(bench: Bench) -> None:
    (worker,) = bench.serving()
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    assert bench.silence(4.9) == []
    bench.tell(on.SessionLoaded(worker, "a", b""))
    assert bench.state.workers[worker].deadline == NEVER
    frozen(bench, worker, 1.0)


def test_who_may_be_silent_for_long_may_be_so_in_a_load() -> None:
    bench = Bench(State(Limits(heartbeat_timeout_s=30.0)))
    (worker,) = bench.serving()
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    frozen(bench, worker, 30.0)


def test_a_load_during_which_the_loop_stands_still_is_frozen(bench: Bench) -> None:
    (worker,) = bench.serving()
    bench.tell(on.LoadAsked(EI, "a", "model-a"), on.Beat(worker, 5))
    bench.spare()
    for _ in range(22):
        bench.now += 0.25
        bench.tell(on.Beat(worker, 5))
    bench.silence(0.0)
    found = bench.silence(0.5)
    assert do.Kill(worker, "its event loop stands still") in found


def test_a_heartbeat_without_a_turn_of_the_loop_is_none(bench: Bench) -> None:
    (worker,) = bench.serving()
    bench.tell(on.Beat(worker, 5))
    for _ in range(5):
        bench.now += 0.25
        bench.tell(on.Beat(worker, 5))
    assert bench.silence(0.0) == []
    assert bench.silence(0.5)[:1] == [do.Kill(worker, "its event loop stands still")]


def test_a_heartbeat_that_was_only_late_is_forgiven() -> None:
    bench = Bench(State(Limits(spawn_timeout_s=3600.0)))
    (worker,) = bench.serving()
    for turns in range(3):
        assert bench.silence(60.0) == []
        bench.tell(on.Beat(worker, turns))
        assert bench.silence(0.9) == []


def test_a_worker_that_starts_needs_no_heartbeat_but_must_come_up(bench: Bench) -> None:
    bench.tell(on.Tick())
    assert bench.silence(59.0) == []
    assert bench.silence(1.0)[:1] == [do.Kill(1, "it took too long to start")]


def test_an_adoption_must_come_to_an_end(bench: Bench) -> None:
    bench.tell(on.Tick(), on.WorkerReady(1, 2), on.LeaseTaken(EI, TENANT, 7, (on.SlotAsked(1),)))
    assert do.Kill(1, "it took too long to bind its port") in bench.after(10.0)


def test_a_stuck_worker_is_killed_once(bench: Bench) -> None:
    (worker,) = bench.serving()
    assert bench.tell(on.WorkerStuck(worker))[0] == do.Kill(worker, "a call of it doesn't end")


@pytest.mark.parametrize(
    "event",
    [
        on.WorkerReady(1, 2),
        on.WorkerBound(1, 4000),
        on.BindFailed(1, on.Failure("PORT", "taken")),
        on.SessionLoaded(1, "a", b""),
        on.LoadRefused(1, "a", on.Failure("MODEL_PARSE", "no")),
        on.WorkerAstray(1, "it said nonsense"),
    ],
)
def test_a_worker_that_says_what_it_may_not_is_killed(bench: Bench, event: on.Event) -> None:
    assert bench.serving() == [1]
    found = bench.tell(event)
    assert kinds(found)[0] is do.Kill
    assert bench.tell(event) == []


def test_events_of_a_worker_that_is_gone_are_nothing(bench: Bench) -> None:
    (worker,) = bench.serving()
    bench.tell(on.WorkerExited(worker, KILL))
    assert (
        bench.tell(on.WorkerExited(worker, KILL), on.Beat(worker, 1), on.WorkerStuck(worker)) == []
    )


# Grants that fail, ends


def test_a_grant_that_never_serves_is_given_up(bench: Bench) -> None:
    bench.tell(on.Tick())
    bench.spare()
    bench.tell(on.LeaseTaken(EI, TENANT, 7, (on.SlotAsked(1),)))
    for _ in range(5):
        worker = next(w.id for w in bench.state.workers.values() if w.seat)
        bench.tell(on.WorkerExited(worker, code=3))
        bench.after(5.0)
        bench.spare()
    release = bench.last(do.Release)
    assert isinstance(release, do.Release)
    assert release.failure is not None
    assert release.failure.reason == "PROCESS_FAILED"
    assert release.failure.metadata == {"exit_code": "3"}
    assert EI not in bench.state.leases


def test_a_lease_that_was_granted_is_never_given_up(bench: Bench) -> None:
    bench.serving()
    for _ in range(12):
        worker = next(w.id for w in bench.state.workers.values() if w.seat)
        bench.tell(on.WorkerExited(worker, SEGV))
        bench.after(5.0)
        if not any(w.seat for w in bench.state.workers.values()):
            bench.spare()
    assert EI in bench.state.leases


def test_a_revoked_lease_drains_and_is_released_after_the_exit(bench: Bench) -> None:
    (worker,) = bench.serving()
    revoked = bench.tell(on.LeaseRevoked(EI, 2.0))
    assert revoked == [do.Drain(worker, 2.0), do.Publish(EI)]
    assert bench.after(2.0) == []
    released = bench.tell(on.WorkerExited(worker))
    assert released == [do.Release(EI, 7)]
    assert EI not in bench.state.leases


def test_a_drain_that_doesnt_end_is_killed(bench: Bench) -> None:
    (worker,) = bench.serving()
    bench.spare()
    bench.tell(on.LeaseRevoked(EI, 2.0))
    assert bench.after(2.25) == [do.Kill(worker, "its grace is over")]
    assert bench.after(100.0) == []
    assert bench.tell(on.WorkerExited(worker, KILL)) == [do.Release(EI, 7)]


def test_a_worker_that_doesnt_serve_yet_has_nothing_to_drain(bench: Bench) -> None:
    bench.tell(on.Tick(), on.WorkerReady(1, 2), on.LeaseTaken(EI, TENANT, 7, (on.SlotAsked(1),)))
    revoked = bench.tell(on.LeaseRevoked(EI, 2.0))
    assert revoked == [do.Kill(1, "it isn't needed any more"), do.Spawn(2)]


def test_a_lease_without_a_process_is_released_at_once(bench: Bench) -> None:
    bench.tell(on.Tick(), on.LeaseTaken(EI, TENANT, 7, (on.SlotAsked(1),)))
    assert do.Release(EI, 7) in bench.tell(on.LeaseRevoked(EI, 2.0))


def test_opens_that_wait_are_refused_when_the_lease_goes(bench: Bench) -> None:
    bench.serving()
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    refused = bench.tell(on.LeaseRevoked(EI, 2.0))[0]
    assert isinstance(refused, do.RefuseSession)
    assert refused.failure.reason == "DRAINING"


def test_a_worker_is_never_adopted_twice(bench: Bench) -> None:
    (worker,) = bench.serving()
    bench.tell(on.LeaseRevoked(EI, 0.0), on.WorkerExited(worker, KILL))
    bench.spare()
    bench.tell(on.LeaseTaken("ei-2", TENANT, 1, (on.SlotAsked(1),)))
    adopted = [action.worker for action in bench.said if isinstance(action, do.Adopt)]
    assert len(adopted) == len(set(adopted)) == 2


def test_a_shutdown_drains_and_starts_nothing_any_more(bench: Bench) -> None:
    (worker,) = bench.serving("a")
    spare = bench.spare()
    ending = bench.tell(on.ShutdownAsked(1.0))
    assert ending == [
        do.Drain(worker, 1.0),
        do.Kill(spare, "it isn't needed any more"),
        do.Publish(EI),
    ]
    assert bench.tell(on.WorkerExited(spare, KILL)) == []
    assert bench.tell(on.WorkerExited(worker)) == [do.AllGone()]
    assert bench.after(60.0) == []
    assert EI in bench.state.leases


def test_a_lease_is_taken_once(bench: Bench) -> None:
    bench.serving()
    with pytest.raises(ValueError, match="held already"):
        bench.tell(on.LeaseTaken(EI, TENANT, 8, (on.SlotAsked(1),)))


def test_what_runs_a_session_is_known_while_it_is_loaded() -> None:
    bench = Bench()
    (worker,) = bench.serving("a")
    runs = on.Runs("half/bf16", (("onnxruntime/fp32", "slower"),))
    bench.tell(on.SessionRuns(worker, "a", runs), on.SessionRuns(worker, "b", runs))
    assert bench.state.workers[worker].runs == {"a": runs}
    bench.tell(on.SessionRuns(worker + 7, "a", runs))
    bench.tell(on.SessionDropped(EI, "a"), on.SessionRuns(worker, "a", runs))
    assert bench.state.workers[worker].runs == {}
