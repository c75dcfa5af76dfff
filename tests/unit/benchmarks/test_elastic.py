"""What the elastic benchmark counts as late, pays in hindsight, and reads from a journal."""

from __future__ import annotations

import pytest

from benchmarks.elastic.calls import Phase, Sent, due_at
from benchmarks.elastic.judging import lateness, oracle_cost, switches
from eais.device_type import DeviceKind
from eais_pool.policy.ratio.control import Amount
from eais_pool.policy.ratio.offers import Offer

CHEAP = Offer(DeviceKind.CPU, 125, 10.0, 0.36, most_units=8)
DEAR = Offer(DeviceKind.GPU, 500, 100.0, 3.6, most_units=2)
ONE, TWO = Amount(DeviceKind.CPU, 1, 125), Amount(DeviceKind.CPU, 2, 125)


def answered(due: float, took: float, error: str = "") -> Sent:
    return Sent(due, due, due + took, not error, error)


def test_calls_are_late_from_when_they_were_due() -> None:
    calls = [answered(5, 0.9), answered(6, 1.1), answered(7, 0.1, "LOST"), Sent(8, 8)]
    found = lateness(calls, 1.0, [], 6.0)
    assert (found.calls, found.late, found.percent) == (4, 3, 75.0)


def test_those_that_are_due_within_the_attach_delay_of_a_rise_are_told_apart() -> None:
    calls = [answered(at, 2.0 if at < 14 else 0.1) for at in (9, 10, 13, 15.9, 16, 20)]
    found = lateness(calls, 1.0, [10.0], 6.0)
    assert (found.excused, found.excused_late) == (3, 2)
    assert (found.calls, found.late) == (3, 1)
    assert found.percent_of_all == 50.0


def test_each_change_of_what_serves_is_a_switch() -> None:
    assert switches([ONE, ONE, TWO, TWO, ONE, Amount(), Amount()]) == 3
    assert switches([]) == 0


def test_hindsight_pays_for_the_cheapest_that_serves_each_ten_seconds() -> None:
    low, high, none = [5] * 10, [30] * 10, [0] * 10
    assert oracle_cost(low, [CHEAP, DEAR], 2) == pytest.approx(0.36 * 10 / 3600)
    assert oracle_cost(high, [CHEAP, DEAR], 2) == pytest.approx(3.6 * 10 / 3600)
    assert oracle_cost(high, [CHEAP, DEAR], 3) == pytest.approx(3 * 0.36 * 10 / 3600)
    assert oracle_cost(none, [CHEAP, DEAR], 2) == 0.0


def test_what_nothing_could_serve_is_served_by_what_serves_most() -> None:
    assert oracle_cost([500] * 10, [CHEAP, DEAR], 2) == pytest.approx(7.2 * 10 / 3600)


def test_calls_come_at_random_at_the_rate_of_their_phase() -> None:
    phases = [Phase("slow", 100.0, 5.0), Phase("none", 10.0, 0.0), Phase("fast", 100.0, 20.0)]
    due = due_at(phases, 3)
    assert due == sorted(due)
    assert due == due_at(phases, 3) != due_at(phases, 4)
    slow = [at for at in due if at < 100]
    fast = [at for at in due if at >= 110]
    assert len(slow) + len(fast) == len(due)
    assert 400 < len(slow) < 600
    assert 1800 < len(fast) < 2200
