from __future__ import annotations

from math import exp

import numpy as np
import pytest

from eais_client.load.brain import md1
from tests.unit.client.load.brain.queues import constant, sojourns


def crommelin(rate: float, service: float, seconds: float) -> float:
    """The textbooks' sum, good for a few service times."""
    total, factorial = 0.0, 1.0
    for number in range(int(seconds / service) + 1):
        factorial *= max(1, number)
        early = rate * (number * service - seconds)
        total += early**number * exp(-early) / factorial
    return (1 - rate * service) * total


@pytest.mark.parametrize("load", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0, 2.5, 7.0, 9.99])
def test_it_is_crommelins_sum_where_that_has_digits(load: float, seconds: float) -> None:
    assert md1.waiting_below(load, 1.0, seconds) == pytest.approx(
        crommelin(load, 1.0, seconds), abs=1e-9
    )


def test_the_mean_wait_is_pollaczek_and_khinchins() -> None:
    rate, service = 160.0, 0.005
    step = 0.0005
    above = [1 - md1.waiting_below(rate, service, (n + 0.5) * step) for n in range(500)]
    load = rate * service
    assert sum(above) * step == pytest.approx(load * service / 2 / (1 - load), rel=1e-3)


def test_far_out_it_falls_evenly_where_an_alternating_sum_has_no_digits_left() -> None:
    tails = [1 - md1.waiting_below(0.95, 1.0, t) for t in (60.0, 120.0, 180.0)]
    assert tails[1] / tails[0] == pytest.approx(tails[2] / tails[1], rel=1e-3)
    assert 0 < tails[2] < tails[1] < tails[0] < 0.01


@pytest.mark.parametrize(("load", "share"), [(0.3, 0.9), (0.7, 0.99), (0.8, 0.95)])
def test_a_simulated_queue_has_these_quantiles(load: float, share: float) -> None:
    _, there = sojourns(np.random.default_rng(7), load, 1_000_000, constant(1.0))
    simulated = float(np.quantile(there, share))
    assert md1.sojourn_quantile(load, 1.0, share) == pytest.approx(simulated, rel=0.03)


def test_who_finds_nobody_waits_not_at_all() -> None:
    assert md1.sojourn_quantile(20.0, 0.005, 0.9) == 0.005
    assert md1.waiting_below(20.0, 0.005, 0.0) == pytest.approx(0.9)
    assert md1.waiting_below(20.0, 0.005, -0.001) == 0.0
    assert md1.waiting_below(0.0, 0.005, 0.0) == 1.0


@pytest.mark.parametrize("slo", [0.006, 0.05, 0.5])
def test_the_capacity_is_where_the_quantile_is_the_slo(slo: float) -> None:
    rate = md1.capacity(0.005, slo, 0.99)
    assert md1.sojourn_quantile(rate * 1.0001, 0.005, 0.99) >= slo
    assert md1.sojourn_below(rate * 0.9999, 0.005, slo) >= 0.99


def test_a_service_longer_than_the_slo_carries_nothing() -> None:
    assert md1.capacity(0.005, 0.004, 0.99) == 0.0


@pytest.mark.parametrize("rate", [-1.0, 200.0, 300.0])
def test_a_load_of_one_or_more_has_no_distribution(rate: float) -> None:
    with pytest.raises(ValueError, match="is no load from 0 to below 1"):
        md1.sojourn_quantile(rate, 0.005, 0.5)
