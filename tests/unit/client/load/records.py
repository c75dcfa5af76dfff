"""Records of phases as real ones look, made of seeded random numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from eais_client.load.brain.plan import Closed, Open, Phase, Spacing, Stretch
from eais_client.load.record import Interval, PhaseRecord, Tally, Usage

Floats = NDArray[np.float64]
SHARES = {
    "encode": 0.02,
    "line": 0.04,
    "wire": 0.1,
    "queue": 0.2,
    "batch": 0.1,
    "compute": 0.51,
    "decode": 0.03,
}


def count(histogram: HdrHistogram, seconds: Floats) -> None:
    for value in np.rint(seconds * 1e6).astype(int):
        histogram.record_value(max(1, int(value)))


def tally(latencies: Floats, due: int | None = None) -> Tally:
    """All answered rightly, but for what `due` is above them."""
    made = Tally(due=len(latencies) if due is None else due, sent=len(latencies))
    made.answered = made.done = len(latencies)
    count(made.latency, latencies)
    count(made.service, latencies * 0.97)
    return made


@dataclass(frozen=True, slots=True)
class Bad:
    """Of a phase's requests: shares that end otherwise."""

    failed: float = 0.0
    wrong: float = 0.0
    unanswered: float = 0.0
    reason: str = "UNAVAILABLE"
    text: str = "nobody answers at 127.0.0.1:8001"


@dataclass(frozen=True, slots=True)
class Made:
    """What a phase is to look like."""

    per_s: float = 200.0
    seconds: int = 10
    median_s: float = 0.012
    sigma: float = 0.35
    seed: int = 1
    bad: Bad = Bad()
    closed: int = 0
    parts: bool = True
    server: bool = True
    models: Mapping[str, float] = field(default_factory=lambda: {"light_resnet50": 1.0})


def record(made: Made, target: str = "ei-7f3a", phase: str = "") -> PhaseRecord:
    """A phase of such requests."""
    chance = np.random.default_rng(made.seed)
    load = (
        Closed(made.closed)
        if made.closed
        else Open(Spacing.POISSON, (Stretch(made.seconds + 1.0, made.per_s, made.per_s),))
    )
    name = phase or (f"{made.closed} callers" if made.closed else f"{made.per_s:g}/s")
    found = PhaseRecord(target, Phase(name, load, made.seconds, 1.0), 1_764_000_000.0, made.seconds)
    for model, share in made.models.items():
        _add_model(found, made, chance, model, share)
    count(found.lag, chance.exponential(0.00005, 200))
    count(found.blocked, np.zeros(200))
    for second in range(-1, made.seconds):
        found.usage.append(_usage(made, chance, second))
    if not made.server:
        found.server_unseen = "its workers are on host far-away"
    return found


def _add_model(
    found: PhaseRecord, made: Made, chance: np.random.Generator, model: str, share: float
) -> None:
    due = np.sort(chance.uniform(0, made.seconds, int(made.per_s * made.seconds * share)))
    latency = made.median_s * np.exp(made.sigma * chance.standard_normal(len(due)))
    kinds = np.array(["right", "failed", "wrong", "unanswered"])
    bad = (made.bad.failed, made.bad.wrong, made.bad.unanswered)
    fate = chance.choice(kinds, len(due), p=[1 - sum(bad), *bad])
    right = fate == "right"
    mine = tally(latency[right], len(due))
    mine.sent, mine.checked = len(due), len(due) // 20
    mine.wrong, mine.unanswered = int((fate == "wrong").sum()), int((fate == "unanswered").sum())
    if failed := int((fate == "failed").sum()):
        mine.errors = Counter({made.bad.reason: failed})
        mine.texts = {made.bad.reason: made.bad.text}
    mine.done = int((due[right] + latency[right] < made.seconds).sum())
    if made.parts:
        for part, of_all in SHARES.items():
            mine.parts[part] = tally(mine_part(latency[right], of_all, chance)).latency
        mine.batch_size = int(right.sum()) * 2
    found.models[model] = mine
    for second in range(made.seconds):
        within = (due >= second) & (due < second + 1)
        ended = right & (np.floor(due + latency) == second)
        interval = found.intervals.setdefault(second, Interval())
        interval.due += int(within.sum())
        interval.sent += int(within.sum())
        interval.answered += int((within & right).sum())
        interval.done += int(ended.sum())
        interval.failed += int((within & (fate == "failed")).sum())
        interval.wrong += int((within & (fate == "wrong")).sum())
        interval.unanswered += int((within & (fate == "unanswered")).sum())
        count(interval.latency, latency[within & right])


def mine_part(latency: Floats, of_all: float, chance: np.random.Generator) -> Floats:
    """A part's times, which differ from request to request."""
    return latency * of_all * chance.uniform(0.7, 1.3, len(latency))


def _usage(made: Made, chance: np.random.Generator, second: int) -> Usage:
    client = 0.3 + 0.05 * float(chance.standard_normal())
    if not made.server:
        return Usage(second, client, 140.0)
    return Usage(second, client, 140.0, 1.1 + 0.1 * float(chance.standard_normal()), 412.0)
