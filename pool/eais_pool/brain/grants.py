"""The life of a grant: opened, failed, released, lost. (Brain)

An operation on an instance ends in one of two places: `succeed`, when what it
waited for is so, or `roll_back`, which undoes what it did.
"""

from __future__ import annotations

from eais.instance import InstanceState
from eais.share import ShareState
from eais_pool.brain import facts
from eais_pool.brain.actions import Grant, Revoke
from eais_pool.brain.defrag_records import DefragStepped, StepState
from eais_pool.brain.draft import Draft
from eais_pool.brain.events import GrantAccepted, GrantFailed, Released
from eais_pool.brain.ratio_records import InstanceWanted
from eais_pool.brain.records import (
    Answer,
    Failure,
    HeldLease,
    InstanceRecord,
    LeasePhase,
    LeaseRecord,
    OpVerb,
    SharePick,
    Undo,
)
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import PoolState

MOST_SOURCES = 8
"""Of an instance's models, that a host which is to have it is told of."""


def picks_of(lease: LeaseRecord) -> tuple[SharePick, ...]:
    """The lease's shares, whatever their state."""
    return tuple(SharePick(s.n, s.device, s.milli, s.unit) for s in lease.shares)


def _wanted(lease: LeaseRecord) -> tuple[SharePick, ...]:
    return tuple(pick for pick in picks_of(lease) if pick.n not in lease.leaving)


def send_grant(draft: Draft, lease: LeaseRecord, settings: Settings) -> None:
    """Command the lease's host to grant it."""
    instance = draft.state.instances[lease.instance]
    command = Grant(
        instance=lease.instance,
        tenant=lease.tenant,
        epoch=lease.epoch,
        shares=_wanted(lease),
        address=lease.address,
        vnic_driver=lease.vnic_driver,
        run_timeout_s=settings.run_timeout_s,
        tolerance=instance.tolerance,
        sessions=_sessions_for(draft.state, lease),
        sources=_sources_for(draft.state, lease),
        policy=instance.policy,
        link=lease.link,
    )
    draft.send(lease.host, command)


def _sessions_for(state: PoolState, lease: LeaseRecord) -> tuple[str, ...]:
    """What an instance that is moved has where it is."""
    live = state.live_lease(lease.instance)
    return live.sessions if live and lease.phase is LeasePhase.MOVING else ()


def _sources_for(state: PoolState, lease: LeaseRecord) -> tuple[str, ...]:
    """Where an instance's models may be: where it is, then wherever its tenant has something."""
    live = state.live_lease(lease.instance)
    if live is None or lease.phase is not LeasePhase.MOVING or not live.sessions:
        return ()
    others = sorted(each.host for each in state.all_leases() if each.tenant == lease.tenant)
    hosts = [name for name in dict.fromkeys((live.host, *others)) if name != lease.host]
    reached = [state.hosts[name] for name in hosts]
    return tuple(h.host for h in reached if h.reachable and h.management_plane)[:MOST_SOURCES]


def send_revoke(draft: Draft, lease: LeaseRecord, settings: Settings) -> None:
    """Command the lease's host to end it."""
    draft.send(lease.host, Revoke(lease.instance, lease.epoch, settings.drain_grace_ms))


def close(draft: Draft, lease: LeaseRecord, settings: Settings) -> None:
    """Want the lease gone; its host is told now or when it returns."""
    draft.record(facts.LeaseClosing(*lease.key))
    send_revoke(draft, lease, settings)


def drain(draft: Draft, instance: InstanceRecord, settings: Settings) -> None:
    """Stop an IN_USE instance, by the operation that is under way on it: its calls may end."""
    lease = draft.state.live_lease(instance.id)
    cancel_move(draft, instance.id, settings)
    draft.record(facts.InstanceDraining(instance.id))
    if lease is None:
        raise AssertionError(f"{instance.id} is IN_USE without a lease")
    close(draft, lease, settings)
    if not draft.state.hosts[lease.host].reachable:
        wind_up(draft, draft.state.instances[instance.id])


def closed(draft: Draft, lease: LeaseRecord) -> None:
    """The lease is gone from its host."""
    draft.record(facts.LeaseClosed(*lease.key, lease.tenant, lease.opened, lease.usage))


def cancel_move(draft: Draft, instance: str, settings: Settings) -> None:
    """The instance is to be moved no more: it ends, or stays where it is."""
    moving = draft.state.moving_lease(instance)
    if moving is not None:
        close(draft, moving, settings)


def move_failed(draft: Draft, instance: str, to: str, failure: Failure) -> None:
    """The instance stays where it is for now: say why, if that is news."""
    record = draft.state.defrag
    step = record.moving(instance) if record else None
    if step is not None:  # Nobody waits for it to leave, so it isn't tried again.
        why = f"{failure.reason}: {failure.message}"
        draft.record(DefragStepped(step, StepState.SKIPPED, why=why))
        return
    live = draft.state.live_lease(instance)
    if live is None:
        return
    why = f"{failure.reason}: {failure.message}"
    if to or live.stuck is None or live.stuck.why != why:
        draft.record(facts.MoveFailed(*live.key, to, why, draft.now))


