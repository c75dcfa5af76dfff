"""Figures are of all requests that were due, and say nothing good of what failed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from eais_client.load.brain.figures import Figures, tally_figures
from eais_client.load.record import Tally
from tests.unit.client.load.records import tally


def even(count: int, due: int | None = None) -> Tally:
    """`count` answers, after 1 ms, 2 ms, ..."""
    return tally(np.arange(1, count + 1) / 1e3, due)


def test_percentiles_are_those_of_the_sorted_latencies() -> None:
    found = tally_figures([even(1000)], 10.0, None)
    assert found.p50_ms == pytest.approx(500, rel=1e-3)
    assert found.p99_ms == pytest.approx(990, rel=1e-3)
    assert found.p99_9_ms == pytest.approx(999, rel=1e-3)
    assert found.p99_99_ms == found.max_ms == pytest.approx(1000, rel=1e-3)
    assert found.min_ms == pytest.approx(1, rel=1e-3)
    assert found.mean_ms == pytest.approx(500.5, rel=1e-3)
    assert found.service_p50_ms == pytest.approx(485, rel=1e-3)


def test_failures_rank_behind_all_answers() -> None:
    found = tally_figures([even(98, due=100)], 1.0, None)
    assert found.p95_ms == pytest.approx(95, rel=1e-3)
    assert found.p99_ms is None
    assert found.answered_p99_ms == pytest.approx(98, rel=1e-3)
    assert tally_figures([even(99, due=100)], 1.0, None).p99_ms == pytest.approx(99, rel=1e-3)


def test_fast_refusals_make_nothing_look_fast() -> None:
    refused = Tally(due=90, sent=90, errors=Counter({"UNAVAILABLE": 90}))
    found = tally_figures([even(10), refused], 1.0, 1.0)
    assert (found.requests, found.errors, found.answered) == (100, 90, 10)
    assert found.p50_ms is None
    assert found.done_per_s == found.goodput_per_s == 10


def test_what_was_wrong_is_no_goodput() -> None:
    mine = even(95, due=100)
    mine.wrong, mine.checked = 5, 50
    found = tally_figures([mine], 1.0, None)
    assert (found.wrong, found.checked, found.p99_ms) == (5, 50, None)
    assert found.done_per_s == found.goodput_per_s == 95


def test_goodput_is_within_the_slo() -> None:
    found = tally_figures([even(100)], 2.0, 0.05)
    assert found.slo_ms == 50
    assert found.goodput_per_s == 25
    assert found.done_per_s == 50


def test_what_is_worked_off_after_the_end_is_no_throughput() -> None:
    mine = even(100)
    mine.done = 60
    found = tally_figures([mine], 1.0, None)
    assert (found.asked_per_s, found.done_per_s, found.answered) == (100, 60, 100)


def test_of_nothing_there_are_no_latencies_and_no_rates() -> None:
    found = tally_figures([], 0.0, 0.05)
    assert found == Figures(slo_ms=50)


def test_reasons_come_most_frequent_first_with_one_text_each() -> None:
    one = Tally(due=3, errors=Counter({"A": 1, "B": 2}), texts={"A": "x" * 1000, "B": "b"})
    other = Tally(due=5, errors=Counter({"A": 5}), texts={"A": "later"})
    found = tally_figures([one, other], 1.0, None)
    assert list(found.error_reasons.items()) == [("A", 6), ("B", 2)]
    assert found.error_texts == {"A": "x" * 300, "B": "b"}
    assert found.errors == 8


def test_the_size_of_batches_is_of_answers_that_tell_it() -> None:
    told, silent = even(10), even(10)
    told.parts["compute"] = even(10).latency
    told.batch_size = 35
    assert tally_figures([told, silent], 1.0, None).batch_size == 3.5
    assert tally_figures([silent], 1.0, None).batch_size is None


def test_they_are_read_back() -> None:
    found = tally_figures([even(98, due=100)], 1.0, 0.05)
    assert Figures.of_data(found.data()) == found
    assert Figures.of_data({**found.data(), "later": 1}) == found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("requests", None),
        ("requests", "many"),
        ("p99_ms", "<b>"),
        ("p99_ms", True),
        ("error_reasons", []),
        ("error_reasons", {"A": "many"}),
        ("error_texts", {"A": 1}),
    ],
)
def test_what_is_of_no_use_is_named(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{key} is "):
        Figures.of_data({**Figures().data(), key: value})


def test_what_is_missing_is_named() -> None:
    data = Figures().data()
    del data["p99_ms"]
    with pytest.raises(ValueError, match="p99_ms is missing"):
        Figures.of_data(data)
