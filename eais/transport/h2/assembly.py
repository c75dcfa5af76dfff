"""One stream's incoming messages, while they are in pieces. (Brain.)

A large message is kept as views of what was read and joined once. A small piece, or a small part
of a large read, is copied: kept as a view it would hold many times its own size.
"""

from __future__ import annotations

from typing import Final

from eais.transport.h2 import codes
from eais.transport.h2.frames import PREFIX_BYTES, prefix_of
from eais.transport.h2.limits import H2Limits
from eais.transport.parts import Buffer

_WORTH_A_VIEW: Final = 2_048


class Unacceptable(Exception):
    """A message that ends its stream with this status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Unfinished:
    """What all streams of a connection have of messages that aren't whole, in bytes.

    `among` is the same of all connections of a server. None of them gets more of that than is
    left free: with others it comes to as much as each of them (dynamic thresholds, Choudhury and
    Hahne 1998).
    """

    __slots__ = ("_among", "_most", "bytes")

    def __init__(self, most: int, among: Unfinished | None = None) -> None:
        self._most = most
        self._among = among
        self.bytes = 0

    def add(self, size: int) -> None:
        """`size` bytes more are kept, or fewer."""
        self.bytes += size
        if self._among is not None:
            self._among.bytes += size

    def forget(self) -> None:
        """The connection is gone, with all of its streams."""
        self.add(-self.bytes)
        self._among = None

    def check(self) -> None:
        """Raise `Unacceptable` if it is too much."""
        most = self._most
        if self._among is not None:
            most = min(most, self._among.free)
        if self.bytes > most:
            text = f"more than {most} bytes of messages that aren't whole"
            raise Unacceptable(codes.RESOURCE_EXHAUSTED, text)

    @property
    def free(self) -> int:
        """What is left."""
        return max(0, self._most - self.bytes)


class Assembly:
    """The unfinished message of one stream; `held` is what it has of it, in bytes.

    `most` is how large it may be.
    """

    __slots__ = ("_pieces", "_size", "_unfinished", "held", "most")

    def __init__(self, limits: H2Limits, unfinished: Unfinished) -> None:
        self.most = limits.message_bytes
        self._unfinished = unfinished
        # Of the whole message with its prefix; 0 until that is known.
        self._size = 0
        self._pieces: list[Buffer] = []
        self.held = 0

    def feed(self, data: memoryview, of: int) -> list[Buffer]:
        """Take `data`, cut from a buffer of `of` bytes; the messages that are whole now.

        Raises `Unacceptable`.
        """
        whole: list[Buffer] = []
        while data:
            taken = min((self._size or PREFIX_BYTES) - self.held, len(data))
            self._keep(data[:taken], of)
            data = data[taken:]
            if self.held == PREFIX_BYTES and not self._size:
                self._begin()
            if self.held == self._size:
                whole.append(self._finish())
        self._unfinished.check()
        return whole

    def _keep(self, piece: memoryview, of: int) -> None:
        self.held += len(piece)
        self._unfinished.add(len(piece))
        if len(piece) >= _WORTH_A_VIEW and 2 * len(piece) >= of:
            self._pieces.append(piece)
        elif self._pieces and isinstance(self._pieces[-1], bytearray):
            self._pieces[-1] += piece
        else:
            self._pieces.append(bytearray(piece))

    def _begin(self) -> None:
        flag, size = prefix_of(b"".join(self._pieces))
        if flag:
            raise Unacceptable(codes.UNIMPLEMENTED, codes.COMPRESSED)
        if size > self.most:
            raise Unacceptable(
                codes.RESOURCE_EXHAUSTED,
                f"Received message larger than max ({size} vs. {self.most})",
            )
        self._size = PREFIX_BYTES + size

    def _finish(self) -> Buffer:
        joined = memoryview(b"".join(self._pieces))[PREFIX_BYTES:]
        self.discard()
        return joined

    def discard(self) -> None:
        """Forget the unfinished message."""
        self._unfinished.add(-self.held)
        self._pieces = []
        self._size = 0
        self.held = 0
