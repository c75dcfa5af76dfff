from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from eais_client.load.brain.pairing import order, ratios


@pytest.mark.parametrize(("targets", "rounds"), [(1, 1), (2, 2), (3, 6), (4, 4), (5, 10), (6, 6)])
def test_each_is_at_each_place_and_after_each_other_equally_often(
    targets: int, rounds: int
) -> None:
    orders = [order(targets, round_) for round_ in range(rounds)]
    places = Counter((place, who) for each in orders for place, who in enumerate(each))
    follows = Counter(pair for each in orders for pair in pairwise(each))
    assert len(places) == targets**2
    assert set(places.values()) == {rounds // targets}
    assert len(follows) == targets * (targets - 1)
    assert len(set(follows.values())) <= 1


def test_two_alternate() -> None:
    assert [order(2, round_) for round_ in range(3)] == [(0, 1), (1, 0), (0, 1)]


def run(target: str, round_: int, p50: float | None, phase: str = "8 callers") -> dict[str, Any]:
    return {"target": target, "phase": phase, "round": round_, "p50_ms": p50}


def test_ratios_are_taken_within_a_round_and_their_median_is_told() -> None:
    slow = [1.0, 2.0, 4.0, 1.0, 3.0, 5.0]  # the machine's own changes, which both met
    own = [1.10, 1.09, 1.11, 1.10, 1.08, 1.12]
    runs = [run("ours", n, each) for n, each in enumerate(slow)]
    runs += [run("peer", n, slow[n] * ratio) for n, ratio in enumerate(own)]
    (entry,) = ratios(runs, ["p50_ms"])
    assert entry["ratio"] == pytest.approx(1.10)
    assert (entry["low"], entry["high"]) == (pytest.approx(1.08), pytest.approx(1.12))
    assert {"target": "peer", "against": "ours", "figure": "p50_ms", "rounds": 6}.items() <= (
        entry.items()
    )
    assert entry["method"] == "sign"


def test_few_rounds_have_a_wider_interval_and_fewer_none() -> None:
    runs = [run("ours", n, 1.0) for n in range(4)]
    runs += [run("peer", n, ratio) for n, ratio in enumerate([1.0, 1.1, 1.2, 1.3])]
    (entry,) = ratios(runs, ["p50_ms"])
    assert entry["method"] == "t"
    assert entry["low"] < 1.0
    assert entry["high"] > 1.3
    (entry,) = ratios([each for each in runs if each["round"] < 2], ["p50_ms"])
    assert (entry["ratio"], entry["low"], entry["high"]) == (pytest.approx(1.05), None, None)


def test_a_round_in_which_too_much_failed_is_counted_and_not_compared() -> None:
    runs = [run("ours", 0, 1.0), run("peer", 0, None), run("ours", 1, 1.0), run("peer", 1, 2.0)]
    (entry,) = ratios(runs, ["p50_ms"])
    assert (entry["ratio"], entry["rounds"], entry["failed"]) == (2.0, 1, 1)


def test_phases_are_apart() -> None:
    runs = [run("ours", 0, 1.0), run("peer", 0, 2.0)]
    runs += [run("ours", 0, 1.0, "64 callers"), run("peer", 0, 3.0, "64 callers")]
    assert [(each["phase"], each["ratio"]) for each in ratios(runs, ["p50_ms"])] == [
        ("8 callers", 2.0),
        ("64 callers", 3.0),
    ]


def test_one_target_has_no_ratios() -> None:
    assert ratios([run("ours", 0, 1.0)]) == []
