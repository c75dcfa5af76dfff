"""The ratio of CPU to accelerator of one instance, second by second, and why. (Brain)

Three things are told apart: the *target* is what the demand needs now, the *requested* what is
asked of the pool (held until break-even, within bounds), the *observed* what serves. The kind of
device is the cheapest for the throughput that is needed; another is taken only when what it would
have saved has reached what changing costs, there and back, or when the one in use can't do. CPU
workers follow the accelerator in the ratio in which neither waits for the other.

A decision follows from what was seen alone: `replayed` gives the same ones again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from eais.device_type import WHOLE_MILLI, DeviceKind, type_text
from eais_pool.policy.ratio.offers import Offer
from eais_pool.policy.ratio.scaling import Cause, Economy, Hold, Scaler

_HOUR_S: Final = 3600.0
_SATURATED: Final = 0.95
_WORTH_CHANGING: Final = 1.25
"""Where nothing serves the demand, another kind is taken that serves so much more than this one."""
_FADES: Final = 1 - 1 / 600
"""A second: the most that a kind was needed for, so that a burst of hours ago weighs nothing."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an instance may have.

    Attributes:
        least_units, most_units: of the kind in use; least_units is a warm reserve, too.
        price_cap_per_h: for all that is requested.
        most_cpu_workers: beside the accelerator.
        cpu_price_per_h: of one of them.
        awake_s: how long the last unit stays without a call.
    """

    least_units: int = 0
    most_units: int = 1 << 16
    price_cap_per_h: float = math.inf
    most_cpu_workers: int = 1 << 16
    cpu_price_per_h: float = 0.02
    awake_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.least_units <= self.most_units:
            raise ValueError("least_units: must not be below 0, nor above most_units")
        if not self.price_cap_per_h > 0:
            raise ValueError(f"price_cap_per_h = {self.price_cap_per_h}: must be above 0")
        if min(self.most_cpu_workers, self.cpu_price_per_h, self.awake_s) < 0:
            raise ValueError("most_cpu_workers, cpu_price_per_h, awake_s: must not be below 0")


@dataclass(frozen=True, slots=True)
class Amount:
    """Units of one kind, and CPU workers beside them; kind None: nothing at all."""

    kind: DeviceKind | None = None
    units: int = 0
    unit_milli: int = 0
    cpu_workers: int = 0

    @property
    def share_milli(self) -> int:
        """Of all units together."""
        return self.units * self.unit_milli

    def __str__(self) -> str:
        if self.kind is None or not self.units:
            return "none"
        beside = f" with cpu.{self.cpu_workers}" if self.cpu_workers else ""
        return f"{self.units} × {type_text(self.kind, self.unit_milli)}{beside}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one second showed.

    Attributes:
        arrived: calls that came.
        waiting: calls that still waited at its end.
        observed: what served.
        front_end_load: part of the front-end's cores that were busy.
        front_end_cores: how many it has.
        wanted: a call, or who opens a session, said that it finds no worker.
    """

    arrived: float
    waiting: float = 0.0
    observed: Amount = Amount()
    front_end_load: float = 1.0
    front_end_cores: int = 0
    wanted: bool = False


