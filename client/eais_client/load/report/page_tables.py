"""The page's tables: figures as words say them, for all runs, parts and steps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from eais_client.load.brain.figures import PERCENTILES, Figures
from eais_client.load.brain.run_figures import RunFigures
from eais_client.load.report.amounts import FAILED, amount
from eais_client.load.report.latency_plots import run_names
from eais_client.load.report.load_words import load_words
from eais_client.load.report.markup import Child, Markup, definitions, element, html_table
from eais_client.load.report.words import interval
from eais_client.load.result import LoadTestResult

_HELD = 200
"""Rows of a table; a sweep of more says how many were left out."""

Section = tuple[str, Markup]
"""A heading and what stands under it."""


def sections(result: LoadTestResult) -> Iterator[Section]:
    """All tables that have something to say, but for a scenario's steps."""
    runs = result.runs
    for title, made in (
        ("Latency, ms", _latency(runs)),
        ("Requests", _requests(runs)),
        ("What failed", _failures(runs)),
        ("By model", _models(runs)),
        ("Schedule", _schedule(runs)),
        ("Where the time goes, ms", _split(runs)),
        ("CPU and memory", _sides(runs)),
        ("Ratios", _ratios(result)),
        ("Trials of the search for the capacity", _trials(result)),
        ("Targets", _targets(result)),
        ("Models", _model_files(result)),
        ("Settings", _settings(result)),
    ):
        if made is not None:
            yield title, made


def _named(runs: Sequence[RunFigures]) -> list[tuple[str, RunFigures]]:
    return list(zip(run_names(runs), runs, strict=True))


def _table(
    headings: Sequence[str], rows: Sequence[Sequence[Child]], words: Iterable[int] = (0,)
) -> Markup | None:
    if not rows:
        return None
    left_out = len(rows) - _HELD
    made = html_table(headings, rows[:_HELD], words)
    if left_out <= 0:
        return made
    return Markup(made + element("p", f"… and {left_out} more, in the JSON", class_="note"))


def _time(value: float | None) -> Child:
    if value is None:
        return element("span", FAILED, class_="bad-word")
    return amount(value)


def _bad(count: int) -> Child:
    return element("span", str(count), class_="bad-word") if count else "0"


def _latency(runs: Sequence[RunFigures]) -> Markup | None:
    names = [name.removesuffix("_ms").replace("_", ".") for name in PERCENTILES]
    rows = [
        [
            name,
            amount(run.all.mean_ms),
            amount(run.all.min_ms),
            *(_time(getattr(run.all, key)) for key in PERCENTILES),
            amount(run.all.max_ms),
            amount(run.all.service_p50_ms),
            amount(run.all.service_p99_ms),
        ]
        for name, run in _named(runs)
    ]
    last = ["max", "p50 from sending", "p99 from sending"]
    return _table(["run", "mean", "min", *names, *last], rows)


def _requests(runs: Sequence[RunFigures]) -> Markup | None:
    rows = [[name, load_words(run.load), *_counts(run.all)] for name, run in _named(runs)]
    headings = ["run", "load", "asked/s", "done/s", "good/s", "due", "answered", "failed"]
    return _table([*headings, "wrong", "checked", "unanswered"], rows, (0, 1))


def _counts(of: Figures) -> list[Child]:
    return [
        *(amount(each) for each in (of.asked_per_s, of.done_per_s, of.goodput_per_s)),
        str(of.requests),
        str(of.answered),
        _bad(of.errors),
        _bad(of.wrong),
        str(of.checked),
        _bad(of.unanswered),
    ]


def _failures(runs: Sequence[RunFigures]) -> Markup | None:
    rows: list[list[Child]] = []
    for name, run in _named(runs):
        reasons = dict(run.all.error_reasons)
        if run.all.wrong:
            reasons["WRONG"] = run.all.wrong
        for reason, count in reasons.items():
            rows.append([name, reason, run.all.error_texts.get(reason, ""), str(count)])
        rows += [[name, "the generator", str(fault), ""] for fault in run.faults]
    return _table(["run", "reason", "what one of them said", "requests"], rows, (0, 1, 2))


def _models(runs: Sequence[RunFigures]) -> Markup | None:
    rows = [
        [
            name,
            model,
            str(each.requests),
            amount(each.done_per_s),
            amount(each.mean_ms),
            *(_time(getattr(each, key)) for key in ("p50_ms", "p90_ms", "p99_ms")),
            _bad(each.errors + each.unanswered),
            _bad(each.wrong),
        ]
        for name, run in _named(runs)
        for model, each in run.models.items()
    ]
    headings = ["run", "model", "due", "done/s", "mean ms", "p50 ms", "p90 ms", "p99 ms"]
    return _table([*headings, "failed", "wrong"], rows, (0, 1))


