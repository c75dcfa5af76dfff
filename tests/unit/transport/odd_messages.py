"""Messages of a data stream, in all forms that protobuf allows, and some that it doesn't.

By their types, so that what is odd comes at any depth: fields in any order, given twice,
unknown, of another wire type, with longer varints than needed; lengths that lie.
"""

from __future__ import annotations

import random
from typing import Final

_NUMBER, _TEXT, _BYTES, _PACKED = "number", "text", "bytes", "packed"

#: For each message, what its fields are, by their numbers.
_FIELDS: Final[dict[str, dict[int, str]]] = {
    "ToWorker": {
        1: "Hello",
        2: "Run",
        3: "Piece",
        4: "Cancel",
        5: _TEXT,
        6: _TEXT,
        7: _NUMBER,
        8: _NUMBER,
    },
    "ToClient": {
        1: "Hello",
        2: "Answer",
        3: "Piece",
        4: _NUMBER,
        5: "RingOffer",
        6: _NUMBER,
    },
    "Hello": {1: _NUMBER, 2: _TEXT, 3: _TEXT},
    "RingOffer": {1: _TEXT, 2: _BYTES},
    "Run": {
        1: _NUMBER,
        2: _TEXT,
        3: _NUMBER,
        4: _TEXT,
        5: "NamedValue",
        6: _TEXT,
        7: _NUMBER,
        8: "RunOptions",
        9: _TEXT,
        10: _TEXT,
    },
    "RunOptions": {1: "Entry", 2: _TEXT},
    "Entry": {1: _TEXT, 2: _TEXT},
    "Answer": {1: _NUMBER, 2: "Error", 3: "Value", 4: "Account"},
    "Error": {1: _TEXT, 2: _TEXT, 3: "Entry", 4: _TEXT, 5: _NUMBER},
    "Account": {1: _NUMBER, 2: _NUMBER, 3: _NUMBER, 4: _NUMBER, 5: _NUMBER},
    "Piece": {1: _NUMBER, 2: _NUMBER, 3: _NUMBER, 4: _BYTES},
    "Cancel": {1: _NUMBER},
    "NamedValue": {1: _TEXT, 2: "Value"},
    "Value": {1: "Tensor", 2: "Sequence", 3: "Map", 4: "Absent"},
    "Tensor": {1: _NUMBER, 2: _PACKED, 3: _BYTES, 4: _NUMBER, 5: _BYTES},
    "Sequence": {1: "Value"},
    "Map": {1: "Tensor", 2: "Tensor"},
    "Absent": {},
}
_NUMBERS: Final = (0, 1, 5, 127, 128, 16383, 16384, 1 << 21, 1 << 28, 1 << 32, 1 << 63)
_DEEPEST: Final = 14


def odd_message(rng: random.Random, kind: str, oddness: float, depth: int = 0) -> bytes:
    """A message of that kind; each thing about it is odd with a chance of `oddness`."""
    fields = _FIELDS[kind]
    few = 1 if kind == "Value" else 4
    numbers = sorted(rng.choices(list(fields), k=rng.randint(0, few))) if fields else []
    if kind in {"Run", "Tensor", "NamedValue", "Answer"} and rng.random() < 0.5:
        numbers = sorted(set(fields) - {rng.choice(list(fields)) for _ in range(3)})
    if rng.random() < oddness:
        numbers.append(rng.choice([*fields, 15, 100]))
    if rng.random() < oddness:
        rng.shuffle(numbers)
    if depth > _DEEPEST:
        numbers = []
    made = [_field(rng, number, fields.get(number), oddness, depth) for number in numbers]
    return b"".join(made)


def _field(rng: random.Random, number: int, kind: str | None, oddness: float, depth: int) -> bytes:
    if kind is None or rng.random() < oddness / 8:
        return _unknown(rng, number, oddness)
    if kind == _NUMBER:
        return _tag(number, 0) + _varint(_number(rng), rng.random() < oddness)
    if kind == _PACKED and rng.random() < oddness:
        return _tag(number, 0) + _varint(_number(rng), False)
    data = _data(rng, kind, oddness, depth)
    size = len(data) + (rng.choice([-1, 1, 3]) if rng.random() < oddness / 8 else 0)
    return _tag(number, 2) + _varint(max(size, 0), rng.random() < oddness) + data


def _data(rng: random.Random, kind: str, oddness: float, depth: int) -> bytes:
    if kind == _TEXT:
        odd = rng.random() < oddness / 8
        return rng.choice([b"\xff", b"\xed\xa0\x80"] if odd else [b"", b"a", b"x\xc3\xa9", b"sess"])
    if kind == _BYTES:
        return rng.randbytes(rng.choice([0, 1, 4, 8, 200]))
    if kind == _PACKED:
        return b"".join(
            _varint(_number(rng), rng.random() < oddness) for _ in range(rng.randint(0, 4))
        )
    return odd_message(rng, kind, oddness, depth + 1)


def _unknown(rng: random.Random, number: int, oddness: float) -> bytes:
    wire_type = rng.choice([0, 1, 2, 3, 4, 5, 6])
    tag = _tag(number, wire_type)
    match wire_type:
        case 0:
            return tag + _varint(_number(rng), rng.random() < oddness)
        case 1:
            return tag + bytes(8)
        case 2:
            return tag + b"\x02ab"
        case 3:
            return tag + b"\x08\x01" + (_tag(number, 4) if rng.random() < 0.8 else b"")
        case 5:
            return tag + bytes(4)
    return tag


def _number(rng: random.Random) -> int:
    return rng.choice(_NUMBERS) if rng.random() < 0.5 else rng.randrange(300)


def _tag(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type, False)


def _varint(value: int, longer: bool) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    if longer and len(made) < 9:
        return bytes(made) + bytes((value | 128, 0))
    return bytes(made) + bytes((value,))
