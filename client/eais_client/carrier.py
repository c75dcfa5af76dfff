"""What carries a data stream's messages, for a `LedStream`: a seam between it and transports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from eais.errors import EaisError
from eais.transport.parts import Buffer, PiecePart

#: A whole message, or what is in one that says nothing but a piece.
Received: TypeAlias = Buffer | PiecePart


class Wait(Protocol):
    """Where one thread waits until its carrier has something to do."""

    def wait(self, timeout_s: float = ..., *, write: bool = False) -> None:
        """Wait for something to read, or for room to write too; until kicked or time is up."""
        ...

    def kick(self) -> None:
        """Get the thread out, or keep the next one from going in; from any thread."""
        ...


class Source(Protocol):
    """What a carrier takes messages from: an `Outbox`.

    `waiting`: whether there may be one. `piece_bytes`: the most of a tensor's piece.
    """

    waiting: bool
    piece_bytes: int

    def next_message(self) -> list[Buffer] | None:
        """The next one, if there is one."""
        ...


class Carrier(Protocol):
    """One connection to a worker, by one thread at a time but for `Wait.kick` and `stop`.

    Attributes:
        more: there is something left to write for which there was no room or no time, or the
            connection itself has something to say: by `push`.
        end: why the connection is over, once it is: HOST_UNREACHABLE if it just broke.
        moved: `fileno` is another than it was; for its owner to note.
        next_tick_s: when `tick` is to be called, of `time.monotonic`.
        used: what carries messages now, for people: "h2", "ring", "h2 (no ring: …)".
    """

    moved: bool

    @property
    def used(self) -> str:
        """See above."""
        ...

    @property
    def more(self) -> bool:
        """See above."""
        ...

    @property
    def end(self) -> EaisError | None:
        """See above."""
        ...

    @property
    def next_tick_s(self) -> float:
        """See above."""
        ...

    def connect(self) -> tuple[Wait, Wait]:
        """Connect, whatever time it takes: two places to wait, for one thread each.

        Raises `EaisError` if there is no connection, or `stop` came first.
        """
        ...

    def begin(self, first: Sequence[Buffer]) -> None:
        """Say the stream's first message; `OSError` if the connection has broken already."""
        ...

    def stop(self) -> None:
        """Get whoever is in `connect` out of it; from any thread."""
        ...

    def pull(self) -> Sequence[Received]:
        """The messages that have come and are whole; never waits.

        The bytes of a piece that comes as such are good until the next time.
        """
        ...

    def push(self, outbox: Source) -> None:
        """Send as much of what waits as there is room for; never waits."""
        ...

    def full(self) -> bool:
        """Whether nothing of what waits can be sent before something was read."""
        ...

    def tick(self) -> None:
        """Do what is due."""
        ...

    def fileno(self) -> int:
        """What an event loop may watch in place of a `Wait`."""
        ...

    def close(self) -> None:
        """End it; once, whatever was before."""
        ...
