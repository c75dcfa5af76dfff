"""The controllers of all instances whose ratio is the pool's to decide. (Brain)

Once a second each sees what its instance did, and decides; what asks for something else than the
instance has becomes an event for the reactor, which writes it down and does it. What was seen is
handed over a minute at a time, so that the same decisions can be made of it again: a manager that
was started anew is told of it (`remember`), and decides meanwhile by what it sees itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from eais.device_type import DeviceKind
from eais_pool.brain.activity import Activities
from eais_pool.brain.events import DemandCounted, RatioChosen
from eais_pool.brain.learning import Learner, told
from eais_pool.brain.ratio_changes import change_of, is_controlled, is_steady, observed_of
from eais_pool.brain.ratio_offers import basis_of
from eais_pool.brain.ratio_records import Basis, DemandSeen, Seconds
from eais_pool.brain.records import InstanceRecord, LeaseRecord
from eais_pool.brain.settings import Settings
from eais_pool.brain.sleeping import is_up
from eais_pool.brain.state import PoolState
from eais_pool.policy.ratio.control import Amount, Decision, Seen

SEEN_S: Final = 60
"""So many seconds are handed over at a time."""
RETRY_S: Final = 10.0
"""Until what couldn't be had is asked for again."""
_REVISE_S: Final = 5
_KEPT: Final = 0.7
"""Of what attaching was taken to take, when it was observed once more."""


