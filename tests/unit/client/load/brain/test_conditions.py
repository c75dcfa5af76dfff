from __future__ import annotations

from typing import Any

import pytest

from eais.errors import UsageError
from eais_client.load.brain.conditions import FIGURES, Condition, missed

RUN: dict[str, Any] = {
    "target": "ei-7f3a",
    "phase": "20/s",
    "round": 1,
    "requests": 200,
    "answered": 199,
    "errors": 1,
    "wrong": 0,
    "checked": 10,
    "unanswered": 0,
    "done_per_s": 19.9,
    "p99_ms": 61.23,
    "p99_9_ms": None,
    "split": {"queue": {"p99_ms": 4.0}},
    "schedule": {"kept": False},
    "server": {"why_not": "it is on another machine"},
    "client": {"cores": 0.2, "rss_mb": 80.0},
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p99 > 50ms", "p99 = 61.2 ms, which is > 50 ms"),
        ("p99 > 0.05 s", "p99 = 61.2 ms, which is > 0.05 s"),
        ("p(99)>=61230us", "p99 = 61.2 ms, which is >= 61230 us"),
        ("p99_ms > 50", "p99 = 61.2 ms, which is > 50 ms"),
        ("p99 > 62ms", ""),
        ("p99 < 50ms", ""),
        ("errors != 0", "errors = 1, which is != 0"),
        ("wrong > 0", ""),
        ("error_rate > 0.1%", "error_rate = 0.5 %, which is > 0.1%"),
        ("error_rate > 0.01", ""),
        ("done_per_s < 20/s", "done_per_s = 19.9/s, which is < 20/s"),
        ("queue_p99 > 3ms", "queue_p99 = 4 ms, which is > 3 ms"),
        ("split.queue.p99_ms > 3ms", "queue_p99 = 4 ms, which is > 3 ms"),
        ("schedule.kept == no", "schedule_kept = no, which is == no"),
        ("schedule_kept == yes", ""),
        ("client_cores > 0.1", "client_cores = 0.2, which is > 0.1"),
        ("client_rss > 1GB", ""),
    ],
)
def test_a_run_that_meets_a_condition_is_told_of_with_figure_and_bound(
    text: str, said: str
) -> None:
    assert Condition.parse(text).missed(RUN) == said


def test_a_percentile_that_too_many_failures_left_out_is_beyond_every_bound() -> None:
    assert Condition.parse("p99.9 > 10s").missed(RUN) == (
        "p99.9 = failed: too few requests had a right answer, which is > 10 s"
    )
    assert Condition.parse("p99.9 < 10s").missed(RUN) == ""


def test_what_isnt_known_fails_and_says_why() -> None:
    assert Condition.parse("server_cores > 2").missed(RUN) == (
        "server_cores isn't known (it is on another machine): 'server_cores > 2'"
    )
    assert Condition.parse("wrong_rate > 0").missed({**RUN, "checked": 0}) == (
        "wrong_rate isn't known (checked is 0): 'wrong_rate > 0'"
    )
    assert Condition.parse("wire_p99 > 3ms").missed(RUN).startswith("wire_p99 isn't known (no")
    assert Condition.parse("p50 > 1s").missed(RUN | {"errors": 0}).startswith("p50 isn't known (no")


@pytest.mark.parametrize(
    ("text", "wrong", "hint"),
    [
        ("p99 50ms", "no condition", "OP is one of"),
        ("p99 => 50ms", "no condition", "OP is one of"),
        ("", "no condition", "OP is one of"),
        ("p97 > 5ms", "'p97' is no figure", "percentiles are p50, p90"),
        ("p99 > 50", "its unit is missing", "say 50 with us or µs or ms or s"),
        ("p99 > 50kg", "'kg' is no unit for it", "say 50 with us"),
        ("errors > 3ms", "'ms' is no unit", "say 3 alone"),
        ("throughput < 3", "no figure", "it is done_per_s here"),
        ("troughput < 3", "no figure", "did you mean done_per_s?"),
        ("eror_rate > 1%", "no figure", "did you mean error_rate"),
        ("xyz > 3", "no figure", "figures are mean, min"),
        ("p99 > fast", "'fast' is no number", ""),
        ("schedule_kept > yes", "compared by == or !=", ""),
        ("schedule_kept == maybe", "neither yes nor no", ""),
    ],
)
def test_what_is_no_condition_is_told_with_what_would_be_right(
    text: str, wrong: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        Condition.parse(text)
    assert caught.value.reason == "ARGUMENT"
    assert wrong in caught.value.message
    assert repr(text) in caught.value.message
    assert hint in caught.value.hint


def test_each_figure_can_be_asked_for() -> None:
    units = {"a time": "5ms", "a rate": "5/s", "yes or no": "yes"}
    parsed = [
        Condition.parse(f"{name} == {units.get(kind, '5')}") for name, (_, kind) in FIGURES.items()
    ]
    assert [each.figure for each in parsed] == list(FIGURES)


def test_several_runs_are_named() -> None:
    other = {**RUN, "target": "onnxruntime", "round": 2}
    conditions = [Condition.parse("p99 > 50ms")]
    assert missed(conditions, [RUN]) == ["p99 = 61.2 ms, which is > 50 ms"]
    assert missed(conditions, [RUN, other]) == [
        "ei-7f3a, 20/s, round 1: p99 = 61.2 ms, which is > 50 ms",
        "onnxruntime, 20/s, round 2: p99 = 61.2 ms, which is > 50 ms",
    ]
    assert missed(conditions, [RUN, {**other, "round": 1}])[1].startswith("onnxruntime, 20/s: p99")
