"""At which rate the share of late requests passes a bound, from noisy trials near there. (Brain)

Near the crossing the log odds of being late are very nearly linear in the rate: exactly so for the
tail of M/M/1, and for M/D/1 to within 2 % of the rate over a range of ± 20 %. So a logistic
regression of late against rate uses every trial near by, and not only the two that enclose it.

Lateness comes in clusters, as a queue that is long stays so for a while; counted as if requests
were independent, an interval would be several times too narrow. Here the unit is a block of time:
each trial's blocks are drawn anew, with replacement, and fitted again (Efron's bootstrap). If
trials differ by more than their blocks explain, as on a machine that others use too, the interval
is widened by the square root of chi-squared ÷ degrees of freedom (Birge's ratio).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Blocks: TypeAlias = tuple[tuple[int, int], ...]
"""Requests that were due in a stretch of time, and how many of them were late; in order."""

NEAR = 0.25
"""Trials within so much of the crossing, relative to it, tell of it: unless most was late, since
then the queue only grew."""
_MOST_LATE = 0.5
_LEAST = 10
_ROUNDS = 4
_NEWTON = 1e-4
_BATCHES = 12
_DRAWS = 400
_SLOPE = 10.0
_SLOPE_SPREAD = 30.0
_LEAST_SLOPE = 1.0


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where it is, in requests a second, with the ends of its interval.

    Attributes:
        slope: of the log odds of being late against the rate relative to `per_s`: how sharp the
            limit is. The higher, the fewer requests tell where it is.
        trials: that tell of it.
    """

    per_s: float
    low: float
    high: float
    slope: float
    trials: int


def crossing(
    trials: Sequence[tuple[float, Blocks]], late_share: float, confidence: float, seed: int = 1
) -> Crossing | None:
    """Where `late_share` is passed, from (rate, blocks) of each trial.

    None if fewer than two rates near it were tried, if too little was late to tell, or if it is
    beyond what was tried.
    """
    usable = [(rate, _batches(blocks)) for rate, blocks in trials if blocks]
    if not usable:
        return None
    centre = _centre(usable, late_share)
    for _ in range(_ROUNDS):
        near = [trial for trial in usable if _tells(trial, centre)]
        if len({rate for rate, _ in near}) < 2 or sum(_late(each) for _, each in near) < _LEAST:
            return None
        found = _fitted(near, centre, late_share, confidence, seed)
        if abs(found.per_s / centre - 1) <= NEAR / 4:
            return found
        centre *= min(max(found.per_s / centre, 1 - NEAR), 1 + NEAR)
    return None


def _tells(trial: tuple[float, Floats], centre: float) -> bool:
    rate, batches = trial
    return abs(rate / centre - 1) <= NEAR and _late(batches) <= _MOST_LATE * _due(batches)


def _centre(trials: Sequence[tuple[float, Floats]], late_share: float) -> float:
    """The lowest rate at which more is late, if what is late may only grow with the rate.

    Neighbours that contradict that are taken together (isotonic regression), so that a stall at a
    low rate, which few requests saw, moves nothing.
    """
    pools: list[tuple[float, float, float]] = []  # lowest rate, due, late
    for rate, each in sorted(trials, key=lambda trial: trial[0]):
        pools.append((rate, _due(each), _late(each)))
        while len(pools) > 1 and pools[-2][2] * pools[-1][1] >= pools[-1][2] * pools[-2][1]:
            _, due, late = pools.pop()
            pools[-1] = (pools[-1][0], pools[-1][1] + due, pools[-1][2] + late)
    over = [rate for rate, due, late in pools if late > late_share * due]
    return over[0] if over else max(rate for rate, _ in trials)


def _fitted(
    trials: Sequence[tuple[float, Floats]],
    centre: float,
    late_share: float,
    confidence: float,
    seed: int,
) -> Crossing:
    x = np.array([rate / centre - 1 for rate, _ in trials])
    due = np.array([_due(each) for _, each in trials])
    late = np.array([_late(each) for _, each in trials])
    clusters = _clusters([each for _, each in trials])
    at, slope = _fit(x, due[None], late[None], clusters)
    drawn = np.random.default_rng(seed)
    again = [_drawn(each, drawn) for _, each in trials]
    ats, slopes = _fit(
        x, np.stack([one[0] for one in again], 1), np.stack([one[1] for one in again], 1), clusters
    )
    sought = _logit(late_share)
    where = float((sought - at[0]) / slope[0])
    tail = (1 - confidence) / 2
    ends = np.quantile((sought - ats) / slopes, [tail, 1 - tail])
    wider = _beyond_blocks(trials, x, float(at[0]), float(slope[0]))
    low, high = (
        where + wider * (end - where) for end in (min(ends[0], where), max(ends[1], where))
    )
    return Crossing(
        per_s=centre * max(0.0, 1 + where),
        low=centre * max(0.0, 1 + low),
        high=centre * (1 + high),
        slope=float(slope[0]) * max(0.1, 1 + where),
        trials=len(trials),
    )


