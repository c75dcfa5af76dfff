"""`eais run`: an unchanged program, with the pool where it imports onnxruntime."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from eais.errors import Unavailable
from eais_client.cli.command import Call, Group
from eais_client.cli.instance_commands import instance_ids


class Providers(StrEnum):
    """Who decides which execution providers a session has."""

    POOL = "pool"
    AS_REQUESTED = "as-requested"


class Fallback(StrEnum):
    """Where sessions run while the pool can't be reached."""

    LOCAL = "local"


def add_to(group: Group) -> None:
    """Register the command."""
    group.command(
        "run",
        program=True,
        examples=[
            "eais run -- python app.py --size 640",
            "eais run -- python -m app",
            "eais run --instance ei-7f3a -- gunicorn app:server",
            "eais run --fallback local -- sh -c 'python a.py | python b.py'",
        ],
    )(run)


def run(
    call: Call,
    command: Annotated[
        list[str],
        typer.Argument(metavar="CMD", help="The program and its arguments."),
    ],
    instance: Annotated[
        str,
        typer.Option(
            "--instance",
            metavar="EI",
            help="The instance to use; else $EAIS_INSTANCE, else the only one attached.",
            autocompletion=instance_ids,
            show_default=False,
        ),
    ] = "",
    providers: Annotated[
        Providers | None,
        typer.Option(
            "--providers",
            help="Who decides on execution providers: the pool (if nothing is said), or the "
            "program, whose list is passed on.",
            show_default=False,
        ),
    ] = None,
    fallback: Annotated[
        Fallback | None,
        typer.Option(
            "--fallback",
            help="Run in process with onnxruntime while the pool can't be reached.",
            show_default=False,
        ),
    ] = None,
    no_check: Annotated[
        bool,
        typer.Option(
            "--no-check",
            help="Don't look first whether there is an instance and EAIS in the program's Python.",
            show_default=False,
        ),
    ] = False,
) -> None:
    """Run a program whose `import onnxruntime` finds the pool.

    The program is not changed, nor is its environment on disk, and onnxruntime
    needn't be installed there; EAIS must be. This process becomes the program:
    its signals, terminal and exit code are its own. What it starts uses the
    pool as well.
    """
    from eais_client.run.environment import Settings, environ_below
    from eais_client.run.program import check_program, find_program

    outside = call.outside
    settings = Settings(call.context_name, instance, providers or "", fallback or "")
    environ = environ_below(outside.environ, settings)
    launch = find_program(command, environ)
    if not no_check:
        check_program(launch, outside.ask_python, environ)
        _check_attached(call, environ.get("EAIS_INSTANCE", ""), environ.get("EAIS_FALLBACK", ""))
    outside.become(launch.path, command, environ)


def _check_attached(call: Call, instance: str, fallback: str) -> None:
    """Raise what the program's first session would; with a fall-back only say it."""
    try:
        call.check_attached(instance)
    except Unavailable as error:
        if fallback != Fallback.LOCAL:
            raise
        call.printer.note(f"{error}; sessions run in process until the pool can be reached")
