"""How workers live, die and come back. (Brain)

A handler notes what happened; `advance` then derives everything that follows
from the state alone: which slot takes which spare, what is loaded next, who
serves, what is published, which lease is gone, how many processes to start.

Rules that hold at every step:
- A slot has at most one process; the next is adopted after the last one's exit was seen.
- A worker is adopted once. Whatever it did for one instance, no other one gets it.
- A worker serves when all kept sessions of its instance are loaded, never before.
- It loads one session at a time, so that its death says which one was being loaded.
- A slot keeps its port. Only when that can't be bound any more it takes a new one.
- What an added slot can't do before it served once is its own failure, not the instance's.
- A session that some workers of its instance refuse is open on the others; when all do, it is
  given up. While shares come to take the place of others, those that came decide: what is
  open must be on one of them, or the last one that refuses it is given up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from eais_server.supervision.advance import advance
from eais_server.supervision.blame import OVERRAN, STUCK, how_it_ended
from eais_server.supervision.checks import (
    check_asked,
    check_ended,
    check_late,
    checked,
    device_failed,
    hosted_checked,
    worker_lost_device,
)
from eais_server.supervision.deaths import (
    answered,
    distrust_runtimes,
    killed_by,
    loaded,
    note_death,
    note_device,
    refuse_condemned,
)
from eais_server.supervision.ending import end_lease, refuse_pending
from eais_server.supervision.giving_up import LOADS, give_up, unload
from eais_server.supervision.held import NEVER, Held, Session, Slot, Worker
from eais_server.supervision.leaving import kill, leave
from eais_server.supervision.life import WORKER_TABLE, WorkerEvent, WorkerState
from eais_server.supervision.quarantine import Model
from eais_server.supervision.silence import beat, heard, judged, overdue
from eais_server.supervision.slots import (
    slot_ended,
    slot_failed,
    slot_of,
    slot_revoked,
    slots_added,
)
from eais_server.supervision.state import State

# Why a session's files can't be laid out for a worker now, though they're there.
_DISK_FAILED: Final = frozenset({"STORE_FULL", "STORE_UNAVAILABLE"})
# Why no worker can have a session, whatever its device.
_FILES_DAMAGED: Final = frozenset({"DIGEST_MISMATCH"})


def on_event(state: State, event: on.Event, now: float) -> list[do.Action]:
    """Note `event` at `now` (seconds, monotonic); what to do about it, in order."""
    noted = _HANDLERS[type(event)](state, event, now)
    return [*noted, *advance(state, now)]


# Leases and sessions


def _lease_taken(state: State, event: on.LeaseTaken, now: float) -> list[do.Action]:
    if event.instance in state.leases:
        raise ValueError(f"{event.instance} is held already")
    slots = {asked.n: slot_of(asked, added=not asked.proven) for asked in event.slots}
    sessions = {name: Session(name, model, kept=True) for name, model in event.sessions.items()}
    held = Held(event.instance, event.tenant, event.epoch, slots, sessions, event.granted)
    state.leases[event.instance] = held
    held.published = state.seats(event.instance)
    return refuse_condemned(state, held, now)


def _lease_revoked(state: State, event: on.LeaseRevoked, now: float) -> list[do.Action]:
    held = state.leases.get(event.instance)
    if held is None or held.releasing:
        return []
    return end_lease(state, held, event.grace_s, now)


def _load_asked(state: State, event: on.LoadAsked, now: float) -> list[do.Action]:
    held = state.leases.get(event.instance)
    if held is None or held.releasing or state.stopping:
        gone = on.Failure("DRAINING", "the instance is leaving this host")
        return [do.RefuseSession(event.instance, event.session, gone)]
    held.sessions.setdefault(event.session, Session(event.session, event.model, kept=False))
    return refuse_condemned(state, held, now)


def _session_dropped(state: State, event: on.SessionDropped, now: float) -> list[do.Action]:
    held = state.leases.get(event.instance)
    if held is None or not held.sessions.pop(event.session, None):
        return []
    return unload(state, held, event.session)


# What workers say


def _ready(state: State, event: on.WorkerReady, now: float) -> list[do.Action]:
    worker = state.workers.get(event.worker)
    if not worker or not _moved(worker, WorkerEvent.READY):
        return _astray(state, worker, "it was ready at the wrong time", now)
    worker.level, worker.deadline = event.level, NEVER
    heard(worker, now)
    return []


def _bound(state: State, event: on.WorkerBound, now: float) -> list[do.Action]:
    worker = state.workers.get(event.worker)
    if not worker or not _moved(worker, WorkerEvent.BOUND):
        return _astray(state, worker, "it bound a port at the wrong time", now)
    held, slot = _place(state, worker)
    worker.deadline = NEVER
    heard(worker, now)
    if slot.port == event.port:
        return []
    slot.port = event.port
    return [do.RecordPort(worker.id, held.instance, slot.n, event.port)]


def _bind_failed(state: State, event: on.BindFailed, now: float) -> list[do.Action]:
    worker = state.workers.get(event.worker)
    if not worker or worker.state is not WorkerState.ADOPTING:
        return _astray(state, worker, "it failed to bind at the wrong time", now)
    _, slot = _place(state, worker)
    slot.port = 0
    return [kill(worker, f"it can't bind: {event.failure.message}")]


def _loaded(state: State, event: on.SessionLoaded, now: float) -> list[do.Action]:
    worker = state.workers.get(event.worker)
    if not worker or not _load_ended(state, worker, event.session, now):
        return _astray(state, worker, "it loaded what nobody asked for", now)
    held, _ = _place(state, worker)
    session = held.sessions.get(event.session)
    if session is None:  # dropped meanwhile
        return [do.Unload(worker.id, event.session)]
    worker.loaded.add(session.id)
    session.ends, session.signature, session.suspect_load = 0, event.signature, False
    return loaded(state, held.model_of(session))


def _runs(state: State, event: on.SessionRuns, now: float) -> list[do.Action]:
    worker = state.workers.get(event.worker)
    if worker is not None and event.session in worker.loaded:  # else it was dropped meanwhile
        worker.runs[event.session] = event.runs
    return []


def _load_refused(state: State, event: on.LoadRefused, now: float) -> list[do.Action]:
    worker = state.workers.get(event.worker)
    if not worker or not _load_ended(state, worker, event.session, now):
        return _astray(state, worker, "it refused what nobody asked for", now)
    held, slot = _place(state, worker)
    session = held.sessions.get(event.session)
    if event.failure.reason == "DEVICE_LOST" and slot.device in state.devices:
        return _lost_in_load(state, worker, held, slot, event.failure, now)
    if session and session.kept and event.failure.reason in _DISK_FAILED:
        return [kill(worker, f"its models can't be laid out: {event.failure.message}")]
    damaged = event.failure.reason in _FILES_DAMAGED
    alone = session is not None and (damaged or not _beside(held, session, slot))
    if session and session.kept and not slot.proven and alone:
        return slot_failed(state, held, slot, event.failure, now)
    clean = do.Unload(worker.id, event.session)
    if session is None:
        return [clean]
    if damaged:
        return [clean, *give_up(state, held, session, event.failure)]
    session.refused[slot.n] = event.failure
    return [clean]


def _beside(held: Held, session: Session, slot: Slot) -> bool:
    """Whether another slot that came with this one may have the session, as far as is known."""
    others = (s for s in held.slots.values() if s.added and not s.leaving and s.n != slot.n)
    return any(other.n not in session.refused for other in others)


def _lost_in_load(
    state: State, worker: Worker, held: Held, slot: Slot, failure: on.Failure, now: float
) -> list[do.Action]:
    """The device's failure, which says nothing of the session."""
    lost = on.WorkerLostDevice(worker.id, failure.message)
    accused = worker_lost_device(state, lost, now)
    return [*accused, *([] if slot.proven else slot_failed(state, held, slot, failure, now))]


