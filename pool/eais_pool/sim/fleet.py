"""What serves one instance in a replay: shares of some sizes, there or on their way. (Brain)

As live, what takes the place of something comes beside it, which goes once that serves. What is
charged is what serves, as in the ledger.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from eais.device_type import DeviceKind
from eais_pool.policy.ratio.control import Amount
from eais_pool.policy.ratio.offers import Offer
from eais_pool.sim.queue_model import Units

Size = tuple[DeviceKind, int]
Want = Mapping[Size, int]
"""Units of each size that are asked for."""
_HOUR_S = 3600.0


class Market:
    """What a unit of each size serves, costs and takes to attach, as was said last."""

    def __init__(self) -> None:
        self._offers: dict[Size, Offer] = {}
        self._milli_price: dict[DeviceKind, float] = {}

    def say(self, offers: Iterable[Offer], cpu_price_per_h: float) -> None:
        """Such offers are there now; what was said of others before stays."""
        self._milli_price[DeviceKind.CPU] = cpu_price_per_h / 1000
        for offer in offers:
            self._offers[offer.size] = offer
            self._milli_price[offer.kind] = offer.price_per_h / offer.unit_milli

    def per_s(self, size: Size) -> float:
        """Calls a second of one unit; of one that was never measured 0."""
        offer = self._offers.get(size)
        return offer.unit_per_s if offer else 0.0

    def attach_s(self, size: Size) -> int:
        """Seconds until one serves."""
        offer = self._offers.get(size)
        return math.ceil(offer.attach_s) if offer else 1

    def cost(self, serving: Want) -> float:
        """Of a second; a kind that nothing is known of costs nothing."""
        return sum(
            units * milli * self._milli_price.get(kind, 0.0) / _HOUR_S
            for (kind, milli), units in serving.items()
        )


class Fleet:
    """Shares of one instance; `asked` is what was asked for last."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._there: dict[Size, Units] = {}
        self.asked: Want = {}

    def start(self, want: Want) -> None:
        """So many serve when the replay begins."""
        self.asked = {size: units for size, units in want.items() if units}
        for size, units in self.asked.items():
            self._there[size] = Units(self._market.attach_s(size), units)

    def begin(self, second: int) -> None:
        """Those that have come serve from this second on, and what they replace goes."""
        for units in self._there.values():
            units.begin(second)
        if all(self.ready(size) >= units for size, units in self.asked.items()):
            self._there = {size: u for size, u in self._there.items() if size in self.asked}

    def ask(self, second: int, want: Want) -> None:
        """At the end of `second`: have so many of each size."""
        self.asked = {size: units for size, units in want.items() if units}
        for size, units in self.asked.items():
            if size not in self._there:
                self._there[size] = Units(self._market.attach_s(size))
            self._there[size].ask(second, units)
        if not self.asked:
            self._there = {}

    def ready(self, size: Size) -> int:
        """Units of a size that serve."""
        return self._there[size].ready if size in self._there else 0

    @property
    def serving(self) -> dict[Size, int]:
        """All that serve."""
        return {size: units.ready for size, units in self._there.items() if units.ready}

    @property
    def per_s(self) -> float:
        """Calls a second that all of them serve."""
        return sum(units * self._market.per_s(size) for size, units in self.serving.items())

    def observed(self, size: Size) -> Amount:
        """What serves, counted in such units; what is of another size in its own."""
        serving = self.serving
        if not serving:
            return Amount()
        found = size if size in serving else max(serving, key=lambda each: serving[each] * each[1])
        return Amount(found[0], serving[found], found[1])
