"""The fast path of calls: the same state as by events, or nothing at all."""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from eais.errors import EaisError, make_error
from eais_client.brain import call_events as ev
from eais_client.brain.call_state import Limits, Link, State
from eais_client.brain.calls import on_event
from eais_client.brain.fast_path import answered_now, submit_now
from tests.unit.client.test_calls import DIED, PLACES, AnyOrder, Brain, refused, worker


def copied(state: State) -> State:
    """A copy of its own that equals `state`: errors, which equal only themselves, are shared."""
    errors: list[EaisError | None] = [state.ended, state.find_error]
    errors += [call.last_error for call in state.calls.values()]
    errors += [link.mistrusted for link in state.links]
    return copy.deepcopy(state, {id(error): error for error in errors if error is not None})


def submitted(state: State, event: ev.Submitted, now: float) -> Link | None:
    link = submit_now(
        state,
        event.call,
        event.session,
        event.size,
        event.deadline_at,
        event.watched,
        event.patience_s,
        now,
    )
    state.validate()
    return link


def check_submitted(state: State, event: ev.Submitted, now: float) -> bool:
    """The fast path does what the event does, or nothing; whether it did it."""
    before, quick, slow = copied(state), copied(state), copied(state)
    link = submitted(quick, event, now)
    if link is None:
        assert quick == before
        return False
    assert on_event(slow, event, now) == [ev.Send(event.call, link.stream, slow.epoch)]
    assert quick == slow
    return True


def check_answered(state: State, event: ev.Answered, now: float) -> bool:
    """As `check_submitted`."""
    before, quick, slow = copied(state), copied(state), copied(state)
    if not answered_now(quick, event.call, now):
        assert quick == before
        return False
    quick.validate()
    assert on_event(slow, event, now) == [ev.Complete(event.call)]
    assert quick == slow
    return True


class FastPath(AnyOrder):
    """Whatever happened before, in whatever order, and now and then all is well again."""

    def __init__(self) -> None:
        super().__init__()
        self.settle()

    @rule()
    def settle(self) -> None:
        """Whatever was wrong is over: the workers are there, and those who wait are served."""
        epoch = self.brain.state.epoch
        self.tell(ev.Endpoints(epoch, (worker(1), worker(2)), found=True))
        self.tell(ev.SessionOpened("s", epoch))
        self.submit_small(1, inf, True)
        for _ in range(2):
            self.pass_time(3.0)
            for stream in sorted(self.streams):
                self.tell(ev.StreamOpened(stream))
        for call in [n for n, call in self.brain.state.calls.items() if call.link]:
            self.tell(ev.Answered(call))

    @rule(size=st.integers(0, 100), seconds=st.sampled_from([0.5, 5.0, inf]), watched=st.booleans())
    def submit_small(self, size: int, seconds: float, watched: bool) -> None:
        call = len(self.submitted)
        self.submitted.add(call)
        deadline_at, patience_s = self.brain.now + seconds, 0.5 if size > 90 else inf
        self.tell(ev.Submitted(call, "s", size, deadline_at, watched, patience_s))

    @rule(data=st.data())
    @precondition(lambda self: self.brain.state.calls)
    def answer_one(self, data: st.DataObject) -> None:
        self.tell(ev.Answered(data.draw(st.sampled_from(sorted(self.brain.state.calls)))))

    def tell(self, event: ev.Event) -> None:
        state, now = self.brain.state, self.brain.now
        if isinstance(event, ev.Submitted):
            check_submitted(state, event, now)
        elif isinstance(event, ev.Answered):
            check_answered(state, event, now)
        super().tell(event)


TestFastPath = FastPath.TestCase
TestFastPath.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("place", PLACES)
def test_it_leaves_the_odd_places_to_events(place: Callable[[Brain], None]) -> None:
    brain = Brain(1, limits=Limits(max_in_flight_bytes=1000)).connected()
    place(brain)
    check_submitted(brain.state, ev.Submitted(77, "s", 600), brain.now)
    for call in (1, 2):
        check_answered(brain.state, ev.Answered(call), brain.now)


@pytest.mark.parametrize("workers", [(1,), (1, 2), (1, 2, 3)])
def test_calls_without_trouble_take_it(workers: tuple[int, ...]) -> None:
    brain = Brain(*workers).connected(*workers)
    for call in range(20):
        event = ev.Submitted(call, "s", 16)
        assert check_submitted(brain.state, event, brain.now)
        submitted(brain.state, event, brain.now)
    for call in range(20):
        assert check_answered(brain.state, ev.Answered(call), brain.now)
        assert answered_now(brain.state, call, brain.now)
    assert not brain.state.calls


