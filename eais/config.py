"""One frozen dataclass a process, filled once: flag > variable > file > default.

A process declares its settings as a frozen dataclass whose field names carry
their unit (`session_idle_s`). Each field may be set by a flag, by the variable
`EAIS_<NAME>`, or by the file's table for that process. Unknown keys and values
that don't fit are `ConfigError` CONFIG and name the place.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from eais.errors import ConfigError

C = TypeVar("C")

_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def load(
    cls: type[C],
    *,
    table: str,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    file: Path | None,
) -> C:
    """Make a `cls` from all sources; a flag of None counts as not given.

    Raises `ConfigError` CONFIG for an unknown key, a value of the wrong type,
    a file that is no TOML, or what `cls.__post_init__` refuses by ValueError.
    """
    hints = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    values = {**_of_file(file, table, names, hints), **_of_environ(environ, names, hints)}
    values.update({name: value for name, value in flags.items() if value is not None})
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigError("CONFIG", f"[{table}] {error}") from None


def read_toml(file: Path) -> dict[str, Any]:
    """The file as a dict, {} if there is none; `ConfigError` with line and column."""
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError("CONFIG", f"{file}: {error}") from None


def _of_file(
    file: Path | None, table: str, names: list[str], hints: Mapping[str, Any]
) -> dict[str, object]:
    found = read_toml(file).get(table, {}) if file else {}
    if not isinstance(found, dict):
        raise ConfigError("CONFIG", f"{file}: [{table}] must be a table")
    for name in found:
        if name not in names:
            known = ", ".join(names)
            raise ConfigError("CONFIG", f"{file}: [{table}] has no {name!r}; known: {known}")
    return {name: _fit(f"{file}: {name}", value, hints[name]) for name, value in found.items()}


def _of_environ(
    environ: Mapping[str, str], names: list[str], hints: Mapping[str, Any]
) -> dict[str, object]:
    found = {name: f"EAIS_{name.upper()}" for name in names}
    return {
        name: _fit(variable, environ[variable], hints[name])
        for name, variable in found.items()
        if variable in environ
    }


def _fit(place: str, value: object, hint: Any) -> object:
    """`value` as the field's type: text from variables, TOML's own types from files."""
    wanted = {kind for kind in (int, float, bool, str, Path) if kind in (hint, *_options(hint))}
    try:
        if bool in wanted:
            return value if isinstance(value, bool) else _WORDS[str(value).lower()]
        if isinstance(value, bool):
            raise ValueError
        for kind in (int, float, Path, str):
            if kind in wanted:
                return kind(value)  # type: ignore[arg-type,call-overload]
    except (ValueError, KeyError, TypeError):
        pass
    names = " or ".join(sorted(kind.__name__ for kind in wanted))
    raise ConfigError("CONFIG", f"{place} = {value!r} is not {names}")


def _options(hint: Any) -> tuple[Any, ...]:
    return getattr(hint, "__args__", ())
