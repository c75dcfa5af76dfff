"""An instance's ratio is changed under live calls: shares come beside those it has, or go. (Brain)

What its controller asks for is held against the shares that its lease has, on their host. What
is missing comes first, and what takes its place leaves once that serves; what is too much is
taken back at once. So it always has the less of both, and no call fails.
"""

from __future__ import annotations

from dataclasses import dataclass

from eais.device_type import (
    AUTO,
    EIGHTH_MILLI,
    WHOLE_MILLI,
    DeviceKind,
    DeviceType,
    devices_text,
    type_text,
)
from eais.errors import EaisError
from eais.instance import InstanceState
from eais_pool.brain import facts
from eais_pool.brain.draft import Draft
from eais_pool.brain.events import RatioChosen
from eais_pool.brain.grants import send_grant
from eais_pool.brain.lease_changes import Resize, ResizeCause
from eais_pool.brain.placing import picks_of_types
from eais_pool.brain.ratio_records import RatioDecided, RatioFailed, RatioRecord
from eais_pool.brain.records import Failure, InstanceRecord, LeasePhase, LeaseRecord
from eais_pool.brain.resizing import take_back
from eais_pool.brain.settings import Settings
from eais_pool.brain.sleeping import sleep, wake
from eais_pool.brain.state import PoolState
from eais_pool.policy import Policy
from eais_pool.policy.ratio.control import Alternative, Amount


@dataclass(frozen=True, slots=True)
class Change:
    """What a lease lacks, as types, and what of it, by number, is too much."""

    lacks: tuple[str, ...]
    too_much: tuple[int, ...]

    def __bool__(self) -> bool:
        return bool(self.lacks or self.too_much)


def is_controlled(instance: InstanceRecord) -> bool:
    """Whether its ratio is the pool's to decide: of type auto, if that was said, or an SLO."""
    said, policy = instance.policy.ratio.text, instance.policy
    wants = said == AUTO or (not said and policy.slo_p99_us > 0)
    return instance.type == AUTO and wants


def is_steady(state: PoolState, instance: InstanceRecord) -> bool:
    """Whether its shares may be changed now: nothing is under way with it, or its host."""
    if instance.op_id:
        return False
    if instance.asleep:
        return True
    lease = state.live_lease(instance.id)
    if instance.state is not InstanceState.IN_USE or lease is None:
        return False
    passing = lease.coming or lease.leaving
    moving = state.moving_lease(instance.id) is not None
    host = state.hosts[lease.host]
    away = lease.lost or host.cordoned or bool(lease.on_bad(host))
    return lease.phase is LeasePhase.OPEN and not (passing or moving or away)


def observed_of(state: PoolState, instance: str, kind: DeviceKind, unit_milli: int) -> Amount:
    """What serves an instance, counted in such units; what is of another kind in its own."""
    milli = _serving_milli(state, instance)
    if not milli:
        return Amount()
    beside = 0 if kind is DeviceKind.CPU else milli.get(DeviceKind.CPU, 0) // WHOLE_MILLI
    units = milli.get(kind, 0) // unit_milli
    if units:
        return Amount(kind, units, unit_milli, beside)
    other, has = max(milli.items(), key=lambda each: each[1])
    unit = WHOLE_MILLI if has % WHOLE_MILLI == 0 else EIGHTH_MILLI
    return Amount(other, has // unit, unit)


def change_of(state: PoolState, lease: LeaseRecord, wanted: Amount) -> Change:
    """What makes of a lease what is wanted."""
    missing: dict[tuple[DeviceKind, int], int] = {}
    if wanted.kind is not None and wanted.units:
        missing[wanted.kind, wanted.unit_milli] = wanted.share_milli
        if wanted.cpu_workers:
            core = (DeviceKind.CPU, WHOLE_MILLI)
            missing[core] = missing.get(core, 0) + wanted.cpu_workers * WHOLE_MILLI
    host, too_much = state.hosts[lease.host], []
    for share in sorted(lease.shares, key=lambda each: (-each.milli, each.n)):
        device = host.device(share.device)
        kind = DeviceKind(device.kind) if device else None
        fits = (
            key
            for key, milli in missing.items()
            if key[0] is kind and share.milli % key[1] == 0 and share.milli <= milli
        )
        key = next(fits, None)
        if key is None:
            too_much.append(share.n)
        else:
            missing[key] -= share.milli
    lacks = [
        type_text(kind, unit)
        for (kind, unit), milli in missing.items()
        for _ in range(milli // unit)
    ]
    return Change(tuple(lacks), tuple(sorted(too_much)))


def chosen(draft: Draft, event: RatioChosen, policy: Policy, settings: Settings) -> None:
    """Do what the controller of an instance asks for, unless something else came first."""
    instance = draft.state.instances.get(event.instance)
    if instance is None or not is_controlled(instance) or not is_steady(draft.state, instance):
        return
    wanted = event.decision.requested
    draft.record(RatioDecided(instance.id, RatioRecord(draft.now, event.decision)))
    lease = draft.state.live_lease(instance.id)
    if lease is not None and wanted.units:
        _change(draft, instance, lease, event, policy, settings)
    elif lease is not None:
        sleep(draft, lease, settings)
    elif wanted.units and not wake(draft, instance, policy, settings):
        draft.record(RatioFailed(instance.id, "NO_DEVICE: no back-end has room for it now"))


def _change(
    draft: Draft,
    instance: InstanceRecord,
    lease: LeaseRecord,
    event: RatioChosen,
    policy: Policy,
    settings: Settings,
) -> None:
    change = change_of(draft.state, lease, event.decision.requested)
    if not change.lacks:
        if change.too_much:
            take_back(draft, lease, list(change.too_much), settings)
        return
    try:
        placed = picks_of_types(draft.state, lease, change.lacks, policy, settings)
    except EaisError as error:
        failure = Failure.of(error)
        draft.record(RatioFailed(instance.id, f"{failure.reason}: {failure.message}"))
        return
    # With less than what is lacking nothing leaves: all that there is is needed.
    whole = sum(s.milli for s in placed.shares) == sum(
        DeviceType.parse(each).milli for each in change.lacks
    )
    instead = change.too_much if whole else ()
    weighed = tuple(map(in_words, event.decision.alternatives))
    why = event.decision.why
    resize = Resize(AUTO, why, weighed, instead, draft.now, ResizeCause.RATIO)
    draft.record(facts.SharesReserved(*lease.key, placed.shares, resize))
    grown = draft.state.lease(lease.key)
    if grown is not None:
        send_grant(draft, grown, settings)


def in_words(each: Alternative) -> str:
    """An offer that was weighed."""
    return f"{each.units} × {type_text(each.kind, each.unit_milli)}: {each.why}"


def served_in_words(state: PoolState, instance: str) -> str:
    """What serves an instance, of each kind: "2 cpu, 1/8 gpu"; "none"."""
    served = sorted(_serving_milli(state, instance).items())
    return ", ".join(f"{devices_text(milli)} {kind.value}" for kind, milli in served) or "none"


def _serving_milli(state: PoolState, instance: str) -> dict[DeviceKind, int]:
    lease = state.live_lease(instance)
    if lease is None or lease.phase is not LeasePhase.OPEN:
        return {}
    host, found = state.hosts[lease.host], dict[DeviceKind, int]()
    serving = {worker.n for worker in lease.workers if worker.serving}
    for share in lease.shares:
        device = host.device(share.device)
        if device is not None and share.n in serving and share.n not in lease.leaving:
            kind = DeviceKind(device.kind)
            found[kind] = found.get(kind, 0) + share.milli
    return found
