"""Who decides in a replay: the pool's controller, a fixed ratio, others' autoscalers. (Brain)

Each sees the past only, second by second, but for the oracle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from eais.device_type import WHOLE_MILLI, DeviceKind, type_text
from eais.errors import UsageError
from eais.ratio import Ratio
from eais_pool.brain.ratio_records import Basis
from eais_pool.policy.ratio.control import Amount, RatioController, Seen
from eais_pool.policy.ratio.offers import Offer
from eais_pool.sim.autoscalers import HorizontalPodAutoscaler, KnativePodAutoscaler, RayServe
from eais_pool.sim.fleet import Fleet, Size, Want
from eais_pool.sim.policy_names import AUTO, FIXED, Changes, PolicyName
from eais_pool.sim.queue_model import Scales, least

ORACLE_S: Final = 10
"""What serves may change so often."""
CORE: Final[Size] = (DeviceKind.CPU, WHOLE_MILLI)


def want_of(amount: Amount) -> Want:
    """Units of each size, CPU workers beside them included."""
    if amount.kind is None or not amount.units:
        return {}
    want = {(amount.kind, amount.unit_milli): amount.units}
    if amount.cpu_workers:
        want[CORE] = want.get(CORE, 0) + amount.cpu_workers
    return want


class Planner(Protocol):
    """Decides once a second."""

    def begin(self, was: Want) -> Want:
        """What serves when the replay begins, where that did."""
        ...

    def decide(self, basis: Basis, fleet: Fleet, seen: Seen) -> Want:
        """What to ask for, after a second in which that was seen; what serves is `fleet`'s."""
        ...

    def forget(self) -> None:
        """The instance was stopped, or is new: what is learned begins here."""
        ...


