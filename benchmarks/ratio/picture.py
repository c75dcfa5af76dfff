"""Cost against lateness of every policy, as an SVG drawn by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _EDGE = 760, 480, 60
_LATE_LEAST, _LATE_MOST = 0.001, 100.0
_COLOURS: Final = {"eais": "#c2185b", "hpa": "#1565c0", "kpa": "#2e7d32", "ray": "#ef6c00"}

Points = Mapping[str, tuple[float, float]]
"""By name: (cost over the oracle's, percent late)."""


def front(points: Points) -> list[str]:
    """Names of those that no other beats in both, by cost."""
    found: list[str] = []
    least = math.inf
    for name, (_, late) in sorted(points.items(), key=lambda item: item[1]):
        if late < least:
            found.append(name)
            least = late
    return found


def drawn(points: Points, title: str) -> str:
    """The picture: cost to the right, lateness upwards on a logarithmic scale."""
    most = max(2.0, max(cost for cost, _ in points.values()) * 1.05)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_EDGE}" y="24" font-size="15">{escape(title)}</text>',
        *_axes(most),
    ]
    line = " ".join("{:.1f},{:.1f}".format(*_place(points[name], most)) for name in front(points))
    parts.append(f'<polyline points="{line}" fill="none" stroke="#888" stroke-dasharray="4 3"/>')
    for name, point in points.items():
        x, y = _place(point, most)
        colour = _COLOURS.get(name.split("_")[0], "#555")
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 6:.1f}" y="{y - 4:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _axes(most: float) -> list[str]:
    low, left = _HEIGHT - _EDGE, _EDGE
    found = [
        f'<path d="M{left} {_EDGE} V{low} H{_WIDTH - _EDGE}" fill="none" stroke="black"/>',
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 16}">cost / oracle\'s</text>',
        f'<text x="8" y="{_EDGE - 12}">% late</text>',
    ]
    for late in (0.001, 0.01, 0.1, 1.0, 10.0, 100.0):
        _, y = _place((1.0, late), most)
        found.append(f'<text x="8" y="{y + 4:.1f}">{late:g}</text>')
        found.append(f'<path d="M{left - 4} {y:.1f} H{left}" stroke="black"/>')
    for step in range(round((most - 1) / 0.25) + 1):
        x, _ = _place((1 + step * 0.25, 1.0), most)
        found.append(f'<text x="{x - 10:.1f}" y="{low + 18}">{1 + step * 0.25:g}</text>')
        found.append(f'<path d="M{x:.1f} {low} V{low + 4}" stroke="black"/>')
    return found


def _place(point: tuple[float, float], most: float) -> tuple[float, float]:
    cost, late = point
    late = min(max(late, _LATE_LEAST), _LATE_MOST)
    up = math.log(late / _LATE_LEAST) / math.log(_LATE_MOST / _LATE_LEAST)
    x = _EDGE + (cost - 1) / (most - 1) * (_WIDTH - 2 * _EDGE)
    return x, _HEIGHT - _EDGE - up * (_HEIGHT - 2 * _EDGE)
