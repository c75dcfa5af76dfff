"""Instances are moved, under live calls, so that less of what is free is lost. (Brain)

An operator asks for it, and gets a list of moves with what it gains. The list is kept, and its
moves are begun in its order, a few at a time, as those of a host that drains are (`moves`). Each is
held against the present first: the instance is where it was, its place there, the gain as well; if
not, the move is skipped and says why. So whatever else happens meanwhile comes first, and after
any death of the manager the rest of the list goes on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from eais.device_type import WHOLE_MILLI, DeviceKind, DeviceType, type_text
from eais.errors import EaisError, make_error
from eais.instance import InstanceState
from eais.share import ShareState
from eais_pool.brain.defrag_records import (
    DefragPlan,
    DefragStepped,
    RoomChange,
    Step,
    StepState,
)
from eais_pool.brain.draft import Draft
from eais_pool.brain.grants import picks_of, send_grant
from eais_pool.brain.neighbours import hosts_of
from eais_pool.brain.placing import host_views, picks_on, reserve_move
from eais_pool.brain.reconsidering import without_lease
from eais_pool.brain.records import InstanceRecord, LeaseKey, LeasePhase, LeaseRecord
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import PoolState
from eais_pool.policy import DeviceView, HostView, Placement, Policy
from eais_pool.policy.asked import Counts
from eais_pool.policy.placement.moving import Seat, gain_of, may_join, rearranged


@dataclass(frozen=True, slots=True)
class Picture:
    """All that a plan is made of; nothing of it changes, so any thread may make one.

    Attributes:
        hosts: those that are open, as they are once what is under way is done.
        seats: the instances that may be moved, with the epoch of each one's lease.
        members: how many of a group each host has.
        learned: what was asked for so far.
        left_out: hosts that can't be reached.
    """

    hosts: tuple[HostView, ...]
    seats: tuple[tuple[Seat, int], ...]
    members: dict[str, Counter[str]]
    learned: Counts
    left_out: tuple[str, ...]


def picture_of(state: PoolState, settings: Settings) -> Picture:
    """The pool as it is now, or is about to be."""
    hosts = {view.host: view for view in _settled(state, settings) if view.open}
    fixed = _anchors(state)
    found = (
        (_seat(state, lease, hosts), lease.epoch)
        for lease in state.all_leases()
        if lease.host in hosts and lease.instance not in fixed and not _stays(state, lease)
    )
    seats = tuple((seat, epoch) for seat, epoch in found if seat is not None)
    away = tuple(sorted(host.host for host in state.hosts.values() if not host.reachable))
    return Picture(tuple(hosts.values()), seats, _members(state), state.asked.learned, away)


def planned(picture: Picture, most: int) -> DefragPlan:
    """At most so many moves, and what they gain."""
    epochs = {seat.instance: epoch for seat, epoch in picture.seats}
    seats = [seat for seat, _ in picture.seats]
    found = rearranged(picture.hosts, seats, picture.members, picture.learned, most=most)
    steps = tuple(
        Step(
            instance=move.seat.instance,
            type=move.seat.type.text,
            origin=move.seat.host,
            to=move.to,
            epoch=epochs[move.seat.instance],
            gain=move.gain,
        )
        for move in found.moves
    )
    rooms = tuple(
        RoomChange(room.kind, room.before_milli, room.after_milli) for room in found.rooms
    )
    return DefragPlan(steps, found.lost_before, found.lost_after, rooms, picture.left_out)


def advance(draft: Draft, policy: Policy, settings: Settings) -> None:
    """Say which moves are over, and begin the next ones."""
    record = draft.state.defrag
    if record is None or record.is_over:
        return
    for n, step in enumerate(record.plan.steps):
        if step.state is StepState.MOVING:
            _settle(draft, n, step)
    for n, step in enumerate(record.plan.steps):
        if step.state is StepState.WAITING and not _begin(draft, n, step, policy, settings):
            return


def stop(draft: Draft, why: str) -> None:
    """Begin no more of the moves; those under way go on."""
    record = draft.state.defrag
    for n, step in enumerate(record.plan.steps if record else ()):
        if step.state is StepState.WAITING:
            draft.record(DefragStepped(n, StepState.SKIPPED, why=why))


def _settle(draft: Draft, n: int, step: Step) -> None:
    """A move that was begun may be over."""
    state = draft.state
    lease = state.lease(LeaseKey(step.to, step.instance, step.moved_epoch))
    if lease is not None and lease.phase is LeasePhase.MOVING:
        return
    instance = state.instances.get(step.instance)
    if instance is not None and instance.epoch >= step.moved_epoch:
        draft.record(DefragStepped(n, StepState.DONE))
    else:
        why = "something else was done with the instance meanwhile"
        draft.record(DefragStepped(n, StepState.SKIPPED, why=why))


def _begin(draft: Draft, n: int, step: Step, policy: Policy, settings: Settings) -> bool:
    """Begin a move, or skip it; False if that has to wait for those before it."""
    state = draft.state
    assert state.defrag is not None, "it is one of its steps"
    before = state.defrag.plan.steps[:n]
    if sum(each.state is StepState.MOVING for each in before) >= settings.moves_at_once:
        return False
    lease = state.live_lease(step.instance)
    why = _in_the_way(state, step, lease)
    if lease is not None and not why:
        try:
            placed = _still_good(state, step, lease, policy, settings)
        except EaisError as error:
            if any(_is_leaving(state, each) for each in before):
                return False
            why = f"{error.reason}: {error.message}"
        else:
            epoch = reserve_move(draft, lease, placed, settings).epoch
            draft.record(DefragStepped(n, StepState.MOVING, epoch))
            moving = draft.state.moving_lease(step.instance)
            if moving is not None:
                send_grant(draft, moving, settings)
            return True
    draft.record(DefragStepped(n, StepState.SKIPPED, why=why))
    return True


def _in_the_way(state: PoolState, step: Step, lease: LeaseRecord | None) -> str:
    """Why a move can't be made any more, whatever room there is; "" if nothing is in its way."""
    if lease is None or (lease.host, lease.epoch) != (step.origin, step.epoch):
        return "the instance isn't where it was"
    if _stays(state, lease) or step.instance in _anchors(state):
        return "something else is under way with the instance"
    group = _group(state.instances[step.instance])
    if group and not may_join(_members(state)[group], step.origin, step.to):
        return "it would be less apart from others of its group there"
    return ""