class Controlled:
    """The pool's own controller, with other settings."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._basis: Basis | None = None
        self._controller: RatioController | None = None

    def begin(self, was: Want) -> Want:
        """What was there."""
        return was

    def forget(self) -> None:
        """Begin anew."""
        self._controller = None

    def decide(self, basis: Basis, fleet: Fleet, seen: Seen) -> Want:
        """As live."""
        controller = self._by(basis)
        if controller is None:
            return {}
        offer = controller.offer
        observed = fleet.observed(offer.size)
        wanted = controller.see(
            Seen(
                seen.arrived,
                seen.waiting,
                observed,
                seen.front_end_load,
                seen.front_end_cores,
                not observed.units and seen.waiting > 0,
            )
        ).requested
        return want_of(wanted)

    def _by(self, basis: Basis) -> RatioController | None:
        if self._controller is not None and basis is self._basis:
            return self._controller
        self._basis, changed = basis, self._changes.of(basis)
        if not changed.offers:
            return self._controller
        if self._controller is None:
            self._controller = RatioController(changed.offers, changed.economy, changed.bounds)
        else:
            self._controller.revise(changed.offers, changed.economy, changed.bounds)
        return self._controller


class Fixed:
    """Always the same."""

    def __init__(self, want: Want) -> None:
        self._want = want

    def begin(self, was: Want) -> Want:
        """The same."""
        return self._want

    def forget(self) -> None:
        """It knows nothing."""

    def decide(self, basis: Basis, fleet: Fleet, seen: Seen) -> Want:
        """The same."""
        return self._want


class Scaled:
    """An autoscaler that counts units of one size, and may have `most`."""

    def __init__(self, scales: Scales, size: Size, changes: Changes, most: int) -> None:
        self._scales, self._size, self._changes = scales, size, changes
        self._most = most

    def begin(self, was: Want) -> Want:
        """What was there."""
        return was

    def forget(self) -> None:
        """It looks at minutes: they go by."""

    def decide(self, basis: Basis, fleet: Fleet, seen: Seen) -> Want:
        """Within the bounds that an instance has for all."""
        changed = self._changes.of(basis)
        there = [each.most_units for each in changed.offers if each.size == self._size]
        most = min(self._most, changed.bounds.most_units, *there)
        asked = fleet.asked.get(self._size, 0)
        wanted = self._scales(seen.arrived, seen.waiting, fleet.ready(self._size), asked)
        return {self._size: min(max(wanted, changed.bounds.least_units), most)}


class Oracle:
    """Knows what comes; in each ten seconds it has the cheapest that leaves no call late."""

    def __init__(self, arrivals: Sequence[float], bases: Sequence[Basis]) -> None:
        self._wants: list[Want] = []
        waiting = 0.0
        for begin in range(0, len(arrivals), ORACLE_S):
            window = arrivals[begin : begin + ORACLE_S]
            want, waiting = _cheapest(window, waiting, bases[begin].offers)
            self._wants += [want] * len(window)

    def at(self, second: int) -> Want:
        """What it has in a second."""
        return self._wants[second]


def _cheapest(
    window: Sequence[float], waiting: float, offers: Sequence[Offer]
) -> tuple[Want, float]:
    found: list[tuple[bool, float, float, Want]] = []
    for offer in offers:
        units, left = least(window, waiting, offer.unit_per_s, offer.most_units)
        late = left > units * offer.unit_per_s + 1e-9
        found.append((late, units * offer.price_per_h, left, {offer.size: units}))
    _, _, left, want = min(found, key=lambda each: each[:3])
    return want, left


def planner_of(name: PolicyName, bases: Sequence[Basis], peak_per_s: float) -> Planner:
    """Who decides by that name, where such bases were and so many calls came at most.

    Raises:
        UsageError: nothing that it needs was offered.
    """
    if name.name == AUTO:
        if not any(name.changes.of(basis).offers for basis in bases):
            raise _unmeasured(name, "none of its kinds", bases)
        return Controlled(name.changes)
    if name.name == FIXED and name.ratio is not None:
        return Fixed(_want_of_ratio(name, name.ratio, bases))
    offer = _unit_of(name, bases, peak_per_s)
    # Whoever sets one up says what the highest second needs.
    most = max(1, offer.units_for(peak_per_s))
    return Scaled(_scales_of(name, offer.unit_per_s), offer.size, name.changes, most)


def _scales_of(name: PolicyName, unit_per_s: float) -> Scales:
    first, *rest = name.numbers
    match name.name:
        case "knative":
            return KnativePodAutoscaler(first, unit_per_s)
        case "hpa":
            return HorizontalPodAutoscaler(first, unit_per_s)
        case _:
            return RayServe(first, round(rest[0]), unit_per_s)


def _unit_of(name: PolicyName, bases: Sequence[Basis], peak_per_s: float) -> Offer:
    """What serves a call cheapest, of what could serve the highest second."""
    last = {each.size: each for basis in bases for each in name.changes.of(basis).offers}
    if not last:
        raise _unmeasured(name, "none of its kinds", bases)

    def rank(offer: Offer) -> tuple[float, float]:
        short = max(0.0, peak_per_s - offer.most_units * offer.unit_per_s)
        return short, offer.price_per_h / offer.unit_per_s

    return min(last.values(), key=rank)


def _want_of_ratio(name: PolicyName, ratio: Ratio, bases: Sequence[Basis]) -> Want:
    sizes = {each.size: each for basis in bases for each in basis.offers}
    want: dict[Size, int] = {}
    if ratio.cpu_workers:
        want[CORE] = ratio.cpu_workers
    if ratio.accelerator_milli:
        unit = min(ratio.accelerator_milli, WHOLE_MILLI)
        kinds = [
            each for size, each in sizes.items() if size[1] == unit and each.kind.value != "cpu"
        ]
        best = min(kinds, key=lambda each: each.price_per_h, default=None)
        if best is None:
            raise _unmeasured(name, f"no share of {unit / WHOLE_MILLI:g} accelerators", bases)
        want[best.size] = ratio.accelerator_milli // unit
    if ratio.cpu_workers and CORE not in sizes and not ratio.accelerator_milli:
        raise _unmeasured(name, "no cpu.1", bases)
    return want


def _unmeasured(name: PolicyName, what: str, bases: Sequence[Basis]) -> UsageError:

    sizes = dict.fromkeys(each.size for basis in bases for each in basis.offers)
    there = ", ".join(type_text(*size) for size in sizes)
    return UsageError("ARGUMENT", f"{name.text}: {what} was there to have then, but {there}")
