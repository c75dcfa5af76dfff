"""Records and facts as JSON and back, checked by their own annotations. (Brain)

Only what records are made of: text, numbers, flags, enums, tuples, optional
values and frozen dataclasses. A missing field takes its default.
"""

from __future__ import annotations

import dataclasses
import json
import types
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_json(value: object) -> str:
    """A record or fact as compact JSON; equal values give equal text."""
    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)


def from_json(kind: type[T], text: str) -> T:
    """The `kind` that `to_json` wrote; ValueError if the text holds anything else."""
    made = build(kind, json.loads(text))
    if not isinstance(made, kind):
        raise ValueError(f"not a {kind.__name__}")
    return made


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value


def build(kind: Any, value: Any) -> Any:
    """A value of the annotated type `kind` from plain JSON data; ValueError if it won't do."""
    if dataclasses.is_dataclass(kind):
        return _build_record(kind, value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    origin = get_origin(kind)
    if origin is tuple:
        return _build_tuple(get_args(kind), value)
    if origin in (Union, types.UnionType):
        return None if value is None else build(get_args(kind)[0], value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{str(value)[:40]!r} is no {kind}")
    return value


def _build_record(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"not the fields of a {kind.__name__}")
    hints = _hints(kind)
    try:
        return kind(**{name: build(hints[name], part) for name, part in value.items()})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the fields of a {kind.__name__}: {error}") from None


def _build_tuple(parts: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    if parts[-1] is Ellipsis:
        return tuple(build(parts[0], part) for part in value)
    return tuple(build(part, each) for part, each in zip(parts, value, strict=True))


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
