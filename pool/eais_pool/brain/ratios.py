"""The controllers of all instances whose ratio is the pool's to decide. (Brain)

Once a second each sees what its instance did, and decides; what asks for something else than the
instance has becomes an event for the reactor, which writes it down and does it. What was seen is
handed over a minute at a time, so that the same decisions can be made of it again. What is known
here is lost with the manager, but for that.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from eais.device_type import DeviceKind
from eais_pool.brain.activity import Activities
from eais_pool.brain.calibration import Calibration
from eais_pool.brain.events import DemandCounted, RatioChosen
from eais_pool.brain.ratio_changes import change_of, is_controlled, is_steady, observed_of
from eais_pool.brain.ratio_offers import basis_of
from eais_pool.brain.ratio_records import Basis, DemandSeen, Seconds
from eais_pool.brain.records import InstanceRecord, LeaseRecord
from eais_pool.brain.settings import Settings
from eais_pool.brain.sleeping import is_up
from eais_pool.brain.state import PoolState
from eais_pool.policy.ratio.control import Amount, Decision, RatioController, Seen

SEEN_S: Final = 60
"""So many seconds are handed over at a time."""
RETRY_S: Final = 10.0
"""Until what couldn't be had is asked for again."""
_REVISE_S: Final = 5
_KEPT: Final = 0.7
"""Of what attaching was taken to take, when it was observed once more."""


@dataclass(slots=True)
class _Controlled:
    """One instance: its controller, what that knows, and what it saw since the last minute.

    Attributes:
        asked: what was asked for last, and when; None: it was had, or is asked for no more.
    """

    controller: RatioController
    basis: Basis
    seen: list[Seen] = field(default_factory=list)
    fresh: bool = True
    calibration: Calibration = field(default_factory=Calibration)
    asked: tuple[Amount, float] | None = None
    seconds: int = 0


