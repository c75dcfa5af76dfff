"""What is read from histograms at once is what HdrHistogram says value by value."""

from __future__ import annotations

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from eais_client.load.brain.spread import of_text, spread, to_text
from eais_client.load.record import HIGHEST_US, INTERVAL_DIGITS, new_histogram
from tests.unit.client.load.records import count

values = st.lists(st.integers(1, HIGHEST_US), min_size=1, max_size=50)


def histogram(*us: int, digits: int = 3) -> HdrHistogram:
    made = new_histogram(digits)
    for value in us:
        made.record_value(value)
    return made


@given(values, st.sampled_from([1, 2, 3]))
def test_least_most_mean_and_quantiles_are_hdrhistograms(us: list[int], digits: int) -> None:
    theirs = histogram(*us, digits=digits)
    mine = spread([theirs])
    assert mine.total == len(us)
    assert mine.least() == theirs.get_min_value()
    assert mine.most() == theirs.get_max_value()
    # Theirs takes the upper middle of a bucket, ours the middle.
    assert mine.mean() == pytest.approx(theirs.get_mean_value(), rel=10**-digits, abs=0.5)
    assert mine.quantile(1_000_000) == theirs.get_value_at_percentile(100)


@given(values, st.integers(0, 1_000_000))
def test_a_quantile_is_the_value_at_its_rank_to_the_width_of_a_bucket(
    us: list[int], millionths: int
) -> None:
    rank = max(1, -(-len(us) * millionths // 1_000_000))
    assert spread([histogram(*us)]).quantile(millionths) == pytest.approx(
        sorted(us)[rank - 1], rel=1e-3
    )


def test_ranks_are_exact_where_binary_fractions_are_not() -> None:
    assert spread([histogram(*range(1, 101))]).quantile(990_000) == 99
    assert spread([histogram(*range(1, 1001))]).quantile(999_000) == 999


def test_what_has_no_value_ranks_behind_all_that_have() -> None:
    mine = spread([histogram(*range(1, 100))])
    assert mine.quantile(990_000, of=100) == 99
    assert mine.quantile(990_000, of=101) is None
    assert mine.quantile(500_000, of=200) is None


def test_of_nothing_nothing_is_said() -> None:
    for mine in (spread([]), spread([new_histogram()])):
        assert mine.total == mine.within(1e9) == 0
        assert mine.mean() is mine.least() is mine.most() is mine.quantile(500_000) is None


def test_histograms_are_added() -> None:
    mine = spread([histogram(1, 5), histogram(3), histogram()])
    assert list(mine.counts) == [1, 1, 1]
    assert mine.quantile(500_000) == 3


def test_within_a_bound_counts_to_the_width_of_a_bucket() -> None:
    mine = spread([histogram(100, 200, 300)])
    assert [mine.within(bound) for bound in (99, 100, 200, 299, 1e9)] == [0, 1, 2, 2, 3]


@given(values)
def test_a_text_holds_all(us: list[int]) -> None:
    theirs = histogram(*us, digits=INTERVAL_DIGITS)
    read = of_text(to_text(theirs))
    assert read is not None
    mine, before = spread([read]), spread([theirs])
    assert np.array_equal(mine.lows, before.lows)
    assert np.array_equal(mine.counts, before.counts)


def test_an_empty_one_is_an_empty_text() -> None:
    assert to_text(new_histogram()) == ""
    assert of_text("") is None


@pytest.mark.parametrize("text", ["x", "AAAA", "HISTFAAAABR4nJNpmSzMwMDAxAABzFCaEUoz2X+AMACW"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no histogram"):
        of_text(text)


def test_counting_helper_keeps_microseconds() -> None:
    made = new_histogram()
    count(made, np.array([0.001, 0.002]))
    assert spread([made]).least() == 1000
