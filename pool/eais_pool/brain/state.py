"""The pool's state: records, and `apply(fact)` as the only way to change them. (Brain)

Every move of an instance or a share goes through its table; a fact that the
tables don't allow raises `IllegalMove`, and a copy was changed, not the state
(see `Draft`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from eais.instance import INSTANCE_TABLE, InstanceEvent, InstanceState
from eais.share_units import Taken
from eais_pool.brain import facts, lease_moves
from eais_pool.brain.binding_facts import LIMIT_FACTS, Binding, LineLeft
from eais_pool.brain.binding_facts import begin_anew as limits_begin_anew
from eais_pool.brain.defrag_records import DEFRAG_FACTS, Defragmentation
from eais_pool.brain.facts import Fact
from eais_pool.brain.host_facts import HOST_FACTS
from eais_pool.brain.host_records import HostRecord
from eais_pool.brain.index import Index
from eais_pool.brain.layered import Layered
from eais_pool.brain.lease_facts import LEASE_FACTS
from eais_pool.brain.ledger_facts import (
    LeaseCharged,
    UsageBooked,
    lease_charged,
    set_ledger_time,
    usage_booked,
)
from eais_pool.brain.membership import Members, MembershipFact
from eais_pool.brain.ratio_records import RATIO_FACTS, RatioRecord, begin_anew
from eais_pool.brain.records import (
    InstanceRecord,
    LeaseKey,
    LeasePhase,
    LeaseRecord,
    OpRecord,
)
from eais_pool.policy.asked import NOTHING_ASKED, Asked
from eais_pool.policy.profile_book import ProfileBook

OpKey = tuple[str, str]


@dataclass(slots=True)
class PoolState:
    """Everything durable that the pool knows; read it anywhere, change it by `apply` alone.

    Attributes:
        boot_id: the boot that all boot clock values are of.
        serial: instances created so far.
        leases: by instance, in order of epoch; at most one of each is OPENING or OPEN, and
            beside one that is OPEN at most one is MOVING.
        ops: by (tenant, op_id), oldest first.
        members: who may join, tenants, and what operators asked for.
        profiles: what models take on devices.
        line: those of `ops` that wait for room, the oldest first.
        asked: what was asked for so far.
        ledger_offset_s: ledger time less the boot clock.
        ratios: the last decisions about instances' ratios, by instance, the newest last.
        bindings: those that have limits, by instance.
        index: made of these.
        defrag: the last defragmentation that was asked for.
    """

    boot_id: str = ""
    serial: int = 0
    hosts: MutableMapping[str, HostRecord] = field(default_factory=dict)
    instances: MutableMapping[str, InstanceRecord] = field(default_factory=dict)
    leases: MutableMapping[str, tuple[LeaseRecord, ...]] = field(default_factory=dict)
    ops: MutableMapping[OpKey, OpRecord] = field(default_factory=dict)
    members: Members = field(default_factory=Members)
    profiles: ProfileBook = field(default_factory=ProfileBook)
    line: dict[OpKey, None] = field(default_factory=dict)
    asked: Asked = NOTHING_ASKED
    ledger_offset_s: float = 0.0
    ratios: MutableMapping[str, tuple[RatioRecord, ...]] = field(default_factory=dict)
    bindings: MutableMapping[str, Binding] = field(default_factory=dict)
    index: Index = field(default_factory=Index, compare=False)
    defrag: Defragmentation | None = None

    @classmethod
    def layered(cls, below: PoolState) -> PoolState:
        """A state that changes apart from `below`, as long as that doesn't change."""
        return cls(
            below.boot_id,
            below.serial,
            Layered(below.hosts),
            Layered(below.instances),
            Layered(below.leases),
            Layered(below.ops),
            below.members.copy(),
            below.profiles,
            dict(below.line),
            below.asked,
            below.ledger_offset_s,
            Layered(below.ratios),
            Layered(below.bindings),
            below.index.layer(),
            below.defrag,
        )

    def apply(self, fact: Fact) -> None:
        """Take a fact in.

        Raises:
            IllegalMove: the tables don't allow it.
            KeyError: it is about something that isn't there.
        """
        _APPLY[type(fact)](self, fact)

    def copy(self) -> PoolState:
        """A state of its own; records are shared, since they never change."""
        made = PoolState(
            self.boot_id,
            self.serial,
            dict(self.hosts),
            dict(self.instances),
            dict(self.leases),
            dict(self.ops),
            self.members.copy(),
            self.profiles,
            dict(self.line),
            self.asked,
            self.ledger_offset_s,
            dict(self.ratios),
            dict(self.bindings),
            defrag=self.defrag,
        )
        return made.indexed()

    def indexed(self) -> PoolState:
        """This one, once its index was made of its records."""
        self.index = Index.of(self.hosts, self.instances.values(), self.all_leases())
        return self

    def ledger_time(self, at: float) -> float:
        """The ledger's time at `at` of the boot clock: see `eais_pool.brain.ledger_records`."""
        return at + self.ledger_offset_s

    def all_leases(self) -> Iterator[LeaseRecord]:
        """All leases of all instances, strays included."""
        for leases in self.leases.values():
            yield from leases

    def leases_on(self, host: str) -> list[LeaseRecord]:
        """The leases of one host."""
        return list(self.index.on_host.get(host, ()))

    def lease(self, key: LeaseKey) -> LeaseRecord | None:
        """The lease of that host, instance and epoch."""
        found = self.leases.get(key.instance, ())
        return next((lease for lease in found if lease.key == key), None)

    def live_lease(self, instance: str) -> LeaseRecord | None:
        """The lease that the instance has or is getting; None if it has none."""
        found = self.leases.get(instance, ())
        live = (LeasePhase.OPENING, LeasePhase.OPEN)
        return next((lease for lease in found if lease.phase in live), None)

    def moving_lease(self, instance: str) -> LeaseRecord | None:
        """The lease that is to take the place of the live one; None if there is none."""
        found = self.leases.get(instance, ())
        return next((lease for lease in found if lease.phase is LeasePhase.MOVING), None)

    def used_milli(self, host: str) -> dict[str, int]:
        """Milli-devices that aren't FREE, by device of `host`."""
        used: dict[str, int] = {}
        for lease in self.leases_on(host):
            for share in lease.shares:
                used[share.device] = used.get(share.device, 0) + share.milli
        return used

    def taken(self, host: str, device: str) -> tuple[Taken, ...]:
        """The shares of a device that aren't FREE."""
        leases = self.leases_on(host)
        shares = (share for lease in leases for share in lease.shares if share.device == device)
        return tuple((share.milli, share.unit) for share in shares)

    def move(self, instance: str, event: InstanceEvent, **changes: Any) -> None:
        """For `apply`: change an instance's state by its table, and these fields."""
        record = self.instances[instance]
        moved = INSTANCE_TABLE.after(record.state, event)
        self.instances[instance] = replace(record, state=moved, **changes)

    def settle_devices(self, host_id: str) -> None:
        """For `apply`: say which devices are overdrawn; forget absent ones that nobody uses."""
        host, used = self.hosts[host_id], self.used_milli(host_id)
        devices = tuple(
            replace(
                device,
                overdrawn=not device.present or used.get(device.id, 0) > device.capacity_milli,
            )
            for device in host.devices
            if device.present or used.get(device.id)
        )
        if devices != host.devices:
            self.put_host(replace(host, devices=devices))

    def put_lease(self, lease: LeaseRecord) -> None:
        """For `apply`: have this one in the place of what it was."""
        others = [each for each in self.leases.get(lease.instance, ()) if each.key != lease.key]
        order = sorted((*others, lease), key=lambda each: (each.epoch, each.host))
        self.index.replace(self.hosts, self.lease(lease.key), lease)
        self.leases[lease.instance] = tuple(order)

    def drop_lease(self, key: LeaseKey) -> None:
        """For `apply`: it is gone."""
        rest = tuple(each for each in self.leases[key.instance] if each.key != key)
        self.index.replace(self.hosts, self.lease(key), None)
        if rest:
            self.leases[key.instance] = rest
        else:
            del self.leases[key.instance]

    def put_host(self, host: HostRecord) -> None:
        """For `apply`: have this one in the place of what it was; its devices may be others."""
        here = self.index.on_host.get(host.host, ())
        for lease in here:
            self.index.weigh(self.hosts.get(host.host), lease, -1)
            self.index.weigh(host, lease, 1)
        self.index.notice(host)
        self.hosts[host.host] = host


