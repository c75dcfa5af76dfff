"""Queues with one server, exact, in virtual time: what a trial at a known server would show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from eais_client.load.brain.trials import Trial, TrialResult

Floats: TypeAlias = NDArray[np.float64]
Service: TypeAlias = Callable[[np.random.Generator, int], Floats]


def constant(service_s: float) -> Service:
    return lambda _, count: np.full(count, service_s, dtype=np.float64)


def exponential(mean_s: float) -> Service:
    return lambda drawn, count: drawn.exponential(mean_s, count)


def sojourns(
    drawn: np.random.Generator, rate_per_s: float, seconds: float, service: Service
) -> tuple[Floats, Floats]:
    """When requests arrive, a Poisson process, and how long each is there; at first nobody is.

    Lindley's recursion as a running minimum: each waits as long as the work that came since the
    server was last idle exceeds the time since then.
    """
    at = np.cumsum(drawn.exponential(1 / rate_per_s, drawn.poisson(rate_per_s * seconds)))
    work = service(drawn, len(at))
    before = np.concatenate(([0.0], np.cumsum(work)[:-1])) - at
    return at, before - np.minimum.accumulate(before) + work


class Machine:
    """Makes the trials of a search at a queue."""

    def __init__(self, service: Service, slo_s: float, seed: int, block_s: float = 1.0) -> None:
        self.service, self.slo_s, self.block_s = service, slo_s, block_s
        self.drawn = np.random.default_rng(seed)

    def __call__(self, trial: Trial) -> TrialResult:
        whole_s = trial.warm_s + trial.seconds
        at, there = sojourns(self.drawn, trial.rate_per_s, whole_s, self.service)
        measured = at >= trial.warm_s
        block = ((at[measured] - trial.warm_s) / self.block_s).astype(int)
        due = np.bincount(block)
        late = np.bincount(block, there[measured] > self.slo_s, minlength=len(due))
        blocks = tuple((int(d), int(n)) for d, n in zip(due, late, strict=True))
        return TrialResult(trial.rate_per_s, whole_s, blocks)
