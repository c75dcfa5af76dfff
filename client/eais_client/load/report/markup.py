"""HTML as text in which nothing that isn't ours is markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

VOID: Final = frozenset({"meta", "hr", "br"})


class Markup(str):
    """Text that is HTML, and is taken as it is; all other text is escaped."""

    __slots__ = ()


Child = str | Markup


def element(name: str, /, *children: Child, **attributes: str) -> Markup:
    """An element; `class_` is `class`, and `http_equiv` is `http-equiv`."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value, quote=True)}"'
        for key, value in attributes.items()
    )
    if name in VOID:
        return Markup(f"<{name}{told}>")
    return Markup(f"<{name}{told}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """One after the other."""
    return Markup("".join(each if isinstance(each, Markup) else escape(each) for each in children))


def html_table(
    headings: Sequence[str], rows: Sequence[Sequence[Child]], words: Iterable[int] = (0,)
) -> Markup:
    """A table that scrolls by itself where the page is narrow.

    `words` are the columns that hold words; all others are figures, and stand to the right.
    """
    left = frozenset(words)

    def cell(kind: str, number: int, child: Child) -> Markup:
        return element(kind, child, class_="words" if number in left else "figure")

    head = element("tr", *(cell("th", n, each) for n, each in enumerate(headings)))
    body = [element("tr", *(cell("td", n, each) for n, each in enumerate(row))) for row in rows]
    table = element("table", element("thead", head), element("tbody", *body))
    return element("div", table, class_="wide")


def definitions(rows: Iterable[tuple[str, Child]]) -> Markup:
    """Names and what they are."""
    pairs = (joined([element("dt", name), element("dd", value)]) for name, value in rows)
    return element("dl", *pairs)
