"""What carries a data stream's messages, for a `LedStream`: a seam between it and transports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from eais.errors import EaisError
from eais.transport.parts import Buffer
from eais_client.outbox import Outbox


class Wait(Protocol):
    """Where one thread waits until its carrier has something to do."""

    def wait(self, timeout_s: float = ..., *, write: bool = False) -> None:
        """Wait for something to read, or for room to write too; until kicked or time is up."""
        ...

    def kick(self) -> None:
        """Get the thread out, or keep the next one from going in; from any thread."""
        ...


class Carrier(Protocol):
    """One connection to a worker, by one thread at a time but for `Wait.kick` and `stop`.

    Attributes:
        more: there is something left to write for which there was no room or no time, or the
            connection itself has something to say: by `push`.
        end: why the connection is over, once it is: HOST_UNREACHABLE if it just broke.
        next_tick_s: when `tick` is to be called, of `time.monotonic`.
    """

    more: bool
    end: EaisError | None

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
        """Say the stream's first message."""
        ...

    def stop(self) -> None:
        """Get whoever is in `connect` out of it; from any thread."""
        ...

    def pull(self) -> Sequence[Buffer]:
        """The messages that have come and are whole; never waits."""
        ...

    def push(self, outbox: Outbox) -> None:
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
