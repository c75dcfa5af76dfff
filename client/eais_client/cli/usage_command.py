"""`eais usage`: what was used, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from eais_client.cli.command import Call, Group
from eais_client.usage import By

if TYPE_CHECKING:
    from eais_client.usage import UsageLine

HOUR_S = 3600
_NUMBERS = ("DEVICE-HOURS", "COST", "REQUESTS", "BYTES IN", "BYTES OUT", "BUSY S")
_VNIC = ("VNIC BYTES IN", "VNIC BYTES OUT", "VNIC PACKETS IN", "VNIC PACKETS OUT")


def add_to(group: Group) -> None:
    """Register the command."""
    group.command(
        "usage",
        csv=True,
        examples=[
            "eais usage",
            "eais usage --since 7d --by model",
            "eais usage --all-tenants --by tenant --by kind -o csv > usage.csv",
        ],
    )(usage)


def usage(
    call: Call,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="From so long ago on: 90s, 10m, 2h, 1d.")
    ] = "1d",
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", help="Until so long ago.")
    ] = "0s",
    by: Annotated[
        list[By] | None,
        typer.Option("--by", help="What is told apart (instance); again for another."),
    ] = None,
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", help="Of all; for operators.", show_default=False)
    ] = False,
) -> None:
    """Show what was used, and what it cost.

    A share of a device is charged for from when it serves until it is taken
    back, at the price that the pool had then. Calls are counted once, when
    they were answered. What goes on now is counted until now. Of a row that
    the time cuts its part is shown: of lease time that is exact, of calls to
    the minute, and to the hour after two days. What vNICs of the kernel have
    carried is in whole packets, and of no model.
    """
    from eais_client.cli.log_lines import duration_s

    told = tuple(by or [By.INSTANCE])
    times = duration_s(since), duration_s(until)
    if all_tenants:
        with call.operator() as operator:
            lines = operator.usage(*times, told)
    else:
        with call.pool() as pool:
            lines = pool.usage(*times, told)
    headings = _headings(told)
    if call.printer.csv:
        exact = [[*_exact(line, told), *map(str, _carried(line))] for line in lines]
        call.printer.table_of((*headings, *_VNIC), exact)
        return
    rows = [_row(line, told) for line in lines]
    if any(any(_carried(line)) for line in lines):  # few have vNICs that count
        headings = (*headings, *_VNIC[:2])
        rows = [
            [*row, *map(str, _carried(line)[:2])] for row, line in zip(rows, lines, strict=True)
        ]
    shown = _table(headings, rows) if lines else ["Nothing was used."]
    call.printer.answer({"usage": [asdict(line) for line in lines]}, shown)


def _headings(by: Sequence[By]) -> tuple[str, ...]:
    return (*(name.upper() for name in by), *_NUMBERS)


def _carried(line: UsageLine) -> tuple[int, ...]:
    """As `_VNIC` names them."""
    return (line.vnic_bytes_in, line.vnic_bytes_out, line.vnic_packets_in, line.vnic_packets_out)


def _row(line: UsageLine, by: Sequence[By]) -> list[str]:
    names = [getattr(line, name)[:12] if name is By.MODEL else getattr(line, name) for name in by]
    hours, cost = f"{line.device_s / HOUR_S:.4f}", f"{line.cost:.4f}"
    counts = (line.requests, line.bytes_in, line.bytes_out)
    return [*names, hours, cost, *map(str, counts), f"{line.busy_s:.1f}"]


def _exact(line: UsageLine, by: Sequence[By]) -> list[str]:
    names = [getattr(line, name) for name in by]
    counts = (line.requests, line.bytes_in, line.bytes_out)
    return [*names, *map(repr, (line.device_s / HOUR_S, line.cost, *counts, line.busy_s))]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    from eais_client.cli.table import table

    return table(headings, rows)
