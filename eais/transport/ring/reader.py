"""One end's reading of a ring, whatever the other end writes there. (Brain)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from eais.transport.parts import PiecePart
from eais.transport.ring.layout import (
    CONSUMED,
    HEADER_BYTES,
    KIND_SHIFT,
    LENGTH_MASK,
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

#: A message, this process's own; or a large piece, whose bytes still stand in the ring.
Record: TypeAlias = bytes | bytearray | PiecePart

_MESSAGE: Final = MESSAGE << KIND_SHIFT


class RingReader:
    """Takes messages out of a ring; not for two threads at once.

    Nothing is read twice of which the first reading was checked: the other end may write at any
    moment. Of what stands in the ring only a piece's bytes are shown as they are.

    Args:
        memory: all of it, writable; sealed so that it stays so long.
        fence: called between a store and a load that must not be seen in another order.
    """

    def __init__(self, memory: memoryview, fence: Callable[[], object]) -> None:
        """Raises `RingBroken` for a memory of a size that no ring has."""
        self._area = area_of(len(memory))
        self._longest = longest_record(self._area)
        self._bytes = memory[HEADER_BYTES:]
        self._words = memory.cast("Q")
        self._fence = fence
        self._at = self._published = 0
        # Of a piece that was given out and not released; consumed up to there.
        self._lent = 0
        self._joined = bytearray()
        self._woken_for = 0

    @property
    def ready(self) -> bool:
        """Whether there is a record, or what breaks the rules: `next` says which."""
        return self._words[PUBLISHED] != self._at

    @property
    def lends(self) -> bool:
        """Whether a piece was given out and not released."""
        return self._lent > 0

    def next(self) -> Record | None:
        """The next message, or None if there is none now.

        A `PiecePart`'s data is good until `release`, which the next `next` does as well.
        Raises `RingBroken`.
        """
        if self._lent:
            self.release()
        while self._at != self._published or self._look():
            at = self._at % self._area
            length = self._words[(HEADER_BYTES + at) // WORD_BYTES] - _MESSAGE
            end = at + WORD_BYTES + length
            # The way of nearly all: what would be found below, with fewer steps.
            if (
                0 <= length < LEAST_BYTES
                and end <= self._area
                and self._at + WORD_BYTES + length <= self._published
                and not self._joined
            ):
                data = bytes(self._bytes[at + WORD_BYTES : end])
                self._at += (length + 2 * WORD_BYTES - 1) & -WORD_BYTES
                self._words[CONSUMED] = self._at
                return data
            kind, length = self._header()
            if kind == MESSAGE:
                return self._message(length)
            if kind == PIECE:
                return self._piece(length)
            if kind == MORE:
                self._add(length)
            else:
                self._advance(WORD_BYTES + aligned(length))
        return None

    def _look(self) -> bool:
        """See how far the writer is; whether there is more than there was."""
        published = self._words[PUBLISHED]
        if not self._at <= published <= self._at + self._area:
            raise RingBroken("the writer isn't where it can be")
        self._published = published
        return published != self._at

    def _header(self) -> tuple[int, int]:
        """Kind and length of the record that begins here; it lies within what is published."""
        at = self._at % self._area
        word = self._words[(HEADER_BYTES + at) // WORD_BYTES]
        kind, length = word >> KIND_SHIFT, word & LENGTH_MASK
        record, to_end = WORD_BYTES + aligned(length), self._area - at
        if record > to_end or record > self._published - self._at:
            raise RingBroken(f"a record of {length} bytes doesn't fit where it is")
        if not self._allowed(kind, length, record == to_end and at > 0):
            raise RingBroken(f"no record of kind {kind} has {length} bytes here")
        return kind, length

    def _allowed(self, kind: int, length: int, may_skip: bool) -> bool:
        if kind in (MESSAGE, PIECE):
            return length <= self._longest
        return length == self._longest if kind == MORE else kind == SKIP and may_skip

    def _message(self, length: int) -> bytes | bytearray:
        begin = self._at % self._area + WORD_BYTES
        if self._joined:
            self._add(length)
            joined, self._joined = self._joined, bytearray()
            return joined
        data = bytes(self._bytes[begin : begin + length])
        self._advance(WORD_BYTES + aligned(length))
        return data

    def _add(self, length: int) -> None:
        """Join a part to what came before it of the same message."""
        begin = self._at % self._area + WORD_BYTES
        if len(self._joined) + length > MOST_MESSAGE_BYTES:
            raise RingBroken("a message that is longer than any message may be")
        self._joined += self._bytes[begin : begin + length]
        self._advance(WORD_BYTES + aligned(length))

    def _piece(self, length: int) -> PiecePart:
        if self._joined:
            raise RingBroken("a piece amid a message")
        begin = self._at % self._area + WORD_BYTES
        # A copy, which nobody changes between the looks at it.
        head = bytes(self._bytes[begin : begin + min(length, LONGEST_HEAD)])
        try:
            call, tensor, offset, at = read_head(head, length)
        except NoPiece:
            raise RingBroken("a message that is said to be a piece and isn't") from None
        self._lent = WORD_BYTES + aligned(length)
        return PiecePart(call, tensor, offset, self._bytes[begin + at : begin + length])

    def release(self) -> None:
        """The piece that `next` gave isn't looked at any more: the writer may have its room."""
        lent, self._lent = self._lent, 0
        if lent:
            self._advance(lent)

    def _advance(self, size: int) -> None:
        self._at += size
        self._words[CONSUMED] = self._at

    def writer_waits(self) -> bool:
        """Whether the writer must be woken, for the room that there is now; once for each wish."""
        wanted = self._words[WRITER_WAITS]
        if not wanted or wanted == self._woken_for or wanted > self._at:
            return False
        self._woken_for = wanted
        return True

    def may_sleep(self) -> bool:
        """Ask to be woken for the next record; False: there is one, so don't sleep.

        After it, once, `writer_waits` must be asked before sleeping.
        """
        if self.ask():
            return True
        self.awake()
        return False

    def ask(self) -> bool:
        """Ask to be woken for whatever comes from now on; False: there is a record already."""
        self._words[READER_SLEEPS] = 1
        self._fence()
        return not self.ready

    def awake(self) -> None:
        """It doesn't sleep any more, or didn't."""
        self._words[READER_SLEEPS] = 0

    def close(self) -> None:
        """Let go of the memory; pieces that were given out are no more."""
        self._words.release()
        self._bytes.release()
