"""Sessions that some workers of an instance can't have."""

from __future__ import annotations

import pytest

from eais_server.supervision import WorkerState
from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from tests.unit.server.supervision_bench import EI, KILL, Bench, dies, failure, open_sessions

NO_ROLE = on.Failure("IMAGE_MISSING", "no role computes it")
WRONG = on.Failure("PARITY_REFUSED", "its answers are off")
A = on.LoadAsked(EI, "a", "model-a")
KEPT = do.KeepSession(EI, "a", b"s")


def refused_by(bench: Bench) -> set[int]:
    return set(bench.state.leases[EI].sessions["a"].refused)


def partly(bench: Bench) -> tuple[int, int]:
    """Two workers; the first has session a, the second refused it."""
    one, two = bench.serving(slots=(1, 2))
    bench.tell(A, on.LoadRefused(two, "a", NO_ROLE), on.SessionLoaded(one, "a", b"s"))
    return one, two


@pytest.mark.parametrize("first", ["refused", "loaded"])
def test_a_session_is_open_where_it_can_be(first: str) -> None:
    bench = Bench()
    one, two = bench.serving(slots=(1, 2))
    bench.tell(A)
    before: on.Event = on.LoadRefused(two, "a", NO_ROLE)
    after: on.Event = on.SessionLoaded(one, "a", b"s")
    if first == "loaded":
        before, after = after, before
    assert KEPT not in bench.tell(before)
    assert KEPT in bench.tell(after)
    assert refused_by(bench) == {2}
    assert not [a for a in bench.said if isinstance(a, do.RefuseSession)]
    assert bench.state.workers[two].state is WorkerState.SERVING


def test_what_all_refuse_is_refused_with_the_first_ones_reason() -> None:
    bench = Bench()
    one, two = bench.serving(slots=(1, 2))
    bench.tell(A, on.LoadRefused(two, "a", NO_ROLE))
    found = bench.tell(on.LoadRefused(one, "a", WRONG))
    assert failure(found, do.RefuseSession) == WRONG
    assert open_sessions(bench) == []


def test_who_isnt_there_now_is_waited_for() -> None:
    bench = Bench()
    one, two = bench.serving(slots=(1, 2))
    dies(bench, one, KILL)
    found = bench.tell(A, on.LoadRefused(two, "a", NO_ROLE))
    assert not [a for a in found if isinstance(a, do.RefuseSession)]
    bench.after(6.0)
    bench.bring_up()
    assert do.KeepSession(EI, "a", b"signature") in bench.said


def test_the_worker_that_has_it_may_die_and_the_session_stays() -> None:
    bench = Bench()
    one, _ = partly(bench)
    dies(bench, one, KILL)
    assert open_sessions(bench) == ["a"]
    bench.after(6.0)
    again = bench.bring_up()
    assert "a" in bench.state.workers[again].loaded
    assert refused_by(bench) == {2}


def test_the_next_worker_of_one_that_refused_is_asked_anew() -> None:
    bench = Bench()
    _, two = partly(bench)
    dies(bench, two, KILL)
    assert refused_by(bench) == set()
    bench.after(6.0)
    again = bench.bring_up()
    assert "a" in bench.state.workers[again].loaded


def test_a_new_worker_that_refuses_again_serves_the_others() -> None:
    bench = Bench()
    _, two = partly(bench)
    dies(bench, two, KILL)
    bench.after(6.0)
    bench.spare()
    adopted = bench.last(do.Adopt)
    assert isinstance(adopted, do.Adopt)
    bench.tell(on.WorkerBound(adopted.worker, 4000))
    found = bench.tell(on.LoadRefused(adopted.worker, "a", NO_ROLE))
    assert do.Serve(adopted.worker) in found
    assert not [a for a in bench.said if isinstance(a, do.ForgetSession)]


