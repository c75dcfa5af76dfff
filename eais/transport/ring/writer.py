"""One end's writing of a ring. (Brain)"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from eais.transport.parts import Buffer
from eais.transport.ring.layout import (
    CONSUMED,
    HEADER_BYTES,
    KIND_SHIFT,
    MESSAGE,
    MORE,
    MOST_MESSAGE_BYTES,
    PIECE,
    PUBLISHED,
    READER_SLEEPS,
    SKIP,
    WORD_BYTES,
    WRITER_WAITS,
    RingBroken,
    aligned,
    area_of,
    longest_record,
)
from eais.transport.ring.piece import LEAST_BYTES, LONGEST_HEAD, NoPiece, read_head

_NEAR_BYTES: Final = 32 << 10
"""An empty ring is gone on with at its beginning: small calls stay within so many bytes, which
the processors' caches keep."""
_MESSAGE: Final = MESSAGE << KIND_SHIFT


class RingWriter:
    """Puts messages into a ring; not for two threads at once.

    Args:
        memory: all of it, writable; sealed so that it stays so long.
        fence: called between a store and a load that must not be seen in another order.

    Attributes:
        unfinished: whether a part of the last message still waits for room: no other may be `put`.
    """

    def __init__(self, memory: memoryview, fence: Callable[[], object]) -> None:
        """Raises `RingBroken` for a memory of a size that no ring has."""
        self._area = area_of(len(memory))
        self._longest = longest_record(self._area)
        self._bytes = memory[HEADER_BYTES:]
        self._words = memory.cast("Q")
        self._fence = fence
        self._end = self._consumed = 0
        # Of the one message that didn't fit: what is left of it.
        self._rest: deque[memoryview] = deque()
        self._rest_bytes = 0
        self._rest_kind = MESSAGE
        self.unfinished = False

    @property
    def may_go_on(self) -> bool:
        """Whether there is room for more of what is unfinished; raises as `put`."""
        return self._has_room(min(self._rest_bytes, self._longest))

    def put(self, parts: Sequence[Buffer]) -> None:
        """Write a message that is the concatenation of `parts`, or as much of it as there is
        room for; then it is `unfinished`, and `parts` must not change.

        Raises:
            RingBroken: the other end says that it read what wasn't written.
            ValueError: the message is longer than any message may be.
        """
        size = len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
        at = self._end % self._area
        record = (size + 2 * WORD_BYTES - 1) & -WORD_BYTES
        # The way of nearly all: what would be decided below, with fewer steps.
        if (
            size < LEAST_BYTES
            and at <= _NEAR_BYTES
            and self._end + record - self._consumed <= self._area
        ):
            self._words[(HEADER_BYTES + at) // WORD_BYTES] = size + _MESSAGE
            self._end += record
            self._write(parts, at + WORD_BYTES)
        elif size <= self._longest and self._has_room(size):
            self._write(parts, self._begin(size, _kind(parts, size)))
        else:
            self._put_rest(parts, size)

    def _write(self, parts: Sequence[Buffer], at: int) -> None:
        area = self._bytes
        for part in parts:
            end = at + len(part)
            area[at:end] = part
            at = end
        self._words[PUBLISHED] = self._end

    def _put_rest(self, parts: Sequence[Buffer], size: int) -> None:
        if size > MOST_MESSAGE_BYTES:
            raise ValueError(f"a message of {size} bytes; at most {MOST_MESSAGE_BYTES}")
        self._rest.extend(memoryview(part) for part in parts)
        self._rest_bytes, self.unfinished = size, True
        self._rest_kind = _kind(parts, size) if size <= self._longest else MESSAGE
        self.go_on()

    def go_on(self) -> bool:
        """Write more of the unfinished message; whether it is all written. As `put`."""
        while self._rest_bytes:
            size = min(self._rest_bytes, self._longest)
            if not self._has_room(size):
                return False
            kind = self._rest_kind if size == self._rest_bytes else MORE
            self._move_rest(self._begin(size, kind), size)
            self._words[PUBLISHED] = self._end
        self.unfinished = False
        return True

    def _move_rest(self, at: int, size: int) -> None:
        self._rest_bytes -= size
        while size:
            part = self._rest.popleft()
            if len(part) > size:
                self._rest.appendleft(part[size:])
                part = part[:size]
            end = at + len(part)
            self._bytes[at:end] = part
            at, size = end, size - len(part)

    def _has_room(self, size: int) -> bool:
        need = self._need(size)
        if self._end + need - self._consumed <= self._area:
            return True
        return self._end + need - self._look() <= self._area

    def _need(self, size: int) -> int:
        """Bytes that a record of `size` takes up, with what is skipped before it."""
        record = WORD_BYTES + aligned(size)
        to_end = self._area - self._end % self._area
        return record if record <= to_end else to_end + record

    def _look(self) -> int:
        """How far the reader is."""
        consumed = self._words[CONSUMED]
        if not self._consumed <= consumed <= self._end:
            raise RingBroken("the reader isn't where it can be")
        self._consumed = consumed
        return consumed

    def _begin(self, size: int, kind: int) -> int:
        """Take the room for a record; where its bytes go."""
        record = WORD_BYTES + aligned(size)
        at = self._end % self._area
        if record > self._area - at or (record <= at > _NEAR_BYTES and self._look() == self._end):
            self._skip(at)
            at = 0
        self._words[(HEADER_BYTES + at) // WORD_BYTES] = size + (kind << KIND_SHIFT)
        self._end += record
        return at + WORD_BYTES

    def _skip(self, at: int) -> None:
        to_end = self._area - at
        word = to_end - WORD_BYTES + (SKIP << KIND_SHIFT)
        self._words[(HEADER_BYTES + at) // WORD_BYTES] = word
        self._end += to_end

    def reader_sleeps(self) -> bool:
        """Whether the reader must be woken for what was put last; say so once per `put`."""
        self._fence()
        return self._words[READER_SLEEPS] != 0

    def may_wait(self) -> bool:
        """Ask to be woken when there is room for what is unfinished; False: there is now.

        There is said to be none until half of the ring is free, so that a reader that is a
        little slower doesn't wake this end for each record.
        """
        need = self._need(min(self._rest_bytes, self._longest))
        wanted = self._end + max(need, self._area // 2) - self._area
        if wanted <= self._look():
            return False
        self._words[WRITER_WAITS] = wanted
        self._fence()
        return wanted > self._look()

    def close(self) -> None:
        """Let go of the memory."""
        self._rest.clear()
        self._rest_bytes, self.unfinished = 0, False
        self._words.release()
        self._bytes.release()


def _kind(parts: Sequence[Buffer], size: int) -> int:
    if size < LEAST_BYTES:
        return MESSAGE
    head = b"".join(bytes(part[:LONGEST_HEAD]) for part in parts[:2])[:LONGEST_HEAD]
    try:
        read_head(head, size)
    except NoPiece:
        return MESSAGE
    return PIECE
