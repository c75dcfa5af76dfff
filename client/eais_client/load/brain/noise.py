"""What differs between two load tests beyond noise. (Brain)

Each figure's ratio, second ÷ first, has an interval: Student's, about the logarithm of the ratio,
with the scatter of either side from `resampling` its seconds, or, from four rounds on, from how
its rounds differ, which also holds what changes from one run to the next. Intervals are made so
wide that all of a comparison hold together, with the confidence that is asked for (Bonferroni):
of twenty comparisons of a system with itself about one calls anything better or worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import exp, inf, isfinite, log, sqrt
from statistics import NormalDist, fmean, variance
from typing import Any, Final

import numpy as np

from eais.errors import make_error
from eais_client.load.brain.resampling import (
    DRAWS,
    PERCENTILES,
    Floats,
    Seconds,
    block_length,
    figures,
    seconds_of,
    weights,
)
from eais_client.load.brain.sameness import (
    Document,
    Rounds,
    asked_otherwise,
    circumstances,
    paired,
)
from eais_client.load.brain.student import t_quantile

LEAST: Final[Mapping[str, float]] = {
    "client_cores": 0.05,
    "server_cores": 0.05,
    "client_rss_mb": 0.1,
    "server_rss_mb": 0.1,
}
"""A difference below so much is never called one; what isn't here: `LEAST_ELSE`."""
LEAST_ELSE: Final = 0.02
HIGHER_IS_BETTER: Final = frozenset({"done_per_s", "goodput_per_s"})
FIGURES: Final = ("mean_ms", *PERCENTILES, "done_per_s", "goodput_per_s", "failed_share", *LEAST)
_ROUNDS = 4
_SECONDS = 5
_TAIL = 10
_POWER: Final = NormalDist().inv_cdf(0.8)