def test_calls_that_nobody_watches_take_it_once_an_alarm_is_set() -> None:
    brain = Brain(1).connected()
    event = ev.Submitted(1, "s", 16, brain.now + 5.0, watched=False)
    assert not check_submitted(brain.state, event, brain.now)
    brain.tell(event)
    assert check_answered(brain.state, ev.Answered(1), brain.now)
    later = ev.Submitted(2, "s", 16, brain.now + 6.0, watched=False)
    assert check_submitted(brain.state, later, brain.now)
    sooner = ev.Submitted(2, "s", 16, brain.now + 4.0, watched=False)
    assert not check_submitted(brain.state, sooner, brain.now)


def test_a_full_window_is_left_to_events() -> None:
    brain = Brain(1, limits=Limits(max_calls=2)).connected()
    for call in (1, 2):
        assert submitted(brain.state, ev.Submitted(call, "s"), brain.now) is not None
    assert not check_submitted(brain.state, ev.Submitted(3, "s"), brain.now)


def test_a_worker_that_pushes_back_is_left_to_events_until_it_has_room() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    brain.tell(refused(1, "BUSY", push_back_s=1.0))
    assert not check_submitted(brain.state, ev.Submitted(2, "s"), brain.now)
    brain.later(2.0)
    assert check_answered(brain.state, ev.Answered(1), brain.now)


def test_no_more_bytes_than_may_be_on_their_way() -> None:
    brain = Brain(1, limits=Limits(max_in_flight_bytes=100)).connected()
    assert check_submitted(brain.state, ev.Submitted(1, "s", 1000), brain.now)
    brain.submit(1, size=60)
    assert check_submitted(brain.state, ev.Submitted(2, "s", 40), brain.now)
    assert not check_submitted(brain.state, ev.Submitted(2, "s", 41), brain.now)


def test_a_session_that_is_unknown_or_being_opened_is_left_to_events() -> None:
    brain = Brain(1).connected()
    assert not check_submitted(brain.state, ev.Submitted(1, "other"), brain.now)
    brain.state.sessions["s"].opening = True
    assert not check_submitted(brain.state, ev.Submitted(1, "s"), brain.now)


def test_a_deadline_that_has_passed_is_left_to_events() -> None:
    brain = Brain(1).connected()
    event = ev.Submitted(1, "s", deadline_at=brain.now)
    assert not check_submitted(brain.state, event, brain.now)
    assert check_submitted(brain.state, ev.Submitted(1, "s", deadline_at=inf), brain.now)


def test_an_ending_link_is_left_to_events() -> None:
    brain = Brain(1, 2).connected(1, 2)
    brain.submit(1)
    brain.tell(ev.StreamDraining(1))
    assert not check_submitted(brain.state, ev.Submitted(2, "s"), brain.now)
    assert not check_answered(brain.state, ev.Answered(1), brain.now)


def test_a_link_that_is_down_is_passed_over() -> None:
    brain = Brain(1, 2).connected(1, 2)
    brain.tell(ev.StreamBroken(1, DIED))
    assert check_submitted(brain.state, ev.Submitted(2, "s"), brain.now)
    link = submitted(brain.state, ev.Submitted(2, "s"), brain.now)
    assert link is not None
    assert link.stream == 2


def test_an_answer_gives_back_of_the_retry_budget() -> None:
    brain = Brain(1).connected()
    brain.state.budget.tokens = 3.0
    brain.submit(1)
    assert check_answered(brain.state, ev.Answered(1), brain.now)


def test_a_call_that_doubts_the_end_of_its_instance_is_left_to_events() -> None:
    brain = Brain(1).connected()
    brain.tell(ev.Ended(make_error("INSTANCE_STOPPED", "stopped")))
    assert not check_submitted(brain.state, ev.Submitted(1, "s"), brain.now)
    brain.state.links[:] = []
    assert not check_submitted(brain.state, ev.Submitted(1, "s"), brain.now)


def test_a_worker_of_an_older_epoch_is_sent_nothing() -> None:
    brain = Brain(1).connected()
    brain.state.links[0].epoch = 0
    assert not check_submitted(brain.state, ev.Submitted(1, "s"), brain.now)


def test_an_answer_that_has_an_alarm_to_set_is_left_to_events() -> None:
    brain = Brain(1).connected()
    for call in (1, 2):
        brain.submit(call, deadline_at=brain.now + 5.0, watched=False)
    brain.state.wake_at = inf
    assert not check_answered(brain.state, ev.Answered(1), brain.now)
