"""The brain that says where a session's calls go: falls, probes, steadiness, flapping."""

from __future__ import annotations

import pytest

from eais.errors import REASONS, make_error
from eais_client.brain.falling_back import (
    Hysteresis,
    Standing,
    answered,
    fell,
    is_away,
    unanswered,
)

HOW = Hysteresis()


@pytest.fixture
def standing() -> Standing:
    return Standing(HOW)


def test_the_first_fall_is_news_and_no_other_is(standing: Standing) -> None:
    assert fell(standing, 10.0)
    assert (standing.local, standing.falls, standing.probe_at) == (True, 1, 10.5)
    assert not fell(standing, 11.0)
    assert (standing.falls, standing.since) == (1, 10.0)


def test_it_goes_back_when_the_pool_was_steady(standing: Standing) -> None:
    fell(standing, 0.0)
    assert not answered(standing, 1.0)
    assert standing.probe_at == 2.0
    assert not answered(standing, 2.5)
    assert standing.probe_at == 3.0  # the rest of the two seconds
    assert answered(standing, 3.0)
    assert (standing.local, standing.returns) == (False, 1)


def test_a_failure_between_makes_it_begin_anew(standing: Standing) -> None:
    fell(standing, 0.0)
    answered(standing, 1.0)
    unanswered(standing, 2.0, lambda: 0.0)
    assert not answered(standing, 3.1)
    assert not answered(standing, 5.0)
    assert answered(standing, 5.1)


def test_probes_that_fail_come_ever_later(standing: Standing) -> None:
    fell(standing, 0.0)
    waits = []
    for _ in range(9):
        unanswered(standing, 100.0, lambda: 1.0)
        waits.append(standing.probe_at - 100.0)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    unanswered(standing, 100.0, lambda: 0.0)
    assert standing.probe_at == 115.0


def returned(standing: Standing, now: float) -> float:
    """When it is back, if the pool answers every probe from `now` on."""
    while not answered(standing, now):
        now = standing.probe_at
    return now


def test_a_pool_that_does_not_last_must_be_steady_for_longer(standing: Standing) -> None:
    now, steady = 0.0, []
    for _ in range(10):
        fell(standing, now)
        back = returned(standing, now)
        steady.append(back - now)
        now = back + 1.0
    assert steady == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]
    fell(standing, now + HOW.flap_s)
    assert standing.steady_s == 2.0


def test_what_is_away_is_nobody_there() -> None:
    away = {reason for reason in REASONS if is_away(make_error(reason, ""), 3)}
    assert away == {
        "POOL_UNREACHABLE",
        "POOL_NOT_RUNNING",
        "HOST_UNREACHABLE",
        "NO_WORKER",
        "DEVICE_LOST",
        "CERT_EXPIRED",
        "WORKER_DIED",
    }


def test_a_call_that_took_its_workers_with_it_is_not_run_here() -> None:
    died = make_error("WORKER_DIED", "gone", metadata={"attempts": "3"})
    assert not is_away(died, 3)
    assert is_away(make_error("WORKER_DIED", "gone", metadata={"attempts": "2"}), 3)