class Verdict(StrEnum):
    """Of a figure."""

    SAME = "same"
    """Within noise."""
    BETTER = "better"
    WORSE = "worse"
    UNKNOWN = "unknown"
    """There is too little to tell."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A figure of both.

    Attributes:
        target, phase: by the first one's names.
        figure: as in the result document, or `failed_share`: of all requests, those that failed,
            were answered wrongly, or not at all.
        a, b: its values; None stands for a percentile in what failed.
        ratio: b ÷ a.
        low, high: of the interval of the ratio.
        verdict: of the second.
        sees: the smallest relative difference that this much load shows in four of five tests.
        said: why it is unknown, or how long it takes to see more; "" if there is nothing to say.
    """

    target: str
    phase: str
    figure: str
    a: float | None
    b: float | None
    ratio: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    sees: float | None
    said: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of two load tests.

    Attributes:
        judged: each figure of each pair of runs.
        confidence: with which all intervals hold.
        differs: what was asked otherwise, in words; empty unless it was to be compared anyway.
        noted: what else differs, in words.
    """

    judged: tuple[Judged, ...]
    confidence: float
    differs: tuple[str, ...]
    noted: tuple[str, ...]

    @property
    def worse(self) -> tuple[Judged, ...]:
        """What is, in the second."""
        return tuple(each for each in self.judged if each.verdict is Verdict.WORSE)

    def data(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"judged": [asdict(each) for each in self.judged]}


def compare(
    a: Document, b: Document, *, anyway: bool = False, confidence: float = 0.95, seek: float = 0.1
) -> Comparison:
    """What differs between two result documents.

    Args:
        a, b: of `eais loadtest -o json`.
        anyway: compare though something else was asked.
        confidence: of all intervals together.
        seek: the relative difference that a test should be long enough to show.

    Raises a `UsageError` that names what was asked otherwise, unless `anyway`.
    """
    differs = asked_otherwise(a, b)
    if differs and not anyway:
        text = f"these load tests asked for different things: {'; '.join(differs)}"
        raise make_error("ARGUMENT", text, hint="--anyway compares them nevertheless")
    slos = [document.get("settings", {}).get("slo_ms") for document in (a, b)]
    sides = {
        key: [_Side.of(rounds, slo) for rounds, slo in zip(pair, slos, strict=True)]
        for key, pair in paired(a, b).items()
    }
    names = [name for name in FIGURES if any(name in each.values for _, each in sides.values())]
    many = max(1, len(names) * len(sides))
    share = 1 - (1 - confidence) / many / 2
    judged = tuple(
        _judged(target, phase, name, own, other, share, seek)
        for (target, phase), (own, other) in sides.items()
        for name in names
        if name in own.values and name in other.values
    )
    noted = (*circumstances(a, b), *_notes(a, b, sides))
    return Comparison(judged, confidence, tuple(differs), noted)


@dataclass(frozen=True, slots=True)
class _Side:
    """One test's part of a pair: each figure, its scatter, and how many that rests on.

    `scatter` is the variance of a figure's logarithm; of `failed_share`, of itself.
    """

    values: Mapping[str, float]
    scatter: Mapping[str, float]
    free: int
    seconds: int
    asked: float
    rounds: int

    @classmethod
    def of(cls, rounds: Rounds, slo_ms: float | None) -> _Side:
        whole = seconds_of([second for run in rounds for second in run["series"]])
        if not len(whole):
            return cls({}, {}, 1, 0, 0.0, len(rounds))
        values = _alone(whole, slo_ms)
        if len(rounds) >= _ROUNDS:
            singles = [_alone(seconds_of(run["series"]), slo_ms) for run in rounds]
            scatter = {name: _between([one[name] for one in singles], name) for name in values}
            free = len(rounds) - 1
        else:
            length = block_length(len(whole))
            drawn = figures(whole, weights(len(whole), length, DRAWS, 1), slo_ms)
            blocks = max(2.0, len(whole) / length)
            scatter = {name: _of_draws(drawn[name], name, blocks) for name in values}
            free = max(1, int(blocks) - 1)
        return cls(values, scatter, free, len(whole), float(whole.asked.sum()), len(rounds))

    def too_few(self, name: str) -> str:
        """Why nothing can be said of a figure; "" if something can."""
        if self.seconds < _SECONDS:
            text = f"{self.seconds} s are too short to know how much it varies"
            return f"{text}: it takes {_SECONDS} at least, and more to see little"
        beyond = self.asked * (1 - PERCENTILES.get(name, 0.0))
        if name in PERCENTILES and beyond < _TAIL:
            return f"it rests on {beyond:.0f} of {self.asked:.0f} requests, and takes {_TAIL}"
        return ""


def _alone(seconds: Seconds, slo_ms: float | None) -> dict[str, float]:
    found = figures(seconds, np.ones((1, len(seconds))), slo_ms)
    return {name: float(values[0]) for name, values in found.items()}


def _between(values: Sequence[float], name: str) -> float:
    """The variance of the mean of rounds."""
    if name == "failed_share":
        return variance(values) / len(values)
    if not all(isfinite(each) and each > 0 for each in values):
        return inf
    return variance([log(each) for each in values]) / len(values)


def _of_draws(values: Floats, name: str, blocks: float) -> float:
    """Enlarged, since so few blocks' own mean is nearer to them than the true one is."""
    enlarged = blocks / (blocks - 1)
    if name == "failed_share":
        return float(np.var(values)) * enlarged
    usable = values[np.isfinite(values) & (values > 0)]
    if len(usable) < 0.95 * len(values):
        return inf
    return float(np.var(np.log(usable))) * enlarged