def unbind(draft: Draft, instance: InstanceRecord) -> None:
    """BOUND to BINDABLE, or to DELETED if Attach had made the instance."""
    draft.record(facts.InstanceUnbound(instance.id))
    if instance.ephemeral:
        draft.record(facts.InstanceDeleted(instance.id, draft.now))


def wind_up(draft: Draft, instance: InstanceRecord) -> None:
    """Its lease is out of the way: end the stop or detach that waited for that."""
    op = draft.state.ops[instance.tenant, instance.op_id]
    draft.record(facts.InstanceStopped(instance.id))
    if op.verb is OpVerb.DETACH:
        unbind(draft, instance)
    draft.succeed(instance)


def roll_back(draft: Draft, instance: InstanceRecord, failure: Failure) -> None:
    """The grant that an operation waited for failed: undo what it had done, and say so."""
    op = draft.state.ops[instance.tenant, instance.op_id]
    if op.undo is not Undo.NOTHING:
        draft.record(facts.InstanceUnbound(instance.id))
    if op.undo is Undo.DELETE:
        draft.record(facts.InstanceDeleted(instance.id, draft.now))
    if draft.state.instances[instance.id].wanted_at:
        draft.record(InstanceWanted(instance.id, 0.0))  # the next call asks again
    draft.answer(op.tenant, op.op_id, Answer(failure=failure))


def opened(draft: Draft, lease: LeaseRecord, held: HeldLease) -> None:
    """The host holds the lease as it should: the instance is IN_USE."""
    if lease.phase is LeasePhase.OPEN:
        draft.record(facts.LeaseHeld(*lease.key, held.workers, held.user_plane))
        return
    instance = draft.state.instances[lease.instance]
    shares = picks_of(lease)
    served = (held.workers, held.user_plane)
    draft.record(facts.LeaseOpened(*lease.key, lease.tenant, shares, *served))
    draft.succeed(instance)


def abandon(draft: Draft, lease: LeaseRecord, failure: Failure, settings: Settings) -> None:
    """A wanted lease can't be: the grant failed, or the move, or the instance did.

    The lease itself must be closed or closing already.
    """
    instance = draft.state.instances[lease.instance]
    if lease.phase is LeasePhase.MOVING:
        move_failed(draft, instance.id, lease.host, failure)
    elif lease.phase is LeasePhase.OPENING:
        roll_back(draft, instance, failure)
    else:
        cancel_move(draft, instance.id, settings)
        if instance.op_id:
            draft.answer(instance.tenant, instance.op_id, Answer(failure=failure))
        draft.record(facts.InstanceFailed(instance.id, failure.reason, failure.message))


def found(draft: Draft, host: str, held: HeldLease, settings: Settings) -> None:
    """A host holds a lease that nobody wants: it counts until it is gone."""
    key = (host, held.instance, held.epoch)
    draft.record(facts.LeaseFound(*key, held.tenant, held.address, held.shares))
    draft.send(host, Revoke(held.instance, held.epoch, settings.drain_grace_ms))


def on_grant_accepted(draft: Draft, event: GrantAccepted, settings: Settings) -> None:
    """A host says that it has granted."""
    lease = draft.state.lease(event.key)
    if lease is None:
        found(draft, event.host, event.held, settings)
    elif lease.phase is LeasePhase.OPENING or _is_regrant(lease):
        opened(draft, lease, event.held)
    elif lease.phase is LeasePhase.OPEN and lease.workers != event.held.workers:
        draft.record(facts.LeaseWorkers(*lease.key, event.held.workers))


def _is_regrant(lease: LeaseRecord) -> bool:
    reserved = all(share.state is ShareState.RESERVED for share in lease.shares)
    return lease.phase is LeasePhase.OPEN and reserved


def on_grant_failed(draft: Draft, event: GrantFailed, settings: Settings) -> None:
    """A host says that it couldn't grant."""
    lease = draft.state.lease(event.key)
    if lease is not None:
        _gone(draft, lease, event.failure, settings)


def on_released(draft: Draft, event: Released, settings: Settings) -> None:
    """A host says that a lease is gone."""
    lease = draft.state.lease(event.key)
    if lease is not None:
        gave_back = Failure("DEVICE_LOST", "the back-end gave the lease back unasked")
        _gone(draft, lease, gave_back, settings)


def _gone(draft: Draft, lease: LeaseRecord, failure: Failure, settings: Settings) -> None:
    closed(draft, lease)
    if lease.phase is not LeasePhase.CLOSING:
        abandon(draft, lease, failure, settings)
        return
    instance = draft.state.instances.get(lease.instance)
    if instance is not None and _waits_for(instance, lease):
        wind_up(draft, instance)


def _waits_for(instance: InstanceRecord, lease: LeaseRecord) -> bool:
    # A stray of the same name was never opened, and nobody waits for it.
    draining = instance.state is InstanceState.DRAINING
    return draining and lease.opened and instance.epoch == lease.epoch


def lose_host(draft: Draft, host: str) -> None:
    """A host can't be reached: what waits for it to drain needn't; the rest waits."""
    draft.record(facts.HostWentAway(host, draft.now))
    for lease in draft.state.leases_on(host):
        instance = draft.state.instances.get(lease.instance)
        if instance is not None and _waits_for(instance, lease):
            wind_up(draft, instance)