class Ratios:
    """Decides for all instances.

    Attributes:
        attach_s: how long workers of each kind took to serve, of late.
    """

    def __init__(self, settings: Settings, activities: Activities) -> None:
        self._settings = settings
        self._activities = activities
        self._controlled: dict[str, _Controlled] = {}
        self.attach_s: dict[DeviceKind, float] = {}

    def on_second(
        self, state: PoolState, now: float, seconds: int = 1
    ) -> list[RatioChosen | DemandCounted]:
        """One second has gone by, or so many: what is to be decided by the reactor."""
        chosen: list[RatioChosen] = []
        told: list[DemandSeen] = []
        for name in [name for name in self._controlled if not _is_here(state, name)]:
            told += self._hand_over(name, now)
            del self._controlled[name]
        for instance in list(state.instances.values()):
            if is_up(instance) and is_controlled(instance):
                told += self._revise(state, instance, now)
                event = self._decide(state, instance, now, seconds)
                chosen += [event] if event else []
        self._activities.wanted.clear()
        return [*chosen, *([DemandCounted(tuple(told))] if told else [])]

    def _revise(self, state: PoolState, instance: InstanceRecord, now: float) -> list[DemandSeen]:
        """Have its controller know what there is now; what it saw by what there was."""
        known = self._controlled.get(instance.id)
        lease = state.live_lease(instance.id)
        if known is None and lease is not None and lease.provisional:
            return []  # it is chosen anew when something is known
        if known is not None and known.seconds % _REVISE_S:
            return self._hand_over(instance.id, now) if len(known.seen) >= SEEN_S else []
        basis = basis_of(state, instance, self.attach_s, self._settings)
        if basis is not None and known is not None:
            offers = tuple(map(known.calibration.of, basis.offers))
            basis = replace(basis, offers=offers)
        if basis is None or (known is not None and basis == known.basis):
            return self._hand_over(instance.id, now) if known and len(known.seen) >= SEEN_S else []
        if known is None:
            controller = RatioController(basis.offers, basis.economy, basis.bounds)
            self._controlled[instance.id] = _Controlled(controller, basis)
            return []
        told = self._hand_over(instance.id, now)
        known.controller.revise(basis.offers, basis.economy, basis.bounds)
        known.basis = basis
        return told

    def _decide(
        self, state: PoolState, instance: InstanceRecord, now: float, seconds: int
    ) -> RatioChosen | None:
        known = self._controlled.get(instance.id)
        if known is None:
            self._activities.arrivals.take(instance.id, now)
            return None
        arrived = self._activities.arrivals.take(instance.id, now) / seconds
        word = self._activities.front_end(instance.id)
        offer = known.controller.offer
        observed = observed_of(state, instance.id, offer.kind, offer.unit_milli)
        load = round(word.cpu, 3)
        wanted = instance.id in self._activities.wanted
        seen = Seen(round(arrived, 3), word.waiting_calls, observed, load, word.cores, wanted)
        decision = None
        for _ in range(seconds):
            decision = known.controller.see(seen)
            known.seen.append(seen)
            known.calibration.see(seen, offer, known.basis.economy.slack_s)
            known.seconds += 1
        return self._asked(state, instance, known, decision, now) if decision else None

    def _asked(
        self,
        state: PoolState,
        instance: InstanceRecord,
        known: _Controlled,
        decision: Decision,
        now: float,
    ) -> RatioChosen | None:
        if not is_steady(state, instance):
            return None
        wanted, lease = decision.requested, state.live_lease(instance.id)
        if lease is not None:
            self._had(state, lease, known, now)
            differs = not wanted.units or bool(change_of(state, lease, wanted))
        else:
            differs = bool(wanted.units)
        if not differs:
            return None
        if known.asked is not None and now - known.asked[1] < RETRY_S:
            records = state.ratios.get(instance.id, ())
            if records and records[-1].failed:
                return None
        known.asked = (wanted, now)
        return RatioChosen(instance.id, decision)

    def _had(self, state: PoolState, lease: LeaseRecord, known: _Controlled, now: float) -> None:
        """Once what was asked for serves, that is how long attaching takes."""
        if known.asked is None or change_of(state, lease, known.asked[0]):
            return
        (amount, at), known.asked = known.asked, None
        if amount.kind is not None:
            before = self.attach_s.get(amount.kind, now - at)
            self.attach_s[amount.kind] = _KEPT * before + (1 - _KEPT) * (now - at)

    def _hand_over(self, name: str, now: float) -> list[DemandSeen]:
        """What its controller saw since this was asked last, as a fact; [] if nothing came."""
        known = self._controlled[name]
        seen, known.seen = known.seen, []
        fresh, known.fresh = known.fresh, False
        if not seen:
            return []
        observed: list[tuple[int, Amount]] = []
        for second, each in enumerate(seen):
            if not observed or observed[-1][1] != each.observed:
                observed.append((second, each.observed))
        columns = Seconds(
            arrived=tuple(each.arrived for each in seen),
            waiting=tuple(float(each.waiting) for each in seen),
            load=tuple(each.front_end_load for each in seen),
            cores=max(each.front_end_cores for each in seen),
            observed=tuple(observed),
            wanted=tuple(second for second, each in enumerate(seen) if each.wanted),
        )
        return [DemandSeen(name, now, known.basis, columns, fresh)]


def seen_of(fact: DemandSeen) -> list[Seen]:
    """What was handed over, second by second, as the controller saw it."""
    columns, found, served = fact.seconds, list[Seen](), dict(fact.seconds.observed)
    observed, wanted = Amount(), frozenset(columns.wanted)
    for second, arrived in enumerate(columns.arrived):
        observed = served.get(second, observed)
        waiting, load = columns.waiting[second], columns.load[second]
        found.append(Seen(arrived, waiting, observed, load, columns.cores, second in wanted))
    return found


def _is_here(state: PoolState, name: str) -> bool:
    instance = state.instances.get(name)
    return instance is not None and is_up(instance) and is_controlled(instance)
