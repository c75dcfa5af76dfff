"""Plots of latency: by percentile, against throughput, and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from eais_client.load.brain.run_figures import RunFigures
from eais_client.load.brain.spread import of_text, spread
from eais_client.load.report.amounts import amount
from eais_client.load.report.plot import BAD, MANY_BARS, Plot, colour_of, figure, label, log_axis
from eais_client.load.result import LoadTestResult

_PER_DECADE: Final = 24
_MOST_SHOWN: Final = 8
"""Lines; more are in the legend, to be switched on."""
_FAR_APART: Final = 20
"""Times: lines that end so far apart can't be read on one linear axis."""
_PARTS: Final = {
    "wait": ("waiting to be sent", "#a3adb8"),
    "encode": ("encode", "#56b4e9"),
    "line": ("waiting for a worker with room", "#d55e00"),
    "wire": ("wire", "#2585cf"),
    "queue": ("queue", "#e08a00"),
    "batch": ("rest of the batch", "#cc79a7"),
    "compute": ("compute", "#009e73"),
    "decode": ("decode", "#8a7400"),
}
_DASHES: Final = ("solid", "dash", "dot", "dashdot")


def run_names(runs: Sequence[RunFigures]) -> list[str]:
    """What tells each run from the others, shortly."""
    targets, phases = {run.target for run in runs}, {run.phase for run in runs}
    rounds = {run.round for run in runs}
    return [
        ", ".join(
            [
                *([run.target] if len(targets) > 1 or len(phases) == 1 else []),
                *([run.phase] if len(phases) > 1 else []),
                *([f"round {run.round}"] if len(rounds) > 1 else []),
            ]
        )
        for run in runs
    ]


def groups(runs: Sequence[RunFigures]) -> dict[str, list[RunFigures]]:
    """Rounds of the same load on the same target, together, by what tells these from others."""
    found: dict[tuple[str, str], list[RunFigures]] = {}
    for run in runs:
        found.setdefault((run.target, run.phase), []).append(run)
    names = run_names([replace(rounds[0], round=1) for rounds in found.values()])
    return dict(zip(names, found.values(), strict=True))


