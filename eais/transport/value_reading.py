"""Reads values: tensors, sequences, maps. (Brain)

Every function takes a message, and where in it the value begins and ends. They raise
`Unusual`, IndexError or UnicodeDecodeError for what the generated classes should look at.
"""

from __future__ import annotations

from typing import Final

from eais.transport.parts import Buffer, MapPart, SequencePart, TensorPart, ValuePart
from eais.transport.wire_format import Unusual, kept, span, varint
from eais.value import MAX_DEPTH, MAX_DIMS

_MOST_BY_HAND: Final = 1024
"""Strings of a tensor, values of a list; more of them are faster by the generated classes."""


def read_value(data: Buffer, at: int, end: int, depth: int = 0) -> ValuePart:
    """A Value."""
    if at == end:
        return None
    begin, stop = span(data, at + 1, end)
    if stop != end:
        raise Unusual
    tag = data[at]
    if tag == 0x0A:
        return read_tensor(data, begin, end)
    if tag == 0x12:
        return _read_sequence(data, begin, end, depth + 1)
    if tag == 0x1A:
        return _read_map(data, begin, end)
    if tag == 0x22 and begin == end:
        return None
    raise Unusual


def _read_sequence(data: Buffer, at: int, end: int, depth: int) -> SequencePart:
    if depth > MAX_DEPTH:
        raise Unusual
    values: list[ValuePart] = []
    while at < end:
        if data[at] != 0x0A or len(values) == _MOST_BY_HAND:
            raise Unusual
        begin, at = span(data, at + 1, end)
        values.append(read_value(data, begin, at, depth))
    return SequencePart(values)


def _read_map(data: Buffer, at: int, end: int) -> MapPart:
    if at == end or data[at] != 0x0A:
        raise Unusual
    begin, middle = span(data, at + 1, end)
    if middle == end or data[middle] != 0x12:
        raise Unusual
    keys = read_tensor(data, begin, middle)
    begin, stop = span(data, middle + 1, end)
    if stop != end:
        raise Unusual
    return MapPart(keys, read_tensor(data, begin, end))


def read_tensor(data: Buffer, at: int, end: int) -> TensorPart:
    """A Tensor."""
    kind, dims, at = read_type_and_dims(data, at, end)
    raw: Buffer = b""
    deferred_bytes = 0
    if at < end and data[at] == 0x1A:
        begin, at = span(data, at + 1, end)
        raw = kept(data, begin, at)
    if at < end and data[at] == 0x20:
        deferred_bytes, at = varint(data, at + 1)
        if not deferred_bytes:
            # The raw bytes would not be what the tensor ends with.
            raise Unusual
    strings: list[bytes] = []
    if at < end and data[at] == 0x2A:
        strings = _read_strings(data, at, end)
    elif at != end:
        raise Unusual
    return TensorPart(kind, dims, raw, deferred_bytes, strings or ())


def read_type_and_dims(data: Buffer, at: int, end: int) -> tuple[int, tuple[int, ...], int]:
    """What a Tensor begins with, and where the rest of it begins."""
    kind = 0
    if at < end and data[at] == 0x08:
        kind, at = data[at + 1], at + 2
        if kind > 127:
            raise Unusual
    if at == end or data[at] != 0x12:
        return kind, (), at
    at, stop = span(data, at + 1, end)
    dims: list[int] = []
    while at < stop:
        dim, at = varint(data, at)
        dims.append(dim)
        if len(dims) > MAX_DIMS:
            raise Unusual
    if at != stop:
        raise Unusual
    return kind, tuple(dims), at


def _read_strings(data: Buffer, at: int, end: int) -> list[bytes]:
    strings: list[bytes] = []
    while at < end:
        if data[at] != 0x2A or len(strings) == _MOST_BY_HAND:
            raise Unusual
        begin, at = span(data, at + 1, end)
        strings.append(bytes(data[begin:at]))
    return strings
