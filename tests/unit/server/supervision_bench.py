"""The supervision's brain on a bench: a clock that the test moves, and what it asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from signal import Signals
from typing import Any

from eais_server.supervision import Limits, State, WorkerState, on_event
from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from eais_server.supervision.held import Worker
from eais_server.supervision.quarantine import Model

EI, TENANT = "ei-1", "acme"
A = Model(TENANT, "model-a")
IDLE = on.CpuSeen(0, over_s=0.4)
SEGV, KILL = Signals.SIGSEGV, Signals.SIGKILL


def models(*sessions: str) -> dict[str, str]:
    """Each session's model."""
    return {session: f"model-{session}" for session in sessions}


@dataclass
class Bench:
    """The brain under a clock that the test moves; what it asked for waits in `said`.

    `cpu`: what it is told of a silent worker's threads when it asks; their machine has idle CPUs
    unless the test says otherwise. Neither is what a test is given of what was asked for.
    """

    state: State = field(default_factory=lambda: State(Limits()))
    now: float = 1000.0
    said: list[do.Action] = field(default_factory=list)
    cpu: on.CpuSeen = IDLE

    def tell(self, *events: on.Event) -> list[do.Action]:
        found = [action for event in events for action in on_event(self.state, event, self.now)]
        self.said += found
        self.state.validate()
        answers = [replace(self.cpu, worker=a.worker) for a in found if isinstance(a, do.AskCpu)]
        rest: list[do.Action] = [a for a in found if not isinstance(a, do.AskCpu | do.WatchCpu)]
        return [*rest, *self.tell(*answers)] if answers else rest

    def after(self, seconds: float) -> list[do.Action]:
        """Time passes; nobody was silent."""
        self.now += seconds
        return self.tell(*(on.Beat(w.id, w.turns + 1) for w in self.speaking()), on.Tick())

    def silence(self, seconds: float) -> list[do.Action]:
        """Time passes, and nobody says anything."""
        self.now += seconds
        return self.tell(on.Tick())

    def speaking(self) -> list[Worker]:
        """Those that are ready and not told to end."""
        mute = (WorkerState.SPAWNING, WorkerState.DRAINING)
        return [worker for worker in self.state.workers.values() if worker.state not in mute]

    def last(self, kind: type[do.Action]) -> do.Action:
        return [action for action in self.said if isinstance(action, kind)][-1]

    def spare(self) -> int:
        """A worker that waits to be adopted: the last one that was spawned is ready now."""
        for worker in self.state.workers.values():
            if worker.state is WorkerState.SPARE:
                return worker.id
        spawned = self.last(do.Spawn)
        assert isinstance(spawned, do.Spawn)
        self.tell(on.WorkerReady(spawned.worker, 2))
        return spawned.worker

    def serving(self, *sessions: str, slots: Iterable[int] = (1,)) -> list[int]:
        """A lease whose workers serve; their numbers."""
        self.tell(on.Tick())
        self.spare()
        asked = tuple(on.SlotAsked(n) for n in slots)
        self.tell(on.LeaseTaken(EI, TENANT, 7, asked, models(*sessions)))
        return [self.bring_up() for _ in slots]

    def bring_up(self) -> int:
        """The worker that was adopted last gets its port and all that it is to load."""
        waiting = [w for w in self.state.workers.values() if w.state is WorkerState.ADOPTING]
        if not waiting:
            self.spare()
            waiting = [w for w in self.state.workers.values() if w.state is WorkerState.ADOPTING]
        worker = waiting[0]
        self.tell(on.WorkerBound(worker.id, 4000 + worker.id))
        while worker.loading:
            self.tell(on.SessionLoaded(worker.id, worker.loading, b"signature"))
        return worker.id


def seated(bench: Bench) -> int:
    """A worker that serves, whatever happened before; its number."""
    for worker in bench.state.workers.values():
        if worker.seat and worker.state is WorkerState.SERVING:
            return worker.id
    bench.after(6.0)
    return bench.bring_up()


def dies(bench: Bench, worker: int, signal: int = SEGV, **seen: Any) -> list[do.Action]:
    """The worker's exit; `seen` are fields of WorkerExited."""
    return bench.tell(replace(on.WorkerExited(worker, signal), **seen))


def run_dies(bench: Bench, *running: str, signal: int = SEGV, **seen: Any) -> list[do.Action]:
    return dies(bench, seated(bench), signal, running=running, **seen)


def load_dies(bench: Bench, signal: int = SEGV, **seen: Any) -> list[do.Action]:
    """Session a is opened, and its load is the worker's end."""
    worker = seated(bench)
    bench.tell(on.LoadAsked(EI, "a", "model-a"))
    return dies(bench, worker, signal, loading="a", **seen)


def deaths(bench: Bench, model: Model = A) -> int:
    return bench.state.quarantine.deaths(model)


def failure(actions: list[do.Action], kind: type[do.Action]) -> on.Failure:
    """That of the one action of `kind`."""
    (found,) = (action for action in actions if isinstance(action, kind))
    assert isinstance(found, do.RefuseSession | do.ForgetSession)
    return found.failure


def open_sessions(bench: Bench) -> list[str]:
    return list(bench.state.leases[EI].sessions)


def seated_loading(bench: Bench) -> int:
    """A worker that is loading a."""
    bench.after(6.0)
    for worker in bench.state.workers.values():
        if worker.loading:
            return worker.id
    bench.spare()
    (worker,) = (w for w in bench.state.workers.values() if w.state is WorkerState.ADOPTING)
    bench.tell(on.WorkerBound(worker.id, 4000))
    assert worker.loading == "a"
    return worker.id
