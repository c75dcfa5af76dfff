"""How far a load test's figures may be off, from its own seconds. (Brain)

What is slow comes in bunches: a stall makes many requests late at once, a queue outlives the
second in which it grew. So the figures are computed again and again from seconds drawn anew, in
runs of neighbours (the circular block bootstrap of Politis and Romano, 1992), each time from the
merged histograms of the seconds drawn, and their scatter is the figures' own uncertainty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cbrt, ceil
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from eais_client.load.brain.spread import of_text, spread

Floats: TypeAlias = NDArray[np.float64]

DRAWS: Final = 400
PERCENTILES: Final[Mapping[str, float]] = {
    "p50_ms": 0.5,
    "p90_ms": 0.9,
    "p99_ms": 0.99,
    "p99_9_ms": 0.999,
}
USED: Final = ("client_cores", "server_cores", "client_rss_mb", "server_rss_mb")


@dataclass(frozen=True, slots=True)
class Seconds:
    """What a run counted, second by second.

    Attributes:
        asked, done, bad: requests that were due, that were answered, and that had no right answer.
        lows, highs: ms, of each bucket of latencies.
        counts: seconds × buckets.
        used: a name of `USED` -> its seconds; only those that were seen in all of them.
    """

    asked: Floats
    done: Floats
    bad: Floats
    lows: Floats
    highs: Floats
    counts: Floats
    used: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.asked)


def seconds_of(series: Sequence[Mapping[str, Any]]) -> Seconds:
    """From a result document's `series`, of one run or of several rounds one after another.

    Raises a `ValueError` if a histogram in it is none.
    """
    spreads = [spread([found] if (found := of_text(each["histogram"])) else []) for each in series]
    lows = np.unique(np.concatenate([each.lows for each in spreads] or [np.zeros(0, np.int64)]))
    counts, highs = np.zeros((len(spreads), len(lows))), np.zeros(len(lows))
    for row, each in enumerate(spreads):
        places = np.searchsorted(lows, each.lows)
        counts[row, places] = each.counts
        highs[places] = each.highs
    used = {
        name: np.array([each[name] for each in series], dtype=np.float64)
        for name in USED
        if series and all(each.get(name) is not None for each in series)
    }
    return Seconds(
        asked=_column(series, "asked"),
        done=_column(series, "done"),
        bad=sum((_column(series, name) for name in ("failed", "wrong", "unanswered")), np.zeros(1)),
        lows=lows / 1000,
        highs=(highs + 1) / 1000,
        counts=counts,
        used=used,
    )


def _column(series: Sequence[Mapping[str, Any]], name: str) -> Floats:
    return np.array([each[name] for each in series], dtype=np.float64)


def weights(count: int, length: int, draws: int, seed: int) -> Floats:
    """How often each of `count` seconds is in each draw of runs of `length`; draws × seconds."""
    drawn = np.random.default_rng(seed)
    starts = drawn.integers(0, count, (draws, ceil(count / length)))
    places = (starts[:, :, None] + np.arange(length)) % count
    flat = places.reshape(draws, -1)[:, :count]
    offsets = np.arange(draws)[:, None] * count
    often = np.zeros(draws * count)
    np.add.at(often, (flat + offsets).ravel(), 1.0)
    return often.reshape(draws, count)


def block_length(count: int) -> int:
    """Seconds that are drawn together: the cube root of how many there are, the usual order."""
    return max(1, round(cbrt(count)))


def figures(seconds: Seconds, weight: Floats, slo_ms: float | None) -> dict[str, Floats]:
    """Each figure, once for each row of weights (draws × seconds).

    Percentiles are over all requests that were due; those without a right answer are behind all
    others, and infinity stands for them.
    """
    merged = weight @ seconds.counts
    asked, total = weight @ seconds.asked, merged.sum(1)
    length = weight.sum(1)
    middles = (seconds.lows + seconds.highs) / 2
    found = {"mean_ms": np.where(total > 0, _ratio(merged @ middles, total), np.inf)}
    below = np.cumsum(merged, axis=1)
    for name, share in PERCENTILES.items():
        found[name] = _quantile(seconds, merged, below, share * np.maximum(asked, total))
    found["done_per_s"] = _ratio(weight @ seconds.done, length)
    if slo_ms is not None:
        found["goodput_per_s"] = _ratio(merged[:, middles <= slo_ms].sum(1), length)
    found["failed_share"] = _ratio(weight @ seconds.bad, asked)
    return found | {name: _ratio(weight @ each, length) for name, each in seconds.used.items()}


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def _quantile(seconds: Seconds, merged: Floats, below: Floats, rank: Floats) -> Floats:
    """The value at a rank, evenly spread within its bucket; infinity beyond the last."""
    if not merged.shape[1]:
        return np.full(len(rank), np.inf)
    place = (below < rank[:, None]).sum(1)
    inside = np.minimum(place, merged.shape[1] - 1)
    rows = np.arange(len(rank))
    here = merged[rows, inside]
    before = below[rows, inside] - here
    part = np.clip(_ratio(rank - before, here), 0.0, 1.0)
    value = seconds.lows[inside] + part * (seconds.highs - seconds.lows)[inside]
    return np.where(place < merged.shape[1], value, np.inf)
