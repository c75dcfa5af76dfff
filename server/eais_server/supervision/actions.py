"""What the supervision of workers asks for. (Brain)

The shell does them in the order in which they were given, each before the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from eais_server.supervision.events import Failure
from eais_server.supervision.held import Suspect
from eais_server.supervision.quarantine import Record


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a process that becomes a spare."""

    worker: int


@dataclass(frozen=True, slots=True)
class Adopt:
    """Give the spare to worker `n` of the instance, after its incarnation is durable."""

    worker: int
    instance: str
    n: int
    incarnation: int
    port: int


@dataclass(frozen=True, slots=True)
class RecordPort:
    """Make the port that worker `n` has bound part of the durable lease."""

    worker: int
    instance: str
    n: int
    port: int


@dataclass(frozen=True, slots=True)
class Load:
    """Link the session's files where the worker sees them, and tell it to load them."""

    worker: int
    instance: str
    session: str


@dataclass(frozen=True, slots=True)
class Unload:
    """Tell the worker to forget the session, and take the files away.

    `failure`: what its calls end with that wait or run; None: they are finished.
    """

    worker: int
    session: str
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class NameSuspects:
    """Tell the worker whose calls run one at a time, alone; the most trusted first."""

    worker: int
    suspects: tuple[Suspect, ...]


@dataclass(frozen=True, slots=True)
class Serve:
    """Tell the worker to answer calls."""

    worker: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Tell the worker to finish within `grace_s`, then exit."""

    worker: int
    grace_s: float


@dataclass(frozen=True, slots=True)
class WatchCpu:
    """The worker is silent: note what CPU time its threads have had so far."""

    worker: int


@dataclass(frozen=True, slots=True)
class AskCpu:
    """It still is: tell what CPU time they got since, as `CpuSeen`."""

    worker: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End the process; its exit is still to be seen. `why` is for the log."""

    worker: int
    why: str


@dataclass(frozen=True, slots=True)
class Check:
    """Have the spare run the known model on the device, and say what came of it."""

    worker: int
    device: str


@dataclass(frozen=True, slots=True)
class CheckHosted:
    """See whether the process serves that a device is served by; start it again if it is dead."""

    device: str


@dataclass(frozen=True, slots=True)
class KeepHealth:
    """Make durable what is thought of the device, then tell the pool."""

    device: str


@dataclass(frozen=True, slots=True)
class KeepQuarantine:
    """Make durable which models killed workers, before anything that follows is said."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class KeepSession:
    """The opened session is loaded: make its spec durable, then answer who asked."""

    instance: str
    session: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class RefuseSession:
    """The session can't be opened: answer who asked. Its spec isn't kept."""

    instance: str
    session: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class ForgetSession:
    """A kept session can't be loaded again: its spec goes."""

    instance: str
    session: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class AnswerGranted:
    """All workers of the lease serve for the first time: the grant is done."""

    instance: str


@dataclass(frozen=True, slots=True)
class Publish:
    """The instance's workers aren't what was last published."""

    instance: str


@dataclass(frozen=True, slots=True)
class SlotProven:
    """A worker of an added share serves for the first time: make that durable."""

    instance: str
    n: int


@dataclass(frozen=True, slots=True)
class SlotFailed:
    """An added share can't be served; it is on its way out. Sessions are as they were."""

    instance: str
    n: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class SlotGone:
    """No process has the share any more: forget it durably, then say so."""

    instance: str
    n: int


@dataclass(frozen=True, slots=True)
class Release:
    """The lease has no process any more: remove it, then say so.

    `failure` is set when it was never granted: that is what to say instead.
    """

    instance: str
    epoch: int
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class AllGone:
    """The shutdown is done: no process is left."""


Action = (
    Spawn
    | Adopt
    | RecordPort
    | Load
    | Unload
    | NameSuspects
    | Serve
    | Drain
    | WatchCpu
    | AskCpu
    | Kill
    | Check
    | CheckHosted
    | KeepHealth
    | KeepQuarantine
    | KeepSession
    | RefuseSession
    | ForgetSession
    | AnswerGranted
    | Publish
    | SlotProven
    | SlotFailed
    | SlotGone
    | Release
    | AllGone
)