def percentile_plot(result: LoadTestResult) -> Plot | None:
    """Latency at each percentile, the far ones as wide as the near ones."""
    traces: list[Any] = []
    colours = colour_of(run.target for run in result.runs)
    several = len(colours) > 1
    most = 1.0
    for number, (name, rounds) in enumerate(groups(result.runs).items()):
        x, y = percentiles(rounds)
        if not x:
            continue
        most = max(most, x[-1])
        colour = colours[rounds[0].target] if several else None
        dash = _DASHES[number // len(colours) % len(_DASHES)] if several else "solid"
        traces.append(
            go.Scatter(
                x=x,
                y=y,
                name=label(name),
                mode="lines",
                line={"color": colour, "dash": dash, "width": 2},
                visible=True if number < _MOST_SHOWN else "legendonly",
                customdata=[f"{100 * (1 - 1 / each):.6g} %" for each in x],
                hovertemplate="%{customdata}: %{y:.3~g} ms",
            )
        )
    if not traces:
        return None
    traces += _slo(result.runs, 1, most)
    ends = [trace.y[-1] for trace in traces]
    wide = max(ends) > _FAR_APART * min(ends)
    y_axis = log_axis("ms", ends) if wide else {"title": "ms", "rangemode": "tozero"}
    made = figure(traces, _percentile_axis(most), y_axis, hovermode="closest")
    note = (
        "All requests that were due, failed ones behind all others: a line that ends early ends "
        "where they begin. Latency counts from when a request was due."
    )
    return Plot("percentiles", "Latency by percentile", note, made)


def percentiles(rounds: Sequence[RunFigures]) -> tuple[list[float], list[float]]:
    """1 / (1 - q) and the latency at q, ms, of all requests that were due in these runs."""
    try:
        histograms = [of_text(run.histogram) for run in rounds]
    except ValueError:
        return [], []
    values = spread(each for each in histograms if each is not None)
    if not values.total:
        return [], []
    due = max(sum(run.all.requests for run in rounds), values.total)
    steps = max(2, int(np.log10(due) * _PER_DECADE) + 1)
    share = np.unique(np.append(np.logspace(0, np.log10(due), steps), [2, 10, 100, 1000]))
    share = share[share <= due]
    ranks = np.maximum(1, np.ceil(np.round(due * (1 - 1 / share), 6))).astype(int)
    known = ranks <= values.total
    places = np.searchsorted(np.cumsum(values.counts), ranks[known])
    return share[known].tolist(), (values.highs[places] / 1e3).tolist()


def _percentile_axis(most: float) -> dict[str, Any]:
    ticks = {1: "0", 2: "50 %", 10: "90 %", 100: "99 %", 1000: "99.9 %"}
    ticks |= {10_000: "99.99 %", 100_000: "99.999 %", 1_000_000: "99.9999 %"}
    return {
        "type": "log",
        "title": "percentile of requests",
        "tickvals": list(ticks),
        "ticktext": list(ticks.values()),
        "range": [0, float(np.log10(max(most, 2)))],
    }


def _slo(runs: Sequence[RunFigures], low: float, high: float) -> list[Any]:
    """A line for each SLO."""
    slos = sorted({run.all.slo_ms for run in runs if run.all.slo_ms is not None})
    return [
        go.Scatter(
            x=[low, high],
            y=[slo_ms, slo_ms],
            name=f"SLO {amount(slo_ms)} ms",
            mode="lines",
            line={"color": BAD, "width": 1.2, "dash": "dash"},
            hoverinfo="skip",
        )
        for slo_ms in slos
    ]


def saturation_plot(result: LoadTestResult) -> Plot | None:
    """Latency against throughput, a point for each load; None unless there are several."""
    colours = colour_of(run.target for run in result.runs)
    traces: list[Any] = []
    for target, colour in colours.items():
        runs = [run for run in result.runs if run.target == target and run.all.answered]
        loads = groups(runs)
        if len(loads) < 2:
            continue
        for quantile, dash in (("p50_ms", "dot"), ("p99_ms", "solid")):
            quick = quantile.removesuffix("_ms")
            traces.append(
                go.Scatter(
                    x=[_median(rounds, "done_per_s") for rounds in loads.values()],
                    y=[_median(rounds, quantile) for rounds in loads.values()],
                    customdata=[label(rounds[0].phase) for rounds in loads.values()],
                    name=label(f"{target} {quick}" if len(colours) > 1 else quick),
                    mode="lines+markers",
                    line={"color": colour, "dash": dash},
                    hovertemplate="%{customdata}: %{y:.3~g} ms at %{x:.4~g}/s",
                )
            )
    if not traces:
        return None
    traces += _slo(result.runs, 0, max(run.all.done_per_s for run in result.runs))
    made = figure(
        traces,
        {"title": "answers a second", "rangemode": "tozero"},
        log_axis("ms", [y for trace in traces for y in trace.y]),
        hovermode="closest",
    )
    note = (
        "A point for each load, the median of its rounds. Where more is asked but no more is "
        "done, and latency rises, the target is saturated. Points whose percentile failed are "
        "left out."
    )
    return Plot("saturation", "Latency against throughput", note, made)


def _median(rounds: Sequence[RunFigures], figure: str) -> float | None:
    """None if a round has no such figure, since too much of it failed."""
    found = [getattr(run.all, figure) for run in rounds]
    return None if None in found else float(np.median(found))


def split_plot(result: LoadTestResult) -> Plot | None:
    """Of what the mean latency is made."""
    runs = [run for run in result.runs if run.split]
    named = {label(name): rounds for name, rounds in groups(runs).items()}
    if not named:
        return None
    traces = [
        go.Bar(
            y=list(named),
            x=[_mean_part(rounds, part) for rounds in named.values()],
            name=words,
            marker={"color": colour},
            orientation="h",
            hovertemplate="%{x:.3~g} ms",
        )
        for part, (words, colour) in _PARTS.items()
        if any(_mean_part(rounds, part) for rounds in named.values())
    ]
    made = figure(
        traces,
        {"title": "ms, mean of answered requests"},
        {"type": "category", "autorange": "reversed"},
        barmode="stack",
        hovermode="y unified",
        bargap=0.5 if len(named) < 4 else 0.2,
    )
    note = "“Rest of the batch” is the part of a run that was for others' requests."
    if any(run.split_from == "server" for run in runs):
        note += " Queue and compute as the server counts them, for all its clients."
    return Plot("split", "Where the time goes", note, made, whole=len(named) > MANY_BARS)


def _mean_part(rounds: Sequence[RunFigures], part: str) -> float | None:
    """Milliseconds, over all answers."""
    told = [(run.split.get(part, {}).get("mean_ms"), run.all.answered) for run in rounds]
    known = [(mean, answered) for mean, answered in told if mean is not None and answered]
    if not known:
        return None
    return round(sum(mean * n for mean, n in known) / sum(n for _, n in known), 4)


def schedule_plot(result: LoadTestResult) -> Plot | None:
    """By how much requests were sent late, beside the latency they had."""
    names = [label(name) for name in run_names(result.runs)]
    lags = {
        "sent late, p50": "lag_p50_ms",
        "sent late, p99": "lag_p99_ms",
        "sent late, most": "lag_max_ms",
        "waited for a free caller, p99": "blocked_p99_ms",
    }
    if not any(run.schedule.get(key) for run in result.runs for key in lags.values()):
        return None
    traces: list[Any] = [
        go.Bar(
            x=names,
            y=[run.schedule.get(key) for run in result.runs],
            name=words,
            hovertemplate="%{y:.3~g} ms",
        )
        for words, key in lags.items()
    ]
    traces.append(
        go.Scatter(
            x=names,
            y=[run.all.p99_ms for run in result.runs],
            name="latency, p99",
            mode="markers",
            marker={"symbol": "line-ew-open", "size": 22, "line": {"width": 2}},
            hovertemplate="%{y:.3~g} ms",
        )
    )
    made = figure(
        traces,
        {"type": "category"},
        log_axis("ms", [y for trace in traces for y in trace.y]),
        barmode="group",
    )
    note = (
        "“Sent late” is the generator's own delay: it has to be far below the latency. Who "
        "“waited for a free caller” did so because earlier requests weren't answered yet."
    )
    return Plot("schedule", "Was the load made as it was asked for?", note, made)
