"""`eais top` drawn: for a terminal with rich, for whoever reads it later as plain lines."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from eais_client.cli.table import GAP
from eais_client.cli.top_model import TopView
from eais_client.cli.top_view import Section, fitted, headline, sections

_HEAD_LINES = 2


def frame(view: TopView, words: Text, width: int, height: int) -> RenderableType:
    """The pool on a screen of that many cells and lines; `words` stand below the headline."""
    head = Text(headline(view), style="bold", no_wrap=True, overflow="ellipsis")
    words.no_wrap, words.overflow = True, "ellipsis"
    parts: list[RenderableType] = [head, words]
    for section in fitted(sections(view, width), height - _HEAD_LINES):
        parts += [Text(), _table(section)]
        if section.left_out:
            parts.append(Text(f"… {section.left_out} more", style="dim"))
    if not view.instances:
        parts += [Text(), Text("No instances.")]
    return Group(*parts)


def _table(section: Section) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style="bold")
    for heading, right in zip(section.headings, section.right, strict=True):
        table.add_column(
            heading, no_wrap=True, overflow="ellipsis", justify="right" if right else "left"
        )
    for row in section.rows:
        table.add_row(*(Text(cell.text or "-", style=cell.colour) for cell in row))
    return table
