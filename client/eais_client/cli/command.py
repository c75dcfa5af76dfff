"""How a function becomes a command: the options that all share, and its examples.

A command is a function whose first argument is a `Call`; its other arguments are typer's.
`Group.command` adds `-o`, `--context` and `--debug` and makes the `Call` from them. What it
returns is the exit code; None is 0.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eais.errors import UsageError
from eais_client.cli.outside import Outside
from eais_client.cli.printer import Format, Printer
from eais_client.cli.progress import Progress, progress

if TYPE_CHECKING:
    from eais.rpc.v1 import listener_pb2
    from eais_client.context import Context, ContextStore
    from eais_client.instances import Instance
    from eais_client.operator_client import OperatorClient
    from eais_client.pool_client import PoolClient
    from eais_client.pool_status import CaRoll, PoolStatus
    from eais_client.session_states import SessionState

_KEYWORD = inspect.Parameter.KEYWORD_ONLY
Command = Callable[..., "int | None"]


def context_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Completion of `--context`."""
    from eais_client.cli.completion import complete_contexts

    return complete_contexts(outside_of(ctx), incomplete)


OutputOption = Annotated[
    Format, typer.Option("--output", "-o", help="How to print the answer.", metavar="FORMAT")
]
ContextOption = Annotated[
    str,
    typer.Option(
        "--context",
        help="The pool to speak to; else $EAIS_CONTEXT, else the current one.",
        metavar="NAME",
        autocompletion=context_names,
        show_default=False,
    ),
]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", show_default=False)
]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a command: where its answer goes, and which pool it speaks to."""

    outside: Outside
    printer: Printer
    context_name: str = ""

    def store(self) -> ContextStore:
        """The contexts of this user."""
        from eais_client.context import ContextStore

        return ContextStore.of_environ(self.outside.environ)

    def context(self) -> Context:
        """The context in force; `UsageError` NOT_ATTACHED or NOT_FOUND without one."""
        return self.store().current(self.outside.environ, self.context_name or None)

    def environ(self) -> dict[str, str]:
        """For processes that are to speak to the same pool."""
        named = {"EAIS_CONTEXT": self.context_name} if self.context_name else {}
        return {**self.outside.environ, **named}

    @contextmanager
    def pool(self) -> Iterator[PoolClient]:
        """The context's pool, as its front-end."""
        with self.outside.connect(self.store(), self._running_context()) as client:
            yield client

    @contextmanager
    def operator(self) -> Iterator[OperatorClient]:
        """The management plane of the context's pool, as its operator.

        `IdentityError` CERT_MISSING if this user is none.
        """
        with self.outside.connect_operator(self.store(), self._running_context()) as client:
            yield client

    def pool_status(self) -> PoolStatus:
        """The context's pool, as its operator sees it."""
        return self.outside.ask_status(self.store(), self._running_context())

    def sessions(self, instance: Instance) -> tuple[SessionState, ...]:
        """What runs the sessions of an instance that is IN_USE, as its listener says."""
        return self.outside.ask_sessions(self.store(), self.context(), instance)

    def bring_model(
        self, instance: Instance, path: str, progress: Callable[[int, int], None]
    ) -> listener_pb2.SessionSpec:
        """Have a model's files at the instance's host; what it is opened with."""
        store, context = self.store(), self.context()
        return self.outside.bring_model(store, context, instance, path, progress)

    def roll_ca(self) -> CaRoll:
        """Begin to replace the CA of the context's pool, as its operator."""
        return self.outside.roll_ca(self.store(), self._running_context())

    def check_attached(self, name: str) -> None:
        """Raise what a session with the instance `name`, or "", would raise."""
        self.outside.check_attached(self.store(), self._running_context(), name)

    def _running_context(self) -> Context:
        from eais_client.cli.local_pool import check_runs

        context = self.context()
        check_runs(context, self.outside.processes())
        return context

    @contextmanager
    def progress(self, text: str) -> Iterator[Progress]:
        """A line that moves while something is waited for."""
        with progress(self.outside.stderr, self.outside.environ, text) as shown:
            yield shown


