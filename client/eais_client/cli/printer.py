"""What commands say: an answer in the format asked for, and words for people beside it.

With `-o json` and `-o yaml` standard output carries the answer alone; all other words
go to standard error. JSON is one object on one line, the last one.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TextIO

from eais_client.cli.yaml_text import to_yaml

_FORMULA = frozenset("=+-@\t\r")
_COLOURS = {"green": "32", "yellow": "33", "red": "31", "bold": "1"}


class Format(StrEnum):
    """The formats of `-o`."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Printer:
    """Writes answers to `stdout` and words to `stderr`."""

    format: Format
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def wide(self) -> bool:
        """Whether all columns are wanted."""
        return self.format is Format.WIDE

    @property
    def width(self) -> int | None:
        """How many cells a table's lines may have; None: any, for all columns are wanted, or what
        is printed isn't looked at on a terminal.
        """
        if self.wide or not self.stdout.isatty():
            return None
        told = self.environ.get("COLUMNS", "")
        if told.isdecimal() and int(told):
            return int(told)
        try:
            return os.get_terminal_size(self.stdout.fileno()).columns or None
        except (OSError, ValueError):  # a terminal that doesn't say
            return None

    @property
    def csv(self) -> bool:
        """Whether rows are wanted for a spreadsheet."""
        return self.format is Format.CSV

    def table_of(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows as RFC 4180 says; what a spreadsheet would take for a formula is quoted."""
        writer = csv.writer(self.stdout, lineterminator="\r\n")
        writer.writerow(headings)
        writer.writerows([_harmless(cell) for cell in row] for row in rows)
        self.stdout.flush()

    def answer(self, data: Mapping[str, object], lines: Sequence[str]) -> None:
        """Print `data` for programs, or `lines` for people."""
        match self.format:
            case Format.JSON:
                text = json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n"
            case Format.YAML:
                text = to_yaml(data)
            case _:
                text = "".join(f"{line}\n" for line in lines)
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except OSError as error:
            error.filename = error.filename or "standard output"
            raise

    def note(self, text: str) -> None:
        """Words beside the answer, always on standard error; unsaid where nothing can be."""
        with contextlib.suppress(OSError):
            self.stderr.write(f"{text}\n")
            self.stderr.flush()

    def paint(self, text: str, colour: str) -> str:
        """`text` in a colour, on a terminal that may have it."""
        if not has_colour(self.stdout, self.environ):
            return text
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def _harmless(cell: str) -> str:
    """Spreadsheets compute cells that begin so; what is in a name is a tenant's to choose."""
    return f"'{cell}" if cell[:1] in _FORMULA else cell


def has_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `stream` is a terminal with colours, and NO_COLOR isn't set (no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