@dataclass(slots=True)
class _Controlled:
    """One instance: what its controller knows, and what it saw since the last minute.

    Attributes:
        told: what was handed over while the past is still being told.
        asked: what was asked for last, and when; None: it was had, or is asked for no more.
    """

    learner: Learner
    seen: list[Seen] = field(default_factory=list)
    fresh: bool = True
    told: list[DemandSeen] = field(default_factory=list)
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
        self._past: dict[str, Learner | None] = {}
        self._recalls = False
        self.attach_s: dict[DeviceKind, float] = {}
        self._observed: set[DeviceKind] = set()

    def begin(self, state: PoolState) -> frozenset[str]:
        """What was handed over before will be told: of which instances that is wanted."""
        self._recalls = True
        self._past = {name: None for name in state.instances if _is_here(state, name)}
        return frozenset(self._past)

    def remember(self, fact: DemandSeen) -> None:
        """What was handed over before this manager was started, the oldest first."""
        if fact.instance in self._past:
            self._past[fact.instance] = told(self._past[fact.instance], fact)
        for kind, seconds in fact.attached:
            if kind not in self._observed:
                self.attach_s[kind] = seconds

    def recall(self) -> None:
        """All of it was told: from now on it is decided by it."""
        self._recalls = False
        for name, learner in list(self._past.items()):
            known = self._controlled.get(name)
            if known is None:
                continue  # it is taken up with what it knows
            del self._past[name]
            if learner is not None:
                known.learner = _caught_up(learner, known)
            known.told = []

    def on_second(
        self, state: PoolState, now: float, seconds: int = 1
    ) -> list[RatioChosen | DemandCounted]:
        """One second has gone by, or so many: what is to be decided by the reactor."""
        chosen: list[RatioChosen] = []
        handed: list[DemandSeen] = []
        for name in [name for name in self._controlled if not _is_here(state, name)]:
            handed += self._hand_over(state, name, now)
            del self._controlled[name]
        for name in [name for name in self._past if not _is_here(state, name)]:
            del self._past[name]
        for instance in list(state.instances.values()):
            if is_up(instance) and is_controlled(instance):
                handed += self._revise(state, instance, now)
                event = self._decide(state, instance, now, seconds)
                chosen += [event] if event else []
        self._activities.wanted.clear()
        return [*chosen, *([DemandCounted(tuple(handed))] if handed else [])]

    def on_stop(self, state: PoolState, now: float) -> list[DemandCounted]:
        """The manager ends: what was seen and isn't handed over yet."""
        handed = [each for name in self._controlled for each in self._hand_over(state, name, now)]
        return [DemandCounted(tuple(handed))] if handed else []

    def _revise(self, state: PoolState, instance: InstanceRecord, now: float) -> list[DemandSeen]:
        """Have its controller know what there is now; what it saw by what there was."""
        known = self._controlled.get(instance.id)
        lease = state.live_lease(instance.id)
        if known is None and lease is not None and lease.provisional:
            return []  # it is chosen anew when something is known
        if known is not None and known.seconds % _REVISE_S:
            return self._full(state, known, instance.id, now)
        basis = basis_of(state, instance, self.attach_s, self._settings)
        if known is None:
            if basis is not None:
                self._controlled[instance.id] = self._taken_up(instance.id, basis)
            return []
        basis = known.learner.calibrated(basis) if basis else known.learner.basis
        if basis == known.learner.basis:
            return self._full(state, known, instance.id, now)
        handed = self._hand_over(state, instance.id, now)
        known.learner.revise(basis)
        return handed

    def _taken_up(self, name: str, basis: Basis) -> _Controlled:
        """What is known of an instance as it is decided about for the first time."""
        before = name in self._past
        learner = None if self._recalls else self._past.pop(name, None)
        if learner is None:
            return _Controlled(Learner(basis), fresh=not before)
        learner.revise(learner.calibrated(basis))
        return _Controlled(learner, fresh=False)

    def _full(
        self, state: PoolState, known: _Controlled, name: str, now: float
    ) -> list[DemandSeen]:
        return self._hand_over(state, name, now) if len(known.seen) >= SEEN_S else []

    def _decide(
        self, state: PoolState, instance: InstanceRecord, now: float, seconds: int
    ) -> RatioChosen | None:
        known = self._controlled.get(instance.id)
        if known is None:
            self._activities.arrivals.take(instance.id, now)
            return None
        arrived = self._activities.arrivals.take(instance.id, now) / seconds
        word = self._activities.front_end(instance.id)
        offer = known.learner.controller.offer
        observed = observed_of(state, instance.id, offer.kind, offer.unit_milli)
        load = round(word.cpu, 3)
        wanted = instance.id in self._activities.wanted
        seen = Seen(round(arrived, 3), word.waiting_calls, observed, load, word.cores, wanted)
        decision = None
        for _ in range(seconds):
            decision = known.learner.see(seen)
            known.seen.append(seen)
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
            self._observed.add(amount.kind)
            before = self.attach_s.get(amount.kind, now - at)
            self.attach_s[amount.kind] = _KEPT * before + (1 - _KEPT) * (now - at)

    def _hand_over(self, state: PoolState, name: str, now: float) -> list[DemandSeen]:
        """What its controller saw since this was asked last, as a fact; [] if nothing came."""
        known = self._controlled[name]
        seen, known.seen = known.seen, []
        fresh, known.fresh = known.fresh, False
        if not seen:
            return []
        instance = state.instances.get(name)
        fact = DemandSeen(
            name,
            now,
            known.learner.basis,
            _columns(seen),
            fresh,
            tuple(self.attach_s.items()),
            state.ledger_time(now),
            instance.tenant if instance else "",
        )
        if self._recalls:
            known.told.append(fact)
        return [fact]


def _columns(seen: list[Seen]) -> Seconds:
    observed: list[tuple[int, Amount]] = []
    for second, each in enumerate(seen):
        if not observed or observed[-1][1] != each.observed:
            observed.append((second, each.observed))
    return Seconds(
        arrived=tuple(each.arrived for each in seen),
        waiting=tuple(float(each.waiting) for each in seen),
        load=tuple(each.front_end_load for each in seen),
        cores=max(each.front_end_cores for each in seen),
        observed=tuple(observed),
        wanted=tuple(second for second, each in enumerate(seen) if each.wanted),
    )


def _caught_up(learner: Learner, known: _Controlled) -> Learner:
    """One that knows the past, once it was told what was seen since."""
    for fact in known.told:
        learner = told(learner, fact)
    learner.revise(known.learner.basis)
    for seen in known.seen:
        learner.see(seen)
    return learner


def _is_here(state: PoolState, name: str) -> bool:
    instance = state.instances.get(name)
    return instance is not None and is_up(instance) and is_controlled(instance)
