"""What is always true of the pool's state. (Brain)"""

from __future__ import annotations

from collections import Counter

from eais.instance import InstanceState
from eais.share import ShareState
from eais_pool.brain.charges import charged_of
from eais_pool.brain.lease_changes import ResizeCause
from eais_pool.brain.records import InstanceRecord, LeasePhase, LeaseRecord, OpVerb
from eais_pool.brain.state import PoolState
from eais_pool.policy.prices import Prices

_HOLDS_FRONTEND = (InstanceState.BOUND, InstanceState.IN_USE, InstanceState.DRAINING)
_HOLDS_NOTHING = (InstanceState.BINDABLE, InstanceState.DELETED)

_SHARES_OF = {
    LeasePhase.OPENING: {ShareState.RESERVED, ShareState.LOST},
    LeasePhase.MOVING: {ShareState.RESERVED, ShareState.LOST},
    LeasePhase.OPEN: set(ShareState) - {ShareState.FREE},
    LeasePhase.CLOSING: {ShareState.DRAINING, ShareState.LOST},
}


def validate(state: PoolState) -> None:
    """Check every invariant; AssertionError names the one that is broken, and where."""
    for instance in state.instances.values():
        _check_binding(instance)
        _check_lease_of(state, instance)
        _check_sleep(instance)
    for lease in state.all_leases():
        _check_lease(state, lease)
        _check_charges(state, lease)
    for host in state.hosts.values():
        _expect(host.cordoned or not host.draining, f"{host.host} drains and is given leases")
        _check_devices(state, host.host)
    _check_addresses(state)
    _check_ops(state)
    _check_line(state)
    _check_resizes(state)
    _expect(state.ratios.keys() <= state.instances.keys(), "ratios of instances that are gone")
    for name in state.bindings:
        bound = state.instances[name].state in _HOLDS_FRONTEND
        _expect(bound, f"{name} has limits, and no binding")
    state.members.validate()
    _expect(state.index.says() == state.copy().index.says(), "the index isn't of its records")


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def _check_binding(instance: InstanceRecord) -> None:
    held = (bool(instance.frontend), bool(instance.address))
    if instance.state in _HOLDS_FRONTEND:
        _expect(held == (True, True), f"{instance.id} is {instance.state} without its binding")
    if instance.state in _HOLDS_NOTHING:
        _expect(held == (False, False), f"{instance.id} is {instance.state} and holds {held}")


def _check_sleep(instance: InstanceRecord) -> None:
    bound = instance.state is InstanceState.BOUND
    _expect(bound or not instance.asleep, f"{instance.id} is {instance.state} and asleep")
    _expect(instance.asleep or not instance.wanted_at, f"{instance.id} is wanted, not asleep")


def _check_lease_of(state: PoolState, instance: InstanceRecord) -> None:
    leases = state.leases.get(instance.id, ())
    live = [each for each in leases if each.phase in (LeasePhase.OPENING, LeasePhase.OPEN)]
    _check_move(instance, leases)
    _expect(len(live) <= 1, f"{instance.id} has {len(live)} live leases")
    phase = live[0].phase if live else None
    match instance.state:
        case InstanceState.IN_USE:
            wanted = phase is LeasePhase.OPEN
        case InstanceState.BOUND:
            wanted = (phase is LeasePhase.OPENING and bool(instance.op_id)) or phase is None
        case InstanceState.DRAINING:
            closing = any(each.opened and each.epoch == instance.epoch for each in leases)
            wanted = phase is None and closing and bool(instance.op_id)
        case _:
            wanted = phase is None
    _expect(wanted, f"{instance.id} is {instance.state} with a lease {phase}")
    epochs = {lease.epoch for lease in live}
    _expect(epochs <= {instance.epoch}, f"{instance.id}: epoch {epochs}, not {instance.epoch}")


def _check_move(instance: InstanceRecord, leases: tuple[LeaseRecord, ...]) -> None:
    moving = [lease for lease in leases if lease.phase is LeasePhase.MOVING]
    _expect(len(moving) <= 1, f"{instance.id} moves to {len(moving)} hosts")
    for lease in moving:
        used = instance.state is InstanceState.IN_USE
        _expect(used, f"{instance.id} is {instance.state} and moves")
        newest = lease.epoch == instance.last_epoch > instance.epoch
        _expect(newest, f"{instance.id} moves under {lease.epoch}, not {instance.last_epoch}")
        hosts = [each.host for each in leases if each.phase is LeasePhase.OPEN]
        _expect(lease.host not in hosts, f"{instance.id} moves to where it is")


