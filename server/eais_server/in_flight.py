"""What a worker does now, in memory that it shares with the listener and that outlives it.

The worker writes down what it is about to load or run before it does, and takes it back
after; so when it dies, the listener reads what it died of. The memory is a sealed memfd of
`PAGE_BYTES` that the listener makes and the worker inherits. Little-endian:

    0    the session that is being loaded, or for which another runtime is tried, 32 bytes of
         ASCII, zeros if none
    64   `ROWS` rows of 48 bytes: session (32 bytes), runs going on (u32), 4 bytes of padding,
         runs that gave outputs since the row was taken (u64)

A worker runs strangers' models, so what stands there is a claim: it is read within bounds,
and names nothing but sessions of the worker's own instance.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

PAGE_BYTES: Final = 8192
ROWS: Final = 128
"""Sessions that may run at once; a worker has fewer run threads than that."""

_NAME_BYTES: Final = 32
_FIRST_ROW: Final = 64
_COUNTS: Final = struct.Struct("<I4xQ")
_ROW_BYTES: Final = _NAME_BYTES + _COUNTS.size
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


@dataclass(frozen=True, slots=True)
class InFlight:
    """What a worker says that it does.

    Attributes:
        loading: a session, "" for none.
        running: sessions of which at least one run goes on.
        finished: session -> runs that gave outputs; it begins anew when a row is taken anew.
    """

    loading: str = ""
    running: tuple[str, ...] = ()
    finished: Mapping[str, int] = field(default_factory=dict)


Buffer = mmap.mmap | bytearray
"""Memory of `PAGE_BYTES`."""


@dataclass(eq=False, slots=True)
class _Row:
    """What is written of a session; `at`: where its counts are."""

    at: int
    running: int = 0
    finished: int = 0


class Marks:
    """The worker's side. One thread writes."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._rows: dict[str, _Row] = {}

    @classmethod
    def from_fd(cls, fd: int) -> Marks:
        """Take over the inherited descriptor `fd`; OSError or ValueError if it is no page."""
        try:
            return cls(mmap.mmap(fd, PAGE_BYTES))
        finally:
            os.close(fd)

    def load_begins(self, session: str) -> None:
        """To be called before the runtime sees the model."""
        self._buffer[0:_NAME_BYTES] = _name(session)

    def load_ended(self) -> None:
        """The runtime is done with the load, however it went."""
        self._buffer[0:_NAME_BYTES] = bytes(_NAME_BYTES)

    def run_begins(self, session: str) -> None:
        """To be called before the runtime sees the inputs."""
        row = self._rows.get(session) or self._taken(session)
        row.running += 1
        _COUNTS.pack_into(self._buffer, row.at, row.running, row.finished)

    def run_ended(self, session: str, *, answered: bool) -> None:
        """A run that was begun is over; `answered`: it gave outputs."""
        row = self._rows[session]
        row.running -= 1
        row.finished += answered
        _COUNTS.pack_into(self._buffer, row.at, row.running, row.finished)

    def _taken(self, session: str) -> _Row:
        """A row for the session; one in which nothing runs if there is no other."""
        at = self._free()
        self._buffer[at : at + _ROW_BYTES] = bytes(_ROW_BYTES)
        self._buffer[at : at + _NAME_BYTES] = _name(session)
        row = self._rows[session] = _Row(at + _NAME_BYTES)
        return row

    def _free(self) -> int:
        if len(self._rows) < ROWS:
            return _FIRST_ROW + len(self._rows) * _ROW_BYTES
        idle = next(session for session, row in self._rows.items() if not row.running)
        return self._rows.pop(idle).at - _NAME_BYTES


class Page:
    """The listener's side. `descriptor` is for the worker to inherit, until `handed_down`."""

    def __init__(self) -> None:
        """Raises OSError when there is no memory or no descriptor left."""
        self.descriptor = os.memfd_create("eais-worker", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.descriptor, PAGE_BYTES)
            # Else the worker could cut it short, and reading it would kill the listener.
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
            self._memory = mmap.mmap(self.descriptor, PAGE_BYTES)
        except BaseException:
            os.close(self.descriptor)
            raise

    def handed_down(self) -> None:
        """The worker has the descriptor: close this side's."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def marks(self) -> Marks:
        """The worker's side, for one that is no process of its own."""
        return Marks(self._memory)

    def look(self) -> InFlight:
        """What stands there now; nothing once it is closed."""
        return InFlight() if self._memory.closed else read(self._memory)

    def close(self) -> None:
        """Let go of the memory."""
        self.handed_down()
        self._memory.close()


def read(buffer: Buffer) -> InFlight:
    """What stands in a page, whoever wrote it."""
    rows = range(_FIRST_ROW, _FIRST_ROW + ROWS * _ROW_BYTES, _ROW_BYTES)
    named = [(name, *_counts(buffer, at)) for at in rows if (name := _text(buffer, at))]
    return InFlight(
        loading=_text(buffer, 0),
        running=tuple(dict.fromkeys(name for name, running, _ in named if running)),
        finished={name: finished for name, _, finished in named},
    )


def _name(session: str) -> bytes:
    return session.encode("ascii")[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0")


def _text(buffer: Buffer, at: int) -> str:
    return bytes(buffer[at : at + _NAME_BYTES]).rstrip(b"\0").decode("ascii", "replace")


def _counts(buffer: Buffer, at: int) -> tuple[int, int]:
    running, finished = _COUNTS.unpack(buffer[at + _NAME_BYTES : at + _ROW_BYTES])
    return running, finished
