"""What the benchmark of the load test holds its figures against."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.loadtest.__main__ import missed
from benchmarks.loadtest.accuracy import (
    STALL_EVERY_S,
    STALL_S,
    STALLED_MS,
    Compared,
    stalled_ms,
)
from eais_client.load.testing.service import Known, Service

GOOD = {
    "error_lognormal_threads": 0.01,
    "closed_threads_per_core_s": 50_000,
    "omitted_seen": True,
    "stall_p99_ms": 955.0,
    "stall_p99_told_ms": 955.0,
    "stall_p99_closed_ms": 6.0,
}


@pytest.mark.parametrize("offset", [0.0, 0.3, 2.0, 4.9])
def test_percentiles_under_stalls_are_those_of_the_target_whenever_one_begins(
    offset: float,
) -> None:
    service = Service(Known(mean_ms=STALLED_MS, stall_every_s=STALL_EVERY_S, stall_s=STALL_S))
    due = (offset + np.arange(0, 20, 1 / 200)).tolist()
    took = [1000 * (service.arrived(moment).end - moment) for moment in due]
    for share in (0.5, 0.9, 0.95, 0.99):
        assert np.quantile(took, share) == pytest.approx(stalled_ms(share), rel=0.01)


def test_an_error_is_relative() -> None:
    assert Compared(0.5, 10.2, 10.0).error == pytest.approx(0.02)


def test_good_figures_miss_nothing() -> None:
    assert missed(GOOD) == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"error_lognormal_threads": 0.03}, "error_lognormal_threads is 3.0%"),
        ({"closed_threads_per_core_s": 19_000}, "is 19000, which is less than 20000"),
        ({"omitted_seen": False}, "p99 under stalls is 955 ms"),
    ],
)
def test_what_is_missed_is_said(bad: dict[str, Any], said: str) -> None:
    (line,) = missed(GOOD | bad)
    assert said in line
