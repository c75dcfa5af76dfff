from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais.telemetry.latency import (
    BOUNDS_NS,
    BUCKETS,
    added,
    bucket,
    grown,
    larger,
    quantile_ms,
    trimmed,
)

MS = 1_000_000


def counted(*took_ms: float) -> tuple[int, ...]:
    counts = [0] * BUCKETS
    for each in took_ms:
        counts[bucket(round(each * MS))] += 1
    return trimmed(counts)


def test_bounds_grow_by_a_fourth_root_of_two_from_a_tenth_of_a_millisecond() -> None:
    assert BOUNDS_NS[0] == 100_000
    assert BOUNDS_NS[4] == 200_000
    assert all(high / low == pytest.approx(2**0.25, rel=1e-4) for low, high in pairwise(BOUNDS_NS))
    assert BOUNDS_NS[-1] > 1140 * 1000 * MS


@given(st.integers(0, 1 << 50))
def test_a_call_is_within_its_bound_and_above_the_one_before(took_ns: int) -> None:
    at = bucket(took_ns)
    assert at == len(BOUNDS_NS) or took_ns <= BOUNDS_NS[at]
    assert at == 0 or took_ns > BOUNDS_NS[at - 1]


def test_empty_buckets_at_the_end_are_left_out_and_surplus_ones_too() -> None:
    assert trimmed([0, 2, 0, 0]) == (0, 2)
    assert trimmed([0] * BUCKETS) == ()
    assert trimmed([1] * (BUCKETS + 5)) == (1,) * BUCKETS


def test_counts_of_several_add_up_and_stay_within_the_wires_numbers() -> None:
    most = (1 << 64) - 1
    assert added((1, 2), (3,), (0, 0, 5)) == (4, 2, 5)
    assert added((most,), (1,)) == (most,)
    assert larger((1, 5), (2, 4, 9)) == (2, 5, 9)


def test_what_grew_is_what_is_new_also_after_a_restart() -> None:
    assert grown((5, 2, 1), (3, 2)) == (2, 0, 1)
    assert grown((1,), (3, 2)) == (1,)
    assert grown((4, 4), ()) == (4, 4)


@given(st.lists(st.floats(0.05, 10_000), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_quantile_is_within_a_bucket_of_the_true_one(took_ms: list[float], share: float) -> None:
    ordered = sorted(took_ms)
    rank = share * len(ordered)
    true = next(each for i, each in enumerate(ordered, 1) if i >= rank)
    found = quantile_ms(counted(*took_ms), share)
    assert found <= max(0.1, true) * 2**0.25 + 1e-6
    assert found >= true / 2**0.25 - 0.1 - 1e-6


def test_without_calls_there_is_no_time_and_above_the_last_bound_it_is_that() -> None:
    assert quantile_ms((), 0.99) == 0.0
    assert quantile_ms([0] * (BUCKETS - 1) + [3], 0.5) == BOUNDS_NS[-1] / MS
