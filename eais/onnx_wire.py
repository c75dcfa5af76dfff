"""The protobuf wire format of an ONNX model, read strictly.

What a protobuf parser would accept in more than one way is a fault here: a place to hide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from eais.errors import ModelRejected

Buffer: TypeAlias = bytes | bytearray | memoryview

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_LENGTH: Final = (1 << 31) - 1
"""Of a message, in bytes: no parser reads a longer one."""


Field: TypeAlias = tuple[int, int, int, int, int]
"""One field of a message.

Its number, as in the `.proto` file; its wire type; the value of a VARINT, else the position of
the first byte; the length in bytes, 0 for a VARINT; the position of its tag.
"""


def read_fields(
    data: Buffer, position: int, end: int, skipped: re.Pattern[bytes] | None = None
) -> Iterator[Field]:
    """Each field of the message from `position` to `end`, but for runs that `skipped` matches.

    Raises:
        ModelRejected: MODEL_PARSE.
    """
    while position < end:
        run = skipped.match(data, position, end) if skipped else None
        if run:
            position = run.end()
            continue
        begin, tag = position, data[position]
        position += 1
        if tag >= 0x80:
            tag, position = read_varint(data, begin, end)
        number, wire = tag >> 3, tag & 7
        value, length = position, 0
        if wire == BYTES:
            if position < end and data[position] < 0x80:
                length, value = data[position], position + 1
            else:
                length, value = read_varint(data, position, end)
            position = value + length
        elif wire == VARINT:
            value, position = read_varint(data, position, end)
        elif wire in (FIXED32, FIXED64):
            length = 8 if wire == FIXED64 else 4
            position += length
        else:
            # Groups: none in ONNX, and a place to hide.
            raise malformed(f"wire type {wire}")
        if position > end or not 0 < number < 1 << 29 or length > MAX_LENGTH:
            raise malformed("a field goes beyond its message")
        yield number, wire, value, length, begin


def read_varint(data: Buffer, position: int, end: int) -> tuple[int, int]:
    """The number at `position`, and the position after it; raises as `read_fields`."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise malformed("it ends inside a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, position
    raise malformed("a number of more than ten bytes")


def read_text(data: Buffer, start: int, length: int) -> str:
    """A string; what is no UTF-8 in it is escaped."""
    return bytes(data[start : start + length]).decode(errors="backslashreplace")


def field_head(number: int, length: int) -> bytes:
    """Tag and length of a field of `length` bytes."""
    return _varint(number << 3 | BYTES) + _varint(length)


def malformed(what: str) -> ModelRejected:
    """MODEL_PARSE, because of `what`."""
    return ModelRejected("MODEL_PARSE", f"not an ONNX model: {what}")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
