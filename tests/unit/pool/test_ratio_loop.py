"""Seconds that a manager tells its controllers of."""

from __future__ import annotations

from eais_pool.ratio_loop import MADE_UP_FOR_S, gone_by


def test_seconds_that_a_busy_machine_let_go_by_are_made_up_for() -> None:
    assert gone_by(100.0, 101.02) == (1, 101.0)
    assert gone_by(101.0, 101.3) == (1, 102.0)
    assert gone_by(100.0, 104.1) == (4, 104.0)
    assert gone_by(100.0, 100.0 + MADE_UP_FOR_S) == (MADE_UP_FOR_S, 100.0 + MADE_UP_FOR_S)


def test_a_machine_that_was_suspended_saw_nothing_meanwhile() -> None:
    assert gone_by(100.0, 90_000.0) == (1, 90_000.0)
