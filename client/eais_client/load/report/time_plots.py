"""Plots over time: of all runs one after the other, with a scenario's steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from eais_client.load.brain.figures import number
from eais_client.load.brain.run_figures import RunFigures
from eais_client.load.report.plot import BAD, COLOURS, Plot, colour_of, figure, label, log_axis
from eais_client.load.result import LoadTestResult

_FAR_APART: Final = 20
"""Times the median: then latencies are drawn on a logarithmic axis."""
_NEAR: Final = 0.025
"""Of the time shown: steps that begin so near to each other have one mark."""

Second = Mapping[str, Any]
Value = Callable[[Second], float | None]


def time_plots(result: LoadTestResult) -> Iterator[Plot]:
    """Latency, throughput, CPU and memory; nothing where no second was seen."""
    if not any(run.series for run in result.runs):
        return
    whole = len(result.runs) > 1 or bool(result.steps)
    yield _latency(result, whole)
    yield _throughput(result, whole)
    yield _usage(result, "cores", "CPU of both sides", "cores")
    yield _usage(result, "rss_mb", "Memory of both sides", "MB resident")


def _latency(result: LoadTestResult, whole: bool) -> Plot:
    traces = [
        _line(result, target, f"{_of(result, target)}{quick}", _value(f"{quick}_ms"), style)
        for target, colour in _targets(result).items()
        for quick, style in (
            ("p50", {"color": colour, "dash": "dot"}),
            ("p99", {"color": colour}),
        )
    ]
    known = [y for trace in traces for y in trace.y if y]
    wide = bool(known) and max(known) > _FAR_APART * float(np.median(known))
    made = _over_time(result, traces, log_axis("ms", known) if wide else _linear("ms"))
    for slo_ms in sorted({run.all.slo_ms for run in result.runs if run.all.slo_ms is not None}):
        made.add_hline(y=slo_ms, line={"color": BAD, "width": 1, "dash": "dash"})
    note = "Of what was due in each second; a gap is a second in which the percentile failed."
    if result.steps:
        note += " Bands and numbers are the scenario's steps."
    return Plot("latency-time", "Latency over time", note, made, whole)


def _throughput(result: LoadTestResult, whole: bool) -> Plot:
    traces: list[Any] = []
    for target, colour in _targets(result).items():
        of = _of(result, target)
        asked = {"color": colour, "dash": "dot", "width": 1.5}
        traces.append(_line(result, target, f"{of}asked", _value("asked"), asked))
        traces.append(_line(result, target, f"{of}done", _value("done"), {"color": colour}))
        for name in ("failed", "wrong", "unanswered"):
            if any(each.get(name) for run in _runs(result, target) for each in run.series):
                lost = {"color": BAD, "dash": {"failed": "solid", "wrong": "dash"}.get(name, "dot")}
                traces.append(_line(result, target, f"{of}{name}", _value(name), lost))
    made = _over_time(result, traces, _linear("requests a second"))
    note = "Asked, failed and wrong: of what was due in each second. Done: right answers in it."
    return Plot("throughput-time", "Throughput over time", note, made, whole)


def _usage(result: LoadTestResult, figure_: str, title: str, unit: str) -> Plot:
    traces: list[Any] = []
    for target, colour in _targets(result).items():
        of = _of(result, target)
        sides = {"client": {"color": colour, "dash": "dot"}, "server": {"color": colour}}
        for side, style in sides.items():
            value = _value(f"{side}_{figure_}")
            if any(value(each) is not None for run in _runs(result, target) for each in run.series):
                traces.append(_line(result, target, f"{of}{side}", value, style))
    made = _over_time(result, traces, _linear(unit))
    unseen = {str(run.server["why_not"]) for run in result.runs if run.server.get("why_not")}
    note = "Of the processes that make the load, and of the target's on this machine."
    if unseen:
        note += f" A server that isn't shown: {'; '.join(sorted(unseen))}."
    return Plot(f"{figure_}-time", title, note, made)


def _targets(result: LoadTestResult) -> dict[str, str]:
    return colour_of(run.target for run in result.runs)


def _of(result: LoadTestResult, target: str) -> str:
    return f"{target} " if len(_targets(result)) > 1 else ""


def _runs(result: LoadTestResult, target: str) -> list[RunFigures]:
    return [run for run in result.runs if run.target == target]


def _value(name: str) -> Value:
    def of(second: Second) -> float | None:
        value: Any = second.get(name)
        return float(value) if number(value) else None

    return of


def _line(
    result: LoadTestResult, target: str, name: str, value: Value, style: Mapping[str, Any]
) -> Any:
    """A target's figure of each second of its runs, with a gap between these."""
    x: list[float | None] = []
    y: list[float | None] = []
    begin = _begin(result)
    for run in _runs(result, target):
        for each in run.series:
            # A figure of a second stands in its middle.
            x.append(round(run.began_unix_s - begin + each["second"] + 0.5, 3))
            y.append(value(each))
        x.append(None)
        y.append(None)
    return go.Scatter(
        x=x,
        y=y,
        name=label(name),
        mode="lines+markers" if len(x) < 40 else "lines",
        marker={"size": 4},
        line=dict(style),
        hovertemplate="%{y:.4~g}",
    )


def _begin(result: LoadTestResult) -> float:
    """The moment that is 0: the first run's, or that from which a scenario's steps count."""
    if result.steps:
        try:
            return datetime.fromisoformat(result.when).timestamp()
        except ValueError:
            pass
    return min((run.began_unix_s for run in result.runs), default=0.0)


def _linear(title: str) -> dict[str, Any]:
    return {"title": title, "rangemode": "tozero"}


def _over_time(result: LoadTestResult, traces: Sequence[Any], y: dict[str, Any]) -> go.Figure:
    made = figure(traces, {"title": "seconds", "hoverformat": ".1f"}, y)
    _mark_steps(made, result)
    return made


def _mark_steps(made: go.Figure, result: LoadTestResult) -> None:
    """A band for each step, and its number above."""
    marks: list[tuple[float, str]] = []
    for place, step in enumerate(result.steps, 1):
        began, seconds = step.get("began_s"), step.get("seconds")
        if not number(began) or not number(seconds):
            continue
        made.add_vrect(
            x0=began,
            x1=float(began or 0) + float(seconds or 0),
            fillcolor=COLOURS[(place - 1) % len(COLOURS)],
            opacity=0.1,
            line_width=0,
            layer="below",
        )
        marks.append((float(began or 0), str(place)))
    for at, numbers in _apart(marks):
        made.add_annotation(
            x=at,
            y=1,
            yref="paper",
            text=numbers,
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            font={"size": 11},
        )


def _apart(marks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Marks that would cover each other become one."""
    found: list[tuple[float, str]] = []
    span = marks[-1][0] - marks[0][0] if marks else 0.0
    for at, numbers in marks:
        if found and at - found[-1][0] < _NEAR * span:
            before, those = found[-1]
            found[-1] = (before, f"{those}, {numbers}")
        else:
            found.append((at, numbers))
    return found