def _check_lease(state: PoolState, lease: LeaseRecord) -> None:
    states = {share.state for share in lease.shares}
    _expect(states <= _SHARES_OF[lease.phase], f"{lease.key} is {lease.phase} with {states}")
    _check_shares(lease, states)
    host = state.hosts.get(lease.host)
    _expect(host is not None, f"{lease.key} is on an unknown host")
    if host is not None and states:
        lost = states == {ShareState.LOST}
        _expect(lost != host.reachable, f"{lease.key}: {states}, reachable {host.reachable}")
    if lease.phase is not LeasePhase.CLOSING:
        _expect(lease.instance in state.instances, f"{lease.key} is of an unknown instance")
        _expect(bool(lease.shares), f"{lease.key} has no share")
    if lease.stuck:
        away = host is not None and (host.draining or bool(lease.on_bad(host)))
        drains = away and lease.phase is LeasePhase.OPEN
        _expect(drains, f"{lease.key} is {lease.phase} and stuck where nothing drains")
    moving = lease.phase is LeasePhase.MOVING
    _expect(moving == (lease.arrival is not None), f"{lease.key} is {lease.phase}, {lease.arrival}")


def _check_shares(lease: LeaseRecord, states: set[ShareState]) -> None:
    _expect(ShareState.LOST not in states or len(states) == 1, f"{lease.key} has shares {states}")
    if lease.phase is not LeasePhase.OPEN:
        _expect(len(states) <= 1, f"{lease.key} has shares {states}")
    numbers = [share.n for share in lease.shares]
    _expect(len(numbers) == len(set(numbers)), f"{lease.key} has shares {numbers}")
    passing = {*lease.coming, *lease.leaving}
    _expect(passing <= set(numbers), f"{lease.key} has {numbers}, and {passing} come and go")
    resized = lease.resize is not None
    _expect(resized == bool(lease.coming), f"{lease.key}: {lease.coming} come, {lease.resize}")
    _expect(set(lease.unlisted) <= passing, f"{lease.key}: {lease.unlisted} aren't listed")
    _expect(not set(lease.coming) & set(lease.leaving), f"{lease.key}: {passing} come and go")
    stays = lease.phase is not LeasePhase.OPEN or set(numbers) - passing
    _expect(bool(stays), f"{lease.key} keeps none of {numbers}")
    going = {share.n for share in lease.shares if share.state is ShareState.DRAINING}
    if lease.phase is LeasePhase.OPEN:
        _expect(going <= set(lease.leaving), f"{lease.key}: {going} drain, {lease.leaving} leave")


def _check_devices(state: PoolState, host_id: str) -> None:
    host, used = state.hosts[host_id], state.used_milli(host_id)
    for device in host.devices:
        over = used.get(device.id, 0) > device.capacity_milli or not device.present
        _expect(over == device.overdrawn, f"{host_id}/{device.id}: {used}, {device}")


def _check_charges(state: PoolState, lease: LeaseRecord) -> None:
    """A lease that is held is charged for as its shares say; one that is lost, as before."""
    if lease.is_open and lease.lost:
        return
    due = [(s.n, s.device, s.milli) for s in charged_of(state, lease, Prices(), 0.0)]
    charged = [(s.n, s.device, s.milli) for s in lease.charged]
    _expect(charged == due, f"{lease.key} is charged for {charged} in place of {due}")


def _check_addresses(state: PoolState) -> None:
    held = Counter(each.address for each in state.instances.values() if each.address)
    doubled = [address for address, count in held.items() if count > 1]
    _expect(not doubled, f"two instances on {doubled}")


def _check_ops(state: PoolState) -> None:
    under_way = {(op.tenant, op.op_id) for op in state.ops.values() if op.answer is None}
    named = {(each.tenant, each.op_id) for each in state.instances.values() if each.op_id}
    _expect(under_way == named, f"operations under way {under_way}, on instances {named}")


def _check_line(state: PoolState) -> None:
    waits = {(op.tenant, op.op_id) for op in state.ops.values() if op.waits}
    _expect(set(state.line) == waits, f"{waits} wait, and {set(state.line)} are in line")
    for key in state.line:
        op = state.ops[key]
        instance = state.instances[op.instance]
        under_way = op.answer is None and instance.state is InstanceState.BOUND
        _expect(under_way, f"{op.instance} is {instance.state} and waits in line")
        held = state.live_lease(op.instance)
        _expect(held is None, f"{op.instance} waits in line for what it has")


def _check_resizes(state: PoolState) -> None:
    resizes = ((lease.instance, lease.resize) for lease in state.all_leases())
    resized = {name for name, resize in resizes if resize and resize.cause is ResizeCause.OPERATION}
    asked = {
        op.instance for op in state.ops.values() if op.answer is None and op.verb is OpVerb.RESIZE
    }
    _expect(resized == asked, f"{resized} are resized, {asked} are asked to be")