@dataclass(frozen=True, slots=True)
class Alternative:
    """An offer that was weighed; `units` of it and `cost_per_h` are what it would take."""

    kind: DeviceKind
    units: int
    cost_per_h: float
    why: str
    unit_milli: int = WHOLE_MILLI


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided in a second, from what, and why."""

    second: int
    seen: Seen
    required_per_s: float
    target: Amount
    requested: Amount
    observed: Amount
    cost_per_h: float
    cause: Cause
    alternatives: tuple[Alternative, ...]
    why: str


class RatioController:
    """Decides for one instance.

    Args:
        offers: what may serve it; of equal cost the first.
        economy: what is weighed; its `attach_s` is replaced by the offer's in use.
    """

    def __init__(
        self, offers: Sequence[Offer], economy: Economy | None = None, bounds: Bounds | None = None
    ) -> None:
        if not offers:
            raise ValueError("offers: there must be one at least")
        self.offers, self.bounds = tuple(offers), bounds or Bounds()
        self.economy = economy or Economy()
        self._offer = min(offers, key=lambda each: each.price_per_h)
        self._scaler = Scaler(self._economy_of(self._offer), self._offer.unit_per_s)
        self._units = self._cpu_workers = 0
        self._cpu_hold = Hold(self.economy.change_cost_s)
        self._regret = self._most_here_per_s = 0.0
        self._second = self._quiet_s = 0

    @property
    def offer(self) -> Offer:
        """Of the kind in use."""
        return self._offer

    def revise(self, offers: Sequence[Offer], economy: Economy, bounds: Bounds) -> None:
        """Other offers, or what is weighed otherwise; what was learned of the demand stays."""
        if not offers:
            raise ValueError("offers: there must be one at least")
        before = (self._economy_of(self._offer), self._offer.unit_per_s)
        self.offers, self.economy, self.bounds = tuple(offers), economy, bounds
        mine = (each for each in offers if each.size == self._offer.size)
        self._offer = next(mine, None) or min(offers, key=lambda each: each.price_per_h)
        if (self._economy_of(self._offer), self._offer.unit_per_s) != before:
            self._scaler.rebase(self._economy_of(self._offer), self._offer.unit_per_s)

    def see(self, seen: Seen) -> Decision:
        """One second has gone by: what to have from now on, and why."""
        self._second += 1
        called = seen.arrived or seen.waiting or seen.wanted
        self._quiet_s = 0 if called else self._quiet_s + 1
        woken = not self._units and self._quiet_s < self.bounds.awake_s
        if self._second == 1 or woken:
            self._take_over(seen.observed)
        offer, mine = self._offer, seen.observed.kind is self._offer.kind
        ready = seen.observed.share_milli // offer.unit_milli if mine else 0
        wanted = self._scaler.see(seen.arrived, seen.waiting, ready, self._units)
        required = self._scaler.required_per_s
        if wanted > self._most(offer):
            required = max(required, wanted * offer.unit_per_s)  # another kind has to do
        rivals = [self._alternative(each, required) for each in self.offers]
        changed = self._change_kind(required, rivals)
        if changed:
            wanted = self._offer.units_for(required)
        kept = not wanted and self._units > 0 and self._quiet_s < self.bounds.awake_s
        wanted = 1 if kept else wanted
        offer = self._offer
        self._units = self._bounded(offer, wanted)
        self._cpu_workers = self._cpu(offer, seen)
        target = self._amount(self._scaler.needed if not changed else wanted)
        requested = self._amount(self._units, self._cpu_workers)
        return Decision(
            second=self._second,
            seen=seen,
            required_per_s=required,
            target=target,
            requested=requested,
            observed=seen.observed,
            cost_per_h=self._cost(offer, self._units, self._cpu_workers),
            cause=self._scaler.cause,
            alternatives=tuple(rivals),
            why=self._why(seen, required, requested, wanted, changed) + self._awake(kept),
        )

    def _take_over(self, observed: Amount) -> None:
        """What serves though nothing was asked for here counts as asked for."""
        milli = observed.share_milli
        mine = [each for each in self.offers if each.kind is observed.kind]
        sized = [each for each in mine if milli % each.unit_milli == 0]
        offer = max(sized, key=lambda each: each.unit_milli, default=None)
        if offer is not None and offer is not self._offer:
            self._offer = offer
            self._scaler.rebase(self._economy_of(offer), offer.unit_per_s)
        if observed.units:
            self._units = milli // offer.unit_milli if offer else 1

    def _economy_of(self, offer: Offer) -> Economy:
        return replace(self.economy, attach_s=math.ceil(offer.attach_s))

    def _amount(self, units: int, cpu_workers: int | None = None) -> Amount:
        if not units:
            return Amount()
        workers = self._cpu_needed(self._offer, units, 0.0) if cpu_workers is None else cpu_workers
        return Amount(self._offer.kind, units, self._offer.unit_milli, workers)

    def _cost(self, offer: Offer, units: int, cpu_workers: int) -> float:
        return units * offer.price_per_h + cpu_workers * self.bounds.cpu_price_per_h

    def _most(self, offer: Offer) -> int:
        """Units within bounds and price cap, with the CPU workers that they need."""
        beside = offer.unit_per_s * offer.cpu_s_per_call * self.bounds.cpu_price_per_h
        affordable = self.bounds.price_cap_per_h / (offer.price_per_h + beside)
        most = min(self.bounds.most_units, offer.most_units)
        return min(most, math.floor(min(affordable, 1 << 30) + 1e-9))

    def _bounded(self, offer: Offer, units: int) -> int:
        return min(max(units, self.bounds.least_units), self._most(offer))

    def _alternative(self, offer: Offer, required: float) -> Alternative:
        units = max(offer.units_for(required), self.bounds.least_units)
        cost = self._cost(offer, units, self._cpu_needed(offer, units, 0.0))
        most = self._most(offer)
        if units > most:
            served = most * offer.unit_per_s
            why = f"serves {served:.3g}/s at most in bounds"
        else:
            why = f"would cost {cost:.3g}/h"
        return Alternative(offer.kind, units, cost, why, offer.unit_milli)

    def _change_kind(self, required: float, rivals: Sequence[Alternative]) -> bool:
        """Take another kind if that pays, or if the one in use can't do and another can."""
        able = [
            self._most(each) >= rival.units for each, rival in zip(self.offers, rivals, strict=True)
        ]
        at = self.offers.index(self._offer)
        order = sorted(range(len(rivals)), key=lambda n: (not able[n], rivals[n].cost_per_h, n))
        best = order[0]
        if not any(able):
            serves = [self._most(each) * each.unit_per_s for each in self.offers]
            best = max(range(len(rivals)), key=lambda n: (serves[n], n == at))
            best = best if serves[best] >= _WORTH_CHANGING * serves[at] else at
        if best == at or not required:
            self._regret = 0.0
            self._most_here_per_s = max(required, self._most_here_per_s * _FADES)
            return False
        rival, offer = rivals[best], self.offers[best]
        self._regret += (rivals[at].cost_per_h - rival.cost_per_h) / _HOUR_S
        price = self._change_costs(rivals[at], rival, offer)
        if self._units and able[at] and self._regret < price:
            return False
        self._regret = self._most_here_per_s = 0.0
        self._offer = offer
        self._scaler.rebase(self._economy_of(offer), offer.unit_per_s)
        return True

    def _change_costs(self, here: Alternative, there: Alternative, offer: Offer) -> float:
        """Going to `offer`, coming back, and whom it leaves late until that has come back."""
        mine = self._offer
        going = there.cost_per_h * offer.attach_s
        back = here.cost_per_h * (mine.attach_s + self.economy.change_cost_s)
        lacks_per_s = max(0.0, self._most_here_per_s - there.units * offer.unit_per_s)
        late_cost = self._scaler.tracker.prices.late_cost * mine.price_per_h / mine.unit_per_s
        return (going + back + late_cost * lacks_per_s * mine.attach_s) / _HOUR_S

    def _cpu_needed(self, offer: Offer, units: int, spare: float) -> int:
        cores = units * offer.unit_per_s * offer.cpu_s_per_call - spare
        return min(max(0, math.ceil(cores - 1e-9)), self.bounds.most_cpu_workers)

    def _cpu(self, offer: Offer, seen: Seen) -> int:
        """CPU workers, so that neither they nor the accelerator starve the other."""
        spare = max(0.0, 1 - seen.front_end_load) * seen.front_end_cores
        needed = self._cpu_needed(offer, self._units, spare)
        if needed >= self._cpu_workers or not self._units:
            self._cpu_hold.again()
            return needed
        return self._cpu_hold.lower(self._cpu_workers, needed)

    def _awake(self, kept: bool) -> str:
        return f", and the last one stays {self.bounds.awake_s:g} s after a call" if kept else ""

    def _why(
        self, seen: Seen, required: float, requested: Amount, wanted: int, changed: bool
    ) -> str:
        text = f"{requested}: {_CAUSES[self._scaler.cause]}"
        if changed:
            text = f"{requested}: the cheapest kind for {required:.3g}/s"
        if required:
            text += f"; {required:.3g}/s needed, {seen.arrived:.3g} came, {seen.waiting:.3g} wait"
        if requested.units < wanted:
            text += f"; {wanted} units would be needed, bounds allow {requested.units}"
        elif requested.units == self.bounds.least_units > self._scaler.needed:
            text += f"; {self.bounds.least_units} at least are kept warm"
        if seen.front_end_cores and seen.front_end_load >= _SATURATED:
            text += "; the front-end's own CPU is busy"
        return text


_CAUSES: Final = {
    Cause.STEADY: "no call has to wait too long",
    Cause.PAUSE: "kept, since calls may come back",
    Cause.WAITING: "calls would wait too long",
    Cause.SURGE: "a surge has begun, as large as those before",
    Cause.RESERVE: "a surge is likely to begin",
    Cause.FORECAST: "the demand may grow so far until more could serve",
    Cause.HELD: "held until its rent has reached what a change costs",
    Cause.BREAK_EVEN: "what was in excess has cost as much as a change",
    Cause.IDLE: "no calls come",
}


def replayed(controller: RatioController, seen: Iterable[Seen]) -> list[Decision]:
    """What a fresh controller decides, second by second."""
    return [controller.see(each) for each in seen]
