"""The supervision's brain on a bench: a clock that the test moves, and what it asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from eais_server.supervision import Limits, State, WorkerState, on_event
from eais_server.supervision import actions as do
from eais_server.supervision import events as on

EI, TENANT = "ei-1", "acme"


def models(*sessions: str) -> dict[str, str]:
    """Each session's model."""
    return {session: f"model-{session}" for session in sessions}


@dataclass
class Bench:
    """The brain under a clock that the test moves; what it asked for waits in `said`."""

    state: State = field(default_factory=lambda: State(Limits()))
    now: float = 1000.0
    said: list[do.Action] = field(default_factory=list)

    def tell(self, *events: on.Event) -> list[do.Action]:
        found = [action for event in events for action in on_event(self.state, event, self.now)]
        self.said += found
        self.state.validate()
        return found

    def after(self, seconds: float) -> list[do.Action]:
        self.now += seconds
        return self.tell(on.Tick())

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
