"""Facts about leases, as the pool's state takes them in. (Brain)"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from eais.device_type import AUTO
from eais.instance import InstanceEvent
from eais.ratio import UNSAID
from eais.share import ShareEvent
from eais_pool.brain import facts, lease_moves
from eais_pool.brain.facts import Fact
from eais_pool.brain.records import (
    MODELS_MOST,
    LeaseKey,
    LeasePhase,
    LeaseRecord,
)

if TYPE_CHECKING:
    from eais_pool.brain.state import PoolState


def _lease_of(state: PoolState, key: LeaseKey) -> LeaseRecord:
    found = state.lease(key)
    if found is None:
        raise KeyError(key)
    return found


_moved = lease_moves.with_shares


def _lease_reserved(state: PoolState, fact: facts.LeaseReserved) -> None:
    record, live = state.instances[fact.instance], state.live_lease(fact.instance)
    moving = live is not None and live.phase is LeasePhase.OPEN
    doubled = state.moving_lease(fact.instance) is not None or (live is not None) != moving
    if fact.epoch < record.next_epoch or doubled or moving != fact.moving:
        raise ValueError(f"{fact.instance}: epoch {fact.epoch} after {record.next_epoch - 1}")
    state.put_lease(lease_moves.reserved(fact))
    changes: dict[str, Any] = {"last_epoch" if fact.moving else "epoch": fact.epoch}
    state.instances[fact.instance] = replace(record, **changes)
    if not fact.moving:
        _learn(state, fact)


def _learn(state: PoolState, fact: facts.LeaseReserved) -> None:
    """One more start with so much."""
    device = state.hosts[fact.host].device(fact.shares[0].device)
    if device is not None:
        milli = sum(share.milli for share in fact.shares)
        state.asked = state.asked.more(device.kind, milli)


def _lease_reserved_again(state: PoolState, fact: facts.LeaseReservedAgain) -> None:
    state.put_lease(lease_moves.reserved_again(_lease_of(state, fact.key), fact))


def _lease_opened(state: PoolState, fact: facts.LeaseOpened) -> None:
    lease = _lease_of(state, fact.key)
    event = InstanceEvent.MOVED if lease.arrival else InstanceEvent.GRANTED
    held = lease_moves.granted(lease)
    state.put_lease(replace(held, workers=fact.workers, user_plane=fact.user_plane))
    changes = {"epoch": fact.epoch, "asleep": False, "wanted_at": 0.0}
    state.move(fact.instance, event, **changes)


def _lease_held(state: PoolState, fact: facts.LeaseHeld) -> None:
    lease = lease_moves.granted(_lease_of(state, fact.key))
    state.put_lease(replace(lease, workers=fact.workers, user_plane=fact.user_plane))
    state.move(fact.instance, InstanceEvent.REGRANT)


def _lease_goes_on(state: PoolState, fact: facts.LeaseGoesOn) -> None:
    state.put_lease(lease_moves.goes_on(_lease_of(state, fact.key), fact))


def _lease_arrived(state: PoolState, fact: facts.LeaseArrived) -> None:
    state.put_lease(lease_moves.arrived(_lease_of(state, fact.key), fact))


def _move_failed(state: PoolState, fact: facts.MoveFailed) -> None:
    state.put_lease(lease_moves.stays(_lease_of(state, fact.key), fact))


def _lease_closing(state: PoolState, fact: facts.LeaseClosing) -> None:
    lease = _lease_of(state, fact.key)
    state.put_lease(lease_moves.closing(lease, reachable=state.hosts[fact.host].reachable))


def _lease_closed(state: PoolState, fact: facts.LeaseClosed) -> None:
    # Nothing of the moved lease is kept: FREE shares aren't recorded.
    gone = _moved(_lease_of(state, fact.key), ShareEvent.RELEASE)
    state.drop_lease(gone.key)
    state.settle_devices(fact.host)


def _lease_found(state: PoolState, fact: facts.LeaseFound) -> None:
    lease = LeaseRecord(
        host=fact.host,
        instance=fact.instance,
        epoch=fact.epoch,
        tenant=fact.tenant,
        address=fact.address,
        phase=LeasePhase.CLOSING,
        shares=lease_moves.fresh_shares(fact.shares),
    )
    state.put_lease(_moved(lease, ShareEvent.RESERVE, ShareEvent.DRAIN))
    state.settle_devices(fact.host)


def _shares_reserved(state: PoolState, fact: facts.SharesReserved) -> None:
    state.put_lease(lease_moves.shares_reserved(_lease_of(state, fact.key), fact))


def _shares_granted(state: PoolState, fact: facts.SharesGranted) -> None:
    state.put_lease(lease_moves.shares_granted(_lease_of(state, fact.key), fact))


def _instance_resized(state: PoolState, fact: facts.InstanceResized) -> None:
    lease, wanted = lease_moves.resized(_lease_of(state, fact.key))
    state.put_lease(lease)
    record = state.instances[fact.instance]
    # What isn't auto any more has no ratio but that of its type.
    policy = record.policy if wanted == AUTO else replace(record.policy, ratio=UNSAID)
    state.instances[fact.instance] = replace(record, type=wanted, policy=policy)


def _shares_draining(state: PoolState, fact: facts.SharesDraining) -> None:
    state.put_lease(lease_moves.shares_draining(_lease_of(state, fact.key), fact))


def _shares_released(state: PoolState, fact: facts.SharesReleased) -> None:
    state.put_lease(lease_moves.shares_released(_lease_of(state, fact.key), fact))
    state.settle_devices(fact.host)


def _lease_workers(state: PoolState, fact: facts.LeaseWorkers) -> None:
    state.put_lease(replace(_lease_of(state, fact.key), workers=fact.workers))


def _lease_sessions(state: PoolState, fact: facts.LeaseSessions) -> None:
    state.put_lease(replace(_lease_of(state, fact.key), sessions=fact.sessions))
    instance = state.instances[fact.instance]
    fresh = [model for model in fact.models if model not in instance.models]
    if fresh:
        models = (*instance.models, *fresh)[-MODELS_MOST:]
        state.instances[fact.instance] = replace(
            instance, models=models, opened_by=instance.frontend
        )


def _lease_usage(state: PoolState, fact: facts.LeaseUsage) -> None:
    state.put_lease(replace(_lease_of(state, fact.key), usage=fact.usage))


def _choice_confirmed(state: PoolState, fact: facts.ChoiceConfirmed) -> None:
    lease = _lease_of(state, fact.key)
    state.put_lease(replace(lease, why=fact.why, weighed=fact.weighed, provisional=False))


LEASE_FACTS: Final[Mapping[type[Fact], Callable[[PoolState, Any], None]]] = {
    facts.LeaseReserved: _lease_reserved,
    facts.LeaseReservedAgain: _lease_reserved_again,
    facts.LeaseOpened: _lease_opened,
    facts.LeaseHeld: _lease_held,
    facts.LeaseGoesOn: _lease_goes_on,
    facts.LeaseArrived: _lease_arrived,
    facts.MoveFailed: _move_failed,
    facts.LeaseClosing: _lease_closing,
    facts.LeaseClosed: _lease_closed,
    facts.LeaseFound: _lease_found,
    facts.SharesReserved: _shares_reserved,
    facts.SharesGranted: _shares_granted,
    facts.InstanceResized: _instance_resized,
    facts.SharesDraining: _shares_draining,
    facts.SharesReleased: _shares_released,
    facts.LeaseWorkers: _lease_workers,
    facts.LeaseSessions: _lease_sessions,
    facts.LeaseUsage: _lease_usage,
    facts.ChoiceConfirmed: _choice_confirmed,
}
