"""What is kept of an instance's ratio: the last decisions, and what they were made of. (Brain)

Target and requested are a decision's; observed is what served when it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from eais.device_type import DeviceKind
from eais.instance import InstanceEvent
from eais_pool.policy.ratio.control import Amount, Bounds, Decision
from eais_pool.policy.ratio.offers import Offer
from eais_pool.policy.ratio.scaling import Economy

if TYPE_CHECKING:
    from eais_pool.brain.state import PoolState

DECISIONS_KEPT: Final = 64
"""Of an instance: the last."""


@dataclass(frozen=True, slots=True)
class RatioRecord:
    """A decision that asked for something else than the one before.

    Attributes:
        at: boot clock, seconds.
        failed: why it couldn't be had; "" if it could, or is on its way.
    """

    at: float
    decision: Decision
    failed: str = ""


@dataclass(frozen=True, slots=True)
class RatioDecided:
    """Fact: the controller of an instance asks for something else."""

    instance: str
    record: RatioRecord


@dataclass(frozen=True, slots=True)
class RatioFailed:
    """Fact: what the last decision asked for can't be had now."""

    instance: str
    why: str


@dataclass(frozen=True, slots=True)
class InstanceSlept:
    """Fact: IN_USE, through DRAINING, to BOUND, until a call comes: it is scaled to zero."""

    instance: str


@dataclass(frozen=True, slots=True)
class InstanceWanted:
    """Fact: a call came for an instance that is scaled to zero; boot clock. 0: that is no more."""

    instance: str
    at: float


@dataclass(frozen=True, slots=True)
class SleepEnded:
    """Fact: an instance that was scaled to zero is stopped now: calls don't wake it."""

    instance: str


@dataclass(frozen=True, slots=True)
class Basis:
    """What the decisions about one instance follow from, beside what is seen."""

    offers: tuple[Offer, ...]
    economy: Economy
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Seconds:
    """What was seen of an instance in successive seconds: one value of each a second.

    `observed`: what served, from the second of that number on. `wanted`: the seconds in which it
    was said that no worker is there.
    """

    arrived: tuple[float, ...]
    waiting: tuple[float, ...]
    load: tuple[float, ...]
    cores: int
    observed: tuple[tuple[int, Amount], ...]
    wanted: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DemandSeen:
    """Fact: what the controller of an instance saw, and by what it decided.

    Attributes:
        at: boot clock, seconds, at the end of the last second.
        fresh: its controller knew nothing before the first of them.
        attached: how long workers of each kind took to serve, of late, seconds.
        ended: ledger time at the end of the last second; 0 in rows of an earlier EAIS.
        tenant: whose the instance is; "" in rows of an earlier EAIS.
    """

    instance: str
    at: float
    basis: Basis
    seconds: Seconds
    fresh: bool = False
    attached: tuple[tuple[DeviceKind, float], ...] = ()
    ended: float = 0.0
    tenant: str = ""


RatioFact = RatioDecided | RatioFailed | InstanceSlept | InstanceWanted | SleepEnded | DemandSeen


def _decided(state: PoolState, fact: RatioDecided) -> None:
    if fact.instance not in state.instances:
        raise KeyError(fact.instance)
    kept = (*state.ratios.get(fact.instance, ()), fact.record)
    state.ratios[fact.instance] = kept[-DECISIONS_KEPT:]


def _failed(state: PoolState, fact: RatioFailed) -> None:
    *before, last = state.ratios[fact.instance]
    state.ratios[fact.instance] = (*before, replace(last, failed=fact.why))


def _slept(state: PoolState, fact: InstanceSlept) -> None:
    state.move(fact.instance, InstanceEvent.DRAIN)
    state.move(fact.instance, InstanceEvent.STOPPED, asleep=True, wanted_at=0.0)


def _wanted(state: PoolState, fact: InstanceWanted) -> None:
    instance = state.instances[fact.instance]
    if not instance.asleep:
        raise ValueError(f"{fact.instance} isn't asleep")
    state.instances[fact.instance] = replace(instance, wanted_at=fact.at)


def _sleep_ended(state: PoolState, fact: SleepEnded) -> None:
    instance = state.instances[fact.instance]
    state.instances[fact.instance] = replace(instance, asleep=False, wanted_at=0.0)


def _demand_seen(state: PoolState, fact: DemandSeen) -> None:
    """Nothing: it is read from the journal by who replays it."""


def begin_anew(state: PoolState, at: float, *, rebooted: bool) -> None:
    """After a restart of the manager, whose boot clock may be another one."""
    for instance in list(state.instances.values()):
        if instance.wanted_at:
            state.instances[instance.id] = replace(instance, wanted_at=at)
    if rebooted:
        for name, records in state.ratios.items():
            state.ratios[name] = tuple(replace(record, at=at) for record in records)


RATIO_FACTS: Final[Mapping[type[Any], Callable[[PoolState, Any], None]]] = {
    RatioDecided: _decided,
    RatioFailed: _failed,
    InstanceSlept: _slept,
    InstanceWanted: _wanted,
    SleepEnded: _sleep_ended,
    DemandSeen: _demand_seen,
}
