"""Tables as kubectl prints them: headings in capitals, columns as wide as they need be."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

GAP = "   "


def text_width(text: str) -> int:
    """How many terminal cells `text` takes."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; an empty cell is shown as "-". Never wraps, never cuts."""
    shown = [list(headings), *([cell or "-" for cell in row] for row in rows)]
    widths = [max(map(text_width, column)) for column in zip(*shown, strict=True)]
    return [_line(row, widths) for row in shown]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (
        cell + " " * (width - text_width(cell)) for cell, width in zip(row, widths, strict=True)
    )
    return GAP.join(cells).rstrip()


def pairs(rows: Sequence[tuple[str, str]], indent: str = "") -> list[str]:
    """`Name:   value` lines with the values under each other."""
    width = max((len(name) for name, _ in rows), default=0) + 1
    return [f"{indent}{name + ':':<{width}}  {value or '-'}".rstrip() for name, value in rows]