def _load_ended(state: State, worker: Worker, session: str, now: float) -> bool:
    """Whether `worker` was loading `session`; if so, it isn't any more."""
    if worker.state not in LOADS or worker.loading != session or not session:
        return False
    worker.loading, worker.deadline = "", NEVER
    heard(worker, now)
    return True


def _beat(state: State, event: on.Beat, now: float) -> list[do.Action]:
    worker = state.workers.get(event.worker)
    if worker is not None:
        beat(worker, event.turns, now)
    return []


def _cpu_seen(state: State, event: on.CpuSeen, now: float) -> list[do.Action]:
    worker = state.workers.get(event.worker)
    return judged(state, worker, event, now) if worker else []


def _stuck(state: State, event: on.WorkerStuck, now: float) -> list[do.Action]:
    worker = state.workers.get(event.worker)
    return _astray(state, worker, STUCK, now)


def _overran(state: State, event: on.WorkerOverran, now: float) -> list[do.Action]:
    return _astray(state, state.workers.get(event.worker), OVERRAN, now)


def _answered(state: State, event: on.RunsAnswered, now: float) -> list[do.Action]:
    worker = state.workers.get(event.worker)
    if worker is None or worker.seat is None:
        return []
    held, _ = _place(state, worker)
    return answered(state, held, event.sessions)


