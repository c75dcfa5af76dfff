"""What a load test found, in words: nothing that went wrong is left out, and each thing is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eais_client.load.brain.run_figures import RunFigures, figures
from eais_client.load.report.load_words import load_words
from eais_client.load.report.words import lines
from eais_client.load.result import LoadTestResult
from tests.unit.client.load.records import Bad, Made, record

SAID = "99 % of 2000 requests were sent within 0.21 ms of their time"


def run(made: Made | None = None, target: str = "ei-7f3a", **more: Any) -> RunFigures:
    return figures(record(made or Made(), target), 0.03, **{"said": SAID, **more})


def result(*runs: RunFigures, **more: Any) -> LoadTestResult:
    return LoadTestResult("0.1.0", "now", "eais loadtest", list(runs), **more)


def text(*runs: RunFigures, **more: Any) -> str:
    return "\n".join(lines(result(*runs, **more)))


def test_one_run_is_told_in_full() -> None:
    told = text(run())
    assert told.startswith("ei-7f3a: 200/s, Poisson, 10 s after 1 s of warming up\n")
    assert "2000 due, 2000 answered, 0 failed, 0 wrong of 100 checked" in told
    assert "asked 200/s" in told
    assert "within 30 ms" in told
    for part in ("p50 ", "p99.99 ", "mean ", "waiting to be sent", "compute", "in a batch"):
        assert part in told
    assert "140 MB" in told
    assert "412 MB" in told
    assert SAID in told


def test_parts_that_take_no_time_are_not_listed() -> None:
    told = replace(run(), split={"encode": {"mean_ms": 0.0}, "compute": {"mean_ms": 7.0}})
    assert "Mean split:    compute 7 ms" in text(told)


def test_what_went_wrong_is_said_with_its_reason_and_text() -> None:
    told = text(run(Made(bad=Bad(failed=0.05, wrong=0.02, unanswered=0.02))))
    assert "failed with UNAVAILABLE: nobody answers at 127.0.0.1:8001" in told
    assert "answers wrong" in told
    assert "never answered" in told
    assert "p99 failed" in told


def test_a_server_that_is_not_seen_says_why() -> None:
    assert "unknown: its workers are on host far-away" in text(run(Made(server=False)))


def test_a_schedule_that_was_not_kept_is_told_in_yellow() -> None:
    late = run(kept=False, said="3 % were sent late")
    found = lines(result(late), paint=lambda words, colour: f"<{colour}>{words}")
    assert "<yellow>The schedule wasn't kept" in found
    assert "3 % were sent late" in "\n".join(found)


def test_several_models_have_a_line_each() -> None:
    told = text(run(Made(models={"a": 0.75, "b": 0.25})))
    assert "MODEL" in told
    assert "a       1500" in told


def test_of_several_runs_each_has_a_line_and_its_blemishes_below() -> None:
    bad = run(Made(per_s=400, bad=Bad(failed=0.05)), kept=False, said="3 % were sent late")
    told = text(run(), bad).splitlines()
    assert told[0].split()[0] == "LOAD"
    assert told[1].startswith("200/s")
    assert "failed" in told[2]
    assert "not kept" in told[2]
    assert any(line.startswith("ei-7f3a, 400/s: ") and "UNAVAILABLE" in line for line in told)
    assert "ei-7f3a, 400/s: The schedule wasn't kept: 3 % were sent late" in told


def test_targets_and_rounds_are_told_apart() -> None:
    told = text(run(), run(target="onnxruntime", round_number=2))
    assert "TARGET" in told
    assert "ROUND" in told
    assert "onnxruntime" in told


def test_a_narrow_terminal_keeps_what_matters() -> None:
    found = lines(result(run(), run()), width=80)
    assert max(map(len, found)) <= 80
    assert "P99 MS" in found[0]
    assert "FAILED" in found[0]


def test_ratios_have_their_intervals_or_say_that_rounds_are_too_few() -> None:
    one = {"target": "a", "against": "b", "phase": "20/s", "figure": "p50_ms", "ratio": 1.234}
    sure = {**one, "low": 1.1, "high": 1.3, "rounds": 6}
    told = text(run(), ratios=[sure, {**one, "low": None, "high": None, "rounds": 2}])
    assert "a ÷ b" in told
    assert "1.1 to 1.3" in told
    assert "too few rounds" in told


def test_a_capacity_is_told_without_any_run() -> None:
    found = {"said": "417/s with 99 % answered within 50 ms", "trials": [{}, {}]}
    assert text(capacity=found) == "Capacity: 417/s with 99 % answered within 50 ms (2 trials)"


def test_steps_have_a_line_each() -> None:
    step = {"step": "kill worker", "began_s": 12.1, "seconds": 0.843, "requests": 120, "lost": 0}
    told = text(steps=[step])
    assert "kill worker" in told
    assert "0.843" in told
    assert "Nothing was measured" not in told


def test_nothing_and_what_was_interrupted_say_so() -> None:
    assert text() == "Nothing was measured."
    assert "ended before its time" in text(run(), interrupted=True)


def test_names_and_errors_do_not_command_the_terminal() -> None:
    hostile = run(Made(bad=Bad(failed=0.01, reason="A\x1b[2J", text="b\x1b]0;c\x07")), "t\x1b[1m")
    assert "\x1b" not in text(replace(hostile, faults=["\x1bc"]))


def test_faults_of_the_generator_are_told() -> None:
    told = text(replace(run(), faults=["a process ended with 3"]))
    assert "The load generator failed: a process ended with 3" in told


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ({"kind": "closed", "callers": 1, "seconds": 5}, "1 caller, 5 s"),
        (
            {"kind": "open", "moments": [1, 2], "seconds": 5, "warm_s": 1},
            "2 requests of a trace, 5 s after 1 s of warming up",
        ),
        ({"kind": "open", "moments": {"count": 2000}, "seconds": 5}, "2000 requests of a trace"),
        ({"kind": "open", "stretches": {"count": 2000}, "seconds": 5}, "2000 stretches of rates"),
        ({"kind": "open", "stretches": [], "seconds": 5}, "nothing"),
        (
            {
                "kind": "open",
                "spacing": "gamma",
                "burst": 4,
                "seconds": 9,
                "stretches": [
                    {"from_per_s": 10, "to_per_s": 80},
                    {"from_per_s": 80, "to_per_s": 20},
                ],
            },
            "10 to 20/s (at most 80/s), gamma with burst factor 4, 9 s",
        ),
    ],
)
def test_what_was_asked_for_is_said(load: dict[str, Any], words: str) -> None:
    assert load_words(load).startswith(words)


def test_nothing_due_has_no_percentiles() -> None:
    said = text(RunFigures("ei-7f3a", "8 callers", load={"kind": "closed", "callers": 8}))
    assert "0 due" in said
    assert "p50" not in said
    assert "Of answers" not in said