def outside_of(ctx: typer.Context) -> Outside:
    """What the program was started with; the real world while completing."""
    found = ctx.find_root().obj
    return found if isinstance(found, Outside) else Outside()


class Group:
    """Commands under one word, such as `eais pool`; printed help without a subcommand.

    `help` "": that of the function which is the word `itself`.
    """

    def __init__(self, name: str, help: str, *, completion: bool = False) -> None:
        said: dict[str, Any] = {"help": help} if help else {}
        self.app = typer.Typer(name=name, rich_markup_mode=None, add_completion=completion, **said)
        self.app.callback(invoke_without_command=True)(_help_alone)

    def command(
        self,
        name: str,
        *,
        examples: Sequence[str],
        context: bool = True,
        program: bool = False,
        csv: bool = False,
    ) -> Callable[[Command], Command]:
        """Make the decorated function the command `name`.

        `program`: what follows is a program's own, its options too; it answers, not `eais`.
        `csv`: it has an answer for `-o csv`.
        """

        def register(function: Command) -> Command:
            left_out = {"context"} if not context else {"output"} if program else set[str]()
            settings = {"allow_interspersed_args": not program}
            made = _with_call(function, left_out, csv=csv)
            self.app.command(name, epilog=_epilog(examples), context_settings=settings)(made)
            return function

        return register

    def itself(self, *, examples: Sequence[str], csv: bool = False) -> Callable[[Command], Command]:
        """Make the decorated function what the group's own word does, without a subcommand."""

        def register(function: Command) -> Command:
            made = _with_call(function, set(), csv=csv)
            self.app.callback(invoke_without_command=True, epilog=_epilog(examples))(made)
            return function

        return register

    def add(self, group: Group) -> None:
        """Put another group of commands under this one."""
        self.app.add_typer(group.app)


def _help_alone(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def _epilog(examples: Sequence[str]) -> str:
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in examples)])


def _with_call(function: Command, left_out: set[str], *, csv: bool) -> Command:
    own = inspect.signature(function, eval_str=True)
    _, *parameters = own.parameters.values()
    shared = [
        inspect.Parameter("ctx", _KEYWORD, annotation=typer.Context),
        *(parameter.replace(kind=_KEYWORD) for parameter in parameters),
        inspect.Parameter("output", _KEYWORD, default=Format.TABLE, annotation=OutputOption),
        inspect.Parameter("context", _KEYWORD, default="", annotation=ContextOption),
        inspect.Parameter("debug", _KEYWORD, default=False, annotation=DebugOption),
    ]
    kept = [parameter for parameter in shared if parameter.name not in left_out]

    def run(*, ctx: typer.Context, debug: bool, **given: Any) -> int | None:
        if ctx.invoked_subcommand is not None:
            _check_nothing_said(ctx)
            return None
        outside = outside_of(ctx)
        name, output = given.pop("context", ""), given.pop("output", Format.TABLE)
        if output is Format.CSV and not csv:
            raise UsageError(
                "ARGUMENT", "-o csv: this has no rows; `eais usage` and `eais loadtest` have"
            )
        printer = Printer(output, outside.stdout, outside.stderr, outside.environ)
        return function(Call(outside, printer, name), **given)

    # typer reads a command's options off its signature.
    run.__signature__ = inspect.Signature(kept)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in kept}
    run.__name__, run.__doc__ = function.__name__, function.__doc__
    return run


def _check_nothing_said(ctx: typer.Context) -> None:
    """Raise if there are options of a group's word before a command of it: they'd do nothing."""
    said = [name for name in ctx.params if _was_said(ctx, name)]
    if said:
        words = f"{ctx.command_path} {ctx.invoked_subcommand}"
        options = ", ".join(f"--{name.replace('_', '-')}" for name in said)
        raise UsageError("ARGUMENT", f"{words}: {options} stands before its command")


def _was_said(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