def _gone_astray(state: State, event: on.WorkerAstray, now: float) -> list[do.Action]:
    return _astray(state, state.workers.get(event.worker), event.why, now)


def _astray(state: State, worker: Worker | None, why: str, now: float) -> list[do.Action]:
    """End a worker that breaks the protocol: it runs strangers' models, so it isn't trusted.

    What one says that is on its way out is of no interest any more.
    """
    if worker is None or worker.state is WorkerState.DRAINING:
        return []
    return [kill(worker, why)]


# Ends


def _exited(state: State, event: on.WorkerExited, now: float) -> list[do.Action]:
    worker = state.workers.pop(event.worker, None)
    if worker is None:
        return []
    worker.state = WORKER_TABLE.after(worker.state, WorkerEvent.EXIT)
    if worker.checks:
        return check_ended(state, worker, event, now)
    lived_s = now - worker.since
    if worker.seat is None:
        state.spawning = state.spawning.after(lived_s)
        state.spawn_at = now + state.spawning.wait_s
        return []
    held, slot = _place(state, worker)
    slot.worker, slot.backoff = 0, slot.backoff.after(lived_s)
    for session in held.sessions.values():
        session.refused.pop(slot.n, None)  # the next one is asked anew
    slot.retry_at = now + slot.backoff.wait_s
    distrust_runtimes(held, worker, event)
    if slot.proven:
        found = note_death(state, held, worker, event, now)
    else:
        found = answered(state, held, event.answered)
        found += note_device(state, held, slot, worker, event)
    found += slot_ended(state, held, slot, worker, event, now)
    return [*found, *_give_up_grant(state, held, slot, event, now)]


def _model_killed(state: State, event: on.ModelKilled, now: float) -> list[do.Action]:
    return killed_by(state, Model(event.tenant, event.model), event.stage, event.how, now)


def _give_up_grant(
    state: State, held: Held, slot: Slot, event: on.WorkerExited, now: float
) -> list[do.Action]:
    held.attempts += 1
    if held.granted or held.releasing or held.attempts < state.limits.grant_attempts:
        return []
    text = f"{held.attempts} workers ended before they served, the last one was number {slot.n}"
    held.failure = on.Failure("PROCESS_FAILED", text, how_it_ended(event))
    return end_lease(state, held, 0.0, now)


def _shutdown(state: State, event: on.ShutdownAsked, now: float) -> list[do.Action]:
    state.stopping = True
    leaving = on.Failure("DRAINING", "the listener is going down")
    refused = [a for held in state.leases.values() for a in refuse_pending(held, leaving)]
    workers = list(state.workers.values())
    return refused + [a for w in workers for a in leave(state, w, event.grace_s, now)]


def _tick(state: State, event: on.Tick, now: float) -> list[do.Action]:
    return [a for worker in state.workers.values() for a in _overdue(state, worker, now)]


def _overdue(state: State, worker: Worker, now: float) -> list[do.Action]:
    if worker.state is WorkerState.CHECKING and now >= worker.deadline:
        return check_late(state, worker, now)
    return overdue(state, worker, now)


# Helpers of the handlers


def _place(state: State, worker: Worker) -> tuple[Held, Slot]:
    assert worker.seat is not None
    held = state.leases[worker.seat[0]]
    return held, held.slots[worker.seat[1]]


def _moved(worker: Worker, event: WorkerEvent) -> bool:
    if not WORKER_TABLE.allows(worker.state, event):
        return False
    worker.state = WORKER_TABLE.after(worker.state, event)
    return True


_HANDLERS: dict[type, Callable[[State, Any, float], list[do.Action]]] = {
    on.LeaseTaken: _lease_taken,
    on.LeaseRevoked: _lease_revoked,
    on.SlotsAdded: slots_added,
    on.SlotRevoked: slot_revoked,
    on.LoadAsked: _load_asked,
    on.SessionDropped: _session_dropped,
    on.WorkerReady: _ready,
    on.WorkerBound: _bound,
    on.BindFailed: _bind_failed,
    on.SessionLoaded: _loaded,
    on.SessionRuns: _runs,
    on.LoadRefused: _load_refused,
    on.Beat: _beat,
    on.CpuSeen: _cpu_seen,
    on.WorkerOverran: _overran,
    on.WorkerStuck: _stuck,
    on.WorkerLostDevice: worker_lost_device,
    on.DeviceFailed: device_failed,
    on.CheckAsked: check_asked,
    on.Checked: checked,
    on.HostedChecked: hosted_checked,
    on.WorkerAstray: _gone_astray,
    on.RunsAnswered: _answered,
    on.WorkerExited: _exited,
    on.ModelKilled: _model_killed,
    on.ShutdownAsked: _shutdown,
    on.Tick: _tick,
}
