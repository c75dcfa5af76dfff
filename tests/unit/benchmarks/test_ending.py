"""How benchmarks end: what programs read is on standard output, what was missed beside it."""

from __future__ import annotations

import json

import pytest

from benchmarks.ending import ending

FIGURES = {"calls": 7, "recovery_ms": 1.5, "errors": {"gone": 2}}


def test_figures_are_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(FIGURES, [], as_json=True) == 0
    said = capsys.readouterr()
    assert [json.loads(line) for line in said.out.splitlines()] == [FIGURES]
    assert said.err == ""


def test_or_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(FIGURES, [], as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["calls       7", "recovery_ms 1.5", "errors      {'gone': 2}"]


@pytest.mark.parametrize("as_json", [True, False])
def test_what_is_missed_is_said_and_fails(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    missed = ["lost = 3 > 0", "wrong = 1 > 0"]
    assert ending(FIGURES, missed, as_json=as_json) == 1
    said = capsys.readouterr()
    assert said.err.splitlines() == missed
    assert "lost" not in said.out
