"""Calls that need not wait long: briefly while nobody can be reached, as others otherwise."""

from __future__ import annotations

from eais.errors import EaisError, make_error
from eais_client.brain import call_events as ev
from eais_client.brain.call_state import Limits, State
from eais_client.brain.calls import on_event
from eais_client.instances import Address, Worker

ADDRESS = Address("127.0.0.1", 7001, "1.ei-1.pool.internal")
GONE = make_error("HOST_UNREACHABLE", "no answer")
LIMITS = Limits(unavailable_timeout_s=30.0)


def attached(*, worker: bool) -> State:
    state = State("ei-1", lambda: 0.5, LIMITS)
    workers = (Worker(1, ADDRESS),) if worker else ()
    on_event(state, ev.Endpoints(1, workers), 0.0)
    on_event(state, ev.SessionOpened("s", 1), 0.0)
    return state


def failed_at(state: State, call: int) -> tuple[float, EaisError]:
    """When the call ends, if nothing happens but what the brain asked to be woken for."""
    now = 0.0
    for _ in range(1000):
        for action in on_event(state, ev.Tick(), now):
            if isinstance(action, ev.Fail) and action.call == call:
                return now, action.error
            if isinstance(action, ev.Find):
                on_event(state, ev.FindFailed(GONE), now)
        state.validate()
        now = round(now + 0.25, 2)
    raise AssertionError("it waits for ever")


def test_it_waits_briefly_while_nobody_can_be_reached() -> None:
    state = attached(worker=False)
    on_event(state, ev.Submitted(1, "s", patience_s=2.0), 0.0)
    on_event(state, ev.Submitted(2, "s"), 0.0)
    when, error = failed_at(state, 1)
    assert (when, error.reason) == (2.0, "NO_WORKER")
    assert "for 2 s" in error.message
    assert failed_at(state, 2)[0] == 30.0


def test_it_asks_to_be_woken_for_that() -> None:
    state = attached(worker=False)
    do = on_event(state, ev.Submitted(1, "s", patience_s=2.0), 0.0)
    assert ev.WakeAt(2.0) in do


def test_it_waits_as_others_for_room_at_a_worker_that_lives() -> None:
    state = attached(worker=True)
    on_event(state, ev.Submitted(1, "s", patience_s=2.0), 0.0)
    (stream,) = [link.stream for link in state.links]
    on_event(state, ev.StreamOpened(stream), 0.0)
    on_event(state, ev.Refused(1, stream, make_error("BUSY", "full"), 40.0), 0.0)
    when, error = failed_at(state, 1)
    assert (when, error.reason) == (30.0, "BUSY")


def test_a_worker_that_dies_meanwhile_makes_it_brief() -> None:
    state = attached(worker=True)
    on_event(state, ev.Submitted(1, "s", patience_s=2.0), 0.0)
    (stream,) = [link.stream for link in state.links]
    on_event(state, ev.StreamOpened(stream), 0.0)
    on_event(state, ev.StreamBroken(stream, GONE), 0.0)
    on_event(state, ev.Endpoints(1, ()), 0.0)
    assert failed_at(state, 1)[0] == 2.0
