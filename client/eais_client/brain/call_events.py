"""What can happen to the calls of an attachment, and what can be done about it. (Brain)

Events go into `eais_client.brain.calls.on_event`, actions come out. Times are seconds on the
caller's monotonic clock; calls and streams are known by numbers of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TypeAlias

from eais.errors import EaisError
from eais_client.instances import Worker


@dataclass(frozen=True, slots=True)
class Submitted:
    """A caller's call: `size` bytes of inputs, to be answered before `deadline_at`.

    `watched`: its caller waits and ends it at the deadline itself. `patience_s`: how long it
    waits while no worker can be reached, if that is less than it is for all calls.
    """

    call: int
    session: str
    size: int = 0
    deadline_at: float = inf
    watched: bool = True
    patience_s: float = inf


@dataclass(frozen=True, slots=True)
class Answered:
    """The worker answered."""

    call: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The worker answered with an error; `push_back_s` is how long it asks to wait."""

    call: int
    stream: int
    error: EaisError
    push_back_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The caller no longer waits: its deadline, Ctrl-C, or `terminate`."""

    call: int


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The worker said hello."""

    stream: int


@dataclass(frozen=True, slots=True)
class StreamBroken:
    """The stream ended, or was never opened."""

    stream: int
    error: EaisError


@dataclass(frozen=True, slots=True)
class StreamDraining:
    """The worker takes no new calls; those it has, it finishes."""

    stream: int


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The instance's workers, from the Watch or from an answer to `Find`.

    `stranded`: why there is no device for any, as the pool says; "": there is one.
    """

    epoch: int
    workers: tuple[Worker, ...]
    found: bool = False
    stranded: str = ""


@dataclass(frozen=True, slots=True)
class FindFailed:
    """Neither listener nor manager could say where the workers are."""

    error: EaisError


@dataclass(frozen=True, slots=True)
class Ended:
    """The instance serves no calls any more: stopped, detached or failed.

    `found`: the answer to `Find`, so it was so after that was asked.
    """

    error: EaisError
    found: bool = False


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The session is open at the listener under `epoch`, `not_on` the workers of these numbers."""

    session: str
    epoch: int
    not_on: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The session couldn't be opened again."""

    session: str
    error: EaisError


@dataclass(frozen=True, slots=True)
class SessionDropped:
    """Its last user closed the session."""

    session: str


@dataclass(frozen=True, slots=True)
class Renewed:
    """This front-end's identity was renewed: each stream is to be replaced by one made with it."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event: TypeAlias = (
    Submitted
    | Answered
    | Refused
    | Abandoned
    | StreamOpened
    | StreamBroken
    | StreamDraining
    | Endpoints
    | FindFailed
    | Ended
    | SessionOpened
    | SessionLost
    | SessionDropped
    | Renewed
    | Tick
)


@dataclass(frozen=True, slots=True)
class Connect:
    """Open stream number `stream` to `worker`."""

    stream: int
    worker: Worker


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the stream: nothing is on it."""

    stream: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send the call on the stream, under `epoch`; `worker`: whose it is, for people."""

    call: int
    stream: int
    epoch: int
    worker: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Tell the worker that nobody waits for the call."""

    call: int
    stream: int


@dataclass(frozen=True, slots=True)
class Complete:
    """Give the caller its answer."""

    call: int


@dataclass(frozen=True, slots=True)
class Fail:
    """Give the caller this error."""

    call: int
    error: EaisError


@dataclass(frozen=True, slots=True)
class Find:
    """Ask the listener, then the manager, where the workers are."""


@dataclass(frozen=True, slots=True)
class Reopen:
    """Open the session again at the listener that now holds the lease."""

    session: str


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Come back with a Tick at this time, or before."""

    at: float


Action: TypeAlias = Connect | Disconnect | Send | Cancel | Complete | Fail | Find | Reopen | WakeAt
