"""The supervisor's brain under a clock of its own."""

from __future__ import annotations

from eais_pool.restarts import (
    Ended,
    Exit,
    Kill,
    Start,
    Started,
    StopAsked,
    SupervisorState,
    Terminate,
    Tick,
    new_state,
    next_wake,
    on_event,
)


def running() -> SupervisorState:
    state = new_state({"manager": 3.0, "listener": 5.0}, 0.0)
    assert on_event(state, Tick(), 0.0) == [Start("manager"), Start("listener")]
    on_event(state, Started("manager", 11), 0.0)
    on_event(state, Started("listener", 12), 0.0)
    assert on_event(state, Tick(), 0.0) == []
    return state


def backoff_after_end(state: SupervisorState, now: float) -> float:
    assert on_event(state, Ended("manager"), now) == []
    wake = next_wake(state)
    assert wake is not None
    assert on_event(state, Tick(), wake) == [Start("manager")]
    on_event(state, Started("manager", 11), wake)
    return wake - now


def test_backoff_doubles_up_to_five_seconds() -> None:
    state, now, waits = running(), 0.1, []
    for _ in range(10):
        waits.append(round(backoff_after_end(state, now), 3))
        now += waits[-1] + 0.1
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_two_seconds_of_life_bring_it_back() -> None:
    state = running()
    for now in (0.1, 0.2, 0.4):
        backoff_after_end(state, now)
    assert round(backoff_after_end(state, 100.0), 3) == 0.05


def test_nothing_starts_before_its_time() -> None:
    state = running()
    on_event(state, Ended("listener"), 1.0)
    assert on_event(state, Tick(), 1.04) == []
    assert on_event(state, Tick(), 1.05) == [Start("listener")]


def test_stop_ends_the_last_started_first_and_then_exits() -> None:
    state = running()
    assert on_event(state, StopAsked(), 20.0) == [Terminate("listener")]
    assert on_event(state, StopAsked(), 20.1) == []
    assert on_event(state, Ended("listener"), 20.5) == [Terminate("manager")]
    assert on_event(state, Ended("manager"), 20.6) == [Exit()]


def test_who_outlives_the_grace_is_killed_once() -> None:
    state = running()
    on_event(state, StopAsked(), 20.0)
    assert next_wake(state) == 25.0
    assert on_event(state, Tick(), 25.0) == [Kill("listener")]
    assert on_event(state, Tick(), 26.0) == []


def test_stop_during_a_backoff_starts_nothing() -> None:
    state = running()
    on_event(state, Ended("listener"), 5.0)
    assert on_event(state, StopAsked(), 5.01) == [Terminate("manager")]
    assert on_event(state, Tick(), 6.0) == []
    assert on_event(state, Ended("manager"), 6.5) == [Exit()]