def _fit(x: Floats, due: Floats, late: Floats, clusters: float) -> tuple[Floats, Floats]:
    """Intercept and slope of each row's logistic regression, by Newton's method.

    A weak prior on the slope keeps it finite where one rate was never late and the next always.
    """
    due, late = due / clusters, late / clusters
    at = np.log((late.sum(1) + 0.1) / (due.sum(1) - late.sum(1) + 0.1))
    slope = np.full_like(at, _SLOPE)
    weight = 1 / _SLOPE_SPREAD**2
    for _ in range(40):
        late_now = 1 / (1 + np.exp(-np.clip(at[:, None] + slope[:, None] * x, -40, 40)))
        off, spread = late - due * late_now, due * late_now * (1 - late_now)
        pull_at, pull_slope = off.sum(1), (off * x).sum(1) - weight * (slope - _SLOPE)
        bend, cross = spread.sum(1) + 1e-9, (spread * x).sum(1)
        bend_slope = (spread * x * x).sum(1) + weight
        whole = bend * bend_slope - cross * cross
        move_at = (bend_slope * pull_at - cross * pull_slope) / whole
        move_slope = (bend * pull_slope - cross * pull_at) / whole
        at = at + np.clip(move_at, -1, 1)
        slope = np.maximum(_LEAST_SLOPE, slope + np.clip(move_slope, -10, 10))
        if max(np.abs(move_at).max(), np.abs(move_slope).max() / _SLOPE) < _NEWTON:
            break
    return at, slope


def _drawn(batches: Floats, drawn: np.random.Generator) -> tuple[Floats, Floats]:
    """Due and late of so many draws of a trial's batches.

    Deviations are enlarged by sqrt(n / (n - 1)): n batches' own mean is nearer than the true one.
    """
    count = len(batches)
    sums = batches[drawn.integers(0, count, (_DRAWS, count))].sum(1)
    whole = batches.sum(0)
    sums = whole + (sums - whole) * sqrt(count / max(1, count - 1))
    due = np.maximum(sums[:, 0], 1.0)
    return due, np.clip(sums[:, 1], 0.0, due)


def _clusters(trials: Sequence[Floats]) -> float:
    """How many times the variance of independent requests that of the batches is; at least 1."""
    ratios = [_excess(each) for each in trials if len(each) > 1 and _late(each) > 0]
    return max(1.0, float(np.mean(ratios))) if ratios else 1.0


def _excess(batches: Floats) -> float:
    share = _late(batches) / _due(batches)
    off = batches[:, 1] - share * batches[:, 0]
    free = len(batches) - 1
    return float((off * off).sum() / free / max(1e-9, share * (1 - share) * batches[:, 0].mean()))


def _beyond_blocks(
    trials: Sequence[tuple[float, Floats]], x: Floats, at: float, slope: float
) -> float:
    """Birge's ratio, at least 1."""
    free = len(trials) - 2
    if free < 1:
        return 1.0
    total = 0.0
    for (_, batches), place in zip(trials, x, strict=True):
        due = _due(batches)
        share = 1 / (1 + np.exp(-min(40.0, max(-40.0, at + slope * place))))
        variance = due * share * (1 - share) * max(1.0, _excess(batches))
        total += float((_late(batches) - due * share) ** 2 / max(variance, 1.0))
    return max(1.0, sqrt(total / free))


def _batches(blocks: Blocks) -> Floats:
    """Blocks merged to at most so many, so that neighbours have little to do with each other."""
    counts = np.array([block for block in blocks if block[0]] or [(1, 0)], dtype=np.float64)
    return np.stack([part.sum(0) for part in np.array_split(counts, min(len(counts), _BATCHES))])


def _due(batches: Floats) -> float:
    return float(batches[:, 0].sum())


def _late(batches: Floats) -> float:
    return float(batches[:, 1].sum())


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))
