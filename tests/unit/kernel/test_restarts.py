"""The supervisor's brain under a clock of its own."""

from __future__ import annotations

from eais.restarts import (
    Alive,
    Ended,
    Exit,
    Kill,
    Leaving,
    Patience,
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
    patience = Patience(watchdog_s=10.0, start_s=90.0)
    state = new_state({"manager": 3.0, "listener": 5.0}, 0.0, patience)
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
    assert round(backoff_after_end(state, 50.0), 3) == 0.05


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
    assert on_event(state, Tick(), 25.0) == [Kill("listener", "its grace is over")]
    assert on_event(state, Tick(), 26.0) == []


def test_stop_during_a_backoff_starts_nothing() -> None:
    state = running()
    on_event(state, Ended("listener"), 5.0)
    assert on_event(state, StopAsked(), 5.01) == [Terminate("manager")]
    assert on_event(state, Tick(), 6.0) == []
    assert on_event(state, Ended("manager"), 6.5) == [Exit()]


SILENT = "it doesn't say that it moves"


def ticks(state: SupervisorState, until: float) -> list[tuple[float, object]]:
    """What is done from now to `until` by a supervisor that never stands still."""
    done: list[tuple[float, object]] = []
    while (wake := next_wake(state)) is not None and wake <= until:
        done += [(wake, action) for action in on_event(state, Tick(), wake)]
    return done


def serving() -> SupervisorState:
    state = running()
    on_event(state, Alive("manager"), 1.0)
    on_event(state, Alive("listener"), 1.0)
    return state


def test_who_serves_and_then_is_silent_is_killed_after_a_second_look() -> None:
    state = serving()
    on_event(state, Alive("manager"), 4.0)
    assert ticks(state, 13.0) == [(12.0, Kill("listener", SILENT))]
    assert on_event(state, Ended("listener"), 12.1) == []
    assert ticks(state, 12.2) == [(12.15, Start("listener"))]


def test_who_speaks_is_left_alone() -> None:
    state = serving()
    for now in range(5, 100, 5):
        on_event(state, Alive("manager"), now)
        on_event(state, Alive("listener"), now)
        assert ticks(state, now + 4.9) == []


def test_who_speaks_at_the_second_look_is_forgiven() -> None:
    state = serving()
    assert ticks(state, 11.5) == []
    on_event(state, Alive("manager"), 11.5)
    on_event(state, Alive("listener"), 11.5)
    assert ticks(state, 21.6) == []
    assert next_wake(state) == 22.5


def test_a_supervisor_that_stood_still_itself_kills_nobody_for_it() -> None:
    state = serving()
    assert on_event(state, Tick(), 300.0) == []
    assert on_event(state, Tick(), 305.0) == []
    on_event(state, Alive("manager"), 305.1)
    on_event(state, Alive("listener"), 305.1)
    assert ticks(state, 315.0) == []


def test_after_a_standstill_who_stays_silent_is_killed_all_the_same() -> None:
    state = serving()
    assert on_event(state, Tick(), 300.0) == []
    on_event(state, Alive("manager"), 300.1)
    assert ticks(state, 302.0) == [(301.0, Kill("listener", SILENT))]


def test_who_never_serves_is_killed_later() -> None:
    state = running()
    on_event(state, Alive("listener"), 1.0)
    for now in range(5, 100, 5):
        on_event(state, Alive("listener"), now)
        if killed := ticks(state, now + 1):
            assert killed == [(91.0, Kill("manager", SILENT))]
            return
    raise AssertionError("it never was")


def test_who_began_to_end_has_its_grace() -> None:
    state = serving()
    on_event(state, Leaving("manager"), 2.0)
    on_event(state, Leaving("manager"), 3.0)
    on_event(state, Alive("manager"), 3.0)
    assert ticks(state, 6.0) == [(5.0, Kill("manager", "its grace is over"))]


def test_who_is_told_to_end_need_not_speak() -> None:
    state = serving()
    on_event(state, StopAsked(), 9.0)
    assert ticks(state, 13.0) == [(12.0, Kill("manager", SILENT))]
    assert on_event(state, Ended("manager"), 12.1) == []
    assert ticks(state, 20.0) == [(14.0, Kill("listener", "its grace is over"))]


def test_nothing_is_expected_of_what_could_not_be_started() -> None:
    state = running()
    on_event(state, Ended("manager"), 1.0)
    on_event(state, Started("manager", 0), 1.0)
    on_event(state, Alive("manager"), 1.0)
    on_event(state, Ended("manager"), 1.0)
    on_event(state, Alive("listener"), 1.0)
    assert state.programs["manager"].alive_by_s is None


def test_without_a_watchdog_silence_is_nothing() -> None:
    state = new_state({"manager": 3.0}, 0.0, Patience(watchdog_s=0.0))
    on_event(state, Tick(), 0.0)
    on_event(state, Started("manager", 11), 0.0)
    on_event(state, Alive("manager"), 1.0)
    assert next_wake(state) is None
