"""Tables as kubectl prints them: headings in capitals, columns as wide as they need be."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

GAP: Final = "   "
_NARROW_GAP: Final = "  "
_CUT: Final = "…"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table that is to fit on a screen.

    Attributes:
        rank: the ones of the highest rank go first where there is no room; 0: never.
        least: to how many cells it may be shortened before it goes; 0: it isn't shortened.
    """

    heading: str
    rank: int = 0
    least: int = 0


def text_width(text: str) -> int:
    """How many terminal cells `text` takes."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide


def table(
    headings: Sequence[str | Column], rows: Sequence[Sequence[str]], width: int | None = None
) -> list[str]:
    """The lines of a table; an empty cell is shown as "-". Never wraps, and without `width` never
    cuts.

    With it the lines have at most so many cells, as far as the columns' ranks allow that: first
    the gaps become narrower, then columns are shortened or left out.
    """
    columns = [Column(each) if isinstance(each, str) else each for each in headings]
    shown = [[each.heading for each in columns], *([cell or "-" for cell in row] for row in rows)]
    widths = [max(map(text_width, column)) for column in zip(*shown, strict=True)]
    if width is None or _total(widths, GAP) <= width:
        return [_line(row, widths, GAP) for row in shown]
    fitted = _fitted(columns, widths, width)
    return [_line([row[n] for n in fitted], list(fitted.values()), _NARROW_GAP) for row in shown]


def _fitted(columns: Sequence[Column], widths: Sequence[int], width: int) -> dict[int, int]:
    """The columns that are kept, by number, and their widths."""
    kept = dict(enumerate(widths))
    while (over := _total(list(kept.values()), _NARROW_GAP) - width) > 0:
        last = max(reversed(kept), key=lambda number: columns[number].rank)
        column, room = columns[last], kept[last] - over
        if not column.rank:
            break
        if column.least and room >= column.least:
            kept[last] = room
        else:
            del kept[last]
    return kept


def _total(widths: Sequence[int], gap: str) -> int:
    return sum(widths) + len(gap) * (len(widths) - 1)


def _line(row: Sequence[str], widths: Sequence[int], gap: str) -> str:
    cells = (_shortened(cell, width) for cell, width in zip(row, widths, strict=True))
    padded = (
        cell + " " * (width - text_width(cell)) for cell, width in zip(cells, widths, strict=True)
    )
    return gap.join(padded).rstrip()


def _shortened(cell: str, width: int) -> str:
    if text_width(cell) <= width:
        return cell
    while text_width(cell) > width - 1:
        cell = cell[:-1]
    return cell.rstrip() + _CUT


def pairs(rows: Sequence[tuple[str, str]], indent: str = "") -> list[str]:
    """`Name:   value` lines with the values under each other."""
    width = max((len(name) for name, _ in rows), default=0) + 1
    return [f"{indent}{name + ':':<{width}}  {value or '-'}".rstrip() for name, value in rows]
