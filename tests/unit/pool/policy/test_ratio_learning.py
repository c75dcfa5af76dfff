"""What the ratio controller learns: drift, pauses, and what a late call is worth."""

from __future__ import annotations

import random

import pytest

from eais_pool.policy.ratio.drift import Drift
from eais_pool.policy.ratio.idling import Idling
from eais_pool.policy.ratio.lateness import Lateness


def test_a_rise_that_always_comes_is_had_beforehand() -> None:
    drift = Drift()
    for _ in range(2000):
        drift.saw(1.0)
    assert drift.margin(50.0, late_cost=20.0) == 1.0


def test_a_rise_too_rare_for_its_rent_is_not() -> None:
    drift = Drift()
    for second in range(20_000):
        drift.saw(7.0 if second % 2000 == 0 else 0.0)
    assert drift.margin(50.0, late_cost=20.0) == 0.0
    assert drift.margin(50.0, late_cost=20_000.0) == 7.0


def test_calm_hours_need_less_than_restless_ones() -> None:
    drift, chance = Drift(), random.Random(1)
    found: dict[float, tuple[float, int]] = {}
    for _ in range(4):
        for spread in (0.1, 2.0):
            for _ in range(5000):
                drift.saw(chance.gauss(0.0, spread))
            found[spread] = drift.margin(50.0, late_cost=20.0), drift.octave
    assert found[0.1][0] < found[2.0][0] / 3
    assert found[0.1][1] < found[2.0][1]


def test_what_nothing_is_known_of_has_a_margin_all_the_same() -> None:
    assert Drift().margin(50.0, late_cost=20.0) > 0


def test_pauses_that_end_soon_are_kept_through_and_long_ones_left() -> None:
    idling = Idling()
    for _ in range(50):
        idling.ended(20)
        idling.ended(5000)
    assert idling.keeps(1, worth_s=60.0)
    assert idling.keeps(19, worth_s=60.0)
    assert not idling.keeps(21, worth_s=60.0)
    assert idling.keeps(4990, worth_s=60.0)


def test_a_pause_of_which_nothing_is_known_is_kept_through_for_a_while() -> None:
    idling = Idling()
    kept = [idling.keeps(second, worth_s=600.0) for second in range(1, 40_000, 100)]
    assert kept[0]
    assert not kept[-1]


def test_old_pauses_are_forgotten() -> None:
    idling = Idling()
    for _ in range(300):
        idling.ended(5000)
    for _ in range(300):
        idling.ended(20)
    assert not idling.keeps(21, worth_s=60.0)


@pytest.mark.parametrize("slack_s", [1.0, 3.0])
def test_a_call_is_late_once_when_it_has_waited_for_longer(slack_s: float) -> None:
    lateness = Lateness(0.01, slack_s)
    lateness.saw(10, 10)
    for _ in range(int(slack_s) - 1):
        lateness.saw(0, 10)
    assert lateness.late == 0
    for _ in range(5):
        lateness.saw(0, 10)
    assert lateness.late == 10


def test_late_calls_make_late_calls_dearer_and_calm_cheaper() -> None:
    lateness = Lateness(0.01, 1.0)
    for _ in range(5000):
        lateness.saw(50, 0)
    calm = lateness.tail
    for _ in range(300):
        lateness.saw(50, 500)
    dear = lateness.tail
    for _ in range(5000):
        lateness.saw(50, 0)
    assert dear < calm
    assert lateness.tail > dear


def test_the_price_stays_within_reason() -> None:
    lateness = Lateness(0.01, 1.0)
    for _ in range(30_000):
        lateness.saw(5, 50)
    assert lateness.tail == pytest.approx(0.001)
