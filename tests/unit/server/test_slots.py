"""Workers that come to a lease, and that leave it, while others serve."""

from __future__ import annotations

import pytest

from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from tests.unit.server.supervision_bench import EI, KILL, SEGV, TENANT, Bench, dies, models

FAILED = on.Failure("OP_REFUSED", "not on this device")


def adding(bench: Bench, n: int = 2) -> int:
    """An unproven slot, whose worker has its port; its number."""
    bench.spare()
    bench.tell(on.SlotsAdded(EI, (on.SlotAsked(n, proven=False),)))
    adopted = bench.last(do.Adopt)
    assert isinstance(adopted, do.Adopt)
    assert adopted.n == n
    bench.tell(on.WorkerBound(adopted.worker, 5000))
    return adopted.worker


def kinds(found: list[do.Action]) -> list[type]:
    return [type(action) for action in found]


def test_an_added_worker_loads_all_that_is_kept_before_it_is_published() -> None:
    bench = Bench()
    bench.serving("a", "b")
    worker = adding(bench)
    assert bench.last(do.Load) == do.Load(worker, EI, "a")
    assert do.Serve not in kinds(bench.tell(on.SessionLoaded(worker, "a", b"")))
    found = bench.tell(on.SessionLoaded(worker, "b", b""))
    assert found[:2] == [do.Serve(worker), do.SlotProven(EI, 2)]
    assert do.Publish(EI) in found
    assert [seat.serving for seat in bench.state.seats(EI)] == [True, True]


def test_a_model_that_an_added_worker_refuses_costs_the_share_and_not_the_session() -> None:
    bench = Bench()
    (first,) = bench.serving("a")
    worker = adding(bench)
    found = bench.tell(on.LoadRefused(worker, "a", FAILED))
    assert found[0] == do.SlotFailed(EI, 2, FAILED)
    assert do.ForgetSession not in kinds(bench.said)
    found = dies(bench, worker, KILL)
    assert do.SlotGone(EI, 2) in found
    assert [seat.n for seat in bench.state.seats(EI)] == [1]
    assert bench.state.workers[first].loaded == {"a"}


def test_a_crash_of_an_added_worker_counts_against_no_model() -> None:
    bench = Bench()
    bench.serving("a")
    worker = adding(bench)
    found = dies(bench, worker, SEGV, loading="a")
    assert isinstance(found[0], do.SlotFailed)
    assert found[0].failure.reason == "MODEL_CRASHED"
    assert found[1] == do.SlotGone(EI, 2)
    assert not bench.state.quarantine.records()


def test_a_load_that_takes_too_long_on_an_added_worker_gives_the_share_up() -> None:
    bench = Bench()
    bench.serving("a")
    worker = adding(bench)
    for _ in range(130):
        bench.after(1.0)
    found = dies(bench, worker, KILL)
    assert isinstance(found[0], do.SlotFailed)
    assert found[0].failure.reason == "MODEL_LOAD_TIMEOUT"


def test_a_worker_that_was_ended_from_outside_is_replaced() -> None:
    bench = Bench()
    bench.serving("a")
    worker = adding(bench)
    assert do.SlotFailed not in kinds(dies(bench, worker, KILL))
    bench.after(6.0)
    again = bench.bring_up()
    assert do.SlotProven(EI, 2) in bench.said
    assert again != worker


def test_workers_that_end_again_and_again_give_the_share_up() -> None:
    bench = Bench()
    bench.serving("a")
    worker = adding(bench)
    for _ in range(bench.state.limits.grant_attempts - 1):
        assert do.SlotFailed not in kinds(dies(bench, worker, KILL))
        bench.after(6.0)
        bench.spare()
        adopted = bench.last(do.Adopt)
        assert isinstance(adopted, do.Adopt)
        worker = adopted.worker
    found = dies(bench, worker, KILL)
    assert isinstance(found[0], do.SlotFailed)
    assert found[0].failure.reason == "PROCESS_FAILED"
    assert found[1] == do.SlotGone(EI, 2)


def test_a_share_that_is_taken_back_drains_and_isnt_replaced() -> None:
    bench = Bench()
    first, _ = bench.serving("a", slots=(1, 2))
    found = bench.tell(on.SlotRevoked(EI, 1, 3.0))
    assert found[0] == do.Drain(first, 3.0)
    assert do.Publish(EI) in found
    assert not bench.tell(on.SlotRevoked(EI, 1, 3.0))
    found = dies(bench, first, 0)
    assert found[0] == do.SlotGone(EI, 1)
    assert do.Publish(EI) in found
    bench.after(60.0)
    assert [seat.n for seat in bench.state.seats(EI)] == [2]


def test_a_share_without_a_worker_goes_at_once() -> None:
    bench = Bench()
    first, _ = bench.serving("a", slots=(1, 2))
    dies(bench, first, KILL)
    assert bench.tell(on.SlotRevoked(EI, 1, 3.0))[0] == do.SlotGone(EI, 1)


def test_what_opens_meanwhile_isnt_tried_where_nothing_served_yet() -> None:
    bench = Bench()
    (first,) = bench.serving("a")
    worker = adding(bench)
    found = bench.tell(on.LoadAsked(EI, "b", "model-b"))
    assert do.Load(first, EI, "b") in found
    bench.tell(on.SessionLoaded(first, "b", b""))
    found = bench.tell(on.SessionLoaded(worker, "a", b""))
    assert do.Load(worker, EI, "b") in found
    assert do.Serve(worker) not in found
    assert do.Serve(worker) in bench.tell(on.SessionLoaded(worker, "b", b""))


def test_a_lease_that_ends_takes_its_shares_with_it() -> None:
    bench = Bench()
    first, second = bench.serving("a", slots=(1, 2))
    bench.tell(on.SlotRevoked(EI, 1, 3.0), on.LeaseRevoked(EI, 3.0))
    found = [*dies(bench, first, 0), *dies(bench, second, 0)]
    assert do.SlotGone not in kinds(found)
    assert do.Release(EI, 7, None) in found
    assert not bench.tell(on.SlotsAdded(EI, (on.SlotAsked(3),)), on.SlotRevoked(EI, 1, 0.0))


def test_a_number_that_is_there_is_a_bug_of_the_callers() -> None:
    bench = Bench()
    bench.serving("a")
    with pytest.raises(ValueError, match="has a worker 1 already"):
        bench.tell(on.SlotsAdded(EI, (on.SlotAsked(1),)))


def test_an_unproven_share_is_still_one_when_the_listener_comes_back() -> None:
    bench = Bench()
    bench.tell(on.Tick())
    bench.spare()
    slots = (on.SlotAsked(1, 4001, 1), on.SlotAsked(2, proven=False))
    bench.tell(on.LeaseTaken(EI, TENANT, 7, slots, models("a"), True))
    bench.bring_up()
    bench.spare()
    adopted = bench.last(do.Adopt)
    assert isinstance(adopted, do.Adopt)
    bench.tell(on.WorkerBound(adopted.worker, 5000))
    found = bench.tell(on.LoadRefused(adopted.worker, "a", FAILED))
    assert do.SlotFailed(EI, 2, FAILED) in found
