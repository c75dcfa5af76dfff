"""Calls of a session that not all workers of its instance have."""

from __future__ import annotations

from eais_client.brain import call_events as ev
from eais_client.brain.fast_path import submit_now
from tests.unit.client.test_calls import DIED, Brain, refused, worker

NOT_ON_1 = ev.SessionOpened("s", 1, frozenset({1}))


def sends(brain: Brain) -> list[tuple[int, int]]:
    """Call and worker of what was just sent."""
    return [(a.call, a.worker) for a in brain.said if isinstance(a, ev.Send)]


def test_its_calls_go_to_those_that_have_it() -> None:
    brain = Brain(1, 2).connected(1, 2)
    brain.tell(NOT_ON_1)
    for call in range(1, 6):
        brain.submit(call)
        assert sends(brain) == [(call, 2)]


def test_its_calls_take_the_long_way_and_others_dont() -> None:
    brain = Brain(1, 2).connected(1, 2)
    brain.tell(ev.SessionOpened("other", 1))
    brain.tell(NOT_ON_1)
    assert submit_now(brain.state, 1, "s", 0, now=brain.now) is None
    link = submit_now(brain.state, 2, "other", 0, now=brain.now)
    assert link is not None
    assert link.worker.n == 1


def test_a_worker_that_doesnt_know_it_is_left_once_the_listener_says_so() -> None:
    brain = Brain(1, 2).connected(1, 2)
    brain.submit(1)
    assert sends(brain) == [(1, 1)]
    brain.tell(refused(1, "SESSION_UNKNOWN"))
    assert brain.of(ev.Reopen) == [ev.Reopen("s")]
    brain.tell(NOT_ON_1)
    again = sends(brain)
    brain.later(1.0)
    assert [*again, *sends(brain)] == [(1, 2)]
    brain.submit(2)
    assert sends(brain) == [(2, 2)]


def test_it_waits_for_the_worker_that_has_it_and_asks_where_that_is() -> None:
    brain = Brain(1, 2).connected(1, 2)
    brain.tell(NOT_ON_1)
    brain.tell(ev.StreamBroken(2, DIED))
    brain.submit(1)
    assert not sends(brain)
    assert brain.of(ev.Find)
    asked = brain.state.finds
    brain.tell(ev.Endpoints(1, (worker(1), worker(2, serving=False)), found=True))
    brain.later(1.0)
    assert brain.state.finds == asked + 1
    brain.tell(ev.Endpoints(1, (worker(1), worker(2, incarnation=2)), found=True))
    (connect,) = brain.of(ev.Connect)
    assert isinstance(connect, ev.Connect)
    assert connect.worker.n == 2
    brain.tell(ev.StreamOpened(connect.stream))
    assert sends(brain) == [(1, 2)]


def test_it_doesnt_wait_for_ever_while_others_are_served_elsewhere() -> None:
    brain = Brain(1, 2).connected(1, 2)
    brain.tell(ev.SessionOpened("other", 1))
    brain.tell(NOT_ON_1)
    brain.tell(ev.Endpoints(1, (worker(1),)))
    brain.submit(1)
    failed: dict[int, str] = {}
    for call in range(100, 140):
        brain.tell(ev.Submitted(call, "other"))
        assert sends(brain) == [(call, 1)]
        brain.tell(ev.Answered(call))
        brain.later(1.0)
        failed |= brain.failures()
    assert list(failed) == [1]


def test_a_new_epoch_says_anew_who_has_it() -> None:
    brain = Brain(1, 2).connected(1, 2)
    brain.tell(NOT_ON_1)
    brain.tell(ev.Endpoints(2, (worker(1),)))
    brain.tell(ev.SessionOpened("s", 1, frozenset({1})))  # of the epoch before
    brain.submit(1)
    brain.tell(ev.SessionOpened("s", 2))
    brain.tell(ev.StreamOpened(brain.state.streams))
    assert sends(brain) == [(1, 1)]