def _pool_started(state: PoolState, fact: facts.PoolStarted) -> None:
    rebooted = fact.boot_id != state.boot_id
    if rebooted:
        set_ledger_time(state, fact.at, fact.wall)
    state.boot_id = fact.boot_id
    state.members.start(fact.at, rebooted=rebooted)
    for key, op in state.ops.items():
        if op.answer is None:
            waits = op.waits.begun_anew(fact.at) if op.waits and rebooted else op.waits
            state.ops[key] = replace(op, since=fact.at, waits=waits)
        elif rebooted:
            state.ops[key] = replace(op, answered_at=fact.at)
    for instance in state.instances.values():
        if rebooted and instance.state is InstanceState.DELETED:
            state.instances[instance.id] = replace(instance, deleted_at=fact.at)
    begin_anew(state, fact.at, rebooted=rebooted)
    limits_begin_anew(state, fact.at)
    for lease in list(state.all_leases()):
        if lease.arrival or lease.stuck or lease.resize:
            state.put_lease(lease_moves.begun_anew(lease, fact.at))


def _instance_created(state: PoolState, fact: facts.InstanceCreated) -> None:
    if fact.instance in state.instances:
        raise KeyError(fact.instance)
    state.serial += 1
    moved = InstanceState.PENDING
    for event in (InstanceEvent.ADMIT, InstanceEvent.CREATED):
        moved = INSTANCE_TABLE.after(moved, event)
    state.instances[fact.instance] = InstanceRecord(
        id=fact.instance,
        serial=state.serial,
        tenant=fact.tenant,
        type=fact.type,
        tolerance=fact.tolerance,
        ephemeral=fact.ephemeral,
        policy=fact.policy,
        state=moved,
    )
    state.index.count(fact.tenant, 1)


