"""What one share would do for a demand, and how sure that is. (Brain)"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eais.tolerance import Tolerance
from eais_pool.policy.curves import Curve
from eais_pool.policy.queueing import Service, most_per_s, p99

SUREST: Final = 4.0
"""Standard deviations beyond which nothing is surer."""
_HALVINGS: Final = 6


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a device.

    Attributes:
        slo_p99_s: 99 of 100 calls are to take no longer; None: nothing was asked.
        rate_per_s: calls a second, of one item each; None: it isn't known, and one caller who
            waits for each answer is assumed.
        network_s: of `slo_p99_s`, what goes by on the way there and back.
        batch_most: items that may run together; 1 for a model that can't be batched.
        price_cap_per_h: what may be spent an hour at most; None: anything.
        ready_within_s: what attaching may take at most; None: anything.
        hold_h: how long the instance will be used, for what is paid before it can be.
    """

    slo_p99_s: float | None = None
    rate_per_s: float | None = None
    tolerance: Tolerance = Tolerance.FP32
    network_s: float = 0.0
    batch_most: int = 64
    price_cap_per_h: float | None = None
    ready_within_s: float | None = None
    hold_h: float = 1.0

    def __post_init__(self) -> None:
        for name in ("slo_p99_s", "rate_per_s", "price_cap_per_h", "ready_within_s", "hold_h"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} = {value}: must be above 0")
        if not 0 <= self.network_s < math.inf:
            raise ValueError(f"network_s = {self.network_s}: must not be below 0")
        if self.batch_most < 1:
            raise ValueError(f"batch_most = {self.batch_most}: must be 1 or more")

    @property
    def target_s(self) -> float:
        """What a call may take at the worker; infinity if nothing was asked."""
        return math.inf if self.slo_p99_s is None else self.slo_p99_s - self.network_s


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a share would do.

    Attributes:
        p99_s: with the way there and back; None: calls come faster than they can be answered.
        throughput_per_s: items a second at most.
        batch: the size of batches that it needs for either.
        sd: of the logarithm of that batch's time.
        surety: by how many such standard deviations batches may take longer with the SLO still
            met; negative: must take less; `SUREST` at most, either way.
    """

    p99_s: float | None
    throughput_per_s: float
    batch: int
    sd: float
    surety: float


def forecast(curve: Curve, share_milli: int, demand: Demand) -> Forecast | None:
    """What a share would do for `demand`; None if it can't run the model at all."""
    batches = [batch for batch in sizes(demand.batch_most) if curve.may_run(batch, share_milli)]
    if not batches:
        return None
    service = Service(batches, _seconds(curve, batches, share_milli), curve.noise)
    rate = demand.rate_per_s or 0.0
    expected = p99(service, rate)
    throughput, batch = most_per_s(service)
    batch = expected.batch if expected else batch
    sd = curve.estimate(batch, share_milli).sd
    surety = _surety(service, rate, demand.target_s, sd)
    took = expected.p99_s + demand.network_s if expected else None
    return Forecast(took, throughput, batch, sd, surety)


def knee(curve: Curve, share_milli: int, demand: Demand) -> int:
    """The least size of batches that gives nine tenths of the throughput of the best; at least 1.

    Larger ones take longer and gain little.
    """
    batches = [batch for batch in sizes(demand.batch_most) if curve.may_run(batch, share_milli)]
    seconds = _seconds(curve, batches, share_milli)
    rates = [batch / took for batch, took in zip(batches, seconds, strict=True)]
    enough = 0.9 * max(rates, default=0.0)
    return next((each for each, rate in zip(batches, rates, strict=True) if rate >= enough), 1)


def sizes(most: int) -> list[int]:
    """The sizes of batches that are looked at: powers of two."""
    return [1 << octave for octave in range(most.bit_length())]


def _seconds(curve: Curve, batches: Sequence[int], share_milli: int) -> list[float]:
    """What each size takes: never less than a smaller one, however measured."""
    found: list[float] = []
    for batch in batches:
        took = curve.seconds(batch, share_milli)
        found.append(max(took, found[-1]) if found else took)
    return found


def _surety(service: Service, rate: float, target_s: float, sd: float) -> float:
    def met(by: float) -> bool:
        found = p99(service, rate, math.exp(by * sd))
        return found is not None and found.p99_s <= target_s

    low, high = -SUREST, SUREST
    if met(high):
        return high
    if not met(low):
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if met(middle) else (low, middle)
    return (low + high) / 2
