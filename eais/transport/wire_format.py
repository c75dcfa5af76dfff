"""Protobuf's wire format, as far as the data stream's hot path reads and writes it. (Brain)

What the hand-written readers know is protobuf as its own serializers write it: fields in the
order of their numbers, each but the repeated ones once, dims packed. They raise `Unusual` for
all else that protobuf allows, and the generated classes read that.
"""

from __future__ import annotations

from typing import Final

from eais.transport.parts import Buffer

SMALL_BYTES: Final = 16 << 10
"""Up to here copying costs less than keeping a view."""

_ONE_BYTE: Final = tuple(bytes((value,)) for value in range(128))
_MOST: Final = 1 << 64


class Unusual(Exception):
    """Bytes that protobuf may read, but that its serializers don't write; or no protobuf."""


def varint(data: Buffer, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends; IndexError if it doesn't.

    Raises `Unusual` for one of more than 63 bits.
    """
    first = data[at]
    if first < 128:
        return first, at + 1
    second = data[at + 1]
    if second < 128:
        return first + (second << 7) - 0x80, at + 2
    third = data[at + 2]
    if third < 128:
        return first + (second << 7) + (third << 14) - 0x4080, at + 3
    fourth = data[at + 3]
    if fourth < 128:
        return first + (second << 7) + (third << 14) + (fourth << 21) - 0x204080, at + 4
    value = first + (second << 7) + (third << 14) + (fourth << 21) - 0x10204080
    at += 4
    for shift in (28, 35, 42, 49, 56):
        byte = data[at]
        at += 1
        if byte < 128:
            return value | byte << shift, at
        value |= (byte & 127) << shift
    raise Unusual


def span(data: Buffer, at: int, end: int) -> tuple[int, int]:
    """Begin and end of what the length at `at` spans; `Unusual` if that is beyond `end`."""
    size, at = varint(data, at)
    stop = at + size
    if stop > end:
        raise Unusual
    return at, stop


def text(data: Buffer, at: int, end: int) -> tuple[str, int]:
    """The string whose length is at `at`, and where it ends; UnicodeDecodeError if it isn't."""
    begin, stop = span(data, at, end)
    return str(data[begin:stop], "utf-8"), stop


def kept(data: Buffer, begin: int, end: int) -> Buffer:
    """Bytes of a message to be kept: a view, unless it would keep a message many times its size."""
    size = end - begin
    if type(data) is bytes or size <= SMALL_BYTES or size << 4 < len(data):
        return bytes(data[begin:end])
    return data[begin:end]


def readable(data: Buffer) -> bytes | memoryview:
    """A message for reading: bytes if it is small, so that slices are copies, else a view."""
    if len(data) > SMALL_BYTES:
        return memoryview(data)
    return bytes(data)


def number(value: int) -> bytes:
    """A varint; ValueError for what 64 bits don't hold."""
    if value < 1 << 14:
        if value >= 128:
            return bytes((value & 127 | 128, value >> 7))
        if value >= 0:
            return _ONE_BYTE[value]
    elif value < 1 << 21:
        return bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14))
    elif value < 1 << 28:
        return bytes(
            (value & 127 | 128, value >> 7 & 127 | 128, value >> 14 & 127 | 128, value >> 21)
        )
    return _large_number(value)


def _large_number(value: int) -> bytes:
    if not 0 <= value < _MOST:
        raise ValueError(f"{value} is not a number of 64 bits")
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)


def number_field(tag: bytes, value: int) -> bytes:
    """A field with a number; nothing if it is 0."""
    return tag + number(value) if value else b""


def bytes_field(tag: bytes, data: bytes) -> bytes:
    """A field with bytes; nothing if there are none."""
    return tag + number(len(data)) + data if data else b""
