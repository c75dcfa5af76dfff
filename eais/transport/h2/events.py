"""What an engine tells its shell.

Each stream ends once: for a client with `Finished`, for a server with `Reset` or by its own
`Engine.finish`. (Brain.)
"""

from __future__ import annotations

from dataclasses import dataclass

from eais.errors import EaisError
from eais.transport.parts import Buffer

Metadata = list[tuple[str, str | bytes]]


@dataclass(slots=True)
class Called:
    """A client called `path` on a new stream (server only).

    `timeout_s` is what the client allows, None without a deadline.
    """

    stream: int
    path: str
    timeout_s: float | None


@dataclass(slots=True)
class Message:
    """One whole gRPC message. A large one may be a view of what `receive` was given."""

    stream: int
    data: Buffer


@dataclass(slots=True)
class Ended:
    """The peer sends no more on this stream (server only: a client hears `Finished`)."""

    stream: int


@dataclass(slots=True)
class Finished:
    """The call is over (client only).

    `status` is a number of gRPC's, 0 is OK; binary values (`-bin`) of `metadata` are bytes.
    """

    stream: int
    status: int
    message: str
    metadata: Metadata


@dataclass(slots=True)
class Reset:
    """The call is over before `finish` (server only)."""

    stream: int


@dataclass(slots=True)
class Ready:
    """More of what waits on this stream may go out now: ask `output`, then `ready`."""

    stream: int


@dataclass(slots=True)
class Stalled:
    """The peer has taken nothing of what waits on this stream for `stall_s`: end it.

    Said again after as long, also of a stream that was finished and not at once.
    """

    stream: int


@dataclass(slots=True)
class Failed:
    """The connection is over: send what `output` still gives, then close it."""

    error: EaisError


Event = Called | Message | Ended | Finished | Reset | Ready | Stalled | Failed
