"""A load test's result as one page that needs nothing else: no network, no other file.

plotly.js, which draws, is in it, 4.8 MB. The page's policy lets nothing run but that and its own
few lines, told by their digests, and nothing be fetched. Names and errors are others' words: they
are escaped, and data is never part of a script that runs.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Final

from eais_client.load.brain.run_figures import RunFigures
from eais_client.load.report.amounts import amount, milliseconds, per_s, percent, plural
from eais_client.load.report.comparing_plots import capacity_plot, ratio_plot
from eais_client.load.report.latency_plots import (
    percentile_plot,
    saturation_plot,
    schedule_plot,
    split_plot,
)
from eais_client.load.report.load_words import load_words
from eais_client.load.report.markup import Markup, element
from eais_client.load.report.page_tables import sections, steps_table
from eais_client.load.report.plot import Plot
from eais_client.load.report.time_plots import time_plots
from eais_client.load.result import LoadTestResult

_PACKAGE: Final = "eais_client.load.report"


def page(result: LoadTestResult) -> str:
    """The page's HTML."""
    plots = _arranged(list(_plots(result)))
    scripts = [_plotly(), _asset("page.js")] if plots else []
    title = _title(result)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(_asset("page.css"))),
    )
    body = element(
        "body",
        element("main", *_body(result, title, plots)),
        _data(plots),
        *(element("script", Markup(script)) for script in scripts),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _body(result: LoadTestResult, title: str, plots: Sequence[Plot]) -> Iterator[Markup]:
    made = f"{result.when} · EAIS {result.eais}"
    yield element("h1", title)
    yield element("p", " · ".join([*_asked(result), made]), class_="soft")
    if result.command:
        yield element("code", result.command, class_="command")
    yield from _banners(result)
    yield element("div", *_tiles(result), class_="tiles")
    if (steps := steps_table(result)) is not None:
        yield element("h2", "Steps")
        yield element("section", steps, class_="card")
    if plots:
        yield element("h2", "Plots")
        yield element("div", *map(_drawn, plots), class_="plots")
    yield element("h2", "Figures")
    for heading, table in sections(result):
        yield element("section", element("h3", heading), table, class_="card")
    yield element(
        "footer",
        "Latency counts from the moment a request was due, and percentiles are of all requests "
        "that were: one that failed, or was answered wrongly, ranks behind every answer.",
    )


def _title(result: LoadTestResult) -> str:
    targets = list(dict.fromkeys(run.target for run in result.runs)) or [
        str(each.get("name", "")) for each in result.targets
    ]
    kind = "Scenario" if result.steps else "Load test"
    return f"{kind}: {' and '.join(targets[:3])}{' …' if len(targets) > 3 else ''}"


def _asked(result: LoadTestResult) -> list[str]:
    models = ", ".join(str(each.get("name", "")) for each in result.models)
    loads = list(dict.fromkeys(load_words(run.load) for run in result.runs))
    told = [models] if models else []
    return [*told, loads[0]] if len(loads) == 1 else [*told, plural(len(result.runs), "run")]


def _banners(result: LoadTestResult) -> Iterator[Markup]:
    """What must be known before any figure is believed."""
    bad, warn = list(_bad(result)), list(_doubts(result))
    for words, heading, kind in (
        (bad, "This test found failures", "bad"),
        (warn, "Read these figures with care", "warn"),
    ):
        if words:
            items = element("ul", *(element("li", each) for each in words))
            yield element("div", element("strong", heading), items, class_=f"banner {kind}")


def _bad(result: LoadTestResult) -> Iterator[str]:
    yield from (f"Condition failed: {each}" for each in result.missed)
    for count, what in (
        (_sum(result, "errors"), "failed"),
        (_sum(result, "wrong"), "got a wrong answer"),
        (_sum(result, "unanswered"), "got no answer"),
    ):
        if count:
            yield f"{count} of {plural(_sum(result, 'requests'), 'request')} {what}"
    for step in result.steps:
        if step.get("failed"):
            yield f"Step {step.get('step')} failed: {step.get('said')}"


def _doubts(result: LoadTestResult) -> Iterator[str]:
    if result.interrupted or any(run.interrupted for run in result.runs):
        yield "The test was ended before its time; this is what there was."
    late = [run for run in result.runs if not run.kept]
    for run in late[:5]:
        yield f"The schedule of {run.target}, {run.phase} wasn't kept: {run.schedule.get('said')}"
    if len(late) > 5:
        yield f"Nor was it in {len(late) - 5} more runs"
    for run in result.runs:
        yield from (f"The load generator failed: {fault}" for fault in run.faults)
    if result.runs and not _sum(result, "checked"):
        yield "No answer was compared with a reference: wrong ones would count as right."


def _sum(result: LoadTestResult, name: str) -> int:
    return sum(getattr(run.all, name) for run in result.runs)


def _tiles(result: LoadTestResult) -> Iterator[Markup]:
    if result.capacity is not None:
        found = result.capacity
        low, high = amount(found.get("low")), amount(found.get("high"))
        yield _tile("Capacity", f"{amount(found.get('per_s'))}/s", f"{low} to {high}/s", "good")
    if len(result.runs) == 1:
        yield from _one_runs_tiles(result.runs[0])
    elif result.runs:
        best = max(result.runs, key=lambda run: run.all.done_per_s)
        yield _tile("Runs", str(len(result.runs)), f"{_sum(result, 'requests')} requests")
        yield _tile("Most done", per_s(best.all.done_per_s), f"{best.target}, {best.phase}")
    if result.runs:
        requests = _sum(result, "requests")
        failed = _sum(result, "errors") + _sum(result, "unanswered")
        share = percent(failed, requests)
        yield _tile("Failed", str(failed), share, "bad" if failed else "good")
        checked, wrong = _sum(result, "checked"), _sum(result, "wrong")
        rest = f"of {checked} checked" if checked else "none was checked"
        yield _tile("Wrong", str(wrong), rest, "bad" if wrong else "good" if checked else "")


def _one_runs_tiles(run: RunFigures) -> Iterator[Markup]:
    of = run.all
    yield _tile("Asked", per_s(of.asked_per_s), f"{of.requests} requests")
    yield _tile("Done", per_s(of.done_per_s), f"{of.answered} answered")
    yield _tile(
        "p50", milliseconds(of.p50_ms), f"mean {milliseconds(of.mean_ms, '-')}", _fate(of.p50_ms)
    )
    yield _tile(
        "p99", milliseconds(of.p99_ms), f"p99.9 {milliseconds(of.p99_9_ms)}", _fate(of.p99_ms)
    )
    if of.slo_ms is not None:
        good = percent(of.goodput_per_s, of.asked_per_s)
        rest = f"{good} within {milliseconds(of.slo_ms)}"
        yield _tile("Goodput", per_s(of.goodput_per_s), rest)


def _fate(value: float | None) -> str:
    return "bad" if value is None else ""


def _tile(name: str, value: str, rest: str, kind: str = "") -> Markup:
    parts = (("name", name), ("value", value), ("rest", rest))
    return element(
        "div", *(element("div", text, class_=each) for each, text in parts), class_=f"tile {kind}"
    )


def _plots(result: LoadTestResult) -> Iterator[Plot]:
    for made in (
        capacity_plot(result),
        saturation_plot(result),
        ratio_plot(result),
        percentile_plot(result),
        split_plot(result),
    ):
        if made is not None:
            yield made
    yield from time_plots(result)
    if (made := schedule_plot(result)) is not None:
        yield made


def _arranged(plots: Sequence[Plot]) -> list[Plot]:
    """Two in a row; who would stand alone in one gets all of it."""
    made: list[Plot] = []
    alone = False
    for plot in plots:
        if plot.whole and alone:
            made[-1] = replace(made[-1], whole=True)
        made.append(plot)
        alone = not plot.whole and not alone
    if alone:
        made[-1] = replace(made[-1], whole=True)
    return made


def _drawn(plot: Plot) -> Markup:
    return element(
        "div",
        element("h3", plot.title),
        element("p", plot.note, class_="note"),
        element("div", id=plot.name, style=f"height: {plot.height}px"),
        class_="plot whole" if plot.whole else "plot",
    )


def _data(plots: Sequence[Plot]) -> Markup:
    """What is drawn, as data that no browser runs, whatever names are in it."""
    if not plots:
        return Markup()
    text = json.dumps({plot.name: plot.data() for plot in plots}, separators=(",", ":"))
    held = Markup(text.replace("<", "\\u003c"))
    return element("script", held, type="application/json", id="plots")


def _policy(scripts: Sequence[str]) -> str:
    run = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    return (
        f"default-src 'none'; script-src {run}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    return text.replace("</script", "<\\/script")


@cache
def _asset(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text("utf-8")
