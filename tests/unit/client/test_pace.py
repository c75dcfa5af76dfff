"""A worker without room: no attempt, no token, other workers first, the window, patience."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais_client.brain import call_events as ev
from eais_client.brain.call_state import Limits
from tests.unit.client.test_calls import DIED, Brain, refused, worker


def test_a_refusal_for_want_of_room_costs_neither_attempt_nor_token() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    for _ in range(50):
        brain.tell(refused(1, "BUSY", push_back_s=0.1))
        assert not brain.failures()
        assert brain.state.calls[1].attempts == 0
        brain.later(0.2)
        assert brain.of(ev.Send) == [ev.Send(1, 1, 1)]
    assert brain.state.budget.tokens == brain.state.budget.capacity


def test_a_refusal_that_does_not_say_until_when_is_an_attempt() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    for _ in range(2):
        brain.tell(refused(1, "BUSY"))
        brain.later(1.0)
    brain.tell(refused(1, "BUSY"))
    assert brain.failures() == {1: "BUSY"}


def test_another_worker_with_room_is_asked_at_once() -> None:
    brain = Brain(1, 2).connected(1, 2)
    brain.submit(1)
    assert brain.tell(refused(1, "BUSY", 1, 0.5))[0] == ev.Send(1, 2, 1)
    brain.tell(refused(1, "BUSY", 2, 0.5))
    assert not brain.of(ev.Send)
    brain.later(0.4)
    assert not brain.of(ev.Send)
    brain.later(0.2)
    assert len(brain.of(ev.Send)) == 1


def test_a_push_back_past_the_deadline_ends_the_call_at_once() -> None:
    brain = Brain(1).connected()
    brain.submit(1, deadline_at=brain.now + 0.3)
    brain.tell(refused(1, "BUSY", push_back_s=0.5))
    assert brain.failures() == {1: "BUSY"}
    assert not brain.state.waiting


def test_a_push_back_within_the_deadline_does_not() -> None:
    brain = Brain(1).connected()
    brain.submit(1, deadline_at=brain.now + 0.6)
    brain.tell(refused(1, "BUSY", push_back_s=0.5))
    assert not brain.failures()


def busy_after(calls: int, taken: int) -> Brain:
    """`calls` were sent, and the worker took `taken` of them."""
    brain = Brain(1).connected()
    for call in range(calls):
        brain.submit(call)
    for call in range(taken, calls):
        brain.tell(refused(call, "BUSY", push_back_s=0.05))
    return brain


def test_the_worker_gets_no_more_calls_than_it_took_until_it_answers() -> None:
    brain = busy_after(10, 3)
    brain.later(1.0)
    assert not brain.of(ev.Send)
    assert brain.submit(99) == []
    brain.tell(ev.Answered(0))
    assert brain.of(ev.Send) == [ev.Send(3, 1, 1)]


@given(
    refusals=st.lists(st.integers(1, 12), unique=True, min_size=1), later=st.sets(st.integers(1, 9))
)
def test_calls_go_in_order_of_arrival_in_whatever_order_they_were_refused(
    refusals: list[int], later: set[int]
) -> None:
    """The first is taken; of those under way some are refused, and while they are others come."""
    brain = busy_after(13, 13)
    for turn, call in enumerate(refusals):
        brain.tell(refused(call, "BUSY", push_back_s=0.05))
        if turn in later:
            brain.submit(100 + turn)
    late = [100 + turn for turn in range(len(refusals)) if turn in later]
    assert sends_of(brain) == [*sorted(refusals), *late]


def sends_of(brain: Brain) -> list[int]:
    """The calls that are sent from now on, while all that are under way are answered in turn."""
    order: list[int] = []
    while under_way := sorted(brain.state.calls.keys() - set(brain.state.waiting)):
        brain.later(0.1)
        order += [action.call for action in brain.of(ev.Send) if isinstance(action, ev.Send)]
        for call in under_way:
            brain.tell(ev.Answered(call))
            order += [action.call for action in brain.of(ev.Send) if isinstance(action, ev.Send)]
    return order


def test_calls_of_a_broken_stream_go_again_in_order_of_arrival() -> None:
    brain = Brain(1).connected()
    for call in range(40, 0, -1):
        brain.submit(call * 64)  # a set of such numbers is not in their order
    brain.tell(ev.StreamBroken(1, DIED))
    assert list(brain.state.waiting) == [call * 64 for call in range(1, 41)]
    brain.later(1.0)
    brain.tell(ev.StreamOpened(2))
    sent = [action.call for action in brain.of(ev.Send) if isinstance(action, ev.Send)]
    assert sent
    assert sent == [call * 64 for call in range(1, 41)][: len(sent)]


def test_without_refusals_the_window_grows_back() -> None:
    brain = busy_after(100, 2)
    (link,) = brain.state.links
    assert link.window == 2
    answers = 0
    while link.window < 64 and answers < 5000:
        brain.now += 0.001
        on_it = min(link.calls)
        brain.tell(ev.Answered(on_it))
        brain.submit(1000 + answers)
        answers += 1
    assert link.window >= 64


def test_with_nothing_under_way_the_worker_is_left_for_as_long_as_it_asks() -> None:
    brain = busy_after(1, 0)
    brain.submit(2)
    assert not brain.of(ev.Send)
    brain.later(0.06)
    assert len(brain.of(ev.Send)) == 1


def test_calls_wait_behind_others_that_are_answered_however_long() -> None:
    brain = busy_after(50, 1)
    for number in range(50):
        brain.later(29.0)
        brain.tell(ev.Answered(min(brain.state.links[0].calls)))
        assert not brain.failures(), number
    assert not brain.state.calls


def test_calls_wait_behind_one_that_runs_longer_than_patience() -> None:
    brain = busy_after(2, 1)
    for _ in range(10):
        brain.later(31.0)
        assert not brain.failures()
    brain.tell(ev.StreamBroken(1, DIED))
    brain.later(31.0)
    assert brain.failures() == {0: "NO_WORKER", 1: "BUSY"}


def test_a_call_for_which_there_never_is_room_says_so_in_the_end() -> None:
    brain = Brain(1, limits=Limits(unavailable_timeout_s=30.0)).connected()
    brain.now += 1000.0
    brain.submit(1)
    while not brain.failures() and brain.now < 1300.0:
        if brain.state.calls[1].link is not None:
            brain.tell(refused(1, "BUSY", push_back_s=0.4))
        else:
            brain.later(0.5)
    assert brain.failures() == {1: "BUSY"}
    assert brain.now == pytest.approx(1130.0, abs=2.0)


def test_a_call_whose_deadline_has_passed_is_not_sent() -> None:
    brain = Brain(1)
    brain.submit(1, deadline_at=brain.now + 1.0)
    brain.now += 2.0
    brain.tell(ev.StreamOpened(1))
    assert not brain.of(ev.Send)


def test_a_worker_is_given_no_more_calls_than_it_may_hold() -> None:
    brain = Brain(1, limits=Limits(max_calls=4)).connected()
    for call in range(10):
        brain.submit(call)
    assert len(brain.state.links[0].calls) == 4
    assert len(brain.state.waiting) == 6


def test_many_waiting_calls_have_one_alarm() -> None:
    brain = Brain(limits=Limits(unavailable_timeout_s=30.0))
    brain.tell(ev.Endpoints(1, (worker(1, serving=False),)))
    brain.submit(0)
    said = [brain.submit(call, deadline_at=brain.now + 50) for call in range(1, 100)]
    assert not any(isinstance(action, ev.WakeAt) for actions in said for action in actions)
    assert brain.state.wake_at < inf
