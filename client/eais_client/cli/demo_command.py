"""`eais demo`."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Annotated

import typer

from eais.errors import ConfigError, RemoteError
from eais_client.cli.command import Call, Group

if TYPE_CHECKING:
    from eais_client.demo.own_pool import OwnPool
    from eais_client.demo.result import DemoResult

KeepOption = Annotated[
    bool, typer.Option("--keep", help="Leave the pool and its folder.", show_default=False)
]


def add_to(group: Group) -> None:
    """Register `eais demo`."""
    group.command("demo", context=False, examples=["eais demo", "eais demo -o json"])(demo)


def demo(call: Call, keep: KeepOption = False) -> None:
    """Run real models through a pool of its own; check answers.

    Starts a pool in a temporary folder, attaches one CPU core, runs ResNet-50
    and magika's model remotely, compares each answer bit by bit with onnxruntime
    in this process, shows both latencies, and leaves nothing behind. Your own
    pools and contexts are not touched.
    """
    _check_installed()
    # Before it is imported: it would leave an id and a database in the user's home.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from eais_client.demo.run import Demo

    with call.progress("starting") as progress:
        result, pool = Demo(call.outside, progress, keep=keep).run()
    call.printer.answer(result.data(), result.lines())
    if keep:
        _tell_kept(call, pool)
    _judge(result, keep)


def _check_installed() -> None:
    from eais_client.cli.local_pool import check_installed

    check_installed("manager", "listener")
    missing = [name for name in ("onnx", "magika") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            "NOT_INSTALLED",
            f"the demo runs models of {' and '.join(missing)}",
            hint="pip install 'eais[all,demo]'",
        )


def _tell_kept(call: Call, pool: OwnPool) -> None:
    name = pool.running.context.name
    own = " ".join(f"{key}={pool.environ[key]}" for key in ("EAIS_CONFIG_DIR", "EAIS_STATE_DIR"))
    call.printer.note(f"kept: {own} eais pool status --name {name}")
    call.printer.note(f"ends: {own} eais pool down --name {name}, then remove {pool.folder}")


def _judge(result: DemoResult, keep: bool) -> None:
    if not result.bit_exact:
        raise RemoteError("RUN_FAILED", "an answer differs from onnxruntime's in this process")
    if not (keep or result.left_behind.nothing):
        raise RemoteError("PROCESS_FAILED", "the demo's pool left something behind")