def _judged(
    target: str, phase: str, name: str, a: _Side, b: _Side, share: float, seek: float
) -> Judged:
    own, other = a.values[name], b.values[name]
    values = own if isfinite(own) else None, other if isfinite(other) else None
    ratio = other / own if isfinite(own) and isfinite(other) and own > 0 else None
    verdict, low, high, sees = Verdict.UNKNOWN, None, None, None
    if too_few := a.too_few(name) or b.too_few(name):
        said = too_few
    elif name == "failed_share":
        verdict, said = _failing(a, b, share), ""
    elif own == other:
        verdict, said, sees = Verdict.SAME, "" if isfinite(own) else "it is in what failed", None
    elif not isfinite(own) or not isfinite(other):
        verdict, said = _failing(a, b, share), "it is in what failed"
        verdict = Verdict.UNKNOWN if verdict is Verdict.SAME else verdict
    elif ratio is None or not ratio or not isfinite(a.scatter[name] + b.scatter[name]):
        said = "it varies too much within a test to tell"
    else:
        low, high, sees = _interval(ratio, name, a, b, share)
        verdict = _verdict(ratio, low, high, name)
        said = _too_short(a, b, sees, seek) if verdict is Verdict.SAME else ""
    return Judged(target, phase, name, *values, ratio, low, high, verdict, sees, said)


def _interval(
    ratio: float, name: str, a: _Side, b: _Side, share: float
) -> tuple[float, float, float]:
    """Of a ratio, and the difference that such an interval would show in four of five tests."""
    total = a.scatter[name] + b.scatter[name]
    least = LEAST.get(name, LEAST_ELSE)
    if not total:
        return ratio, ratio, least
    wide = t_quantile(share, _freedom(a, b, name))
    return (
        ratio * exp(-wide * sqrt(total)),
        ratio * exp(wide * sqrt(total)),
        max(least, exp((wide + _POWER) * sqrt(total)) - 1),
    )


def _freedom(a: _Side, b: _Side, name: str) -> int:
    """Degrees of freedom of a difference (Welch 1947)."""
    total = a.scatter[name] + b.scatter[name]
    parts = a.scatter[name] ** 2 / a.free + b.scatter[name] ** 2 / b.free
    return max(1, int(total * total / parts)) if parts else min(a.free, b.free)


def _verdict(ratio: float, low: float, high: float, name: str) -> Verdict:
    if low <= 1 <= high or abs(ratio - 1) < LEAST.get(name, LEAST_ELSE):
        return Verdict.SAME
    return Verdict.BETTER if (ratio > 1) == (name in HIGHER_IS_BETTER) else Verdict.WORSE


def _failing(a: _Side, b: _Side, share: float) -> Verdict:
    """Of the share that failed: by its difference, with what independent requests vary as least."""
    name, scatter = "failed_share", 0.0
    for side in (a, b):
        likely = (side.values[name] * side.asked + 1) / (side.asked + 2)
        scatter += max(side.scatter[name], likely * (1 - likely) / max(1.0, side.asked))
    off = b.values[name] - a.values[name]
    if abs(off) <= t_quantile(share, a.free + b.free) * sqrt(scatter):
        return Verdict.SAME
    return Verdict.WORSE if off > 0 else Verdict.BETTER


def _too_short(a: _Side, b: _Side, sees: float, seek: float) -> str:
    if sees <= seek:
        return ""
    times = (log(1 + sees) / log(1 + seek)) ** 2
    text = f"too short to see {100 * seek:g} %: that takes about"
    if min(a.rounds, b.rounds) >= _ROUNDS:
        return f"{text} {times * max(a.rounds, b.rounds):.0f} rounds"
    return f"{text} {times * fmean((a.seconds, b.seconds)):.0f} s"


def _notes(a: Document, b: Document, sides: Mapping[Any, Sequence[_Side]]) -> list[str]:
    said = []
    if any(side.rounds < _ROUNDS for pair in sides.values() for side in pair):
        said.append(
            "the intervals are of what varies within a run; what changes from one run to the "
            f"next is in them from {_ROUNDS} rounds on (--rounds)"
        )
    if max(len(document.get("models", ())) for document in (a, b)) > 1:
        said.append("the figures are of all models together")
    return said
