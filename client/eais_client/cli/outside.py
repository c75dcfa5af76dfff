"""Everything outside a command that it may reach: environment, terminal, pool, processes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from eais.identity import Role
    from eais.joining import Joined
    from eais.rpc.v1 import listener_pb2
    from eais_client.cli.processes import Processes
    from eais_client.context import Context, ContextStore
    from eais_client.instances import Instance
    from eais_client.joining import Join
    from eais_client.operator_client import OperatorClient
    from eais_client.pool_client import PoolClient
    from eais_client.pool_status import CaRoll, PoolStatus
    from eais_client.run.program import Probed
    from eais_client.session_states import SessionState

    BringModel = Callable[
        [ContextStore, Context, Instance, str, Callable[[int, int], None]],
        listener_pb2.SessionSpec,
    ]
    AskSessions = Callable[[ContextStore, Context, Instance], tuple[SessionState, ...]]

STATUS_PATIENCE_S = 1.0


def connect(store: ContextStore, context: Context) -> PoolClient:
    """The context's pool, as its front-end."""
    from eais_client.pool_client import PoolClient

    return PoolClient.of_context(store, context)


def ask_status(store: ContextStore, context: Context) -> PoolStatus:
    """The context's pool as its operator sees it."""
    from eais_client.operator_client import OperatorClient

    with OperatorClient.of_context(store, context, patience_s=STATUS_PATIENCE_S) as client:
        return client.status()


def ask_sessions(
    store: ContextStore, context: Context, instance: Instance
) -> tuple[SessionState, ...]:
    """What runs the instance's sessions, asked of its listener."""
    from eais_client import session_states

    return session_states.ask_sessions(store, context, instance)


def bring_model(
    store: ContextStore,
    context: Context,
    instance: Instance,
    path: str,
    progress: Callable[[int, int], None],
) -> listener_pb2.SessionSpec:
    """Have a model's files at the instance's host."""
    from eais_client import bringing

    return bringing.bring_model(store, context, instance, path, progress)


def roll_ca(store: ContextStore, context: Context) -> CaRoll:
    """Begin to replace the CA of the context's pool, as its operator."""
    from eais_client.operator_client import OperatorClient

    with OperatorClient.of_context(store, context) as client:
        return client.roll_ca()


def connect_operator(store: ContextStore, context: Context) -> OperatorClient:
    """The management plane of the context's pool, as its operator."""
    from eais_client.operator_client import OperatorClient

    return OperatorClient.of_context(store, context)


def join(address: str, token: str, purpose: Role, *, check_pool: Callable[[str], None]) -> Joined:
    """Trade a token for an identity."""
    from eais import joining

    return joining.join(address, token, purpose, check_pool=check_pool)


def ask_secret(prompt: str) -> str:
    """What a person types after `prompt`, which isn't shown; EOFError if it is nothing."""
    from getpass import getpass

    return getpass(prompt)


def local_processes() -> Processes:
    """The processes of this machine."""
    from eais_client.cli.processes import LocalProcesses

    return LocalProcesses()


def replace_process(command: list[str]) -> None:
    """Become `command`; doesn't return."""
    os.execv(command[0], command)


def check_attached(store: ContextStore, context: Context, name: str) -> None:
    """Raise what a session with that instance, or with none named, would raise."""
    from eais_client.run import attached

    attached.check_attached(store, context, name)


def ask_python(interpreter: str, environ: Mapping[str, str]) -> Probed:
    """What a Python says of itself below `eais run`."""
    from eais_client.run import program

    return program.ask_python(interpreter, environ)


def become(path: str, argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Become the program; doesn't return."""
    from eais_client.run import program

    program.become(path, argv, environ)


def check_net(agent: Path) -> Mapping[str, Any]:
    """What this machine can do for a network agent, as `eais_server.net.checking` finds it."""
    from eais_client.cli.net_checking import check_net

    return check_net(agent)


def or_nowhere(stream: TextIO | None) -> TextIO:
    """`stream`, or one that keeps nothing: Python has none for a descriptor that was closed."""
    return stream if stream is not None else Path(os.devnull).open("w")


def or_nothing(stream: TextIO | None) -> TextIO:
    """`stream`, or one that has nothing to read."""
    return stream if stream is not None else Path(os.devnull).open()


@dataclass(frozen=True, slots=True)
class Outside:
    """The seams of the command line; tests give fakes."""

    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    stdin: TextIO = field(default_factory=lambda: or_nothing(sys.stdin))
    stdout: TextIO = field(default_factory=lambda: or_nowhere(sys.stdout))
    stderr: TextIO = field(default_factory=lambda: or_nowhere(sys.stderr))
    ask_secret: Callable[[str], str] = ask_secret
    connect: Callable[[ContextStore, Context], PoolClient] = connect
    connect_operator: Callable[[ContextStore, Context], OperatorClient] = connect_operator
    ask_status: Callable[[ContextStore, Context], PoolStatus] = ask_status
    ask_sessions: AskSessions = ask_sessions
    bring_model: BringModel = bring_model
    roll_ca: Callable[[ContextStore, Context], CaRoll] = roll_ca
    join: Join = join
    processes: Callable[[], Processes] = local_processes
    replace_process: Callable[[list[str]], None] = replace_process
    check_attached: Callable[[ContextStore, Context, str], None] = check_attached
    ask_python: Callable[[str, Mapping[str, str]], Probed] = ask_python
    become: Callable[[str, Sequence[str], Mapping[str, str]], None] = become
    check_net: Callable[[Path], Mapping[str, Any]] = check_net
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
