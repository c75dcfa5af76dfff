from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eais_client.cli.testing import FakeOutside
from eais_client.load.brain.plan import Closed, Phase
from eais_client.load.brain.run_figures import figures
from eais_client.load.record import Interval, PhaseRecord, Tally
from eais_client.load.result import LoadTestResult

SECONDS = 40


def result(folder: Path, name: str, factor: float, callers: int = 2, seconds: int = SECONDS) -> str:
    """A file: requests that took about 10 ms times `factor`."""
    rng = np.random.default_rng(len(name))
    record = PhaseRecord("ei-1", Phase("2 callers", Closed(callers), seconds), 0.0, seconds)
    tally = record.models["m"] = Tally()
    for second in range(seconds):
        interval = record.intervals[second] = Interval()
        for took in rng.gamma(20, factor * 500, 100):
            tally.latency.record_value(int(took))
            interval.latency.record_value(int(took))
        interval.due = interval.sent = interval.answered = interval.done = 100
    tally.due = tally.sent = tally.answered = tally.done = 100 * seconds
    made = LoadTestResult("0.1.0", "2026-01-01", "eais loadtest", [figures(record)])
    file = folder / name
    file.write_text(json.dumps(made.data()))
    return str(file)


def test_what_is_slower_beyond_noise_is_said(eais: FakeOutside, tmp_path: Path) -> None:
    a, b = result(tmp_path, "a", 1.0), result(tmp_path, "bb", 1.3)
    said = eais.run("loadtest", "compare", a, b)
    assert (said.code, said.err) == (0, "")
    (line,) = [line for line in said.out.splitlines() if line.startswith("p50_ms")]
    assert "worse" in line.split()
    assert "worse" in said.out.splitlines()[-1]
    assert eais.run("loadtest", "compare", a, b, "--fail-if-worse").code == 1


def test_two_runs_of_the_same_differ_in_nothing(eais: FakeOutside, tmp_path: Path) -> None:
    a, b = result(tmp_path, "a", 1.0), result(tmp_path, "bb", 1.0)
    said = eais.run("loadtest", "compare", a, b, "--fail-if-worse", "-o", "json")
    assert said.code == 0
    verdicts = {each["verdict"] for each in json.loads(said.out)["judged"]}
    assert verdicts <= {"same", "unknown"}


def test_tests_that_are_too_short_are_not_said_to_be_alike(
    eais: FakeOutside, tmp_path: Path
) -> None:
    a, b = (result(tmp_path, name, factor, seconds=4) for name, factor in (("a", 1.0), ("b", 3.0)))
    lines = eais.run("loadtest", "compare", a, b).out.splitlines()
    assert lines[-1] == "Nothing can be said of any figure."
    [said] = [line for line in lines if "too short" in line]
    assert said.startswith("all figures: 4 s are too short to know how much it varies: it takes 5")


def test_what_was_asked_otherwise_is_refused(eais: FakeOutside, tmp_path: Path) -> None:
    a, b = result(tmp_path, "a", 1.0), result(tmp_path, "bb", 1.0, callers=8)
    said = eais.run("loadtest", "compare", a, b)
    assert said.code == 2
    assert "asked for different things" in said.err
    assert eais.run("loadtest", "compare", a, b, "--anyway").code == 0


@pytest.mark.parametrize("text", ["", "{}", '{"loadtest": 99}'])
def test_what_is_no_result_is_said(eais: FakeOutside, tmp_path: Path, text: str) -> None:
    other = tmp_path / "other"
    other.write_text(text)
    said = eais.run("loadtest", "compare", result(tmp_path, "a", 1.0), str(other))
    assert said.code == 2
    assert said.err.startswith("error: ARGUMENT: ")


def test_options_before_a_command_of_it_are_refused(eais: FakeOutside) -> None:
    said = eais.run("loadtest", "--rate", "3", "compare", "a", "b")
    assert said.code == 2
    assert "--rate stands before its command" in said.err
