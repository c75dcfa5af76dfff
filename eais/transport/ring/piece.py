"""Messages that say nothing but one piece of a tensor: the large ones. (Brain)

`pieces` has the same number in ToWorker and in ToClient. Only what is written as the generated
classes write it is taken; whatever else is a message like any other.
"""

from __future__ import annotations

from typing import Final

from eais.transport.parts import Buffer

LONGEST_HEAD: Final = 48
"""Bytes of such a message before the tensor's: five tags, and varints of 5, 10, 5, 10 and 5."""
LEAST_BYTES: Final = 16 << 10
"""A shorter message is copied as quickly as looked at."""

_PIECES: Final = 0x1A
_NUMBERS: Final = (0x08, 0x10, 0x18)
_DATA: Final = 0x22


class NoPiece(Exception):
    """The message says something else, or says it otherwise."""


def read_head(head: Buffer, size: int) -> tuple[int, int, int, int]:
    """(call id, tensor, offset, where the tensor's bytes begin) of a message of `size` bytes.

    `head` is its first bytes, at least `LONGEST_HEAD` if it has so many. The tensor's bytes go on
    to the message's end. Raises `NoPiece`.
    """
    try:
        return _read_head(head, size)
    except IndexError:
        raise NoPiece from None


def _read_head(head: Buffer, size: int) -> tuple[int, int, int, int]:
    if head[0] != _PIECES:
        raise NoPiece
    length, at = _varint(head, 1)
    if at + length != size:
        raise NoPiece
    found = [0, 0, 0]
    for index, tag in enumerate(_NUMBERS):
        if head[at] == tag:
            found[index], at = _varint(head, at + 1)
    if head[at] != _DATA:
        raise NoPiece
    length, at = _varint(head, at + 1)
    if at + length != size or found[1] >> 32:
        raise NoPiece
    return found[0], found[1], found[2], at


def _varint(data: Buffer, at: int) -> tuple[int, int]:
    """A number below 2^64 and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise NoPiece
    if value >> 64:
        raise NoPiece
    return value, at
