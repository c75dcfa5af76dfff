"""What the supervision of workers is told. (Brain)

`worker` is the listener's own number of a process, from 1, never used twice.
Times are seconds of the caller's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a load or a grant failed: a word of `eais.errors.REASONS` and its text."""

    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SlotAsked:
    """One worker that a lease wants: its number, and where it was bound before.

    `port` is 0 when it never was; `incarnation` is that of its last worker, 0 for none.
    `proven`: a worker of it has served, or it came with the lease. `device`: of which it is a
    share; "" is one that nobody watches.
    """

    n: int
    port: int = 0
    incarnation: int = 0
    proven: bool = True
    device: str = ""


@dataclass(frozen=True, slots=True)
class LeaseTaken:
    """A lease is held here (and durable), with the sessions that its workers must load.

    `sessions` maps each to the digest of its model. `granted` is whether that was answered
    before (a listener that came back).
    """

    instance: str
    tenant: str
    epoch: int
    slots: tuple[SlotAsked, ...]
    sessions: Mapping[str, str] = field(default_factory=dict)
    granted: bool = False


@dataclass(frozen=True, slots=True)
class LeaseRevoked:
    """The lease is to end: calls in flight have `grace_s` to finish."""

    instance: str
    grace_s: float


@dataclass(frozen=True, slots=True)
class SlotsAdded:
    """The lease has more shares now (that is durable): each wants a worker."""

    instance: str
    slots: tuple[SlotAsked, ...]


@dataclass(frozen=True, slots=True)
class SlotRevoked:
    """One share is to be given back: its worker's calls in flight have `grace_s` to finish."""

    instance: str
    n: int
    grace_s: float


@dataclass(frozen=True, slots=True)
class LoadAsked:
    """Somebody opens a session that the instance doesn't have yet; `model`: the digest."""

    instance: str
    session: str
    model: str


@dataclass(frozen=True, slots=True)
class SessionDropped:
    """The session is held by nobody: its spec is gone, workers are to forget it."""

    instance: str
    session: str


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The worker is confined to `level`, has its libraries, and waits to be adopted."""

    worker: int
    level: int


@dataclass(frozen=True, slots=True)
class WorkerBound:
    """The adopted worker has its port."""

    worker: int
    port: int


@dataclass(frozen=True, slots=True)
class BindFailed:
    """The adopted worker couldn't have the port (or the address) that it was given."""

    worker: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class SessionLoaded:
    """The worker has the session; `signature` is as it came, not looked into."""

    worker: int
    session: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Runs:
    """What runs a session in a worker. `unused`: other runtimes, and why each isn't used."""

    runtime: str
    unused: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SessionRuns:
    """The worker, which has the session, says what runs it there."""

    worker: int
    session: str
    runs: Runs


@dataclass(frozen=True, slots=True)
class LoadRefused:
    """The worker (or the store, before it) can't load the session, and lives on."""

    worker: int
    session: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class Beat:
    """The worker speaks; its event loop came round `turns` times so far."""

    worker: int
    turns: int


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Seconds that a thread was ready to run and had no CPU, and those that it had one."""

    waited_s: float = 0.0
    ran_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CpuSeen:
    """What CPU time the silent worker got in `over_s` seconds; all 0 if that can't be told.

    `loop`: of the thread of its event loop. `most`: the longest wait and the longest run of any
    of its threads. `listener_waited_s`: what this process waited itself. Nobody waits in a worker
    that somebody has stopped.
    """

    worker: int
    over_s: float = 0.0
    loop: CpuTime = CpuTime()
    most: CpuTime = CpuTime()
    listener_waited_s: float = 0.0

    @classmethod
    def starved(cls, worker: int) -> CpuSeen:
        """It could not run: it was stopped, for it owes others their turns."""
        none = CpuTime(waited_s=1.0)
        return cls(worker, 1.0, none, none)


@dataclass(frozen=True, slots=True)
class WorkerOverran:
    """The worker used a shared device for too long out of its turn; it is killed already."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerStuck:
    """A call of the worker's doesn't end, whatever it was told."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerLostDevice:
    """The worker says that its device failed; it answers nothing more."""

    worker: int
    why: str


@dataclass(frozen=True, slots=True)
class DeviceFailed:
    """A device failed where no worker was asked, as its driver said."""

    device: str
    why: str


@dataclass(frozen=True, slots=True)
class CheckAsked:
    """An operator wants a device checked."""

    device: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The worker that makes a check has its answer; `why` that is wrong, "" if it isn't."""

    worker: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class HostedChecked:
    """The process that serves a device was looked at; `why` it is of no use, "" if it is.

    `anew`: it had ended, and another one is there: workers have nothing of that.
    """

    device: str
    why: str = ""
    anew: bool = False


@dataclass(frozen=True, slots=True)
class WorkerAstray:
    """The worker said what it may not say, or its socket broke."""

    worker: int
    why: str


@dataclass(frozen=True, slots=True)
class RunsAnswered:
    """Since it was last looked at, runs of these sessions gave outputs in the worker."""

    worker: int
    sessions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkerExited:
    """The worker's exit was seen: `signal` that ended it (0: none), else its exit code.

    `loading` and `running`: the sessions that it says were in flight. `answered`: as
    `RunsAnswered`. `out_of_memory`: the kernel killed for want of memory at that time.
    `stopped`: when it was killed here, somebody had stopped it (SIGSTOP, a debugger). `why`
    says, for the log, what is known beyond that.
    """

    worker: int
    signal: int = 0
    code: int = 0
    why: str = ""
    loading: str = ""
    running: tuple[str, ...] = ()
    answered: tuple[str, ...] = ()
    out_of_memory: bool = False
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class ModelKilled:
    """A model killed a worker that measured it: `stage` is what that did, `how` it died."""

    tenant: str
    model: str
    stage: Literal["load", "run"]
    how: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ShutdownAsked:
    """The listener ends: everything drains, nothing is started any more."""

    grace_s: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = (
    LeaseTaken
    | LeaseRevoked
    | SlotsAdded
    | SlotRevoked
    | LoadAsked
    | SessionDropped
    | WorkerReady
    | WorkerBound
    | BindFailed
    | SessionLoaded
    | SessionRuns
    | LoadRefused
    | Beat
    | CpuSeen
    | WorkerOverran
    | WorkerStuck
    | WorkerLostDevice
    | DeviceFailed
    | CheckAsked
    | Checked
    | HostedChecked
    | WorkerAstray
    | RunsAnswered
    | WorkerExited
    | ModelKilled
    | ShutdownAsked
    | Tick
)
