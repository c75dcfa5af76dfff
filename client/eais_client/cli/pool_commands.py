"""The embedded pool of this machine, and the pool's devices."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eais_client.cli import ca_command
from eais_client.cli.bringing_up import (
    CoresOption,
    ForegroundOption,
    SimulateOption,
    check_simulated,
    config_option,
    note_without_effect,
    state_dir_option,
    stay,
)
from eais_client.cli.command import Call, Group

if TYPE_CHECKING:
    from eais_client.cli.local_pool import LocalPool, RunningPool

NameOption = Annotated[
    str, typer.Option("--name", metavar="NAME", help="The pool's name, which is its context's.")
]
StateDirOption = Annotated[Path | None, state_dir_option("pool", "pools/NAME")]
ConfigOption = Annotated[Path | None, config_option("[manager] and [listener]")]


def add_to(group: Group) -> None:
    """Register `eais pool ...` and `eais devices`."""
    pool = Group("pool", "The embedded pool of this machine: manager and listener.")
    pool.command(
        "up",
        context=False,
        examples=[
            "eais pool up",
            "eais pool up --cpu-cores 2",
            "eais pool up --simulate gpu=2,npu=1,fpga=1",
            "eais pool up --bind 10.1.2.3",
            "eais pool up --foreground",
        ],
    )(up)
    pool.command("down", context=False, examples=["eais pool down"])(down)
    pool.command(
        "status", context=False, examples=["eais pool status", "eais pool status -o json"]
    )(status)
    pool.command(
        "listener", context=False, examples=["eais pool listener", "eais pool listener --name lab"]
    )(listener)
    ca_command.add_to(pool)
    group.add(pool)
    group.command("devices", examples=["eais devices", "eais devices -o wide"])(devices)


def up(
    call: Call,
    name: NameOption = "local",
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    cpu_cores: CoresOption = None,
    simulate: SimulateOption = None,
    no_listener: Annotated[
        bool, typer.Option("--no-listener", help="Start the manager alone.", show_default=False)
    ] = False,
    bind: Annotated[
        str | None,
        typer.Option(
            "--bind",
            metavar="ADDRESS",
            help="This machine's address that other machines reach; else the pool is its own.",
            show_default=False,
        ),
    ] = None,
    foreground: ForegroundOption = False,
) -> None:
    """Bring up this machine's pool, in the background.

    Harmless if it runs. Writes a context of the pool's name, which becomes the
    current one if there was none.
    """
    from eais_client.cli.local_pool import UpOptions

    check_simulated(simulate)
    options = UpOptions(not no_listener, config, cpu_cores, bind, foreground, simulate)
    pool = _local(call, name, state_dir)
    with call.progress("starting") as progress:
        running = pool.up(options, progress)
    if not running.started:
        note_without_effect(call, "pool", options.flags())
    if foreground:
        stay(running.process, lambda: _tell_up(call, running))
    else:
        _tell_up(call, running)


def down(call: Call, name: NameOption = "local", state_dir: StateDirOption = None) -> None:
    """Stop this machine's pool; its state is kept for the next `up`."""
    pool = _local(call, name, state_dir)
    with call.progress("stopping"):
        stopped = pool.down()
    text = "stopped" if stopped else "was not running"
    data = {"pool": name, "stopped": stopped, "state_dir": str(pool.place.state_dir)}
    call.printer.answer(data, [f"pool {name} {text}"])


def status(call: Call, name: NameOption = "local", state_dir: StateDirOption = None) -> None:
    """Show the pool's hosts and devices; exit code 4 if it isn't up."""
    from eais_client.cli.pool_view import pool_data, pool_lines

    found = _local(call, name, state_dir).status()
    call.printer.answer(pool_data(found), pool_lines(found, call.printer))


def listener(
    call: Call,
    name: NameOption = "local",
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Run the embedded pool's own listener in the foreground.

    For a pool that was brought up with --no-listener, on its machine. Ctrl-C
    ends it. On other machines: `eais listener up`.
    """
    from eais_client.cli.local_pool import check_installed

    check_installed("listener")
    local = _local(call, name, state_dir)
    local.require_running()
    place = local.place
    command = [sys.executable, "-m", "eais_server.listener"]
    command += ["--state-dir", str(place.state_dir / "listener")]
    command += ["--pool-file", str(place.ready_file)]
    command += ["--config", str(config.absolute())] if config else []
    call.printer.note(f"listener of pool {name}: Ctrl-C ends it")
    call.outside.replace_process(command)


def devices(call: Call) -> None:
    """List the pool's devices: what is free, real or simulated."""
    from eais_client.cli.pool_view import device_data, device_table

    found = call.pool_status().devices
    lines = device_table(found, call.printer) if found else ["No devices."]
    call.printer.answer({"devices": [device_data(device) for device in found]}, lines)


def _local(call: Call, name: str, state_dir: Path | None) -> LocalPool:
    from eais_client.cli.local_pool import LocalPool, PoolPlace

    return LocalPool(PoolPlace.find(name, call.outside.environ, state_dir), call.outside)


def _tell_up(call: Call, running: RunningPool) -> None:
    from eais_client.cli.pool_view import pool_data, pool_lines

    data = pool_data(running) | {"started": running.started}
    head = "is up" if running.started else "was up already"
    lines = [f"pool {running.context.name} {head}", "", *pool_lines(running, call.printer)]
    call.printer.answer(data, lines)
