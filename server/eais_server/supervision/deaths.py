"""What follows from a worker's death, and from runs and loads that end well. (Brain)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from eais_server.supervision import actions as do
from eais_server.supervision.accusing import doubted
from eais_server.supervision.blame import (
    LOAD_TIMEOUT,
    Blame,
    blame,
    crashed,
    from_outside,
    how_it_ended,
    too_late,
)
from eais_server.supervision.device import Doubt
from eais_server.supervision.events import Failure, WorkerExited
from eais_server.supervision.giving_up import give_up, unload
from eais_server.supervision.held import Held, Session, Slot, Worker
from eais_server.supervision.quarantine import Model, Stage
from eais_server.supervision.state import State

_MAY_BE_THE_DEVICE: Final = frozenset({"hang", "load_timeout"})


def note_death(
    state: State, held: Held, worker: Worker, event: WorkerExited, now: float
) -> list[do.Action]:
    """Count it against whose doing it was; those that may have done it are suspects."""
    found = answered(state, held, event.answered)
    loading = held.sessions.get(worker.loading)
    verdict = blame(held, worker, event)
    for session in verdict.running:
        session.suspect_run = True
    for session in verdict.loading:
        session.suspect_load = True
    found += _judged(state, held, worker, verdict, now)
    if loading and held.sessions.get(loading.id) is loading:
        found += _load_failed(state, held, loading, worker, event, verdict)
    return found


def distrust_runtimes(held: Held, worker: Worker, event: WorkerExited) -> None:
    """Have what was in flight keep to the reference, if the death was a model's doing.

    A worker tries other runtimes while it serves, when nobody waits for a load of it: such a
    trial is in flight as a load, too, and counts against no model.
    """
    if blame(held, worker, event).how:
        for name in (event.loading, *event.running):
            if name in held.sessions:
                held.sessions[name].reference_only = True


def answered(state: State, held: Held, sessions: Iterable[str]) -> list[do.Action]:
    """Runs of these sessions gave outputs: they did nothing, this time."""
    changed = False
    for session in [held.sessions[name] for name in sessions if name in held.sessions]:
        session.answered, session.suspect_run = True, False
        changed |= state.quarantine.ran(held.model_of(session))
    return _keep(state) if changed else []


def loaded(state: State, model: Model) -> list[do.Action]:
    """The model was loaded."""
    return _keep(state) if state.quarantine.loaded(model) else []


def refuse_condemned(state: State, held: Held, now: float) -> list[do.Action]:
    """Give the lease's sessions up whose models are quarantined."""
    found: list[do.Action] = []
    for session in list(held.sessions.values()):
        failure = state.quarantine.refusal(held.model_of(session), now)
        if failure:
            found += unload(state, held, session.id, failure)
            found += give_up(state, held, session, failure)
    return found


def _judged(
    state: State, held: Held, worker: Worker, verdict: Blame, now: float
) -> list[do.Action]:
    """Count it at once; a hang on a device that is watched may be that one's, which is checked."""
    assert worker.seat is not None
    slot = held.slots[worker.seat[1]]
    if slot.device not in state.devices or not _may_be_the_device(verdict):
        return count(state, held, verdict, now)
    doubt = Doubt(held, verdict) if verdict.guilty else None
    return doubted(state, slot.device, _hung(worker), doubt)


def note_device(
    state: State, held: Held, slot: Slot, worker: Worker, event: WorkerExited
) -> list[do.Action]:
    """A death on a share that never served counts against no model; its device is checked."""
    if not _may_be_the_device(blame(held, worker, event)):
        return []
    return doubted(state, slot.device, _hung(worker), None)


def _may_be_the_device(verdict: Blame) -> bool:
    return (verdict.how or {}).get("cause") in _MAY_BE_THE_DEVICE


def _hung(worker: Worker) -> str:
    return f"a worker hung on it ({worker.killed})"


def count(state: State, held: Held, verdict: Blame, now: float) -> list[do.Action]:
    """Count the death, if it was a model's doing; once that is condemned, no instance of the
    tenant keeps it.
    """
    guilty = verdict.guilty
    if guilty is None:
        return []
    guilty.suspect_run |= verdict.stage == "run"
    return killed_by(state, held.model_of(guilty), verdict.stage, verdict.how or {}, now)


def killed_by(
    state: State, model: Model, stage: Stage, how: Mapping[str, str], now: float
) -> list[do.Action]:
    """A model killed a worker; once it is condemned, no instance of the tenant keeps it."""
    state.quarantine.died(model, stage, how, now)
    found = _keep(state)
    if not state.quarantine.condemned(model):
        return found
    for theirs in state.leases.values():
        if theirs.tenant == model.tenant:
            found += refuse_condemned(state, theirs, now)
    return found


def _load_failed(
    state: State,
    held: Held,
    session: Session,
    worker: Worker,
    event: WorkerExited,
    verdict: Blame,
) -> list[do.Action]:
    """What the end of its worker means for the session that it was loading."""
    if worker.killed == LOAD_TIMEOUT and not session.kept:
        return give_up(state, held, session, too_late(state.limits.load_timeout_s))
    if verdict.guilty is session and not session.kept:
        return give_up(state, held, session, crashed(verdict.how or {}))
    if worker.killed != LOAD_TIMEOUT and (worker.killed or from_outside(event)):
        return []
    session.ends += 1
    if session.ends < state.limits.load_attempts:
        return []
    how = how_it_ended(event)
    text = f"{session.ends} workers in a row ended while they loaded the model"
    return give_up(state, held, session, Failure("PROCESS_FAILED", text, {"stage": "load", **how}))


def _keep(state: State) -> list[do.Action]:
    return [do.KeepQuarantine(state.quarantine.records())]
