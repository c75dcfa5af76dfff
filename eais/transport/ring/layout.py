"""Where things stand in a ring, and what makes it unusable. (Brain)

A page of four words, of which each end writes two, then the area of the records:

    0    end of what is published (writer)
    8    where the reader must have come to for the writer to be woken (writer); 0: it isn't asleep
    64   end of what is consumed (reader)
    72   whether the reader sleeps (reader)
    4096 records

Words are u64 in the machine's byte order, positions are counted from the ring's beginning and
never wrap; the place of a position in the area is its remainder by the area's size. A record is
a word, length + (kind << 32), and its bytes, filled up to a multiple of 8. It is never cut by
the end of the area: what is left there is a record of kind SKIP.

An end writes its records first and the position of their end after, and the other must see it so.
Python has no means to say that to a processor, but x86-64 keeps the order of stores by itself.
Only before an end looks at what the other may have written meanwhile (asleep or not?) does it need
a fence, for which taking a lock serves.
"""

from __future__ import annotations

from typing import Final

from eais.channel import MAX_MESSAGE_BYTES

HEADER_BYTES: Final = 4096
WORD_BYTES: Final = 8
PUBLISHED: Final = 0
WRITER_WAITS: Final = 1
CONSUMED: Final = 8
READER_SLEEPS: Final = 9

MESSAGE: Final = 1
"""A message, or the last part of one."""
MORE: Final = 2
"""A part of a message that is longer than `longest_record`."""
PIECE: Final = 3
"""A message that says nothing but one piece of a tensor."""
SKIP: Final = 4
"""Nothing: the next record is at the area's beginning."""

KIND_SHIFT: Final = 32
LENGTH_MASK: Final = (1 << KIND_SHIFT) - 1

LEAST_AREA_BYTES: Final = 64 << 10
MOST_AREA_BYTES: Final = 64 << 20
MOST_MESSAGE_BYTES: Final = MAX_MESSAGE_BYTES


class RingBroken(Exception):
    """What stands in the ring can't have been written by an end that keeps the rules."""


def area_of(memory_bytes: int) -> int:
    """The size of the area in a memory of `memory_bytes`; `RingBroken` if it is no ring's."""
    area = memory_bytes - HEADER_BYTES
    if not LEAST_AREA_BYTES <= area <= MOST_AREA_BYTES or area % HEADER_BYTES:
        raise RingBroken(f"no ring has {memory_bytes} bytes")
    return area


def longest_record(area: int) -> int:
    """Bytes of the longest record in an area of `area` bytes.

    Wherever the last one ended, an empty ring has room for it, with what is skipped before it.
    """
    return area // 2 - WORD_BYTES


def aligned(length: int) -> int:
    """`length` bytes and what fills them up to whole words."""
    return (length + WORD_BYTES - 1) & -WORD_BYTES
