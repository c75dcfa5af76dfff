"""When requests of an open loop are due: as many as the rate comes to, spaced as is asked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.typing import NDArray

from eais.errors import UsageError
from eais_client.load.brain.arrivals import BLOCK, MOST_BURST, due_to, mix, moments, share
from eais_client.load.brain.plan import Open, Spacing, Stretch

RATES = some.one_of(some.just(0.0), some.floats(0.01, 50.0))
STRETCHES = some.lists(
    some.builds(Stretch, some.floats(0.01, 20.0), RATES, RATES), min_size=1, max_size=6
).map(tuple)
SPACINGS = some.sampled_from(Spacing)
BURSTS = some.floats(0.05, 50.0)


def whole(load: Open, seed: int = 1) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(0), *moments(load, seed)])


def flat(spacing: Spacing, rate: float, seconds: float, burst: float = 1.0) -> Open:
    return Open(spacing, (Stretch(seconds, rate, rate),), burst)


def integral(stretches: tuple[Stretch, ...]) -> float:
    return sum(each.seconds * (each.from_per_s + each.to_per_s) / 2 for each in stretches)


def kolmogorov_smirnov(gaps: NDArray[np.float64], below: NDArray[np.float64]) -> float:
    """√n times the largest distance of the gaps' distribution from the one of `below`."""
    n = len(gaps)
    steps = np.arange(n + 1) / n
    farthest = max(float(np.abs(below - steps[1:]).max()), float(np.abs(below - steps[:-1]).max()))
    return math.sqrt(n) * farthest


@given(STRETCHES)
def test_even_requests_are_as_many_as_the_rate_comes_to(stretches: tuple[Stretch, ...]) -> None:
    count = len(whole(Open(Spacing.CONSTANT, stretches)))
    assert abs(count - integral(stretches)) <= 0.5 + 1e-6


@given(STRETCHES, SPACINGS, BURSTS, some.integers(0, 2**31))
def test_moments_ascend_within_the_phase(
    stretches: tuple[Stretch, ...], spacing: Spacing, burst: float, seed: int
) -> None:
    due = whole(Open(spacing, stretches, burst), seed)
    seconds = sum(each.seconds for each in stretches)
    assert np.isfinite(due).all()
    assert (np.diff(due) >= -1e-9).all()
    assert ((due >= 0) & (due <= seconds * (1 + 1e-9))).all()


@given(STRETCHES, some.floats(0.1, 0.9))
def test_by_any_moment_as_many_are_due_as_the_rate_came_to(
    stretches: tuple[Stretch, ...], part: float
) -> None:
    due = whole(Open(Spacing.CONSTANT, stretches))
    until, begin, area = part * sum(each.seconds for each in stretches), 0.0, 0.0
    for each in stretches:
        inside = min(max(until - begin, 0.0), each.seconds)
        slope = (each.to_per_s - each.from_per_s) / each.seconds
        area += each.from_per_s * inside + slope * inside * inside / 2
        begin += each.seconds
    assert abs(np.count_nonzero(due < until) - area) <= 0.5 + 1e-6


@given(STRETCHES, SPACINGS, some.integers(1, 7), some.floats(0.0, 30.0))
def test_processes_share_all_that_is_due(
    stretches: tuple[Stretch, ...], spacing: Spacing, of: int, seconds: float
) -> None:
    load = Open(spacing, stretches)
    every = whole(load)
    every = every[every < seconds]
    for index in range(of):
        mine = due_to(load, seconds, 1, index, of)
        assert np.array_equal(mine, share(every, index, of))


def test_processes_share_across_blocks() -> None:
    load = flat(Spacing.POISSON, 50_000.0, 3.0)
    every = whole(load)
    assert len(every) > 2 * BLOCK
    for index in range(3):
        assert np.array_equal(due_to(load, 9.0, 1, index, 3), every[index::3])


def test_blocks_are_bounded() -> None:
    assert max(map(len, moments(flat(Spacing.CONSTANT, 1e5, 3.0), 1))) == BLOCK
    given_moments = Open(moments=tuple(np.arange(BLOCK + 1.0)))
    assert [len(block) for block in moments(given_moments, 1)] == [BLOCK, 1]


def test_only_blocks_that_are_needed_are_made() -> None:
    month_of_most = flat(Spacing.POISSON, 1e7, 30 * 86_400.0)
    assert len(due_to(month_of_most, 0.001, 1, 0, 1)) == pytest.approx(10_000, rel=0.05)


def test_even_requests_are_in_the_middle_of_their_time() -> None:
    due = whole(flat(Spacing.CONSTANT, 10.0, 1.0))
    assert due == pytest.approx(np.arange(10) / 10 + 0.05)


def test_a_ramp_from_nothing() -> None:
    # Its integral is 5 t²: the request k is due where that is k + 1/2.
    due = whole(Open(Spacing.CONSTANT, (Stretch(1.0, 0.0, 10.0),)))
    assert due == pytest.approx(np.sqrt((np.arange(5) + 0.5) / 5))


