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
_ReadInto = Callable[[int, memoryview], int]


class TlsPipe:
    """One end of a connection: the client's if it is told the `server_name` that it wants.

    All methods that take something in raise `ssl.SSLError` when the connection can't go on;
    `to_send` then has what the peer should still be told.
    """

    def __init__(self, context: ssl.SSLContext, server_name: str | None = None) -> None:
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.connection = context.wrap_bio(
            self._came,
            self._goes,
            server_side=server_name is None,
            server_hostname=server_name,
        )
        self.ended = False

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
        waiting, read = self._came, self.connection.read
        waiting.write(came)
        try:
            data = read(RECORD_BYTES)
        except ssl.SSLWantReadError:
            return b""
        if waiting.pending and data:
            return self._all_of(data)
        self.ended = not data
        return data

    def _all_of(self, first: bytes) -> memoryview:
        # A record is longer than what it says.
        room = memoryview(bytearray(len(first) + self._came.pending))
        end = len(first)
        room[:end] = first
        # What the typeshed doesn't know: into a buffer it reads a count.
        read = cast("_ReadInto", self.connection.read)
        try:
            while self._came.pending:
                count = read(RECORD_BYTES, room[end:])
                if not count:
                    self.ended = True
                    break
                end += count
        except ssl.SSLWantReadError:
            pass
        return room[:end]

    def say(self, parts: Sequence[Buffer]) -> bytes:
        """What to send for the peer to hear `parts`, one after the other."""
        write = self.connection.write
        for data in _records(parts):
            rest = memoryview(data)
            while rest:
                rest = rest[write(rest) :]
        return self._goes.read()

    def say_end(self) -> bytes:
        """What to send for the peer to know that nothing follows."""
        # The peer's own end, which is missing, is waited for by nobody.
        with suppress(ssl.SSLError):
            self.connection.unwrap()
        return self._goes.read()

    @property
    def owes(self) -> bool:
        """Whether TLS itself has something to say: `to_send`."""
        return self._goes.pending > 0

    @property
    def to_send(self) -> bytes:
        """What TLS itself has to say, removed; empty nearly always."""
        return self._goes.read() if self._goes.pending else b""


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
