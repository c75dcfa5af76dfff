"""What the commands that bring a place up, pool or listener, have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eais.errors import UsageError
from eais.simulated import EXAMPLE, parse_simulated
from eais_client.cli.command import Call

if TYPE_CHECKING:
    from eais_client.cli.processes import Process

CoresOption = Annotated[
    int | None,
    typer.Option(
        "--cpu-cores",
        metavar="N",
        min=1,
        help="CPU cores that the pool may lend; else all of this machine.",
        show_default=False,
    ),
]
SimulateOption = Annotated[
    str | None,
    typer.Option(
        "--simulate",
        metavar="KIND=COUNT,...",
        help=f"Simulated devices for the pool to lend too, such as {EXAMPLE}; else none.",
        show_default=False,
    ),
]
ForegroundOption = Annotated[
    bool,
    typer.Option("--foreground", help="Stay, and end with this command.", show_default=False),
]


def state_dir_option(whose: str, default: str) -> Any:
    """`--state-dir`: where `whose` state is kept, below $XDG_STATE_HOME/eais if unsaid."""
    return typer.Option(
        "--state-dir",
        metavar="DIR",
        help=f"Where the {whose} keeps its state; else $XDG_STATE_HOME/eais/{default}.",
        show_default=False,
    )


def config_option(tables: str) -> Any:
    """`--config`: a file that is there, with these tables."""
    return typer.Option(
        "--config",
        metavar="FILE",
        help=f"Settings, tables {tables}.",
        exists=True,
        dir_okay=False,
        show_default=False,
    )


def check_simulated(text: str | None) -> None:
    """`UsageError` ARGUMENT for simulated devices that there can't be."""
    try:
        parse_simulated(text or "")
    except ValueError as error:
        raise UsageError("ARGUMENT", f"--simulate: {error}") from None


def note_without_effect(call: Call, what: str, flags: Sequence[str]) -> None:
    """Say which flags a pool or listener that was up already takes no notice of."""
    if flags:
        call.printer.note(f"note: the {what} was up already; no effect: {', '.join(flags)}")


def stay(process: Process, tell: Callable[[], None]) -> None:
    """Tell, and wait until `process` ends; end it when this command is told to."""
    from eais_client.cli.signals import told_by_signals

    with told_by_signals(process.terminate):
        tell()
        while not process.wait(3600.0):
            pass
