"""Deadlines under a clock of our own."""

from __future__ import annotations

import math

import pytest

from eais.deadline import NEVER, Deadline, current, deadline
from eais.errors import DeadlineExceeded, UsageError


def test_outside_there_is_none() -> None:
    assert current() is NEVER
    assert NEVER.left_or_none(5.0) is None
    assert NEVER.left_s(5.0) == math.inf


def test_inside_it_counts_down() -> None:
    with deadline(2.0, clock=lambda: 10.0) as made:
        assert current() is made
        assert made.left_s(11.5) == 0.5
        assert made.left_s(13.0) == 0.0
        made.check(11.9)
        with pytest.raises(DeadlineExceeded):
            made.check(12.0)
    assert current() is NEVER


def test_an_inner_one_only_shortens() -> None:
    with deadline(2.0, clock=lambda: 0.0), deadline(9.0, clock=lambda: 0.0) as inner:
        assert inner.at_s == 2.0


def test_it_is_a_timeout_error_too() -> None:
    with pytest.raises(TimeoutError):
        Deadline(1.0).check(1.0)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan])
def test_a_deadline_lies_ahead(seconds: float) -> None:
    with pytest.raises(UsageError):
        Deadline.after(seconds, 0.0)


@pytest.mark.parametrize("seconds", [1e9, 1e13, 1e300, math.inf])
def test_decades_are_for_ever(seconds: float) -> None:
    assert Deadline.after(seconds, 10.0) == NEVER
    with deadline(seconds) as made:
        assert made.left_or_none(10.0) is None
    with deadline(2.0, clock=lambda: 0.0), deadline(seconds, clock=lambda: 0.0) as inner:
        assert inner.at_s == 2.0