def _instance_bound(state: PoolState, fact: facts.InstanceBound) -> None:
    changes = {"frontend": fact.frontend, "address": fact.address, "reason": "", "detail": ""}
    state.move(fact.instance, InstanceEvent.BIND, vnic=fact.vnic, net=fact.net, **changes)
    state.index.hold(fact.address)


def _instance_draining(state: PoolState, fact: facts.InstanceDraining) -> None:
    state.move(fact.instance, InstanceEvent.DRAIN)


def _instance_stopped(state: PoolState, fact: facts.InstanceStopped) -> None:
    state.move(fact.instance, InstanceEvent.STOPPED)


def _instance_unbound(state: PoolState, fact: facts.InstanceUnbound) -> None:
    state.index.hold(state.instances[fact.instance].address, -1)
    state.bindings.pop(fact.instance, None)
    changes = {"frontend": "", "address": "", "asleep": False, "wanted_at": 0.0}
    state.move(fact.instance, InstanceEvent.UNBIND, vnic="", net=None, **changes)


def _instance_deleted(state: PoolState, fact: facts.InstanceDeleted) -> None:
    changes = {"frontend": "", "address": "", "deleted_at": fact.at}
    state.index.hold(state.instances[fact.instance].address, -1)
    state.index.count(state.instances[fact.instance].tenant, -1)
    state.move(fact.instance, InstanceEvent.DELETE, **changes)


def _instance_failed(state: PoolState, fact: facts.InstanceFailed) -> None:
    state.bindings.pop(fact.instance, None)
    changes = {"reason": fact.reason, "detail": fact.detail}
    state.move(fact.instance, InstanceEvent.FAIL, **changes)


def _instance_fenced(state: PoolState, fact: facts.InstanceFenced) -> None:
    record = state.instances[fact.instance]
    if fact.epoch < record.next_epoch:
        raise ValueError(f"{fact.instance}: epoch {fact.epoch} after {record.next_epoch - 1}")
    state.instances[fact.instance] = replace(
        record, epoch=fact.epoch, reason=fact.reason, detail=fact.detail
    )


def _profiles_measured(state: PoolState, fact: facts.ProfilesMeasured) -> None:
    # A copy: other states have the book as it was.
    state.profiles = state.profiles.copy()
    for profile in fact.profiles:
        state.profiles.add(profile)


def _op_begun(state: PoolState, fact: facts.OpBegun) -> None:
    op = fact.op
    if (op.tenant, op.op_id) in state.ops:
        raise KeyError(op.op_id)
    state.ops[op.tenant, op.op_id] = op
    state.instances[op.instance] = replace(state.instances[op.instance], op_id=op.op_id)
    if op.waits is not None:
        state.line[op.tenant, op.op_id] = None


def _line_left(state: PoolState, fact: LineLeft) -> None:
    key = (fact.tenant, fact.op_id)
    del state.line[key]
    state.ops[key] = replace(state.ops[key], waits=None, since=fact.at)


def _op_answered(state: PoolState, fact: facts.OpAnswered) -> None:
    key = (fact.tenant, fact.op_id)
    op = replace(state.ops[key], answer=fact.answer, answered_at=fact.at, waits=None)
    state.ops[key] = op
    state.line.pop(key, None)
    state.instances[op.instance] = replace(state.instances[op.instance], op_id="")


def _op_done(state: PoolState, fact: facts.OpDone) -> None:
    op = fact.op
    if (op.tenant, op.op_id) in state.ops:
        raise KeyError(op.op_id)
    state.ops[op.tenant, op.op_id] = op


def _forgotten(state: PoolState, fact: facts.Forgotten) -> None:
    for key in fact.ops:
        del state.ops[key]
    for instance in fact.instances:
        del state.instances[instance]
        state.ratios.pop(instance, None)


def _membership(state: PoolState, fact: MembershipFact) -> None:
    state.members.apply(fact)


_APPLY: Final[dict[type[Fact], Callable[[PoolState, Any], None]]] = {
    facts.PoolStarted: _pool_started,
    facts.InstanceCreated: _instance_created,
    facts.InstanceBound: _instance_bound,
    facts.InstanceDraining: _instance_draining,
    facts.InstanceStopped: _instance_stopped,
    facts.InstanceUnbound: _instance_unbound,
    facts.InstanceDeleted: _instance_deleted,
    facts.InstanceFailed: _instance_failed,
    facts.InstanceFenced: _instance_fenced,
    facts.ProfilesMeasured: _profiles_measured,
    facts.OpBegun: _op_begun,
    LineLeft: _line_left,
    **LIMIT_FACTS,
    facts.OpAnswered: _op_answered,
    facts.OpDone: _op_done,
    facts.Forgotten: _forgotten,
    **HOST_FACTS,
    **LEASE_FACTS,
    LeaseCharged: lease_charged,
    UsageBooked: usage_booked,
    **RATIO_FACTS,
    **DEFRAG_FACTS,
    **dict.fromkeys(MembershipFact.__args__, _membership),
}
