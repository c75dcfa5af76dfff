"""Workers that take too long, and workers that say nothing. (Brain)

Two questions, with a time each. A step of a worker's life (to start, to bind, to load, to end)
has to come to its end by `Worker.deadline`, however much it says meanwhile. And from when it is
ready until it is told to end a worker speaks four times a second, whatever it does; if it
doesn't, it is frozen, and nothing that it was given comes to an end: `State.silent_at`.
"""

from __future__ import annotations

from typing import Final

from eais_server.supervision.blame import LOAD_TIMEOUT, SILENT, STANDS
from eais_server.supervision.life import WorkerState
from eais_server.supervision.state import NEVER, State, Worker

_LATE: Final = {
    WorkerState.SPAWNING: "it took too long to start",
    WorkerState.ADOPTING: "it took too long to bind its port",
    WorkerState.DRAINING: "its grace is over",
}


def heard(worker: Worker, now: float) -> None:
    """The worker showed that it isn't frozen."""
    worker.heard_at, worker.second_look_at = now, NEVER


def beat(worker: Worker, turns: int, now: float) -> None:
    """It speaks; its event loop came round `turns` times so far.

    That alone proves nothing: it comes from a thread that nothing stops.
    """
    worker.stands, worker.turns = turns == worker.turns, turns
    if not worker.stands:
        heard(worker, now)


def overdue(state: State, worker: Worker, now: float) -> str:
    """Why the worker has to be killed for what it didn't do or say in time; "" if it hasn't.

    A silent one gets a second look: this process or the machine may have stood still. Then
    what the worker said waits to be read, or it had no chance to speak.
    """
    if now >= worker.deadline:
        return _LATE.get(worker.state, LOAD_TIMEOUT)
    if now < state.silent_at(worker):
        return ""
    if worker.second_look_at == NEVER:
        worker.second_look_at = now + state.limits.second_look_s
        return ""
    return STANDS if worker.stands else SILENT
