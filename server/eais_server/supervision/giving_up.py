"""How a session ends that can't be had: taken from the workers, and told to who waits. (Brain)"""

from __future__ import annotations

from typing import Final

from eais_server.supervision import actions as do
from eais_server.supervision.events import Failure
from eais_server.supervision.held import Held, Session
from eais_server.supervision.life import WorkerState
from eais_server.supervision.state import State

LOADS: Final = (WorkerState.LOADING, WorkerState.SERVING)
"""The states in which a worker may be given sessions."""


def give_up(state: State, held: Held, session: Session, failure: Failure) -> list[do.Action]:
    """Forget the session if it was kept, else refuse to open it."""
    del held.sessions[session.id]
    kind = do.ForgetSession if session.kept else do.RefuseSession
    return [*unload(state, held, session.id), kind(held.instance, session.id, failure)]


def unload(
    state: State, held: Held, session: str, failure: Failure | None = None
) -> list[do.Action]:
    """Have all workers forget the session; its calls are finished, or end with `failure`."""
    having = [worker for worker in state.of(held) if session in worker.loaded]
    for worker in having:
        worker.loaded.discard(session)
        worker.runs.pop(session, None)
    return [do.Unload(w.id, session, failure) for w in having if w.state in LOADS]
