"""Workers that take too long, and workers that say nothing. (Brain)

Two questions, with a time each. A step of a worker's life (to start, to bind, to load, to end)
has to come to its end by `Worker.deadline`, however much it says meanwhile. And from when it is
ready until it is told to end a worker speaks four times a second, whatever it does; if it
doesn't, it is frozen, and nothing that it was given comes to an end: `State.silent_at`.

Or it had no CPU. A silent worker gets a second look, and is killed then unless one of its threads
(that of the event loop, if that is what stands still) has waited for a CPU since the first. But
what is hung and computes waits too on a busy machine: one that had a CPU for half of the time
for which it may be silent had its chance to speak.
"""

from __future__ import annotations

from typing import Final

from eais_server.supervision import actions as do
from eais_server.supervision.blame import LOAD_TIMEOUT, SILENT, STANDS, STARVED
from eais_server.supervision.events import CpuSeen
from eais_server.supervision.held import NEVER, Worker
from eais_server.supervision.leaving import kill
from eais_server.supervision.life import WorkerState
from eais_server.supervision.state import State

_LATE: Final = {
    WorkerState.SPAWNING: "it took too long to start",
    WorkerState.ADOPTING: "it took too long to bind its port",
    WorkerState.DRAINING: "its grace is over",
}


def heard(worker: Worker, now: float) -> None:
    """The worker showed that it isn't frozen."""
    worker.heard_at, worker.second_look_at, worker.asked = now, NEVER, False


def beat(worker: Worker, turns: int, now: float) -> None:
    """It speaks; its event loop came round `turns` times so far.

    That alone proves nothing: it comes from a thread that nothing stops.
    """
    worker.stands, worker.turns = turns == worker.turns, turns
    if not worker.stands:
        heard(worker, now)


def overdue(state: State, worker: Worker, now: float) -> list[do.Action]:
    """What to do about a worker for what it didn't do or say in time.

    A silent one gets a second look: this process or the machine may have stood still. Then
    what the worker said waits to be read, or it had no chance to speak.
    """
    if now >= worker.deadline:
        return [kill(worker, _LATE.get(worker.state, LOAD_TIMEOUT))]
    if now < state.silent_at(worker):
        return []
    first = worker.second_look_at == NEVER
    worker.second_look_at = now + state.limits.second_look_s
    if first:
        return [do.WatchCpu(worker.id)]
    asked, worker.asked = worker.asked, True
    return [] if asked else [do.AskCpu(worker.id)]


def judged(state: State, worker: Worker, seen: CpuSeen, now: float) -> list[do.Action]:
    """What to do about a worker that is silent at its second look, or a later one."""
    if not worker.asked or state.silent_at(worker) == NEVER:
        return []  # it spoke meanwhile, or is to go
    worker.asked = False
    patience_s = state.patience_s(worker)
    if not _starved(worker, seen, patience_s):
        return [kill(worker, STANDS if worker.stands else SILENT)]
    if now >= worker.heard_at + state.limits.starved_times * patience_s:
        return [kill(worker, STARVED)]
    return []


def _starved(worker: Worker, seen: CpuSeen, patience_s: float) -> bool:
    """Whether it, or this process that is to hear it, waited for a CPU most of the time."""
    its = seen.loop if worker.stands else seen.most
    waited_s = max(its.waited_s, seen.listener_waited_s)
    return waited_s > seen.over_s / 2 and its.ran_s < patience_s / 2
