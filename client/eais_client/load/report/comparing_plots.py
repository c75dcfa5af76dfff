"""Plots of what was found from several runs: ratios of targets, and a capacity's trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from eais_client.load.brain.figures import number
from eais_client.load.report.amounts import amount
from eais_client.load.report.plot import (
    BAD,
    COLOURS,
    MANY_BARS,
    Plot,
    colour_of,
    figure,
    label,
    log_axis,
)
from eais_client.load.result import LoadTestResult

_FAR_APART: Final = 3
_LEAST_SHARE: Final = 1e-5
_SHOWN: Final = ("p50_ms", "p99_ms", "mean_ms", "p90_ms", "p99_9_ms", "done_per_s")


def ratio_plot(result: LoadTestResult) -> Plot | None:
    """Each target's figures ÷ the first one's, with their intervals."""
    told = [each for each in result.ratios if number(each.get("ratio"))]
    if not told:
        return None
    several = len({str(each.get("phase")) for each in told}) > 1
    colours = colour_of(str(each.get("target")) for each in told)
    traces = [
        _dots([each for each in told if str(each.get("target")) == target], several, colour)
        for target, colour in colours.items()
    ]
    against = ", ".join(dict.fromkeys(str(each.get("against")) for each in told))
    made = figure(
        traces,
        _ratio_axis(f"÷ {label(against)}", [float(each["ratio"]) for each in told]),
        {"type": "category", "autorange": "reversed", "dtick": 1},
        hovermode="closest",
    )
    made.add_vline(x=1, line={"color": "#8793a0", "width": 1})
    note = (
        "The median over the rounds, and its 95 % interval where there are rounds enough. Left of "
        "1 is faster for latencies (…_ms), and slower for done_per_s."
    )
    lines = {(each.get("figure"), each.get("phase")) for each in told}
    return Plot("ratios", f"Against {against}", note, made, whole=len(lines) > MANY_BARS)


def _ratio_axis(title: str, ratios: Sequence[float]) -> dict[str, Any]:
    """Near 1 plotly's own ticks are finer."""
    if max(ratios) < _FAR_APART * min(ratios):
        return {"title": title, "type": "log"}
    return log_axis(title, ratios)


def _dots(told: Sequence[Mapping[str, Any]], several: bool, colour: str) -> Any:
    order = {name: place for place, name in enumerate(_SHOWN)}
    told = sorted(told, key=lambda each: order.get(str(each.get("figure")), len(order)))

    def off(each: Mapping[str, Any], end: str) -> float:
        value = each.get(end)
        return abs(float(value) - float(each["ratio"])) if number(value) and value else 0.0

    return go.Scatter(
        x=[each["ratio"] for each in told],
        y=[
            label(f"{each.get('figure')}, {each.get('phase')}" if several else f"{each['figure']}")
            for each in told
        ],
        error_x={
            "type": "data",
            "array": [off(each, "high") for each in told],
            "arrayminus": [off(each, "low") for each in told],
            "thickness": 1.5,
        },
        mode="markers",
        marker={"size": 8, "color": colour},
        name=label(str(told[0].get("target"))),
        hovertemplate="%{y}: %{x:.3~g}",
    )


def capacity_plot(result: LoadTestResult) -> Plot | None:
    """The trials of a search, by the share of requests that were late, and what came of them."""
    found = result.capacity
    trials = [] if found is None else [each for each in found.get("trials", ()) if _known(each)]
    if found is None or not trials:
        return None
    traces = [
        _trials([each for each in trials if each.get("kept", True) is kept], name, colour)
        for kept, name, colour in (
            (True, "trial", COLOURS[0]),
            (False, "trial whose schedule wasn't kept", COLOURS[1]),
        )
        if any(each.get("kept", True) is kept for each in trials)
    ]
    made = figure(
        traces,
        log_axis("requests asked a second", [each["rate_per_s"] for each in trials]),
        {
            "title": "late, wrong or failed",
            "type": "log",
            "tickvals": [_LEAST_SHARE, 1e-4, 1e-3, 1e-2, 1e-1, 1],
            "ticktext": ["none", "0.01 %", "0.1 %", "1 %", "10 %", "100 %"],
        },
        hovermode="closest",
    )
    _add_bounds(made, found)
    note = f"{found.get('said', '')}. The dashed line is the share that may be late, "
    note += "the band the capacity's interval."
    return Plot("capacity", "Search for the capacity", note, made)


def _known(trial: object) -> bool:
    if not isinstance(trial, Mapping):
        return False
    return all(number(trial.get(name)) for name in ("rate_per_s", "due", "late"))


def _trials(trials: Sequence[Mapping[str, Any]], name: str, colour: str) -> Any:
    return go.Scatter(
        x=[each["rate_per_s"] for each in trials],
        y=[max(_LEAST_SHARE, each["late"] / max(1, each["due"])) for each in trials],
        customdata=[[each["late"], each["due"], amount(each.get("seconds"))] for each in trials],
        mode="markers",
        marker={"size": 9, "color": colour, "opacity": 0.8},
        name=name,
        hovertemplate="%{x:.4~g}/s: %{customdata[0]} of %{customdata[1]} late in "
        "%{customdata[2]} s",
    )


def _add_bounds(made: go.Figure, found: Mapping[str, Any]) -> None:
    share, low, high = found.get("share"), found.get("low"), found.get("high")
    if number(share):
        made.add_hline(y=1 - float(share or 0), line={"color": BAD, "width": 1, "dash": "dash"})
    if number(low) and number(high):
        made.add_vrect(x0=low, x1=high, fillcolor=COLOURS[2], opacity=0.15, line_width=0)
    if number(found.get("per_s")):
        made.add_vline(x=found["per_s"], line={"color": COLOURS[2], "width": 2})
