"""How long 99 of 100 calls take on a share that runs them in batches. (Brain)

One server takes what waits, at most `c` calls at a time; calls come at random, independent of
each other (Poisson), at a rate r; a batch of `b` takes l(b). A call waits for the batch that
runs, then for the batches before its own, then for its own.

- *The batch that runs.* Arrivals see time averages (Wolff, "Poisson arrivals see time
  averages", Operations Research 30, 1982): with probability of at most r·l(1) one runs, and
  what is left of it is uniform between 0 and l(c).
- *The batches before.* What a full batch leaves behind is the random walk that goes up by a
  Poisson number of mean r·l(c), down by c, and not below 0. By Kingman's inequality ("A
  martingale inequality in the theory of queues", Mathematical Proceedings of the Cambridge
  Philosophical Society 60, 1964), P(more than n) ≤ e^(-x·n), where x > 0 solves
  u·(e^x - 1) = x and u = r·l(c)/c is the load. n calls take n/c batches.
- With c = 1 both are one: the walk is the wait, of whoever has to.

The tail of the sum of both is inverted at 1 %. Of the sizes c the best counts, as the worker
also batches no more than helps. Service times vary by `jitter` of themselves, which is added at
its 99th percentile. It is an approximation: 0.8 to 1.6 times what a simulation of the same queue
gives (tests/unit/pool/policy/test_queueing.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NORMAL_P99: Final = 2.326
"""Standard deviations from the mean to the 99th percentile of a normal distribution."""
_TAIL: Final = 0.01
_FULL: Final = 0.995
"""Loads above this have no steady state that a forecast could be of."""


@dataclass(frozen=True, slots=True)
class Service:
    """What a share takes for its batches.

    Attributes:
        batches: sizes, ascending, from 1.
        seconds: for a batch of each, on average.
        jitter: standard deviation of a batch's time, as a share of it.
    """

    batches: Sequence[int]
    seconds: Sequence[float]
    jitter: float


@dataclass(frozen=True, slots=True)
class Latency:
    """The p99, and the size of batches that it needs."""

    p99_s: float
    batch: int


def most_per_s(service: Service) -> tuple[float, int]:
    """The highest throughput, in items a second, and the size of batches that gives it."""
    rates = [batch / took for batch, took in zip(service.batches, service.seconds, strict=True)]
    best = max(range(len(rates)), key=rates.__getitem__)
    return rates[best], service.batches[best]


def p99(service: Service, rate_per_s: float, scale: float = 1.0) -> Latency | None:
    """What 99 of 100 calls take at most; None: they come faster than they can be answered.

    Args:
        rate_per_s: calls a second, of one item each; 0: one caller who waits for each answer.
        scale: all batches take so many times as long.
    """
    if rate_per_s <= 0:
        return Latency(scale * service.seconds[0] * (1 + NORMAL_P99 * service.jitter), 1)
    busy = min(1.0, rate_per_s * scale * service.seconds[0])
    best: Latency | None = None
    for batch, took in zip(service.batches, service.seconds, strict=True):
        seconds = took * scale
        load = rate_per_s * seconds / batch
        if load > _FULL or (best is not None and seconds >= best.p99_s):
            continue
        wait = _wait(load, batch, busy) if busy > _TAIL else 0.0
        varying = NORMAL_P99 * service.jitter * math.sqrt(1 + min(wait, 1.0))
        found = seconds * (1 + wait + varying)
        if best is None or found < best.p99_s:
            best = Latency(found, batch)
    return best


def _wait(load: float, batch: int, busy: float) -> float:
    """The wait that one call in a hundred exceeds, in batches' times."""
    decay = _decay(load) * batch
    if batch == 1:
        return math.log(busy / _TAIL) / decay
    # Uniform in 0…1 plus exponential: P(sum > t) = e^(-decay·t)·(e^decay - 1)/decay from t = 1.
    spread = math.log(-math.expm1(-decay) / decay) + decay
    found = (math.log(busy / _TAIL) + spread) / decay
    return found if found >= 1 else 1 - _TAIL / busy


def _decay(load: float) -> float:
    """The x > 0 with load·(e^x - 1) = x, for a load below 1."""
    # From above: e^x - 1 ≥ x + x²/2. Newton's steps on a concave function stay above.
    x = 2 * (1 - load) / load
    while True:
        step = (math.log1p(x / load) - x) / (1 / (load + x) - 1)
        x -= step
        if step < 1e-6 * x:
            return x
