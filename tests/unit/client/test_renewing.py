"""When an identity is renewed, tried again, and when its user is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eais_client.brain.renewing import Life, Renewing, due, failed, look_in_s

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = Life(T0, T0 + timedelta(minutes=33), T0 + timedelta(minutes=60))


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def test_it_is_due_from_its_own_moment_on() -> None:
    assert not due(Renewing(), HOUR, at(32.9))
    assert due(Renewing(), HOUR, at(33))


def test_a_failure_waits_longer_each_time_up_to_a_bound() -> None:
    state, waits = Renewing(), []
    for _ in range(12):
        failed(state, HOUR, at(34), lambda: 1.0)
        waits.append((state.retry_at - at(34)).total_seconds())
    assert waits[:3] == [0.25, 0.5, 1.0]
    assert waits[-1] == 30.0
    assert not due(state, HOUR, at(34))
    assert due(state, HOUR, at(34.5))


def test_failures_are_kept_from_the_user_while_much_is_left_then_said_once() -> None:
    state = Renewing()
    told = [minute for minute in range(34, 60) if failed(state, HOUR, at(minute), lambda: 0.0)]
    assert told == [48]


def test_the_end_is_said_once_more() -> None:
    state = Renewing()
    told = [minute for minute in range(34, 90) if failed(state, HOUR, at(minute), lambda: 0.0)]
    assert told == [48, 60]


def test_the_file_is_looked_at_every_minute_and_when_it_is_due() -> None:
    assert look_in_s(Renewing(), HOUR, at(0)) == 60.0
    assert look_in_s(Renewing(), HOUR, at(32.5)) == pytest.approx(30.0)
    assert look_in_s(Renewing(), HOUR, at(40)) == 60.0  # another process is at it


def test_after_a_failure_the_next_try_is_what_is_waited_for() -> None:
    state = Renewing()
    failed(state, HOUR, at(34), lambda: 1.0)
    assert look_in_s(state, HOUR, at(34)) == pytest.approx(0.25)


def test_short_lives_are_looked_at_more_often() -> None:
    short = Life(T0, T0 + timedelta(seconds=6), T0 + timedelta(seconds=10))
    assert look_in_s(Renewing(), short, T0) == pytest.approx(0.5)
