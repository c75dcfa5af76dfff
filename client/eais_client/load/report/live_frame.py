"""How far a load test is, as it is drawn once a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from eais_client.load.brain.figures import PERCENTILES, ms
from eais_client.load.brain.run_figures import load_data
from eais_client.load.brain.spread import spread
from eais_client.load.generator.processes import LiveCounts
from eais_client.load.record import Interval, Tally, Usage
from eais_client.load.report.amounts import FAILED, amount, harmless, per_s
from eais_client.load.report.load_words import load_words

SPARKS: Final = "▁▂▃▄▅▆▇█"
MOST_SPARKS: Final = 40
_BAR: Final = 24
_BEHIND: Final = 2
"""Seconds: of the one that has just ended not all has been told."""


@dataclass(slots=True)
class Glance:
    """A phase under way, as far as it is shown.

    Attributes:
        target, asked: which, in words.
        second, seconds: how far of how long; negative while it warms up.
        answered, failed, wrong: so far; `done_so_far` are the right answers that came while it is
            measured. `reason` is the most frequent one of those that failed.
        p50_ms, p99_ms: so far; of those that ended, with failed ones behind the others.
        last_p50_ms, last_p99_ms, last_done, last_failed: of the last second that is fully known;
            None if there is none.
        done, p99s: of each second that is, up to the last `MOST_SPARKS`.
        lag_p99_ms: by how much requests are sent late.
        usage: of both sides; None if nobody has looked yet.
    """

    target: str
    asked: str
    second: float
    seconds: float
    answered: int = 0
    failed: int = 0
    wrong: int = 0
    done_so_far: int = 0
    reason: str = ""
    p50_ms: float | None = None
    p99_ms: float | None = None
    last_done: int | None = None
    last_failed: int | None = None
    last_wrong: int | None = None
    last_p50_ms: float | None = None
    last_p99_ms: float | None = None
    lag_p99_ms: float | None = None
    done: Sequence[int] = ()
    p99s: Sequence[float | None] = field(default_factory=tuple)
    usage: Usage | None = None


def glance(live: LiveCounts) -> Glance:
    """What is to be shown of these counts."""
    counted, p99 = live.counted, PERCENTILES["p99_ms"]
    tallies = list(counted.models.values())
    latency = spread(tally.latency for tally in tallies)
    ended = sum(map(_ended, tallies))
    errors = sum((tally.errors for tally in tallies), Counter[str]())
    made = Glance(
        live.target,
        load_words(load_data(live.phase)),
        live.second,
        live.phase.seconds,
        answered=sum(tally.answered for tally in tallies),
        failed=sum(sum(tally.errors.values()) for tally in tallies),
        wrong=sum(tally.wrong for tally in tallies),
        done_so_far=sum(tally.done for tally in tallies),
        reason=max(errors, key=errors.__getitem__, default=""),
        p50_ms=ms(latency.quantile(PERCENTILES["p50_ms"], ended)),
        p99_ms=ms(latency.quantile(p99, ended)),
        lag_p99_ms=ms(spread([counted.lag]).quantile(p99)),
        usage=live.usage,
    )
    last = min(round(live.second) - _BEHIND, ceil(live.phase.seconds) - 1)
    _add_last(made, counted.intervals, last)
    return made


def _ended(tally: Tally) -> int:
    return tally.answered + tally.wrong + sum(tally.errors.values())


def _add_last(made: Glance, intervals: Mapping[int, Interval], last: int) -> None:
    if last < 0:
        return
    known = [intervals.get(n, Interval()) for n in range(max(0, last + 1 - MOST_SPARKS), last + 1)]
    made.done = [each.done for each in known]
    made.p99s = [_quantile(each, "p99_ms") for each in known]
    latest = known[-1]
    made.last_done, made.last_failed, made.last_wrong = latest.done, latest.failed, latest.wrong
    made.last_p50_ms, made.last_p99_ms = _quantile(latest, "p50_ms"), made.p99s[-1]


def _quantile(interval: Interval, figure: str) -> float | None:
    ended = interval.answered + interval.wrong + interval.failed
    return ms(spread([interval.latency]).quantile(PERCENTILES[figure], ended))


def frame(shown: Glance) -> RenderableType:
    """The lines on the screen."""
    head = Text(f"{harmless(shown.target)}: {shown.asked}", style="bold", no_wrap=True)
    parts: list[RenderableType] = [head, _progress(shown), _figures(shown)]
    if shown.usage is not None:
        parts.append(_sides(shown))
    return Group(*parts)


def _progress(shown: Glance) -> Table:
    row = Table.grid(padding=(0, 1))
    if shown.second < 0:
        row.add_row(Text(f"warming up, {-shown.second:.0f} s to go", style="yellow"))
        return row
    over = min(shown.second, shown.seconds)
    bar = ProgressBar(total=shown.seconds, completed=over, width=_BAR)
    left = "" if over < shown.seconds else ", waiting for the last answers"
    row.add_row(bar, Text(f"{over:.0f} of {amount(shown.seconds)} s{left}"))
    return row


def _figures(shown: Glance) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    made.add_column("")
    for heading in ("last second", "so far"):
        made.add_column(heading, justify="right", min_width=11)
    made.add_column("")
    over = min(shown.second, shown.seconds)
    rate = shown.done_so_far / over if over > 1 else None
    last = "" if shown.last_done is None else per_s(shown.last_done)
    so_far = "" if rate is None else f"{shown.answered}, {per_s(rate)}"
    made.add_row("answered", last, so_far, sparks(shown.done))
    made.add_row("p50", _ms(shown, shown.last_p50_ms), _ms_so_far(shown, shown.p50_ms), "")
    p99 = _ms_so_far(shown, shown.p99_ms)
    made.add_row("p99", _ms(shown, shown.last_p99_ms), p99, sparks(shown.p99s))
    for name, latest, count, text in (
        ("failed", shown.last_failed, shown.failed, harmless(shown.reason)),
        ("wrong", shown.last_wrong, shown.wrong, ""),
    ):
        cell = Text(str(count), style="bold red" if count else "")
        made.add_row(name, "" if latest is None else str(latest), cell, text)
    return made


def _ms(shown: Glance, value: float | None) -> str:
    """Of the last second: unknown, or a failed request's, or a latency."""
    if shown.last_done is None:
        return ""
    if value is None:
        return FAILED if shown.last_failed or shown.last_wrong else "-"
    return f"{amount(value)} ms"


def _ms_so_far(shown: Glance, value: float | None) -> str:
    if value is not None:
        return f"{amount(value)} ms"
    return FAILED if shown.failed or shown.wrong else ""


def _sides(shown: Glance) -> Text:
    usage = shown.usage
    assert usage is not None
    told = [f"client {amount(usage.client_cores)} cores, {amount(usage.client_rss_mb)} MB"]
    if usage.server_cores is not None:
        memory = f", {amount(usage.server_rss_mb)} MB" if usage.server_rss_mb is not None else ""
        told.append(f"server {amount(usage.server_cores)} cores{memory}")
    if shown.lag_p99_ms is not None:
        told.append(f"99 % sent within {amount(shown.lag_p99_ms)} ms of their time")
    return Text("   ".join(told), style="dim", no_wrap=True)


def sparks(values: Sequence[float | None]) -> str:
    """A bar for each value, of the height of its part of the highest; "×" where there is none."""
    highest = max((each for each in values if each is not None), default=0)
    return "".join(_spark(each, highest) for each in values)


def _spark(value: float | None, highest: float) -> str:
    if value is None:
        return "×"
    steps = len(SPARKS) - 1
    return SPARKS[round(steps * value / highest) if highest else 0]
