"""What batches that weren't measured would take, and how sure that is. (Brain)

The logarithm of a batch's time is linear between powers of two of the batch, and between powers
of two of the share, so that times are power laws there. What isn't measured is assumed, as a
normal distribution of each slope, and the assumption gives way to what is measured: linear
regression with a prior (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006,
section 2.1), one update for each point. What is assumed:

- The time grows with the power 0.6 ± 0.4 of the batch, and neighbouring octaves are alike.
- A share twice as large takes 2^-0.95 times as long, ± 0.2 in the exponent, more or less so for
  larger batches: a share is a turn at the device or a number of its cores, and little of a
  batch is work that neither makes faster.

So the further from what was measured, in batches or in shares, the wider the uncertainty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul
from typing import Final

from eais.device_type import WHOLE_MILLI
from eais_pool.policy.profiles import EXPECTED_NOISE, Profile, noise_of

_OCTAVES: Final = 8
"""Of batches, from 1; beyond 256 the last one goes on."""
_SHARES: Final = range(-3, 3)
"""Octaves of shares, from an eighth to eight devices or cores."""
_LN2: Final = math.log(2)
_LEVEL: Final = (math.log(0.01), 4.0)
_BATCH_SLOPE: Final = (0.6, 0.4, 0.7)
_SHARE_SLOPE: Final = (-0.95, 0.2, 0.8)
_BOTH: Final = 0.02
"""Of the exponent of the share, for an octave of the batch."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A batch's time, and its uncertainty: the standard deviation of its logarithm."""

    seconds: float
    sd: float


class Curve:
    """The time of batches over sizes and shares, from profiles that differ in the share alone."""

    def __init__(self, profiles: Iterable[Profile] = ()) -> None:
        self.noise = EXPECTED_NOISE
        self.measured = False
        self._mean, self._cov = _prior()
        self._failed: list[tuple[int, int]] = []
        found = list(profiles)
        if found:
            self.noise = noise_of(found)
        for profile in found:
            share = profile.key.share_milli
            self._failed += [(share, failure.batch) for failure in profile.failed]
            for point in profile.points:
                self._learn(point.batch, share, point.mean_s, point.samples)

    def seconds(self, batch: int, share_milli: int) -> float:
        """What a batch takes on that share, on average."""
        return math.exp(_dot(self._mean, _features(batch, share_milli)))

    def estimate(self, batch: int, share_milli: int) -> Estimate:
        """What a batch takes on that share, and how sure that is."""
        at = _features(batch, share_milli)
        spread = _dot(at, [_dot(row, at) for row in self._cov])
        return Estimate(math.exp(_dot(self._mean, at)), math.sqrt(max(spread, 0.0)))

    def may_run(self, batch: int, share_milli: int) -> bool:
        """Whether no batch as small failed on a share as large."""
        return not any(batch >= failed and share_milli <= share for share, failed in self._failed)

    def _learn(self, batch: int, share_milli: int, mean_s: float, samples: int) -> None:
        at = _features(batch, share_milli)
        towards = [_dot(row, at) for row in self._cov]
        noise = self.noise**2 / samples
        spread = _dot(at, towards) + noise
        # The logarithm of what varies is on average half its variance below that of its mean.
        off = (math.log(mean_s) + noise / 2 - _dot(self._mean, at)) / spread
        self._mean = [mean + off * each for mean, each in zip(self._mean, towards, strict=True)]
        self._cov = [
            [value - each * other / spread for value, other in zip(row, towards, strict=True)]
            for row, each in zip(self._cov, towards, strict=True)
        ]
        self.measured = True


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(map(mul, a, b))


@lru_cache(maxsize=4096)
def _features(batch: int, share_milli: int) -> tuple[float, ...]:
    """What the logarithm of the time is linear in: the level, and how far up each slope."""
    up = math.log2(batch)
    share = math.log2(share_milli / WHOLE_MILLI)
    ups = [_LN2 * min(max(up - octave, 0.0), 1.0) for octave in range(_OCTAVES)]
    ups[-1] += _LN2 * max(up - _OCTAVES, 0.0)
    return (1.0, *ups, *_share_features(share), _LN2 * share * up)


def _share_features(share: float) -> list[float]:
    """Signed octaves from one whole device, where the slopes begin."""
    found = []
    for octave in _SHARES:
        low = -math.inf if octave == _SHARES[0] else octave
        high = math.inf if octave == _SHARES[-1] else octave + 1
        found.append(_LN2 * (min(max(share, low), high) - min(max(0.0, low), high)))
    return found


def _prior() -> tuple[list[float], list[list[float]]]:
    groups = [(1, *_LEVEL, 0.0), (_OCTAVES, *_BATCH_SLOPE), (len(_SHARES), *_SHARE_SLOPE)]
    groups.append((1, 0.0, _BOTH, 0.0))
    size = sum(count for count, *_ in groups)
    mean, cov = [], [[0.0] * size for _ in range(size)]
    start = 0
    for count, middle, sd, alike in groups:
        mean += [middle] * count
        for row in range(count):
            for column in range(count):
                cov[start + row][start + column] = sd**2 * alike ** abs(row - column)
        start += count
    return mean, cov
