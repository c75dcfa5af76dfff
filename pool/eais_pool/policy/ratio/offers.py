"""What a unit of each kind of device serves, and what it costs. (Brain)"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from eais.device_type import DeviceKind
from eais_pool.policy.choosing import Candidate, Runner
from eais_pool.policy.curves import Curve
from eais_pool.policy.forecasting import Demand, forecast
from eais_pool.policy.prices import Prices

_HALVINGS: Final = 12


@dataclass(frozen=True, slots=True)
class Offer:
    """One size of share of one kind, of which an instance may have several.

    Attributes:
        unit_milli: of one, in milli-devices or -cores.
        unit_per_s: calls a second that one serves with the SLO met.
        price_per_h: of one.
        attach_s: from asking for one until it serves.
        cpu_s_per_call: of CPU workers, for what is done to a call before and after it.
        most_units: that there are.
    """

    kind: DeviceKind
    unit_milli: int
    unit_per_s: float
    price_per_h: float
    attach_s: float = 1.0
    cpu_s_per_call: float = 0.0
    most_units: int = 1 << 16

    def __post_init__(self) -> None:
        for name in ("unit_milli", "unit_per_s", "price_per_h"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} = {getattr(self, name)}: must be above 0")
        for name in ("attach_s", "cpu_s_per_call"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} = {getattr(self, name)}: must not be below 0")

    @property
    def size(self) -> tuple[DeviceKind, int]:
        """What tells it from other offers."""
        return self.kind, self.unit_milli

    def units_for(self, per_s: float) -> int:
        """How many serve so many calls a second."""
        return math.ceil(per_s / self.unit_per_s - 1e-9)


def offers_of(
    demand: Demand,
    candidates: Iterable[Candidate],
    curves: Mapping[Runner, Curve],
    prices: Prices,
) -> list[Offer]:
    """The offers that measured profiles allow: of each kind all sizes, each by what serves most.

    What one unit serves is the highest rate at which its forecast p99 is within the SLO; a share
    that meets it at no rate is no offer, nor one of a precision that isn't tolerated.
    """
    best: dict[tuple[DeviceKind, int], Offer] = {}
    for each in candidates:
        curve = curves.get(each.runner)
        if curve is None or not demand.tolerance.admits(each.runner.precision):
            continue
        per_s = _most_per_s(curve, each.share_milli, demand)
        if per_s <= 0:
            continue
        price = prices.of(each.runner.kind, each.share_milli)
        offer = Offer(each.runner.kind, each.share_milli, per_s, price, each.setup_s)
        known = best.get((offer.kind, offer.unit_milli))
        if known is None or offer.unit_per_s > known.unit_per_s:
            best[offer.kind, offer.unit_milli] = offer
    return [best[key] for key in sorted(best)]


def _most_per_s(curve: Curve, share_milli: int, demand: Demand) -> float:
    def met(per_s: float) -> bool:
        found = forecast(curve, share_milli, replace(demand, rate_per_s=per_s))
        return found is not None and found.p99_s is not None and found.surety >= 0

    alone = forecast(curve, share_milli, replace(demand, rate_per_s=None))
    if alone is None or alone.surety < 0:
        return 0.0
    low, high = 0.0, alone.throughput_per_s
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if met(middle) else (low, middle)
    return low