def test_a_session_isnt_left_with_nobody_who_can_have_it() -> None:
    """Its only worker is taken away: who calls it hears why the others can't."""
    bench = Bench()
    one, _ = partly(bench)
    found = bench.tell(on.SlotRevoked(EI, 1, 3.0))
    assert found[0] == do.Drain(one, 3.0)
    assert failure(found, do.ForgetSession) == NO_ROLE
    assert do.SlotGone(EI, 1) in dies(bench, one, 0)


def test_a_share_that_is_taken_back_refuses_nothing_any_more() -> None:
    bench = Bench()
    _, two = partly(bench)
    bench.tell(on.SlotRevoked(EI, 2, 3.0))
    dies(bench, two, 0)
    assert refused_by(bench) == set()
    assert open_sessions(bench) == ["a"]


def adding(bench: Bench, n: int) -> int:
    bench.spare()
    bench.tell(on.SlotsAdded(EI, (on.SlotAsked(n, proven=False),)))
    return bench.bring_up()


def two_added(bench: Bench) -> tuple[int, int]:
    """A worker that has session a, and two that were added and are to load it."""
    bench.serving("a")
    found = []
    for n in (2, 3):
        bench.tell(on.SlotsAdded(EI, (on.SlotAsked(n, proven=False),)))
        bench.spare()
        adopted = bench.last(do.Adopt)
        assert isinstance(adopted, do.Adopt)
        assert adopted.n == n
        found.append(adopted.worker)
        bench.tell(on.WorkerBound(adopted.worker, 5000 + n))
    two, three = found
    return two, three


def test_of_shares_that_are_added_one_is_enough() -> None:
    bench = Bench()
    two, three = two_added(bench)
    assert do.Serve(two) in bench.tell(on.LoadRefused(two, "a", NO_ROLE))
    assert do.Serve(three) in bench.tell(on.SessionLoaded(three, "a", b"s"))
    assert not [a for a in bench.said if isinstance(a, do.SlotFailed)]
    bench.tell(on.SlotRevoked(EI, 1, 3.0))
    assert open_sessions(bench) == ["a"]


def test_added_shares_of_which_none_can_have_a_session_are_given_up() -> None:
    bench = Bench()
    two, three = two_added(bench)
    bench.tell(on.LoadRefused(two, "a", NO_ROLE))
    found = bench.tell(on.LoadRefused(three, "a", WRONG))
    assert found[0] == do.SlotFailed(EI, 3, WRONG)
    assert open_sessions(bench) == ["a"]


def test_a_damaged_file_costs_an_added_share_and_not_the_session() -> None:
    """Those that serve have the model already."""
    bench = Bench()
    two, _ = two_added(bench)
    damaged = on.Failure("DIGEST_MISMATCH", "another file")
    assert bench.tell(on.LoadRefused(two, "a", damaged))[0] == do.SlotFailed(EI, 2, damaged)
    assert open_sessions(bench) == ["a"]


def test_what_opens_while_shares_are_replaced_must_do_without_those_that_go() -> None:
    bench = Bench()
    (old,) = bench.serving()
    new = adding(bench, 2)
    bench.tell(A, on.SessionLoaded(old, "a", b"s"))
    found = bench.tell(on.LoadRefused(new, "a", NO_ROLE))
    assert failure(found, do.RefuseSession) == NO_ROLE


def test_once_they_are_replaced_the_new_ones_are_as_any() -> None:
    bench = Bench()
    (old,) = bench.serving()
    two = adding(bench, 2)
    bench.tell(on.SlotRevoked(EI, 1, 0.0))
    dies(bench, old, KILL)
    three = adding(bench, 3)
    bench.tell(A, on.SessionLoaded(two, "a", b"s"))
    found = bench.tell(on.LoadRefused(three, "a", NO_ROLE))
    assert failure(found, do.RefuseSession) == NO_ROLE
    bench.tell(on.SlotRevoked(EI, 3, 0.0))
    dies(bench, three, KILL)
    bench.tell(A)
    assert KEPT in bench.tell(on.SessionLoaded(two, "a", b"s"))
