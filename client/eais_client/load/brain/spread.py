"""What a histogram of latencies says, over all requests and not over those that ended well. (Brain)

HdrHistogram counts by buckets, each 1/2048 of its power of two wide (at three digits), and walks
through tens of thousands of them in Python for each figure; here only those that hold something
are kept, as arrays. As HdrHistogram does, a quantile is the highest value of its bucket.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

MILLION: Final = 1_000_000
"""Quantiles are in millionths, so that ranks are exact: 0.99 x 100 isn't 99 in binary."""

_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spread:
    """Values that were counted, ascending; µs.

    Attributes:
        lows, highs: of each bucket that isn't empty.
        counts: what it holds.
    """

    lows: _Ints
    highs: _Ints
    counts: _Ints

    @property
    def total(self) -> int:
        """How many values there are."""
        return int(self.counts.sum())

    def mean(self) -> float | None:
        """Of the buckets' middles; None of nothing."""
        if not self.total:
            return None
        return float(((self.lows + self.highs) / 2 @ self.counts) / self.total)

    def least(self) -> int | None:
        """The lowest value; None of nothing."""
        return int(self.lows[0]) if len(self.lows) else None

    def most(self) -> int | None:
        """The highest value; None of nothing."""
        return int(self.highs[-1]) if len(self.highs) else None

    def quantile(self, millionths: int, of: int | None = None) -> int | None:
        """The value at rank ceil(q x `of`), the nearest-rank definition.

        `of` is how many there are with those that have no value, which rank behind all that have;
        None if the rank is one of theirs.
        """
        count = self.total if of is None else max(of, self.total)
        rank = max(1, -(-count * millionths // MILLION))
        if not count or rank > self.total:
            return None
        return int(self.highs[np.searchsorted(np.cumsum(self.counts), rank)])

    def within(self, bound: float) -> int:
        """How many values are at most `bound`, to the width of a bucket."""
        return int(self.counts[(self.lows + self.highs) / 2 <= bound].sum())


def spread(histograms: Iterable[HdrHistogram]) -> Spread:
    """What histograms of one precision hold together."""
    total: _Ints | None = None
    digits = 1
    for each in histograms:
        counts = np.ctypeslib.as_array(each.counts).astype(np.int64)
        total = counts if total is None else total + counts
        digits = each.significant_figures
    if total is None:
        total = np.zeros(0, np.int64)
    filled = np.flatnonzero(total)
    lows, highs = _buckets(digits, len(total))
    return Spread(lows[filled], highs[filled], total[filled])


def to_text(histogram: HdrHistogram) -> str:
    """HdrHistogram's own base64 (V2, compressed), which its log tools read; "" if it is empty."""
    if not histogram.get_total_count():
        return ""
    return bytes(histogram.encode()).decode("ascii")


def of_text(text: str) -> HdrHistogram | None:
    """What `to_text` made; None of "". Raises a `ValueError` if it is no such text."""
    if not text:
        return None
    try:
        return HdrHistogram.decode(text.encode("ascii"))
    except Exception as error:  # of zlib, base64, struct, ctypes, and its own
        raise ValueError(f"no histogram: {error}") from error


@cache
def _buckets(digits: int, count: int) -> tuple[_Ints, _Ints]:
    """The lowest and highest value of each place in a histogram's array.

    HdrHistogram's layout with a unit of 1: 2^m values by themselves, then each power of two in
    2^(m-1) steps, m = ceil(log2(2 x 10^digits)).
    """
    half = 1 << (int(np.ceil(np.log2(2 * 10**digits))) - 1)
    place = np.arange(count, dtype=np.int64)
    power: _Ints = np.maximum(place // half - 1, 0)
    step: _Ints = np.where(place < half, place, place % half + half)
    lows: _Ints = step << power
    return lows, lows + np.left_shift(1, power, dtype=np.int64) - 1
