"""What is read off a record."""

from __future__ import annotations

from eais_client.load.record import count_within, new_histogram


def test_values_within_a_bound_are_those_up_to_it() -> None:
    histogram = new_histogram()
    for value in (100, 1_000, 20_000, 900_000):
        histogram.record_value(value)
    assert [count_within(histogram, each) for each in (0.00005, 0.001, 0.02, 0.5, 1.0)] == [
        0,
        2,
        3,
        3,
        4,
    ]
    assert count_within(new_histogram(), 1.0) == 0
