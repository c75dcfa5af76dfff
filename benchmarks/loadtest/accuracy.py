"""Percentiles that a load test tells, against those that its target is known to have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.loadtest.stand import callers, evenly, known, latency, quantile_ms, run
from eais_client.load.brain.plan import Driver, Driving
from eais_client.load.target import TargetSpec
from eais_client.load.testing.service import Known, quantile_s

SHARES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)
PER_S: Final = 500.0
MEAN_MS: Final = 40.0
"""Far above what the machine adds to a call, some tenths of a millisecond."""
STALL_EVERY_S: Final = 5.0
STALL_S: Final = 1.0
STALLED_MS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Compared:
    """A percentile: what was told of it, and what it is; milliseconds."""

    share: float
    told_ms: float
    is_ms: float

    @property
    def error(self) -> float:
        """Relative."""
        return abs(self.told_ms - self.is_ms) / self.is_ms


def distribution(name: str, driver: Driver, seconds: float) -> list[Compared]:
    """Percentiles of an open loop at a target with service times of this distribution.

    There are as many requests as its times have quantiles, so the sample's are those.
    """
    requests = int(PER_S * seconds)
    asked = Known(name, MEAN_MS, draws=requests)
    target = known(distribution=name, mean_ms=MEAN_MS, draws=requests)
    record = run(target, Driving(driver), evenly(PER_S, seconds))
    told = latency(record)
    return [
        Compared(share, quantile_ms(told, share), 1000 * quantile_s(asked, share))
        for share in SHARES
    ]


def stalls(driver: Driver, seconds: float) -> list[Compared]:
    """Percentiles of an open loop at a target that stalls, and what they are."""
    record = run(_stalling(), Driving(driver), evenly(200.0, seconds))
    told = latency(record)
    shares = [share for share in SHARES if share > 1 - STALL_S / STALL_EVERY_S]
    return [Compared(share, quantile_ms(told, share), stalled_ms(share)) for share in shares]


def closed_p99_ms(driver: Driver, seconds: float) -> float:
    """What a closed loop of one caller says of that target: it asks nothing while it waits."""
    return quantile_ms(latency(run(_stalling(), Driving(driver), callers(1, seconds))), 0.99)


def stalled_ms(share: float) -> float:
    """The percentile: who comes in a stall waits evenly 0 to all of it, the others not at all."""
    stalled = STALL_S / STALL_EVERY_S
    waited = max(0.0, share - (1 - stalled)) / stalled
    return STALLED_MS + 1000 * STALL_S * waited


def _stalling() -> TargetSpec:
    return known(mean_ms=STALLED_MS, stall_every_s=STALL_EVERY_S, stall_s=STALL_S)
