"""What the supervision of workers needs of the rest of the listener."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from eais.rpc.v1 import listener_pb2, supervision_pb2
from eais_server.listener.usage import Counters
from eais_server.supervision import actions as do

Outcome = (
    do.KeepQuarantine
    | do.CheckHosted
    | do.KeepHealth
    | do.KeepSession
    | do.RefuseSession
    | do.ForgetSession
    | do.AnswerGranted
    | do.Publish
    | do.SlotProven
    | do.SlotFailed
    | do.SlotGone
    | do.Release
    | do.AllGone
)

Said = (
    do.Adopt
    | do.Check
    | do.RecordPort
    | do.Load
    | do.Unload
    | do.NameSuspects
    | do.Serve
    | do.Drain
)
"""What is done with a worker that lives."""


class Deeds(Protocol):
    """What supervision needs of the rest of the listener."""

    async def adoption(self, action: do.Adopt) -> supervision_pb2.Adopt:
        """Make the incarnation durable; all that the worker is told. OSError, EaisError."""
        ...

    def check(self, action: do.Check) -> supervision_pb2.Check | None:
        """What a spare is told to check a device; None if its driver has said how it is."""
        ...

    async def record_port(self, action: do.RecordPort) -> None:
        """Make the port durable. OSError."""
        ...

    async def place(
        self, instance: str, session: str, folder: Path
    ) -> listener_pb2.SessionSpec | None:
        """Link the session's files into `folder`; its spec, None if nobody wants it any more.

        Raises:
            EaisError: what the store refuses.
        """
        ...

    async def outcome(self, action: Outcome) -> None:
        """Something came to an end: record it, answer who waits, tell the pool."""
        ...

    def beat(self, instance: str, worker: int, counted: Counters, page: str = "") -> None:
        """What a worker has counted so far; `page`: the name of that which says so."""
        ...

    def holds(self, instance: str, n: int, sessions: Iterable[str]) -> None:
        """Which sessions the clients of worker `n` hold."""
        ...

    def gone(self, instance: str, n: int, worker: int) -> None:
        """Worker `n` has exited; it was process number `worker`."""
        ...
