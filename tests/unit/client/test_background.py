"""Alarm and callbacks: real threads, fake times."""

from __future__ import annotations

import threading
from math import inf

import pytest

from eais.backoff import RETRY
from eais_client.background import Callbacks, ThreadAlarm
from eais_client.testing import FakeClock

WAIT_S = 20.0


def test_calls_with_callbacks_wait_for_room_and_callbacks_never_do() -> None:
    callbacks = Callbacks(limit=1)
    callbacks.start()
    leave = callbacks.reserve(None)
    assert leave is not None
    assert callbacks.reserve(0.01) is None
    inside: list[object] = []
    done = threading.Event()

    def inside_a_callback() -> None:
        inside.append(callbacks.reserve(None))
        done.set()

    callbacks.put(inside_a_callback)
    assert done.wait(WAIT_S)
    assert inside[0] is not None  # it would wait for itself
    waiting = threading.Thread(target=lambda: inside.append(callbacks.reserve(WAIT_S)))
    waiting.start()
    leave()
    waiting.join(WAIT_S)
    assert len(inside) == 2
    assert inside[1] is not None


def test_an_alarm_rings_when_it_is_time_and_again() -> None:
    clock, rung = FakeClock(), threading.Event()
    alarm = ThreadAlarm(clock, rung.set)
    for _ in range(2):
        alarm.wake_at(clock.now + 1000)
        clock.now += 1000
        alarm.wake_at(inf)  # wakes the thread, which sees that it is time
        assert rung.wait(WAIT_S)
        rung.clear()
    alarm.close()


def test_an_earlier_alarm_goes_first() -> None:
    clock, rung = FakeClock(), threading.Event()
    alarm = ThreadAlarm(clock, rung.set)
    alarm.wake_at(clock.now + 1e6)
    alarm.wake_at(clock.now)
    assert rung.wait(WAIT_S)
    alarm.close()


def test_an_alarm_may_be_centuries_away() -> None:
    looked, rung = threading.Event(), threading.Event()

    def clock() -> float:
        looked.set()
        return 1000.0

    alarm = ThreadAlarm(clock, rung.set)
    alarm.wake_at(1e13)
    assert looked.wait(WAIT_S)
    alarm.wake_at(1000.0)  # can't begin before the thread waits
    assert rung.wait(WAIT_S)
    alarm.close()


def test_an_alarm_outlives_what_it_rang_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, rung, shown = FakeClock(), threading.Event(), threading.Event()
    faults = [ZeroDivisionError()]

    def ring() -> None:
        if faults:
            raise faults.pop()
        rung.set()

    monkeypatch.setattr(threading, "excepthook", lambda _args: shown.set())
    alarm = ThreadAlarm(clock, ring)
    alarm.wake_at(clock.now)
    assert shown.wait(WAIT_S)
    alarm.wake_at(clock.now)
    assert rung.wait(WAIT_S)
    alarm.close()


def test_a_closed_alarm_never_rings() -> None:
    clock, rung = FakeClock(), threading.Event()
    alarm = ThreadAlarm(clock, rung.set)
    alarm.close()
    alarm.wake_at(clock.now)
    assert not alarm._started
    assert not rung.is_set()


def test_a_callback_that_raises_is_shown_and_ends_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    callbacks, done, shown = Callbacks(), threading.Event(), threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _args: shown.set())
    callbacks.start()
    callbacks.put(lambda: 1 / 0)
    callbacks.put(done.set)
    assert done.wait(WAIT_S)
    assert shown.wait(WAIT_S)


def test_backoff_doubles_to_its_cap_and_jitters_fully() -> None:
    backoff = RETRY
    assert [backoff.delay_s(n, lambda: 1.0) for n in (1, 2, 3, 6, 7, 2000)] == [
        0.025,
        0.05,
        0.1,
        0.8,
        1.0,
        1.0,
    ]
    assert backoff.delay_s(5, lambda: 0.0) == 0.0
