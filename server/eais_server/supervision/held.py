"""Leases that are held here, as supervision knows them: slots, sessions, processes. (Brain)"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from eais_server.supervision.events import Failure, Runs
from eais_server.supervision.life import WorkerState
from eais_server.supervision.quarantine import Model
from eais_server.supervision.restart_count import RestartCount

NEVER: Final = math.inf


@dataclass(frozen=True, slots=True)
class Suspect:
    """A session whose calls run alone; they wait `hold_s` before the first of them runs."""

    session: str
    hold_s: float


@dataclass(slots=True)
class Worker:
    """One process. `seat` is (instance, n) once it is adopted; `checks`: the device that it is to
    check instead.

    `since` it was spawned or, later, adopted. `killed` says why it is to go; "" if it isn't.
    `deadline`: of the step that it is at, NEVER for none; it is killed then.
    `heard_at`: its last sign of life; see `State.silent_at`. `second_look_at`: it was silent for
    too long, and is looked at once more then; NEVER if it wasn't. `asked`: what CPU time it got
    since was asked for, and not told yet.
    `suspects`: those that it was told last.
    `runs`: what runs those that it has `loaded`, for people.
    `turns` of its event loop that it told of last; `stands`: it told of no more since.
    """

    id: int
    since: float
    deadline: float
    state: WorkerState = WorkerState.SPAWNING
    seat: tuple[str, int] | None = None
    checks: str = ""
    level: int = 0
    incarnation: int = 0
    killed: str = ""
    loading: str = ""
    heard_at: float = NEVER
    second_look_at: float = NEVER
    asked: bool = False
    turns: int = -1
    stands: bool = False
    loaded: set[str] = field(default_factory=set)
    runs: dict[str, Runs] = field(default_factory=dict)
    suspects: tuple[Suspect, ...] = ()


@dataclass(slots=True)
class Slot:
    """A lease's place for one worker. `port` is 0 until one was bound.

    `incarnation` and `level` are those of the worker that was adopted last. `proven`: a worker
    of it has served, or it came with the lease; `attempts`: workers that ended before that.
    `leaving`: its worker is the last. `added`: it came to others, which are still here.
    `device`: of which it is a share.
    """

    n: int
    port: int = 0
    incarnation: int = 0
    level: int = 0
    worker: int = 0
    backoff: RestartCount = field(default_factory=RestartCount)
    retry_at: float = 0.0
    proven: bool = True
    attempts: int = 0
    leaving: bool = False
    added: bool = False
    device: str = ""


@dataclass(slots=True)
class Session:
    """A session of an instance; `kept` once it was loaded and its spec is (made) durable.

    Attributes:
        model: the digest of its model.
        ends: of workers that were loading it, without a load in between; kills from outside
            don't count.
        answered: whether a run of it ever gave outputs here.
        suspect_load, suspect_run: it was loading, or running, beside others when a worker died
            of one of them.
        refused: why, by the number of each slot whose worker can't load it. It is open as long
            as another one can.
        reference_only: it was loading, running or being tried on another runtime when a worker
            died of such: what may have been that runtime's doing isn't risked again.
    """

    id: str
    model: str
    kept: bool
    signature: bytes = b""
    ends: int = 0
    answered: bool = False
    suspect_load: bool = False
    suspect_run: bool = False
    reference_only: bool = False
    refused: dict[int, Failure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeatView:
    """What is published of a worker."""

    n: int
    port: int
    incarnation: int
    level: int
    serving: bool


@dataclass(slots=True)
class Held:
    """A lease that is held here. `attempts`: workers that ended before it was granted."""

    instance: str
    tenant: str
    epoch: int
    slots: dict[int, Slot]
    sessions: dict[str, Session]
    granted: bool
    attempts: int = 0
    releasing: bool = False
    failure: Failure | None = None
    published: tuple[SeatView, ...] = ()

    def wanted(self, n: int) -> Iterator[Session]:
        """What a worker of slot `n` is to have: all that it didn't refuse."""
        return (session for session in self.sessions.values() if n not in session.refused)

    def model_of(self, session: Session) -> Model:
        """Whom deaths by that session count against."""
        return Model(self.tenant, session.model)
