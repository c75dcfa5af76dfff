"""The console script `eais`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from eais import __version__
from eais.standard_streams import hold_standard_streams, leave
from eais_client.cli import (
    context_commands,
    defrag_command,
    demo_command,
    doctor_command,
    host_commands,
    instance_commands,
    join_command,
    listener_commands,
    load_command,
    logs_command,
    net_commands,
    pool_commands,
    profile_command,
    ratio_command,
    run_command,
    tenant_commands,
    token_commands,
    top_command,
    usage_command,
    whatif_command,
)
from eais_client.cli.command import Call, Group
from eais_client.cli.edge import run
from eais_client.cli.outside import Outside
from eais_client.run.environment import leave_run

_ABOUT = """Elastic accelerated instances: attach an accelerator from a pool.

Bring up a pool on this machine with `eais pool up`, attach with
`eais attach --type cpu.1`, and use `eais.InferenceSession` in your program.
"""


def make_app() -> typer.Typer:
    """The command tree."""
    root = Group("eais", _ABOUT, completion=True)
    instance_commands.add_to(root)
    run_command.add_to(root)
    profile_command.add_to(root)
    load_command.add_to(root)
    usage_command.add_to(root)
    ratio_command.add_to(root)
    whatif_command.add_to(root)
    join_command.add_to(root)
    pool_commands.add_to(root)
    listener_commands.add_to(root)
    host_commands.add_to(root)
    net_commands.add_to(root)
    defrag_command.add_to(root)
    tenant_commands.add_to(root)
    token_commands.add_to(root)
    context_commands.add_to(root)
    top_command.add_to(root)
    logs_command.add_to(root)
    doctor_command.add_to(root)
    demo_command.add_to(root)
    root.command("version", context=False, examples=["eais version", "eais version -o json"])(
        version
    )
    root.app.callback(invoke_without_command=True)(_alone)
    return root.app


def _alone(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="As `eais version`.", show_default=False)
    ] = False,
) -> None:
    if version:
        typer.echo(f"eais {__version__}")
    elif ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def version(call: Call) -> None:
    """Print the versions of EAIS and of its wire."""
    from eais.rpc.hello import WIRE_VERSION

    data = {"version": __version__, "wire": WIRE_VERSION}
    call.printer.answer(data, [f"eais {__version__} (wire version {WIRE_VERSION})"])


def main(argv: Sequence[str], outside: Outside) -> int:
    """Run `eais` with these arguments; the exit code."""
    return run(make_app(), argv, outside)


def entry() -> None:
    """The console script."""
    hold_standard_streams()
    leave_run()
    sys.exit(leave(main(sys.argv[1:], Outside())))
