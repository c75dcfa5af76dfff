"""An alarm goes off at the moment that was set last."""

from __future__ import annotations

import math
import select
import time

from eais_client.load.generator.alarm import Alarm


def is_ringing(alarm: Alarm, within_ms: int = 0) -> bool:
    poll = select.poll()
    poll.register(alarm.fd, select.POLLIN)
    return bool(poll.poll(within_ms))


def test_it_rings_at_its_moment_and_at_once_if_that_has_passed() -> None:
    alarm = Alarm()
    assert not is_ringing(alarm)
    alarm.set(time.monotonic() + 0.01)
    assert is_ringing(alarm, 10_000)
    alarm.set(time.monotonic() - 1.0)
    assert is_ringing(alarm, 10_000)
    alarm.close()


def test_setting_it_anew_takes_back_what_was_set_before() -> None:
    alarm = Alarm()
    alarm.set(time.monotonic() - 1.0)
    assert is_ringing(alarm, 10_000)
    alarm.set(time.monotonic() + 1000.0)
    assert not is_ringing(alarm)
    alarm.set(time.monotonic() - 1.0)
    alarm.set(math.inf)
    assert not is_ringing(alarm)
    alarm.close()
