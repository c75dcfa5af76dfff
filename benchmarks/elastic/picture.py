"""The seconds of a run: what came, what served, how long calls took. SVG, drawn by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.elastic import live
from eais.device_type import DeviceKind
from eais_pool.policy.ratio.control import Amount

_WIDTH, _LEFT, _RIGHT = 900, 70, 20
_COLOURS: Final = {DeviceKind.CPU: "#1565c0", DeviceKind.GPU: "#c2185b"}
_GREY: Final = "#555"
_LEAST_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class _Panel:
    """A part of the picture, with a vertical scale of its own."""

    top: float
    height: float
    most: float
    title: str

    def y(self, value: float) -> float:
        """Where a value is."""
        part = min(max(value / self.most, 0.0), 1.0)
        return self.top + self.height * (1 - part)


def drawn(run: live.Run, attach_s: float) -> str:
    """The picture; `attach_s` is shaded after each rise."""
    seconds = [at - run.loaded.begin for at, _ in run.recorded.served]
    end = max([*seconds, sum(phase.seconds for phase in run.phases)])

    def x(second: float) -> float:
        return _LEFT + max(second, 0.0) / end * (_WIDTH - _LEFT - _RIGHT)

    load = _Panel(
        60, 150, _most_per_s(run), "calls a second: what comes, and what serves could take"
    )
    times = _Panel(260, 150, 1.0, "how long calls took (logarithmic)")
    height = times.top + times.height + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:g}"'
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        *_phases(run, x, attach_s, load.top, times.top + times.height),
        *_serving(run, x, load),
        *_arrivals(run, x, load),
        *_times(run, x, times),
        *_axis(load, [(value, f"{value:g}") for value in _round_steps(load.most)]),
        *_axis(times, [(_log(s), f"{s:g} s") for s in (0.01, 0.1, 1.0, 10.0)]),
        *_seconds_axis(x, end, times.top + times.height),
        *_legend(),
    ]
    return "\n".join([*parts, "</svg>", ""])


def _most_per_s(run: live.Run) -> float:
    served = [_capacity(run, amount) for _, amount in run.recorded.served]
    return 1.1 * max([*served, *(phase.per_s * 1.5 for phase in run.phases)])


def _capacity(run: live.Run, amount: Amount) -> float:
    """Calls a second that an amount serves within the SLO, as measured."""
    for offer in run.recorded.offers:
        if amount.kind is offer.kind and amount.unit_milli == offer.unit_milli:
            return amount.units * offer.unit_per_s
    return 0.0


def _phases(
    run: live.Run, x: Callable[[float], float], attach_s: float, top: float, low: float
) -> Iterator[str]:
    at, before = 0.0, 0.0
    for phase in run.phases:
        if phase.per_s > before:
            width = x(at + attach_s) - x(at)
            yield (
                f'<rect x="{x(at):.1f}" y="{top}" width="{width:.1f}" height="{low - top}"'
                ' fill="#fff3cd"/>'
            )
        text = escape(f"{phase.name}: {phase.per_s:.1f} a second")
        yield f'<text x="{x(at) + 4:.1f}" y="{top - 22:.1f}" fill="{_GREY}">{text}</text>'
        yield _line(x(at), top - 34, x(at), low, _GREY, "2 3")
        at, before = at + phase.seconds, phase.per_s
    yield f'<text x="{x(at) + 4:.1f}" y="{top - 22:.1f}" fill="{_GREY}">stopped</text>'
    yield _line(x(at), top - 34, x(at), low, _GREY, "2 3")


def _serving(run: live.Run, x: Callable[[float], float], panel: _Panel) -> Iterator[str]:
    """A bar for each stretch of time in which one thing served, with its name."""
    stretches: list[tuple[float, float, Amount]] = []
    for at, amount in run.recorded.served:
        second = at - run.loaded.begin
        if stretches and stretches[-1][2] == amount:
            stretches[-1] = (stretches[-1][0], second, amount)
        else:
            stretches.append((second - 1, second, amount))
    for begin, end, amount in stretches:
        if amount.kind is None or end <= 0:
            continue
        left, right, top = x(begin), x(end), panel.y(_capacity(run, amount))
        colour = _COLOURS.get(amount.kind, _GREY)
        yield (
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}"'
            f' height="{panel.top + panel.height - top:.1f}" fill="{colour}" fill-opacity="0.25"/>'
        )
        if right - left > 70:
            text = escape(str(amount))
            yield f'<text x="{left + 3:.1f}" y="{top - 4:.1f}" fill="{colour}">{text}</text>'


def _arrivals(run: live.Run, x: Callable[[float], float], panel: _Panel) -> Iterator[str]:
    counts: dict[int, int] = {}
    for call in run.loaded.calls:
        second = int(call.due - run.loaded.begin)
        counts[second] = counts.get(second, 0) + 1
    end = round(sum(phase.seconds for phase in run.phases)) + 1
    points = [f"{x(s + 0.5):.1f},{panel.y(counts.get(s, 0)):.1f}" for s in range(end)]
    yield f'<polyline points="{" ".join(points)}" fill="none" stroke="black" stroke-width="1"/>'


def _times(run: live.Run, x: Callable[[float], float], panel: _Panel) -> Iterator[str]:
    """A dot for each call; all of one colour are one path, which keeps the file small."""
    dots: dict[str, list[str]] = {"#2e7d32": [], "#d50000": []}
    for call in run.loaded.calls:
        took = call.answered - call.due if call.answered else math.inf
        colour = "#d50000" if took > live.SLO_S or call.error else "#2e7d32"
        where = f"M{x(call.due - run.loaded.begin):.1f} {panel.y(_log(took)):.1f}h0"
        dots[colour].append(where)
    for colour, marks in dots.items():
        style = 'stroke-width="2.2" stroke-linecap="round" stroke-opacity="0.7" fill="none"'
        yield f'<path d="{"".join(marks)}" stroke="{colour}" {style}/>'
    slo = panel.y(_log(live.SLO_S))
    yield _line(_LEFT, slo, _WIDTH - _RIGHT, slo, "#d50000", "6 3")


def _log(seconds: float) -> float:
    """0 for 5 ms, 1 for 10 s."""
    part = math.log(min(max(seconds, _LEAST_S / 2), 10.0) / (_LEAST_S / 2))
    return part / math.log(10.0 / (_LEAST_S / 2))


def _axis(panel: _Panel, marks: Sequence[tuple[float, str]]) -> Iterator[str]:
    low = panel.top + panel.height
    yield f'<text x="{_LEFT}" y="{panel.top - 6:.1f}">{escape(panel.title)}</text>'
    yield _line(_LEFT, panel.top, _LEFT, low, "black")
    yield _line(_LEFT, low, _WIDTH - _RIGHT, low, "black")
    for value, text in marks:
        y = panel.y(value)
        yield _line(_LEFT - 4, y, _LEFT, y, "black")
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'


def _seconds_axis(x: Callable[[float], float], end: float, low: float) -> Iterator[str]:
    for second in range(0, int(end) + 1, 30):
        yield _line(x(second), low, x(second), low + 4, "black")
        yield f'<text x="{x(second):.1f}" y="{low + 17:.1f}" text-anchor="middle">{second} s</text>'


def _legend() -> Iterator[str]:
    said = (
        ("black", "what came"),
        (_COLOURS[DeviceKind.CPU], "CPU workers, eighths of a core"),
        (_COLOURS[DeviceKind.GPU], "shares of a simulated GPU"),
        ("#d50000", f"later than {live.SLO_S:g} s"),
        ("#e0a800", "the stated attach delay"),
    )
    at = float(_LEFT)
    for colour, text in said:
        yield f'<rect x="{at:.1f}" y="446" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{at + 14:.1f}" y="455">{escape(text)}</text>'
        at += 30 + 6.6 * len(text)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    where = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {where} stroke="{colour}"{dashed}/>'


def _round_steps(most: float) -> list[float]:
    step = 10 ** math.floor(math.log10(most))
    step = step / 2 if most / step < 3 else step
    return [step * n for n in range(int(most / step) + 1)]
