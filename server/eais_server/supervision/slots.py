"""Workers that come to a lease that is held, and those that leave it while others serve. (Brain)

A slot that is added is unproven until a worker of it has served once. What goes wrong with it
before that is its own matter: the instance's sessions work where it is, so that the slot is
given up, and nothing of the instance's.
"""

from __future__ import annotations

from eais_server.supervision import actions as do
from eais_server.supervision.blame import LOAD_TIMEOUT, blame, crashed, how_it_ended, too_late
from eais_server.supervision.events import (
    Failure,
    SlotAsked,
    SlotRevoked,
    SlotsAdded,
    WorkerExited,
)
from eais_server.supervision.held import Held, Slot, Worker
from eais_server.supervision.leaving import leave
from eais_server.supervision.state import State


def slots_added(state: State, event: SlotsAdded, now: float) -> list[do.Action]:
    """Have more workers; each loads all that is kept before it serves."""
    held = state.leases.get(event.instance)
    if held is None or held.releasing or state.stopping:
        return []
    for asked in event.slots:
        if asked.n in held.slots:
            raise ValueError(f"{event.instance} has a worker {asked.n} already")
        held.slots[asked.n] = slot_of(asked, added=True)
    return []


def slot_of(asked: SlotAsked, *, added: bool) -> Slot:
    """A slot without a worker."""
    return Slot(
        asked.n,
        asked.port,
        asked.incarnation,
        proven=asked.proven,
        added=added,
        device=asked.device,
    )


def slot_revoked(state: State, event: SlotRevoked, now: float) -> list[do.Action]:
    """Have one worker less: it finishes within its grace, and isn't replaced.

    A listener that goes down leaves that to the one that comes back.
    """
    held = state.leases.get(event.instance)
    slot = held.slots.get(event.n) if held else None
    if held is None or held.releasing or state.stopping or slot is None or slot.leaving:
        return []
    return _retire(state, held, slot, event.grace_s, now)


def slot_failed(
    state: State, held: Held, slot: Slot, failure: Failure, now: float
) -> list[do.Action]:
    """An unproven slot can't be: say so, and have it gone."""
    failed = do.SlotFailed(held.instance, slot.n, failure)
    return [failed, *_retire(state, held, slot, 0.0, now)]


def slot_ended(
    state: State, held: Held, slot: Slot, worker: Worker, event: WorkerExited, now: float
) -> list[do.Action]:
    """Its worker's exit was seen: what becomes of a slot that leaves, or never served."""
    if held.releasing:
        return []
    if slot.leaving:
        return [_removed(held, slot)]
    if slot.proven:
        return []
    slot.attempts += 1
    failure = _why_not(state, held, slot, worker, event)
    return slot_failed(state, held, slot, failure, now) if failure else []


def _why_not(
    state: State, held: Held, slot: Slot, worker: Worker, event: WorkerExited
) -> Failure | None:
    """Why no worker of the slot will ever serve, as far as can be told by now."""
    verdict = blame(held, worker, event)
    if worker.killed == LOAD_TIMEOUT:
        return too_late(state.limits.load_timeout_s)
    if verdict.guilty:
        return crashed(verdict.how or {})
    if slot.attempts < state.limits.grant_attempts:
        return None
    text = f"{slot.attempts} workers ended before they served"
    return Failure("PROCESS_FAILED", text, how_it_ended(event))


def _retire(state: State, held: Held, slot: Slot, grace_s: float, now: float) -> list[do.Action]:
    slot.leaving = True
    if not slot.worker:
        return [_removed(held, slot)]
    return leave(state, state.workers[slot.worker], grace_s, now)


def _removed(held: Held, slot: Slot) -> do.Action:
    del held.slots[slot.n]
    for session in held.sessions.values():
        session.refused.pop(slot.n, None)
    if all(each.added for each in held.slots.values()):
        for each in held.slots.values():
            each.added = False
    return do.SlotGone(held.instance, slot.n)
