"""One plot of the page: what plotly draws, and the words above it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Any, Final

import plotly.graph_objects as go

from eais_client.load.report.amounts import amount

COLOURS: Final = (
    "#2585cf",
    "#e08a00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#8a7400",
    "#7b61c9",
)
"""Told apart by most kinds of sight (after Okabe and Ito), on light and dark ground."""
BAD: Final = "#d33c32"
MANY_BARS: Final = 8
"""Lines with names at their left; with more a plot takes the whole width."""
_LEAST_HEIGHT: Final = 300
_BAR: Final = 26
_ENTRY: Final = 18
_WIDE_DECADES: Final = 3
FONT: Final = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure with its title, words on how to read it, and whether it takes the whole width."""

    name: str
    title: str
    note: str
    figure: go.Figure
    whole: bool = False

    @property
    def height(self) -> int:
        """Pixels: the more bars and entries of the legend there are, the higher."""
        traces: tuple[Any, ...] = tuple(self.figure.select_traces())
        entries = sum(trace.name is not None for trace in traces)
        bars = len({name for each in traces if _is_flat(each) for name in each.y})
        legend = -(-entries // (6 if self.whole else 3))
        return max(_LEAST_HEIGHT, _BAR * bars + 130) + _ENTRY * legend

    def data(self) -> dict[str, Any]:
        """As plotly.js takes it."""
        told: dict[str, Any] = json.loads(str(self.figure.to_json()))
        return {"data": told["data"], "layout": told["layout"]}


def _is_flat(trace: Any) -> bool:
    """Whether it has a line of its own for each name at the left."""
    return bool(trace.y) and isinstance(trace.y[0], str)


def label(text: str) -> str:
    """A name for plotly, which would take tags in it for its own."""
    return escape(text, quote=False)


def colour_of(names: Iterable[str]) -> dict[str, str]:
    """Each name's colour, the same in all plots."""
    return {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(dict.fromkeys(names))}


def figure(traces: Sequence[Any], x: dict[str, Any], y: dict[str, Any], **layout: Any) -> go.Figure:
    """A figure in the page's design; `x` and `y` are axes."""
    quiet = {"automargin": True, "title": {"standoff": 8}}
    return go.Figure(
        data=list(traces),
        layout={
            "template": None,
            "autosize": True,
            "margin": {"l": 8, "r": 12, "t": 26, "b": 8},
            "colorway": COLOURS,
            "font": {"family": FONT, "size": 12},
            "hovermode": "x unified",
            "showlegend": True,
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "yref": "container",
                "y": 0,
                "yanchor": "bottom",
                "traceorder": "normal",
            },
            "xaxis": _axis(quiet, x),
            "yaxis": _axis(quiet, y),
            **layout,
        },
    )


def log_axis(title: str, values: Iterable[float | None]) -> dict[str, Any]:
    """A logarithmic axis over these values, with whole figures at 1, 2 and 5 of each decade."""
    found = [each for each in values if each is not None and each > 0]
    if not found:
        return {"title": title, "type": "log"}
    low, high = floor(log10(min(found))), ceil(log10(max(found)))
    ticks = [digit * 10.0**power for power in range(low, high + 1) for digit in (1, 2, 5)]
    if high - low > _WIDE_DECADES:
        ticks = [10.0**power for power in range(low, high + 1)]
    words = [amount(each) for each in ticks]
    return {"title": title, "type": "log", "tickvals": ticks, "ticktext": words}


def _axis(quiet: dict[str, Any], axis: dict[str, Any]) -> dict[str, Any]:
    title = axis.get("title", "")
    return {**quiet, **axis, "title": {**quiet["title"], "text": title}, "zeroline": False}