def _still_good(
    state: PoolState, step: Step, lease: LeaseRecord, policy: Policy, settings: Settings
) -> Placement:
    """Its place there; `EaisError` if it has none, or it would gain nothing."""
    settled = {view.host: view for view in _settled(state, settings)}
    seat = _seat(state, lease, settled)
    two = [settled[step.origin], settled[step.to]]
    if seat is None or two[1].isolation < two[0].isolation:
        raise make_error("NO_DEVICE", f"{step.to} isolates less than {step.origin}")
    placed = picks_on(state, lease, seat.type.text, step.to, seat.only, policy, settings)
    gain = gain_of(two, seat, placed, state.asked.learned)
    if gain <= 0:
        raise make_error("NO_DEVICE", "it would gain nothing any more")
    words = f"moved from {step.origin} so that {gain / WHOLE_MILLI:.2f} devices less are lost"
    return replace(placed, why=f"{words}; {placed.why}")


def _is_leaving(state: PoolState, step: Step) -> bool:
    """Whether a move will yet give room where it came from."""
    old = state.lease(LeaseKey(step.origin, step.instance, step.epoch))
    begun = step.state in (StepState.MOVING, StepState.DONE)
    return begun and old is not None and state.hosts[old.host].reachable


def _seat(state: PoolState, lease: LeaseRecord, hosts: Mapping[str, HostView]) -> Seat | None:
    """Its shares as one type; None for those that aren't one, or of devices unlike each other."""
    instance, host = state.instances[lease.instance], hosts[lease.host]
    ids = {share.device for share in lease.shares}
    used = [device for device in host.devices if device.id in ids]
    made = {_make_of(device) for device in used}
    wanted = DeviceType.parse(instance.type)
    if len(made) != 1:
        return None
    if wanted.kind is None:
        if len(lease.shares) != 1:
            return None
        wanted = DeviceType.parse(type_text(DeviceKind(used[0].kind), lease.shares[0].milli))
    alike = {
        (view.host, device.id): _make_of(device) in made
        for view in hosts.values()
        for device in view.devices
        if device.kind == used[0].kind
    }
    only = None if all(alike.values()) else frozenset(key for key, same in alike.items() if same)
    shares = picks_of(lease)
    group = _group(instance)
    return Seat(instance.id, instance.tenant, lease.host, wanted, shares, group, only)


def _make_of(device: DeviceView) -> tuple[object, ...]:
    """What an instance mustn't find changed by a move that it didn't ask for."""
    return (device.kind, device.model, device.simulated, device.runtimes)


def _stays(state: PoolState, lease: LeaseRecord) -> bool:
    """Whether an instance isn't to be moved now, for itself."""
    instance = state.instances.get(lease.instance)
    if instance is None or instance.state is not InstanceState.IN_USE or instance.op_id:
        return True
    passing = lease.coming or lease.leaving or lease.stuck
    moving = state.moving_lease(instance.id) is not None
    whole = all(share.state is ShareState.GRANTED for share in lease.shares)
    bad = lease.on_bad(state.hosts[lease.host])
    quiet = lease.phase is LeasePhase.OPEN and whole and not (passing or moving or bad)
    return not quiet or bool(instance.policy.neighbours.near)


def _anchors(state: PoolState) -> frozenset[str]:
    """Those that others want to be near: they stay, or the others would have to follow."""
    instances = state.instances.values()
    there = (each for each in instances if each.state is not InstanceState.DELETED)
    return frozenset(each.policy.neighbours.near for each in there) - {""}


def _group(instance: InstanceRecord) -> str:
    group = instance.policy.neighbours.spread
    return f"{instance.tenant}/{group}" if group else ""


def _members(state: PoolState) -> dict[str, Counter[str]]:
    """How many of each group each host has."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for instance in state.instances.values():
        if group := _group(instance):
            found[group].update(hosts_of(state, instance.id))
    return found


def _settled(state: PoolState, settings: Settings) -> Iterator[HostView]:
    """The hosts without what is on its way out."""
    going: dict[str, list[LeaseRecord]] = defaultdict(list)
    for lease in state.all_leases():
        moved = lease.is_open and state.moving_lease(lease.instance) is not None
        if moved or lease.phase is LeasePhase.CLOSING:
            going[lease.host].append(lease)
    for view in host_views(state, "", settings):
        devices = view.devices
        for lease in going[view.host]:
            devices = tuple(without_lease(lease, device) for device in devices)
        yield replace(view, devices=devices)
