"""How many requests a core makes at a target that answers at once, and how late they are sent."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.loadtest.stand import NULL, answered, callers, evenly, quantile_ms, run_metered
from eais_client.load.brain.plan import Driver, Driving, Phase
from eais_client.load.brain.schedule import schedule_verdict
from eais_client.load.record import PhaseRecord

MAX_IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class Rate:
    """What a core made, requests a second of CPU time, and whether it was on time."""

    per_core_s: float
    record: PhaseRecord

    @property
    def kept(self) -> bool:
        """Whether its schedule was kept."""
        return schedule_verdict(self.record).kept

    def lag_ms(self, share: float) -> float:
        """The lateness that so many don't exceed."""
        return quantile_ms(self.record.lag, share)


def closed(driver: Driver, seconds: float) -> Rate:
    """Of one caller."""
    return _rate(driver, callers(1, seconds))


def opened(driver: Driver, per_s: float, seconds: float) -> Rate:
    """Of an open loop."""
    return _rate(driver, evenly(per_s, seconds))


def _rate(driver: Driver, phase: Phase) -> Rate:
    record, spent_s = run_metered(NULL, Driving(driver, max_in_flight=MAX_IN_FLIGHT), phase)
    return Rate(answered(record) / spent_s, record)
