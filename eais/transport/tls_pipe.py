"""One connection's TLS without its socket: what was read goes in, what is to be sent comes out.

Cheaper than an `ssl.SSLSocket`: one read and one send of the kernel carry as many
records as there are.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, cast

from eais.transport.parts import Buffer

# The most that one record holds.
RECORD_BYTES: Final = 16 << 10
# So much may come by which the peer says nothing: a record that isn't whole, and a few of TLS's
# own, such as new keys. Each of those takes as long as a small call, and TLS reads on until one
# says something: it is never given more of them.
_SILENT_BYTES: Final = RECORD_BYTES + (5 << 10)
_FEW_RECORDS: Final = 64
# So much may TLS itself have to say that nobody has sent.
_OWED_BYTES: Final = 4 << 10
_HEAD_BYTES: Final = 5
_ReadInto = Callable[[int, memoryview], int]


class TlsPipe:
    """One end of a connection: the client's if it is told the `server_name` that it wants.

    All methods that take something in raise `ssl.SSLError` when the connection can't go on;
    `to_send` then has what the peer should still be told.

    Attributes:
        ended: the peer has said that nothing follows.
        goes: what is to be sent, until it is taken; to ask it is quicker than to ask `owes`.
    """

    def __init__(self, context: ssl.SSLContext, server_name: str | None = None) -> None:
        self._came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.connection = context.wrap_bio(
            self._came,
            self.goes,
            server_side=server_name is None,
            server_hostname=server_name,
        )
        self.ended = False
        # What came since the peer last said something.
        self._silent = 0

    def shake(self, came: Buffer) -> bool:
        """Go on with the handshake by what was read; whether it is done.

        Then `received` of nothing gives what the peer has said with its last words.
        """
        self._came.write(came)
        try:
            self.connection.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def received(self, came: Buffer) -> Buffer:
        """All that the peer says by what was read; nobody writes to its memory.

        `ended` is true once it has said that nothing follows.
        """
        if len(came) > _SILENT_BYTES:
            return self._much(memoryview(came))
        waiting, read = self._came, self.connection.read
        waiting.write(came)
        try:
            data = read(RECORD_BYTES)
        except ssl.SSLWantReadError:
            self._silent += len(came)
            self.check(self._silent)
            return b""
        self._silent = 0
        if waiting.pending and data:
            return self._all_of(data)
        if not data:
            self.ended = True
        return data

    def _all_of(self, first: bytes) -> memoryview:
        # A record is longer than what it says.
        room = memoryview(bytearray(len(first) + self._came.pending))
        room[: len(first)] = first
        return room[: self._read_on(room, len(first))[0]]

    def _much(self, came: memoryview) -> memoryview:
        """As `received`, a few records at a time."""
        # The first to be whole may have begun in what came before.
        room = memoryview(bytearray(len(came) + RECORD_BYTES))
        around = 22 if self.connection.version() == "TLSv1.3" else 29
        given = end = reads = 0
        until = _SILENT_BYTES
        while given < len(came) and not self.ended:
            self._came.write(came[given:until])
            given = min(until, len(came))
            end, more, left = self._read_on(room, end)
            reads += more
            self.check(given - end - reads * around)
            until = _after_few(came, given - left, given)
        self._silent = 0
        return room[:end]

    def _read_on(self, room: memoryview, end: int) -> tuple[int, int, int]:
        """Read what TLS was given into `room`, from `end` on.

        Returns where it ends, how many records said it, and how much was given behind them.
        """
        # What the typeshed doesn't know: into a buffer it reads a count.
        read = cast("_ReadInto", self.connection.read)
        reads, left = 0, self._came.pending
        try:
            while left:
                count = read(RECORD_BYTES, room[end:])
                if not count:
                    self.ended = True
                    break
                end += count
                reads += 1
                left = self._came.pending
        except ssl.SSLWantReadError:
            pass
        return end, reads, left

    def check(self, silent: int = 0) -> None:
        """Raise `ssl.SSLError` for a peer who has TLS work, and says nothing.

        `silent`: so many bytes have come in which it didn't.
        """
        if silent >= _SILENT_BYTES or self.goes.pending > _OWED_BYTES:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "too many records that say nothing")

    def say(self, parts: Sequence[Buffer]) -> bytes:
        """What to send for the peer to hear `parts`, one after the other."""
        write = self.connection.write
        for data in _records(parts):
            rest = memoryview(data)
            while rest:
                rest = rest[write(rest) :]
        return self.goes.read()

    def say_end(self) -> bytes:
        """What to send for the peer to know that nothing follows."""
        # The peer's own end, which is missing, is waited for by nobody.
        with suppress(ssl.SSLError):
            self.connection.unwrap()
        return self.goes.read()

    @property
    def owes(self) -> bool:
        """Whether TLS itself has something to say: `to_send`, which whatever is said carries."""
        return self.goes.pending > 0

    @property
    def to_send(self) -> bytes:
        """What TLS itself has to say, removed; empty nearly always."""
        return self.goes.read() if self.goes.pending else b""


def _after_few(came: memoryview, at: int, given: int) -> int:
    """Where a few records end, the first of which begins `at`; that is after what was `given`."""
    last = len(came) - _HEAD_BYTES
    for _ in range(_FEW_RECORDS):
        if at > last:
            return len(came)
        at += _HEAD_BYTES + (came[at + 3] << 8 | came[at + 4])
    return max(at, given + _HEAD_BYTES)


def _records(parts: Sequence[Buffer]) -> Sequence[Buffer]:
    """`parts` with those joined that fit one record: each write is one at least."""
    if len(parts) == 1:
        return parts
    if sum(map(len, parts)) <= RECORD_BYTES:
        return (b"".join(parts),)
    found: list[Buffer] = []
    small: list[Buffer] = []
    size = 0
    for part in parts:
        if len(part) + size > RECORD_BYTES and small:
            found.append(b"".join(small))
            small, size = [], 0
        if len(part) >= RECORD_BYTES:
            found.append(part)
        else:
            small.append(part)
            size += len(part)
    if small:
        found.append(b"".join(small))
    return found
