"""How a worker is told to go. (Brain)"""

from __future__ import annotations

from eais_server.supervision import actions as do
from eais_server.supervision.held import NEVER, Worker
from eais_server.supervision.life import WORKER_TABLE, WorkerEvent, WorkerState
from eais_server.supervision.state import State


def kill(worker: Worker, why: str) -> do.Action:
    """End a worker that isn't being killed yet; its exit is still to be seen."""
    if worker.state is not WorkerState.DRAINING:
        worker.state = WORKER_TABLE.after(worker.state, WorkerEvent.DRAIN)
    worker.killed, worker.deadline = why, NEVER
    return do.Kill(worker.id, why)


def leave(state: State, worker: Worker, grace_s: float, now: float) -> list[do.Action]:
    """Ask a worker that serves to finish; end any other at once."""
    if worker.state is not WorkerState.SERVING or grace_s <= 0:
        return [] if worker.killed else [kill(worker, "it isn't needed any more")]
    worker.state = WORKER_TABLE.after(worker.state, WorkerEvent.DRAIN)
    worker.deadline = now + grace_s + state.limits.exit_margin_s
    worker.killed = "it was asked to finish"
    return [do.Drain(worker.id, grace_s)]
