"""`eais top`: what the pool does now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from eais_client.cli.command import Call, Group
from eais_client.cli.printer import Format

if TYPE_CHECKING:
    from eais_client.cli.top_model import TopView


def add_to(group: Group) -> None:
    """Register `eais top`."""
    group.command("top", examples=["eais top", "eais top --interval 5", "eais top --once -o json"])(
        top
    )


def top(
    call: Call,
    interval_s: Annotated[
        float,
        typer.Option(
            "--interval", metavar="SECONDS", min=0.1, max=3600, help="How often it is asked."
        ),
    ] = 1.0,
    once: Annotated[
        bool, typer.Option("--once", help="Print it once, and end.", show_default=False)
    ] = False,
) -> None:
    """Show what the pool does now.

    Hosts, devices, instances, calls: an operator sees the whole pool, a
    front-end its tenant's instances. On a terminal it is live, q or Ctrl-C ends
    it; elsewhere it is printed once. RATIO is CPU cores at work, of the
    front-end and the pool, to accelerators granted; FE CPU says how busy the
    front-end's cores are.
    """
    if once or not _is_live(call):
        from eais_client.cli.top_view import top_data

        view = _asked(call)
        call.printer.answer(top_data(view), _lines(view, call.printer.width))
    else:
        from eais_client.cli.top_live import show_live

        show_live(call, interval_s)


def _is_live(call: Call) -> bool:
    outside = call.outside
    for_people = call.printer.format in (Format.TABLE, Format.WIDE)
    return for_people and outside.stdout.isatty() and outside.environ.get("TERM") != "dumb"


def _asked(call: Call) -> TopView:
    from eais_client.cli.top_asker import Asker

    asker = Asker(call)
    try:
        return asker.ask()
    finally:
        asker.close()


def _lines(view: TopView, width: int | None) -> list[str]:
    from eais_client.cli.table import table
    from eais_client.cli.top_view import headline, sections

    lines = [headline(view)]
    for section in sections(view, width):
        cells = [[cell.text for cell in row] for row in section.rows]
        lines += ["", *table(section.headings, cells)]
    return lines if view.instances else [*lines, "", "No instances."]
