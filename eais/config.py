"""One frozen dataclass a process, filled once: flag > variable > file > default.

A process declares its settings as a frozen dataclass whose field names carry
their unit (`session_idle_s`). Each field may be set by a flag, by the variable
`EAIS_<NAME>`, or by the file's table for that process. Unknown keys and values
that don't fit are `ConfigError` CONFIG and name the place.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from eais.errors import ConfigError
from eais.toml_file import TomlFile

C = TypeVar("C")

#: The tables of a pool's file: all of its processes read the same one.
POOL_TABLES = ("supervisor", "manager", "listener", "quota", "prices", "vnic")
_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_KINDS: tuple[type, ...] = (bool, int, float, Path, str)


def load(
    cls: type[C],
    *,
    table: str,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    file: TomlFile | None,
) -> C:
    """Make a `cls` from all sources; a flag of None counts as not given.

    Raises `ConfigError` CONFIG for an unknown key, a value of the wrong type, or what
    `cls.__post_init__` refuses by ValueError or by a `ConfigError` of its own.
    """
    hints = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    in_file = _of_file(file, table, names, hints) if file else {}
    in_environ = _of_environ(environ, names, hints)
    in_flags = {name: value for name, value in flags.items() if value is not None}
    by_file = in_file.keys() - in_environ.keys() - in_flags.keys()
    try:
        return cls(**{**in_file, **in_environ, **in_flags})
    except ValueError as error:
        refused = ConfigError("CONFIG", str(error))
    except ConfigError as error:
        refused = error
    place = _place(file, table, by_file, refused.message)
    raise ConfigError(refused.reason, f"{place}[{table}] {refused.message}", hint=refused.hint)


def read_pool_file(file: Path | None) -> TomlFile | None:
    """The pool's settings, for manager and listener alike; None if none are given.

    Raises:
        ConfigError: CONFIG, it isn't there or can't be read, or has a table of nobody's.
    """
    if file is None:
        return None
    found = TomlFile.read(file)
    if not found.there:
        raise ConfigError("CONFIG", f"{file}: there is no such file")
    found.check_known((), POOL_TABLES)
    return found


def _place(file: TomlFile | None, table: str, by_file: set[str], message: str) -> str:
    """Where the file says what was refused: messages begin with the key."""
    key = message.partition(" ")[0]
    return f"{file.place(table, key)}: " if file and key in by_file else ""


def _of_file(
    file: TomlFile, table: str, names: list[str], hints: Mapping[str, Any]
) -> dict[str, object]:
    file.check_known((table,), names)
    found: dict[str, object] = {}
    for name, value in file.table(table).items():
        try:
            found[name] = _fit(value, hints[name])
        except ValueError as error:
            place = file.place(table, name)
            raise ConfigError("CONFIG", f"{place}: {name} = {error}") from None
    return found


def _of_environ(
    environ: Mapping[str, str], names: list[str], hints: Mapping[str, Any]
) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in names:
        variable = f"EAIS_{name.upper()}"
        if variable in environ:
            try:
                found[name] = _fit(_word(environ[variable], hints[name]), hints[name])
            except ValueError as error:
                raise ConfigError("CONFIG", f"{variable} = {error}") from None
    return found


def _word(text: str, hint: Any) -> object:
    """A variable's text as the field's type, if it is one's; else the text."""
    for kind in _wanted(hint):
        try:
            return _WORDS[text.lower()] if kind is bool else kind(text)
        except (ValueError, KeyError):
            continue
    return text


def _fit(value: object, hint: Any) -> object:
    """`value` if it is of the field's type; a whole number may stand for a fraction.

    Raises ValueError, "VALUE is not TYPE".
    """
    wanted = _wanted(hint)
    for kind in wanted:
        found = _as(kind, value)
        if found is not None:
            return found
    names = " or ".join(sorted(kind.__name__ for kind in wanted))
    raise ValueError(f"{_short(value)} is not {names}")


def _as(kind: type, value: object) -> object | None:
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    if kind is float:
        return finite(value)
    return value if type(value) is kind else None


def finite(value: object) -> float | None:
    """A whole number or a fraction as one; None for infinities, NaN, and all else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _wanted(hint: Any) -> list[type]:
    options = (hint, *getattr(hint, "__args__", ()))
    return [kind for kind in _KINDS if kind in options]
