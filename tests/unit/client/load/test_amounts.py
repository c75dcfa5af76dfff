"""Figures are written so that nothing looks better than it is."""

from __future__ import annotations

import pytest

from eais_client.load.report.amounts import amount, harmless, milliseconds, percent, plural


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0871, "0.0871"), (0.00001234, "0.000012"), (12.345, "12.3"), (99.96, "100"),
     (1234.5, "1234"), (123456.0, "123456"), (None, "-")],
)  # fmt: skip
def test_three_digits_count_and_powers_of_ten_are_never_written(
    value: float | None, text: str
) -> None:
    assert amount(value) == text


def test_a_percentile_that_nobody_reached_is_failed_and_no_number() -> None:
    assert milliseconds(None) == "failed"
    assert milliseconds(12.3456) == "12.3 ms"


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(1, 2, "50 %"), (200, 200, "100 %"), (9999, 10_000, "99.99 %"), (0, 5, "0 %"), (0, 0, "-"),
     (10**9 - 1, 10**9, "< 100 %")],
)  # fmt: skip
def test_what_is_not_all_of_it_is_never_100_percent(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text


def test_one_and_many() -> None:
    assert plural(1, "error") == "1 error"
    assert plural(2, "stretch", "stretches") == "2 stretches"


def test_what_a_terminal_would_obey_is_not_passed_on() -> None:
    assert harmless("a\x1b[31m\r\nb\u202ec ") == "a [31m  b c"
