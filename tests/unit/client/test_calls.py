"""The calls' brain: attempts, budget, waiting, epochs, sessions; and any order of events."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import inf
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eais.errors import EaisError, make_error
from eais_client.brain import call_events as ev
from eais_client.brain.call_state import Limits, State
from eais_client.brain.calls import on_event
from eais_client.brain.retry_budget import RetryBudget
from eais_client.instances import Address, Worker

DIED = make_error("WORKER_DIED", "gone")
REFUSED = make_error("HOST_UNREACHABLE", "no answer")
STRANGER = make_error("SERVER_UNTRUSTED", "another name")


def worker(n: int, *, serving: bool = True, incarnation: int = 1) -> Worker:
    address = Address("127.0.0.1", 7000 + n, f"{n}.ei-1.pool.internal")
    return Worker(n, address, serving=serving, incarnation=incarnation)


class Brain:
    """A brain with a clock of its own, and what it said last."""

    def __init__(self, *workers: int, epoch: int = 1, limits: Limits | None = None) -> None:
        self.now = 100.0
        self.state = State("ei-1", lambda: 0.5, limits or Limits())
        self.said: list[ev.Action] = []
        self.tell(ev.Endpoints(epoch, tuple(worker(n) for n in workers)))
        self.tell(ev.SessionOpened("s", epoch))

    def tell(self, event: ev.Event) -> list[ev.Action]:
        self.said = on_event(self.state, event, self.now)
        self.state.validate()
        return self.said

    def submit(self, call: int, **more: Any) -> list[ev.Action]:
        return self.tell(ev.Submitted(call, "s", **more))

    def later(self, seconds: float) -> list[ev.Action]:
        self.now += seconds
        return self.tell(ev.Tick())

    def connected(self, *streams: int) -> Brain:
        """Submit nothing, but have the first streams opened by a call that was answered."""
        self.submit(9000)
        for stream in streams or (1,):
            self.tell(ev.StreamOpened(stream))
        self.tell(ev.Answered(9000))
        return self

    def of(self, kind: type[ev.Action]) -> list[ev.Action]:
        return [action for action in self.said if isinstance(action, kind)]

    def failures(self) -> dict[int, str]:
        return {a.call: a.error.reason for a in self.said if isinstance(a, ev.Fail)}


def refused(call: int, reason: str, stream: int = 1, push_back_s: float = 0.0) -> ev.Refused:
    return ev.Refused(call, stream, make_error(reason, "no"), push_back_s)


def test_the_first_call_connects_and_is_sent_once_the_worker_says_hello() -> None:
    brain = Brain(1)
    assert brain.submit(1)[0] == ev.Connect(1, worker(1))
    assert brain.tell(ev.StreamOpened(1)) == [ev.Send(1, 1, 1)]
    assert brain.tell(ev.Answered(1)) == [ev.Complete(1)]


def test_a_call_on_an_open_stream_is_one_action() -> None:
    brain = Brain(1).connected()
    assert brain.submit(1) == [ev.Send(1, 1, 1)]


def test_calls_go_to_the_worker_with_the_fewest() -> None:
    brain = Brain(1, 2).connected(1, 2)
    assert brain.submit(1) == [ev.Send(1, 1, 1)]
    assert brain.submit(2) == [ev.Send(2, 2, 1)]
    brain.tell(ev.Answered(2))
    assert brain.submit(3) == [ev.Send(3, 2, 1)]


def test_a_call_whose_worker_died_goes_elsewhere() -> None:
    brain = Brain(1, 2).connected(1, 2)
    brain.submit(1)
    brain.tell(ev.StreamBroken(1, DIED))
    assert not brain.failures()
    brain.later(0.025)
    assert brain.of(ev.Send) == [ev.Send(1, 2, 1)]


def test_a_lost_only_worker_is_looked_for_while_its_calls_wait() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    assert ev.Find() in brain.tell(ev.StreamBroken(1, DIED))
    brain.later(0.025)
    assert brain.of(ev.Connect) == [ev.Connect(2, worker(1))]
    assert brain.tell(ev.StreamOpened(2)) == [ev.Send(1, 2, 1)]


def test_a_worker_that_is_coming_is_asked_for_again_soon_and_no_more_than_that() -> None:
    """The answers until it serves are no failures: nothing can be dialled before the next one."""
    brain = Brain(1, limits=Limits(unavailable_timeout_s=inf)).connected()
    brain.submit(1)
    brain.tell(ev.StreamBroken(1, DIED))
    lost_at, asked_at = brain.now, [brain.now]
    while brain.now < lost_at + 60:
        brain.tell(ev.Endpoints(1, (worker(1, serving=False, incarnation=2),), found=True))
        while ev.Find() not in brain.said:
            brain.now = brain.state.wake_at
            brain.tell(ev.Tick())
        asked_at.append(brain.now)
    waits = [(later - at, at - lost_at) for at, later in pairwise(asked_at)]
    assert all(0.025 <= wait <= min(max(0.05, 0.2 * lost), 1.0) for wait, lost in waits)
    assert len(waits) < 120, "nobody is pestered for it"
    brain.tell(ev.Endpoints(1, (worker(1, incarnation=2),), found=True))
    assert brain.of(ev.Connect) == [ev.Connect(2, worker(1, incarnation=2))]


def test_where_no_worker_is_coming_it_is_asked_ever_less_often() -> None:
    brain = Brain(1, limits=Limits(unavailable_timeout_s=inf)).connected()
    brain.submit(1)
    brain.tell(ev.StreamBroken(1, DIED))
    waits = []
    for _ in range(8):
        brain.tell(ev.Endpoints(1, (), found=True))
        waits.append(brain.state.find_at - brain.now)
        brain.now = brain.state.find_at
        assert ev.Find() in brain.tell(ev.Tick())
    assert waits == pytest.approx([0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.5, 0.5])


def test_a_call_has_three_attempts() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    for stream in (1, 2):
        brain.tell(ev.StreamBroken(stream, DIED))
        brain.later(1.0)
        assert brain.tell(ev.StreamOpened(stream + 1)) == [ev.Send(1, stream + 1, 1)]
    brain.tell(ev.StreamBroken(3, DIED))
    assert brain.of(ev.Reopen) == [ev.Reopen("s")]
    brain.tell(ev.SessionOpened("s", 1))
    assert brain.failures() == {1: "WORKER_DIED"}


def test_a_connection_that_never_was_is_no_attempt() -> None:
    brain = Brain(1, limits=Limits(unavailable_timeout_s=inf))
    brain.submit(1)
    for stream in range(1, 20):
        brain.tell(ev.StreamBroken(stream, REFUSED))
        brain.later(2.0)
        assert ev.Connect(stream + 1, worker(1)) in brain.said
    assert brain.tell(ev.StreamOpened(20)) == [ev.Send(1, 20, 1)]
    assert brain.state.calls[1].attempts == 1


def test_one_broken_stream_is_one_failure_however_many_calls_were_on_it() -> None:
    brain = Brain(1).connected()
    for call in range(50):
        brain.submit(call)
    before = brain.state.budget.tokens
    brain.tell(ev.StreamBroken(1, DIED))
    assert brain.state.budget.tokens == before - 1
    assert not brain.failures()


def test_an_empty_budget_ends_retries() -> None:
    brain = Brain(1).connected()
    brain.state.budget.tokens, brain.state.budget.refilled_at = 0.5, brain.now
    brain.submit(1)
    brain.tell(ev.StreamBroken(1, DIED))
    assert brain.failures() == {1: "WORKER_DIED"}


def test_a_call_that_finds_no_worker_waits_for_the_unavailable_time_out() -> None:
    brain = Brain()
    brain.submit(1)
    assert brain.of(ev.Find)
    assert brain.of(ev.WakeAt) == [ev.WakeAt(130.0)]
    brain.tell(ev.FindFailed(REFUSED))
    brain.later(29.0)
    assert not brain.failures()
    brain.later(1.0)
    assert brain.failures() == {1: "NO_WORKER"}


def test_a_call_that_waits_for_a_device_says_that_none_is_left() -> None:
    brain = Brain()
    brain.submit(1)
    why = "gpu0 failed (it vanished), and no other device is free"
    brain.tell(ev.Endpoints(1, (), stranded=why))
    brain.later(29.0)
    assert not brain.failures()
    brain.later(1.0)
    assert brain.failures() == {1: "DEVICE_LOST"}
    brain.submit(2)
    brain.tell(ev.Endpoints(1, ()))
    brain.later(30.0)
    assert brain.failures()[2] == "NO_WORKER"


def test_a_worker_that_comes_is_used_at_once() -> None:
    brain = Brain()
    brain.submit(1)
    assert ev.Connect(1, worker(1)) in brain.tell(ev.Endpoints(1, (worker(1),)))


def test_a_worker_that_does_not_serve_is_not_dialled() -> None:
    brain = Brain()
    brain.tell(ev.Endpoints(1, (worker(1, serving=False),)))
    brain.submit(1)
    assert not brain.of(ev.Connect)
    assert ev.Connect(1, worker(1)) in brain.tell(ev.Endpoints(1, (worker(1),)))


@pytest.mark.parametrize(
    "reason", ["DEADLINE_EXCEEDED", "INPUT_SHAPE", "WRONG_STATE", "RUN_FAILED", "CANCELLED", "NEW"]
)
def test_what_is_not_retryable_is_sent_once(reason: str) -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    brain.tell(refused(1, reason))
    assert brain.failures() == {1: reason}


def test_a_busy_worker_is_left_for_as_long_as_it_asks() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    assert brain.tell(refused(1, "BUSY", push_back_s=0.4)) == [ev.WakeAt(100.42)]
    brain.later(0.41)
    assert not brain.of(ev.Send)
    assert ev.Send(1, 1, 1) in brain.later(0.02)


def test_a_draining_worker_costs_no_attempt_and_is_left() -> None:
    brain = Brain(1, 2).connected(1, 2)
    brain.submit(1)
    said = brain.tell(refused(1, "DRAINING"))
    assert ev.Send(1, 2, 1) in said
    assert ev.Disconnect(1) in said
    assert brain.state.calls[1].attempts == 1
    assert brain.state.budget.tokens == brain.state.budget.capacity


def test_a_draining_stream_finishes_what_it_has() -> None:
    brain = Brain(1, 2).connected(1, 2)
    brain.submit(1)
    assert brain.tell(ev.StreamDraining(1)) == []
    assert brain.tell(ev.Answered(1)) == [ev.Complete(1), ev.Disconnect(1)]
    assert brain.submit(2) == [ev.Send(2, 2, 1)]


def test_an_abandoned_call_is_cancelled_where_it_runs() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    assert brain.tell(ev.Abandoned(1)) == [ev.Cancel(1, 1)]
    assert brain.tell(ev.Answered(1)) == []


def test_an_unwatched_call_ends_at_its_deadline() -> None:
    brain = Brain(1).connected()
    assert ev.WakeAt(100.2) in brain.submit(1, deadline_at=100.2, watched=False)
    said = brain.later(0.2)
    assert said[0] == ev.Cancel(1, 1)
    assert brain.failures() == {1: "DEADLINE_EXCEEDED"}


def test_a_stopped_instance_fails_what_waits_and_finishes_what_runs() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    brain.tell(ev.StreamBroken(1, DIED))
    brain.later(0.1)
    brain.tell(ev.StreamOpened(2))
    brain.tell(ev.Endpoints(1, (worker(1),), found=True))
    stopped = make_error("INSTANCE_STOPPED", "stopped")
    brain.tell(ev.Ended(stopped))
    assert not brain.failures()
    brain.now += 0.1
    assert brain.submit(2)[0] == ev.Find()
    brain.tell(ev.Ended(stopped, found=True))
    assert brain.failures() == {2: "INSTANCE_STOPPED"}
    assert brain.tell(ev.Answered(1)) == [ev.Complete(1), ev.Disconnect(2)]


def test_a_call_on_a_stopped_instance_hears_it_from_the_pool_anew() -> None:
    brain = Brain(1)
    stopped = make_error("INSTANCE_STOPPED", "stopped")
    brain.tell(ev.Ended(stopped))
    brain.submit(1)
    brain.tell(ev.Ended(stopped))  # the Watch tells an older story
    assert not brain.failures()
    assert ev.Reopen("s") in brain.tell(ev.Endpoints(2, (worker(1),)))
    brain.tell(ev.SessionOpened("s", 2))
    brain.tell(ev.StreamOpened(1))
    assert brain.of(ev.Send) == [ev.Send(1, 1, 2)]


def test_what_was_asked_before_the_call_does_not_end_it() -> None:
    brain = Brain(1)
    stopped = make_error("INSTANCE_STOPPED", "stopped")
    brain.tell(ev.Ended(stopped))
    brain.submit(1)
    brain.submit(2)
    brain.tell(ev.Ended(stopped, found=True))
    assert brain.failures() == {1: "INSTANCE_STOPPED"}
    assert brain.of(ev.Find) == [ev.Find()]


def test_a_stop_that_was_just_confirmed_is_not_asked_again() -> None:
    brain = Brain(1)
    brain.tell(ev.Ended(make_error("INSTANCE_STOPPED", "stopped"), found=True))
    brain.submit(1)
    assert brain.failures() == {1: "INSTANCE_STOPPED"}
    brain.now += 0.06
    assert brain.submit(2)[0] == ev.Find()


def test_a_stop_holds_while_the_pool_is_away() -> None:
    brain = Brain(1)
    brain.tell(ev.Ended(make_error("INSTANCE_STOPPED", "stopped")))
    brain.submit(1)
    brain.tell(ev.FindFailed(make_error("POOL_UNREACHABLE", "away")))
    assert brain.failures() == {1: "INSTANCE_STOPPED"}


def test_what_a_stop_cuts_off_fails_as_stopped() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    brain.tell(ev.Ended(make_error("DETACHED", "detached")))
    brain.tell(ev.StreamBroken(1, DIED))
    assert brain.failures() == {1: "DETACHED"}


def test_a_started_again_instance_serves_the_old_sessions() -> None:
    brain = Brain(1).connected()
    brain.tell(ev.Ended(make_error("INSTANCE_STOPPED", "stopped")))
    assert brain.tell(ev.Endpoints(2, (worker(1),))) == [ev.Reopen("s")]
    brain.submit(1)
    brain.tell(ev.StreamOpened(2))
    assert not brain.of(ev.Send)
    assert ev.Send(1, 2, 2) in brain.tell(ev.SessionOpened("s", 2))


def test_locating_does_not_undo_what_the_pool_said() -> None:
    brain = Brain(1)
    brain.tell(ev.Ended(make_error("INSTANCE_STOPPED", "stopped")))
    brain.tell(ev.Endpoints(1, (worker(1),), found=True))
    assert brain.state.ended is not None


def test_a_newer_epoch_takes_new_calls_and_lets_the_old_finish() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    assert brain.tell(ev.Endpoints(2, (worker(2),))) == [ev.Reopen("s")]
    brain.tell(ev.SessionOpened("s", 2))
    assert ev.Connect(2, worker(2)) in brain.submit(2)
    assert brain.tell(ev.StreamOpened(2)) == [ev.Send(2, 2, 2)]
    assert ev.Disconnect(1) in brain.tell(ev.Answered(1))


def test_what_the_old_epoch_had_no_time_to_finish_is_sent_to_the_newer_one() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    brain.tell(ev.StreamDraining(1))
    brain.tell(ev.Endpoints(2, (worker(2),)))
    brain.tell(ev.SessionOpened("s", 2))
    brain.tell(ev.StreamBroken(1, DIED))
    assert not brain.failures()
    brain.later(1.0)
    assert brain.tell(ev.StreamOpened(2)) == [ev.Send(1, 2, 2, 2)]
    assert brain.tell(ev.Answered(1)) == [ev.Complete(1)]


def test_an_older_epoch_is_ignored() -> None:
    brain = Brain(1, epoch=5)
    brain.tell(ev.Endpoints(4, (worker(9),)))
    assert [link.worker.n for link in brain.state.links] == [1]


def test_a_call_refused_as_too_old_waits_for_the_newer_epoch() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    assert ev.Find() in brain.tell(refused(1, "STALE_EPOCH"))
    brain.tell(ev.Endpoints(2, (worker(1),)))
    brain.tell(ev.SessionOpened("s", 2))
    assert ev.Send(1, 2, 2) in brain.tell(ev.StreamOpened(2))


def test_a_call_refused_as_too_old_fails_when_nobody_knows_a_newer_epoch() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    brain.tell(refused(1, "STALE_EPOCH"))
    brain.tell(ev.Endpoints(1, (worker(1),), found=True))
    assert brain.failures() == {1: "STALE_EPOCH"}


def test_an_unknown_session_is_opened_again_for_as_long_as_a_worker_is_waited_for() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    assert brain.tell(refused(1, "SESSION_UNKNOWN")) == [ev.Reopen("s")]
    assert brain.tell(ev.SessionOpened("s", 1)) == [ev.Send(1, 1, 1)]
    first = brain.now
    brain.tell(refused(1, "SESSION_UNKNOWN"))
    while not brain.failures():
        brain.tell(ev.SessionOpened("s", 1))
        brain.later(brain.state.limits.backoff.cap_s)
        assert brain.state.calls[1].attempts == 1
        brain.tell(refused(1, "SESSION_UNKNOWN"))
    assert brain.failures() == {1: "SESSION_UNKNOWN"}
    assert brain.now >= first + brain.state.limits.unavailable_timeout_s


def test_a_session_that_cannot_be_opened_again_fails_its_calls_and_is_tried_anew() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    brain.tell(refused(1, "SESSION_UNKNOWN"))
    brain.tell(ev.SessionLost("s", make_error("STORE_FULL", "full")))
    assert brain.failures() == {1: "STORE_FULL"}
    brain.submit(2)
    assert brain.of(ev.Reopen) == [ev.Reopen("s")]


def test_a_dropped_session_ends_its_calls() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    assert brain.tell(ev.SessionDropped("s"))[0] == ev.Cancel(1, 1)
    assert brain.failures() == {1: "SESSION_CLOSED"}
    brain.submit(2)
    assert brain.failures() == {2: "SESSION_CLOSED"}


def test_a_wrong_identity_is_no_reason_to_wait() -> None:
    brain = Brain(1)
    brain.submit(1)
    brain.tell(ev.StreamBroken(1, make_error("CERT_EXPIRED", "it ended")))
    assert brain.failures() == {1: "CERT_EXPIRED"}


def test_what_a_worker_refuses_for_good_ends_the_calls_on_its_stream() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    brain.tell(ev.StreamBroken(1, make_error("PERMISSION_DENIED", "no")))
    assert brain.failures() == {1: "PERMISSION_DENIED"}


def test_bytes_in_flight_are_bounded_and_one_call_may_always_go() -> None:
    brain = Brain(1, limits=Limits(max_in_flight_bytes=100)).connected()
    assert brain.submit(1, size=500)[0] == ev.Send(1, 1, 1)
    assert not [a for a in brain.submit(2, size=1) if isinstance(a, ev.Send)]
    assert brain.tell(ev.Answered(1)) == [ev.Complete(1), ev.Send(2, 1, 1)]
    assert ev.Send(3, 1, 1) in brain.submit(3, size=99)


def test_late_words_of_an_old_stream_change_nothing() -> None:
    brain = Brain(1).connected()
    brain.submit(1)
    brain.tell(ev.StreamBroken(1, DIED))
    brain.later(0.1)
    brain.tell(ev.StreamOpened(2))
    for late in (refused(1, "BUG", stream=1), ev.StreamBroken(1, DIED), ev.StreamDraining(1)):
        assert brain.tell(late) == []
    assert brain.state.calls[1].link is not None


def test_the_budget_refills_with_time_and_answers_up_to_its_capacity() -> None:
    budget = RetryBudget()
    taken = sum(budget.take(0.0) for _ in range(50))
    assert taken == 10
    assert budget.take(1.0) is True
    assert budget.take(1.0) is False
    for _ in range(11):
        budget.answered()
    assert budget.take(1.0) is True
    budget.take(1e9)
    assert budget.tokens == budget.capacity - 1


def unfound(brain: Brain) -> None:
    """It waits for a worker to be found."""
    brain.tell(ev.Endpoints(1, ()))
    brain.submit(1)


def connecting(brain: Brain) -> None:
    """It waits for the stream's hello."""
    brain.tell(ev.StreamBroken(1, DIED))
    brain.later(2.0)
    brain.submit(1)


