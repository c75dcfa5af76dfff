"""A TOML file of settings: what it says, and on which line it says it."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from eais.errors import ConfigError

#: Settings are a page or two; what is larger is no file of ours.
LIMIT_BYTES: Final = 64 << 10
#: A key of many parts takes tomllib time that grows with their square.
LINE_LIMIT: Final = 2048

_Path = tuple[str, ...]
_AT = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """What a file says; made by `read`.

    Attributes:
        there: whether there is such a file; one that isn't says nothing.
    """

    file: Path
    there: bool = False
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> TomlFile:
        """The file's content.

        Raises:
            ConfigError: CONFIG with line and column, it is no TOML; CONFIG, it can't be read, is
                no regular file, is larger than the limits above, or is nested too deeply.
        """
        text = ""
        try:
            text = _text(file)
            return cls(file, there=True, text=text, data=tomllib.loads(text))
        except FileNotFoundError:
            return cls(file)
        except RecursionError:
            why = "it is nested too deeply"
        except OSError as error:
            why = error.strerror or str(error)
        except ValueError as error:  # tomllib's own among them
            why = str(error)
        raise ConfigError("CONFIG", _placed(file, text, why))

    def table(self, *path: str) -> dict[str, Any]:
        """The table at `path`, {} if there is none; `ConfigError` CONFIG if it isn't one."""
        found: Any = self.data
        for depth, name in enumerate(path, start=1):
            found = found.get(name, {})
            if not isinstance(found, dict):
                where = ".".join(path[:depth])
                place = self.place(*path[:depth])
                raise ConfigError("CONFIG", f"{place}: {where} must be a table, [{where}]")
        return dict(found)

    def check_known(self, path: _Path, known: Collection[str]) -> None:
        """`ConfigError` CONFIG unless every key of the table at `path` is one of `known`."""
        for name in self.table(*path):
            if name not in known:
                table = f"[{'.'.join(path)}]" if path else "the file"
                names = ", ".join(known)
                place = self.place(*path, name)
                raise ConfigError(
                    "CONFIG", f"{place}: {table} has no {name[:80]!r}; known: {names}"
                )

    def place(self, *path: str) -> str:
        """ "FILE:LINE:COLUMN" of that key or table, or of what holds it, as far as found."""
        lines = list(_lines(self.text))
        within = [line for line in lines if line[0][: len(path)] == path]
        around = [line for line in lines if path[: len(line[0])] == line[0]]
        if within:
            _, row, column = within[0]
        elif around:
            _, row, column = max(around, key=lambda line: len(line[0]))
        else:
            return str(self.file)
        return f"{self.file}:{row}:{column}"


def _placed(file: Path, text: str, why: str) -> str:
    """What is wrong, with the place first, as editors take it, if tomllib names one."""
    found = _AT.search(why)
    if found is None:
        return f"{file}: {why}"
    lines = text.split("\n")
    row, column = found[1] or len(lines), found[2] or len(lines[-1]) + 1
    return f"{file}:{row}:{column}: {why[: found.start()].rstrip()}"


def _text(file: Path) -> str:
    # O_NONBLOCK so that a FIFO in the file's place can't hold us.
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as opened:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("it is no regular file")
        data = opened.read(LIMIT_BYTES + 1)
    if len(data) > LIMIT_BYTES:
        raise ValueError(f"it is larger than {LIMIT_BYTES} bytes")
    text = data.decode("utf-8-sig")
    if max(map(len, text.split("\n"))) > LINE_LIMIT:
        raise ValueError(f"it has a line of more than {LINE_LIMIT} characters")
    return text


def _lines(text: str) -> Iterator[tuple[_Path, int, int]]:
    """Each header and key with its full path, its line and its column, both from 1.

    A line within a longer string may look like one; then a place is wrong, and no more.
    """
    table: _Path = ()
    for row, line in enumerate(text.split("\n"), start=1):
        bare = line.lstrip()
        column = len(line) - len(bare) + 1
        if bare.startswith("["):
            table = _named(bare) or table
            yield table, row, column
        elif key := _named(f"{bare.partition('=')[0]}= 0"):
            yield (*table, *key), row, column


def _named(line: str) -> _Path:
    """The path that a header, or a key with a value of 0, stands for."""
    try:
        found: Any = tomllib.loads(line)
    except (ValueError, RecursionError):
        return ()
    path = []
    while found:
        if isinstance(found, list):
            found = found[0]
        else:
            [(name, found)] = found.items()
            path.append(name)
    return tuple(path)
