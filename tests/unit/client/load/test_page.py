"""The page opens by itself, says first what is wrong, and lets nobody's words become markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from eais_client.load.brain.run_figures import RunFigures, figures
from eais_client.load.report.page import page
from eais_client.load.result import LoadTestResult
from tests.unit.client.load.records import Bad, Made, record

FETCHING = {"src", "href", "action", "data", "poster", "srcset", "background"}


class Parsed(HTMLParser):
    """Elements with their attributes, the text of scripts, and all other text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif self._inside != "style":
            self.words += data + "\n"

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def of_class(self, name: str) -> int:
        return sum(name in (given.get("class") or "").split() for _, given in self.elements)


def run(made: Made | None = None, target: str = "ei-7f3a", **more: Any) -> RunFigures:
    return figures(record(made or Made(), target), 0.03, **more)


def result(*runs: RunFigures, **more: Any) -> LoadTestResult:
    return LoadTestResult("0.1.0", "2025-11-24T16:00:00+00:00", "eais loadtest x", runs, **more)


@pytest.fixture(scope="module")
def good() -> Parsed:
    return Parsed(page(result(run())))


def test_nothing_is_fetched(good: Parsed) -> None:
    assert {name for _, given in good.elements for name in given} & FETCHING == set()
    assert {tag for tag, _ in good.elements} & {"link", "img", "iframe", "object", "base"} == set()
    assert "url(" not in page(result(run(), run())).partition("</style>")[0]


def test_the_policy_runs_the_pages_own_scripts_and_fetches_nothing(good: Parsed) -> None:
    (policy,) = [
        given["content"] for _, given in good.elements if given.get("http-equiv") is not None
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    told = re.findall(r"'sha256-([^']+)'", policy)
    run_scripts = [text for given, text in good.scripts if not given.get("type")]
    digests = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run_scripts
    ]
    assert told == digests
    assert len(told) == 2


def test_each_plot_has_its_place(good: Parsed) -> None:
    (data,) = [json.loads(text) for given, text in good.scripts if given.get("id") == "plots"]
    ids = {given["id"] for tag, given in good.elements if tag == "div" and "id" in given}
    assert set(data) == ids
    assert {"percentiles", "split", "latency-time", "throughput-time", "schedule"} < ids


def test_a_good_run_has_tiles_and_no_warning(good: Parsed) -> None:
    assert good.of_class("banner") == 0
    for words in ("Asked", "200/s", "p99", "Goodput", "of 100 checked", "eais loadtest x"):
        assert words in good.words


def test_what_is_wrong_comes_first() -> None:
    bad = run(Made(bad=Bad(failed=0.05, wrong=0.01, unanswered=0.01)), kept=False, said="3 % late")
    found = Parsed(page(result(bad, missed=["p99 = 61.2 ms, which is > 50 ms"], interrupted=True)))
    assert found.of_class("banner") == 2
    before = found.words.partition("Plots")[0]
    for words in (
        "Condition failed: p99 = 61.2 ms",
        "of 2000 requests failed",
        "got a wrong answer",
        "got no answer",
        "ended before its time",
        "3 % late",
    ):
        assert words in before
    assert "nobody answers at 127.0.0.1:8001" in found.words


def test_unchecked_answers_are_a_doubt() -> None:
    unchecked = record(Made())
    for tally in unchecked.models.values():
        tally.checked = 0
    assert "No answer was compared" in Parsed(page(result(figures(unchecked)))).words


def test_failed_steps_and_faults_are_said() -> None:
    steps = [{"step": "kill worker", "began_s": 1, "seconds": 1, "failed": True, "said": "no"}]
    broken = replace(run(), faults=["process 0 ended with 3"])
    found = Parsed(page(result(broken, steps=steps)))
    assert "Step kill worker failed: no" in found.words
    assert "process 0 ended with 3" in found.words
    assert found.words.strip().startswith("Scenario: ei-7f3a")


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def test_nobodys_words_are_markup() -> None:
    bad = Bad(failed=0.1, reason=HOSTILE, text=HOSTILE)
    one = run(Made(bad=bad, models={HOSTILE: 0.5, "b": 0.5}), HOSTILE, kept=False, said=HOSTILE)
    hostile = result(
        replace(one, faults=[HOSTILE], phase=HOSTILE, server={"why_not": HOSTILE}),
        run(),
        machine={HOSTILE: HOSTILE},
        settings={HOSTILE: HOSTILE},
        models=[
            {"name": HOSTILE, "inputs": [{"name": HOSTILE, "type": HOSTILE, "shape": HOSTILE}]}
        ],
        targets=[{"name": HOSTILE, "kind": HOSTILE, "about": {HOSTILE: HOSTILE}}],
        ratios=[{"target": HOSTILE, "against": HOSTILE, "figure": HOSTILE, "ratio": 1.0}],
        capacity={"said": HOSTILE, "trials": [{"rate_per_s": 1, "due": 1, "late": 0}]},
        steps=[{"step": HOSTILE, "said": HOSTILE, "began_s": 0, "seconds": 1, "failed": True}],
        missed=[HOSTILE],
    )
    found = Parsed(page(replace(hostile, when=HOSTILE, command=HOSTILE, eais=HOSTILE)))
    assert len(found.scripts) == 3
    assert "img" not in {tag for tag, _ in found.elements}
    assert all("onerror" not in given for _, given in found.elements)
    (data,) = [text for given, text in found.scripts if given.get("id") == "plots"]
    assert "<" not in data


def test_a_test_of_which_nothing_came_is_a_page_without_plots() -> None:
    found = Parsed(page(result(interrupted=True)))
    assert found.scripts == []
    assert "ended before its time" in found.words


def test_a_sweep_names_its_best_and_a_capacity_its_interval() -> None:
    found = Parsed(page(result(run(), run(Made(per_s=400)))))
    assert "Most done" in found.words
    assert "ei-7f3a, 400/s" in found.words
    sought = result(run(), capacity={"per_s": 417.0, "low": 401.0, "high": None, "said": "s"})
    assert "401 to -/s" in Parsed(page(sought)).words


def test_what_is_long_is_cut_and_says_so() -> None:
    trials = [{"rate_per_s": float(n), "due": 1, "late": 0, "seconds": 1.0} for n in range(1, 250)]
    found = Parsed(page(result(run(), capacity={"per_s": 1.0, "said": "s", "trials": trials})))
    assert "… and 49 more, in the JSON" in found.words
