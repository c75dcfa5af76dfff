"""Plain data as YAML: mappings, sequences, strings, numbers, true, false and null.

Strings that a YAML reader could take for something else are written as JSON strings,
which YAML 1.2 reads as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./+@-]*(?: [A-Za-z0-9_./+@-]+)*")
# Readers, those of YAML 1.1 among them, take these for true, false or null.
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null"})


def to_yaml(data: object) -> str:
    """`data` as YAML text that ends with a newline.

    Raises TypeError for anything but dict (of str), list, tuple, str, int, float, bool, None.
    """
    return "\n".join(_lines(data)) + "\n"


def _lines(data: object) -> Iterator[str]:
    match data:
        case Mapping() if data:
            for key, value in data.items():
                yield from _entry(f"{_scalar(str(key))}:", value, "  ")
        case list() | tuple() if data:
            for value in data:
                yield from _item(value)
        case _:
            yield _scalar(data)


def _entry(head: str, value: object, indent: str) -> Iterator[str]:
    if not _nests(value):
        yield f"{head} {_scalar(value)}"
        return
    yield head
    yield from (f"{indent}{line}" for line in _lines(value))


def _item(value: object) -> Iterator[str]:
    first, *others = _lines(value)
    yield f"- {first}"
    yield from (f"  {line}" for line in others)


def _nests(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple) and bool(value)


def _scalar(value: object) -> str:
    match value:
        case None | bool() | int() | float():
            return json.dumps(value, allow_nan=False)
        case str():
            plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
            return value if plain else json.dumps(value, ensure_ascii=not value.isprintable())
        case Mapping():
            return "{}"
        case Sequence():
            return "[]"
    raise TypeError(f"{type(value).__name__} has no place in YAML")
