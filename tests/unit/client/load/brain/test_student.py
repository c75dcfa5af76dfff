from __future__ import annotations

import numpy as np
import pytest

from eais_client.load.brain.student import log_mean_interval, median_interval, t_quantile


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (10, 2.2281), (30, 2.0423), (500, 1.96)],
)
def test_quantiles_are_those_of_the_tables(degrees: int, quantile: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(quantile, abs=1e-4)


def test_the_medians_interval_is_that_of_the_sign_test() -> None:
    assert median_interval(range(5)) is None
    assert median_interval(range(6)) == (0, 5)
    assert median_interval(range(10)) == (1, 8)
    assert median_interval(range(25)) == (7, 17)
    assert median_interval([]) is None


def test_the_medians_interval_holds_it_as_often_as_it_says() -> None:
    drawn = np.random.default_rng(3)
    held = 0
    for _ in range(500):
        found = median_interval(drawn.exponential(1.0, 11).tolist())
        assert found is not None
        held += found[0] <= np.log(2) <= found[1]
    assert held / 500 >= 0.95


def test_a_geometric_mean_has_an_interval_from_two_on() -> None:
    assert log_mean_interval([1.0]) is None
    low, high = log_mean_interval([1.0, 1.1, 0.9, 1.0]) or (0.0, 0.0)
    assert low < 0.9985 < high
    assert low == pytest.approx(1 / high, rel=0.02)