def without_room(brain: Brain) -> None:
    """It waits, since the bytes in flight are at their bound."""
    brain.submit(2, size=brain.state.limits.max_in_flight_bytes)
    brain.submit(1, size=5)


def pushed_back(brain: Brain) -> None:
    """It was refused, and waits until it may be sent again."""
    brain.submit(1)
    brain.tell(refused(1, "BUSY", push_back_s=1.0))


def without_session(brain: Brain) -> None:
    """It waits for its session to be opened again."""
    brain.submit(1)
    brain.tell(refused(1, "SESSION_UNKNOWN"))


def sent(brain: Brain) -> None:
    """Its worker has it."""
    brain.submit(1, size=5)


def on_its_way_again(brain: Brain) -> None:
    """Its worker died, and it waits to be sent again."""
    brain.submit(1)
    brain.tell(ev.StreamBroken(1, DIED))


def on_a_leaving_stream(brain: Brain) -> None:
    """Its stream is being replaced."""
    brain.submit(1)
    brain.tell(ev.Renewed())
    brain.tell(ev.StreamOpened(2))


PLACES = [
    unfound,
    connecting,
    without_room,
    pushed_back,
    without_session,
    sent,
    on_its_way_again,
    on_a_leaving_stream,
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("watched", [True, False])
def test_wherever_a_call_is_abandoned_nothing_of_it_is_left(
    place: Callable[[Brain], None], watched: bool
) -> None:
    brain = Brain(1).connected()
    submit = brain.submit
    brain.submit = lambda call, **more: submit(call, watched=watched, **more)  # type: ignore[method-assign]
    place(brain)
    held = brain.state.calls[1].link
    brain.tell(ev.Abandoned(1))
    cancels = [action for action in brain.of(ev.Cancel) if isinstance(action, ev.Cancel)]
    assert [action.call for action in cancels] == ([1] if held is not None else [])
    brain.tell(ev.Answered(2))
    state = brain.state
    assert not state.calls
    assert not state.waiting
    assert not state.unwatched
    assert state.in_flight_bytes == 0
    assert not any(link.calls for link in state.links)


@pytest.mark.parametrize("place", PLACES)
def test_a_deadline_ends_an_unwatched_call_wherever_it_is(place: Callable[[Brain], None]) -> None:
    brain = Brain(1).connected()
    submit, at = brain.submit, brain.now + 5.0
    brain.submit = lambda call, **more: submit(  # type: ignore[method-assign]
        call, watched=False, deadline_at=at, **more
    )
    place(brain)
    assert brain.state.wake_at <= at
    brain.now = at
    brain.tell(ev.Tick())
    assert brain.failures()[1] == "DEADLINE_EXCEEDED"
    assert 1 not in brain.state.calls


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, each call ends exactly once, and nothing leaks."""

    def __init__(self) -> None:
        super().__init__()
        self.brain = Brain(1, 2)
        self.submitted: set[int] = set()
        self.over: list[int] = []
        self.streams: set[int] = set()
        self.sent: dict[int, int] = {}

    def tell(self, event: ev.Event) -> None:
        for action in self.brain.tell(event):
            match action:
                case ev.Complete(call) | ev.Fail(call, _):
                    self.over.append(call)
                case ev.Connect(stream, _):
                    self.streams.add(stream)
                case ev.Disconnect(stream):
                    self.streams.discard(stream)
                case ev.Send(call, stream, epoch):
                    assert stream in self.streams
                    assert epoch == self.brain.state.epoch
                    self.sent[call] = self.sent.get(call, 0) + 1
                case ev.WakeAt(at):
                    assert at >= self.brain.now

    @rule(size=st.integers(0, 1 << 28), watched=st.booleans(), seconds=st.floats(0.01, 60))
    def submit(self, size: int, watched: bool, seconds: float) -> None:
        call = len(self.submitted)
        self.submitted.add(call)
        self.tell(ev.Submitted(call, "s", size, self.brain.now + seconds, watched))

    @rule(seconds=st.floats(0, 20))
    def pass_time(self, seconds: float) -> None:
        self.brain.now += seconds
        self.tell(ev.Tick())

    @rule(data=st.data(), how=st.sampled_from([ev.StreamOpened, ev.StreamDraining]))
    @precondition(lambda self: self.streams)
    def stream_speaks(
        self, data: st.DataObject, how: type[ev.StreamOpened] | type[ev.StreamDraining]
    ) -> None:
        self.tell(how(data.draw(st.sampled_from(sorted(self.streams)))))

    @rule(data=st.data(), error=st.sampled_from([DIED, STRANGER, make_error("CERT_EXPIRED", "x")]))
    @precondition(lambda self: self.streams)
    def stream_breaks(self, data: st.DataObject, error: EaisError) -> None:
        stream = data.draw(st.sampled_from(sorted(self.streams)))
        self.streams.discard(stream)
        self.tell(ev.StreamBroken(stream, error))

    @rule(
        call=st.integers(0, 20),
        reason=st.sampled_from(
            ["BUSY", "DRAINING", "STALE_EPOCH", "SESSION_UNKNOWN", "INPUT_SHAPE", "WORKER_DIED"]
        ),
        push_back_s=st.sampled_from([0.0, 0.01, 5.0]),
    )
    def refuse(self, call: int, reason: str, push_back_s: float) -> None:
        known = self.brain.state.calls.get(call)
        if known is not None and known.link is not None:
            self.tell(refused(call, reason, known.link.stream, push_back_s))

    @rule(call=st.integers(0, 20))
    def answer(self, call: int) -> None:
        self.tell(ev.Answered(call))

    @rule(call=st.integers(0, 20))
    def abandon(self, call: int) -> None:
        if call in self.brain.state.calls:
            self.over.append(call)  # its caller ends it
        self.tell(ev.Abandoned(call))

    @rule(
        newer=st.integers(0, 1),
        which=st.sets(st.integers(1, 3)),
        serving=st.booleans(),
        found=st.booleans(),
    )
    def endpoints(self, newer: int, which: set[int], serving: bool, found: bool) -> None:
        workers = tuple(worker(n, serving=serving) for n in sorted(which))
        self.tell(ev.Endpoints(self.brain.state.epoch + newer, workers, found))

    @rule(error=st.sampled_from([REFUSED, make_error("NOT_FOUND", "x")]))
    def find_fails(self, error: EaisError) -> None:
        self.tell(ev.FindFailed(error))

    @rule(found=st.booleans())
    def end(self, found: bool) -> None:
        self.tell(ev.Ended(make_error("INSTANCE_STOPPED", "stopped"), found))

    @rule(lag=st.integers(0, 1), not_on=st.sampled_from([(), (), (1,)]))
    def session_opened(self, lag: int, not_on: tuple[int, ...]) -> None:
        self.tell(ev.SessionOpened("s", self.brain.state.epoch - lag, frozenset(not_on)))

    @rule()
    def renewed(self) -> None:
        self.tell(ev.Renewed())

    @rule()
    def session_lost(self) -> None:
        self.tell(ev.SessionLost("s", REFUSED))

    @invariant()
    def each_call_is_under_way_or_over_once(self) -> None:
        assert len(self.over) == len(set(self.over))
        assert set(self.over) | self.brain.state.calls.keys() == self.submitted
        assert not set(self.over) & self.brain.state.calls.keys()

    @invariant()
    def something_will_wake_whatever_waits(self) -> None:
        state = self.brain.state
        if state.waiting:
            assert state.wake_at < inf

    def teardown(self) -> None:
        # Without any more luck, patience ends every call that waits. Behind a call that a live
        # worker has, others wait as long as it does.
        for stream in sorted(self.streams):
            self.tell(ev.StreamBroken(stream, DIED))
        for _ in range(3):
            self.brain.now += 100
            self.tell(ev.Tick())
        assert not self.brain.state.waiting


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
