"""Waits that double, are bounded, and fall anywhere below their bound."""

from __future__ import annotations

import pytest

from eais.backoff import RESTART, RETRY, Backoff
from eais.jitter import JITTER


@pytest.mark.parametrize(("failures", "wait_s"), [(0, 0.0), (1, 0.05), (2, 0.1), (3, 0.2), (9, 5)])
def test_waits_double_up_to_their_cap(failures: int, wait_s: float) -> None:
    assert RESTART.wait_s(failures) == pytest.approx(wait_s)


def test_no_number_of_failures_is_too_large() -> None:
    assert RETRY.wait_s(10**9) == 1.0


@pytest.mark.parametrize("share", [0.0, 0.25, 0.75])
def test_a_delay_is_a_share_of_the_wait_that_chance_picks(share: float) -> None:
    assert Backoff(2.0, 60.0).delay_s(3, lambda: share) == 8.0 * share


def test_two_callers_dont_come_in_step() -> None:
    assert len({RETRY.delay_s(5, JITTER) for _ in range(20)}) == 20