def test_a_request_at_the_begin_of_a_ramp_from_nothing() -> None:
    # 2.5 requests come to the third point, which is where the ramp, whose rate is 0 there, begins.
    due = whole(Open(Spacing.CONSTANT, (Stretch(1.0, 2.5, 2.5), Stretch(1.0, 0.0, 4.0))))
    assert due == pytest.approx([0.2, 0.6, 1.0, 1 + math.sqrt(0.5)])


def test_nothing_is_due_while_the_rate_is_0() -> None:
    stretches = (Stretch(1.0, 5.0, 5.0), Stretch(3.0, 0.0, 0.0), Stretch(1.0, 5.0, 5.0))
    due = whole(Open(Spacing.CONSTANT, stretches))
    assert np.count_nonzero((due > 1) & (due < 4)) == 0
    assert len(due) == 10


@pytest.mark.parametrize("spacing", Spacing)
def test_nothing_is_due_of_no_rate_and_of_no_time(spacing: Spacing) -> None:
    assert len(whole(flat(spacing, 0.0, 5.0))) == 0
    assert len(whole(Open(spacing))) == 0
    assert len(whole(Open(spacing, (Stretch(0.0, 5.0, 5.0),)))) == 0


def test_gaps_of_poissons_process_are_exponential() -> None:
    gaps = np.sort(np.diff(whole(flat(Spacing.POISSON, 200.0, 100.0), seed=3)))
    # 1.63 is exceeded once in 100 times by chance (Kolmogorov's distribution).
    assert kolmogorov_smirnov(gaps, 1 - np.exp(-200.0 * gaps)) < 1.63


def test_gaps_that_are_of_another_process_are_told_apart() -> None:
    gaps = np.sort(np.diff(whole(flat(Spacing.GAMMA, 200.0, 100.0, 1.5), seed=3)))
    assert kolmogorov_smirnov(gaps, 1 - np.exp(-200.0 * gaps)) > 1.63


def test_gaps_of_a_burst_of_one_half_are_erlangs() -> None:
    gaps = np.sort(np.diff(whole(flat(Spacing.GAMMA, 200.0, 100.0, 0.5), seed=3)))
    passed = 2 * 200.0 * gaps
    assert kolmogorov_smirnov(gaps, 1 - np.exp(-passed) * (1 + passed)) < 1.63


def test_poissons_counts_vary_as_their_mean() -> None:
    due = whole(flat(Spacing.POISSON, 50.0, 4000.0), seed=5)
    counts = np.bincount(due.astype(int), minlength=4000)
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("burst", [0.25, 1.0, 4.0, 16.0])
def test_burst_is_the_squared_coefficient_of_variation(burst: float) -> None:
    gaps = np.diff(whole(flat(Spacing.GAMMA, 100.0, 4000.0, burst), seed=7))
    assert gaps.mean() == pytest.approx(0.01, rel=0.03)
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(burst, rel=0.05)


def test_a_burst_of_0_is_even() -> None:
    even = whole(flat(Spacing.CONSTANT, 20.0, 2.0))
    assert np.array_equal(whole(flat(Spacing.GAMMA, 20.0, 2.0, 0.0)), even)


@pytest.mark.parametrize("burst", [-1.0, math.nan, math.inf, MOST_BURST * 2])
def test_what_is_no_burst_is_refused(burst: float) -> None:
    with pytest.raises(UsageError, match="burst"):
        whole(flat(Spacing.GAMMA, 20.0, 2.0, burst))


def test_the_most_burst_comes_to_an_end() -> None:
    assert len(whole(flat(Spacing.GAMMA, 20.0, 2.0, MOST_BURST))) >= 0


@pytest.mark.parametrize("spacing", [Spacing.POISSON, Spacing.GAMMA])
def test_a_seed_makes_the_same_moments_again(spacing: Spacing) -> None:
    load = flat(spacing, 100.0, 2.0, 2.0)
    assert np.array_equal(whole(load, 1), whole(load, 1))
    assert not np.array_equal(whole(load, 1)[:10], whole(load, 2)[:10])


def test_moments_that_are_given_are_those() -> None:
    assert whole(Open(moments=(0.0, 0.5, 0.5, 2.0))).tolist() == [0.0, 0.5, 0.5, 2.0]


def test_a_mix_is_of_its_weights_and_the_same_for_any_share() -> None:
    models = mix((3, 1), 40_000, seed=1)
    assert np.bincount(models)[0] / 40_000 == pytest.approx(0.75, abs=0.01)
    assert np.array_equal(mix((3, 1), 40_000, seed=1), models)
    parts = np.empty_like(models)
    for index in range(3):
        parts[index::3] = share(models, index, 3)
    assert np.array_equal(parts, models)


def test_a_mix_says_nothing_of_gaps() -> None:
    load = flat(Spacing.POISSON, 1000.0, 10.0)
    gaps = np.diff(whole(load))
    of_first = mix((1, 1), len(gaps), seed=1) == 0
    assert gaps[of_first].mean() == pytest.approx(gaps.mean(), rel=0.05)
