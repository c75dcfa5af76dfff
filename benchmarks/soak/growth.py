"""Whether a series grows: a line by least squares, how sure it is, and the verdict. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

# Student's t at 97.5 % for 2 to 30 degrees of freedom; beyond, 1.96 + 2.4 / n is within 0.1 %.
_T = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 8: 2.306, 10: 2.228, 15: 2.131, 20: 2.086}
LEAST_SAMPLES = 4


@dataclass(frozen=True, slots=True)
class Growth:
    """How much a series grew from its first to its last moment, by its line.

    Attributes:
        grown: the line's rise, in the series' unit.
        low, high: its 95 % confidence interval.
    """

    grown: float
    low: float
    high: float

    def exceeds(self, allowed: float) -> bool:
        """Whether it surely grew, and by more than `allowed`.

        "Surely": its interval lies above 0. What may be noise isn't called a leak, and what is
        sure but small neither: allocators and caches fill up once.
        """
        return self.grown > allowed and self.low > 0


def growth(moments: Sequence[float], values: Sequence[float]) -> Growth:
    """The line through (moment, value), least squares; ValueError below `LEAST_SAMPLES`.

    Samples that follow each other aren't independent (memory that was taken stays taken), so
    that the plain interval would be too narrow: the degrees of freedom are cut by the
    residuals' correlation from one sample to the next (n (1 - r) / (1 + r)).
    """
    count = len(moments)
    if count < LEAST_SAMPLES or count != len(values):
        raise ValueError(f"{count} moments and {len(values)} values; {LEAST_SAMPLES} are needed")
    mean_x, mean_y = math.fsum(moments) / count, math.fsum(values) / count
    spread = math.fsum((x - mean_x) ** 2 for x in moments)
    if spread == 0:
        raise ValueError("all samples are of one moment")
    pairs = list(zip(moments, values, strict=True))
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in pairs) / spread
    residuals = [y - mean_y - slope * (x - mean_x) for x, y in pairs]
    degrees = max(2.0, count * _independent(residuals) - 2)
    error = math.sqrt(math.fsum(r * r for r in residuals) / degrees / spread)
    length, reach = max(moments) - min(moments), _t(degrees) * error
    return Growth(slope * length, (slope - reach) * length, (slope + reach) * length)


def _independent(residuals: Sequence[float]) -> float:
    """Which share of the samples says something new."""
    power = math.fsum(r * r for r in residuals)
    if power == 0:
        return 1.0
    lagged = math.fsum(a * b for a, b in itertools.pairwise(residuals))
    correlation = min(0.95, max(0.0, lagged / power))
    return (1 - correlation) / (1 + correlation)


def _t(degrees: float) -> float:
    known = [limit for limit in _T if limit <= degrees]
    return _T[max(known)] if degrees < max(_T) + 1 else 1.96 + 2.4 / degrees