def _schedule(runs: Sequence[RunFigures]) -> Markup | None:
    keys = ("lag_p50_ms", "lag_p99_ms", "lag_max_ms", "blocked_p99_ms")
    rows = [
        [
            name,
            "kept" if run.kept else element("span", "not kept", class_="warn-word"),
            *(amount(run.schedule.get(key)) for key in keys),
            str(run.schedule.get("said", "")),
        ]
        for name, run in _named(runs)
    ]
    headings = ["run", "schedule", "late p50 ms", "late p99 ms", "late max ms", "blocked p99 ms"]
    return _table([*headings, "in words"], rows, (0, 1, 6))


def _split(runs: Sequence[RunFigures]) -> Markup | None:
    rows = [
        [name, part, *(amount(told.get(f"{key}_ms")) for key in ("mean", "p50", "p99"))]
        for name, run in _named(runs)
        for part, told in run.split.items()
    ]
    return _table(["run", "part", "mean", "p50", "p99"], rows, (0, 1))


def _sides(runs: Sequence[RunFigures]) -> Markup | None:
    rows = [
        [
            name,
            side,
            amount(told.get("cores")),
            amount(told.get("cores_max")),
            amount(told.get("rss_mb")),
            str(told.get("why_not", "")),
        ]
        for name, run in _named(runs)
        for side, told in (("client", run.client), ("server", run.server))
    ]
    headings = ["run", "side", "cores, mean", "cores, most", "MB, most", "not seen, because"]
    return _table(headings, rows, (0, 1, 5))


def _ratios(result: LoadTestResult) -> Markup | None:
    rows = [
        [
            *(str(each.get(name, "")) for name in ("target", "against", "phase", "figure")),
            amount(each.get("ratio")),
            interval(each),
            str(each.get("rounds", "")),
        ]
        for each in result.ratios
    ]
    headings = ["target", "÷", "load", "figure", "ratio", "95 % interval", "rounds"]
    return _table(headings, rows, (0, 1, 2, 3))


def steps_table(result: LoadTestResult) -> Markup | None:
    """What was done in a scenario; None if the test was none."""
    rows = [
        [
            str(place) if "began_s" in each else "",
            str(each.get("step", "")),
            *(amount(each.get(name)) for name in ("began_s", "seconds")),
            *(_count(each.get(name)) for name in ("requests", "lost", "wrong", "late")),
            *(amount(each.get(name)) for name in ("p99_ms", "max_ms")),
            str(each.get("said", "")),
        ]
        for place, each in enumerate(result.steps, 1)
    ]
    headings = ["", "step", "at s", "took s", "requests", "lost", "wrong", "late", "p99 ms"]
    return _table([*headings, "max ms", "what came of it"], rows, (1, 10))


def _count(count: object) -> str:
    return "-" if count is None else str(count)


def _trials(result: LoadTestResult) -> Markup | None:
    trials = [] if result.capacity is None else result.capacity.get("trials", ())
    rows = [
        [
            amount(each.get("rate_per_s")),
            amount(each.get("seconds")),
            *(_count(each.get(name)) for name in ("due", "late")),
            "kept" if each.get("kept", True) else "not kept",
        ]
        for each in trials
        if isinstance(each, Mapping)
    ]
    return _table(["asked/s", "seconds", "due", "late", "schedule"], rows, (4,))


def _targets(result: LoadTestResult) -> Markup | None:
    rows: list[tuple[str, Child]] = []
    for each in result.targets:
        about = each.get("about")
        told = dict(about) if isinstance(about, Mapping) else {}
        place = f" {each['place']}" if each.get("place") not in ("", None, each.get("name")) else ""
        words = [f"{each.get('kind', '')}{place}", *(f"{key}: {told[key]}" for key in told)]
        rows.append((str(each.get("name", "")), "; ".join(words)))
    return definitions(rows) if rows else None


def _model_files(result: LoadTestResult) -> Markup | None:
    rows = [
        [
            str(each.get("name", "")),
            _inputs(each.get("inputs")),
            str(each.get("weight", "")),
            amount(float(each.get("bytes") or 0) / 1e6),
            str(each.get("sha256", ""))[:16],
        ]
        for each in result.models
    ]
    return _table(["model", "inputs", "weight", "MB", "SHA-256 begins"], rows, (0, 1))


def _inputs(inputs: object) -> str:
    if not isinstance(inputs, Sequence):
        return ""
    return ", ".join(
        f"{each.get('name')} {each.get('type')} {json.dumps(each.get('shape'))}"
        for each in inputs
        if isinstance(each, Mapping)
    )


def _settings(result: LoadTestResult) -> Markup | None:
    rows = [(name, _setting(value)) for name, value in {**result.settings}.items()]
    rows += [(f"machine: {name}", _setting(value)) for name, value in result.machine.items()]
    return definitions(rows) if rows else None


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
