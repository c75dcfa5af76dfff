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
    """What all streams of a connection have of messages that aren't whole, in bytes."""

    __slots__ = ("_most", "bytes")

    def __init__(self, most: int) -> None:
        self._most = most
        self.bytes = 0

    def check(self) -> None:
        """Raise `Unacceptable` if it is too much."""
        if self.bytes > self._most:
            raise Unacceptable(
                codes.RESOURCE_EXHAUSTED,
                f"more than {self._most} bytes of messages that aren't whole",
            )


class Assembly:
    """The unfinished message of one stream; `held` is what it has of it, in bytes."""

    __slots__ = ("_most", "_pieces", "_size", "_unfinished", "held")

    def __init__(self, limits: H2Limits, unfinished: Unfinished) -> None:
        self._most = limits.message_bytes
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
        self._unfinished.bytes += len(piece)
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
        if size > self._most:
            raise Unacceptable(
                codes.RESOURCE_EXHAUSTED,
                f"Received message larger than max ({size} vs. {self._most})",
            )
        self._size = PREFIX_BYTES + size

    def _finish(self) -> Buffer:
        joined = memoryview(b"".join(self._pieces))[PREFIX_BYTES:]
        self.discard()
        return joined

    def discard(self) -> None:
        """Forget the unfinished message."""
        self._unfinished.bytes -= self.held
        self._pieces = []
        self._size = 0
        self.held = 0
