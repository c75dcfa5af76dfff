"""The contexts of this user: list, use, show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from eais_client.cli.command import Call, Group, context_names

if TYPE_CHECKING:
    from eais_client.context import Context, ContextStore


def add_to(group: Group) -> None:
    """Register `eais context ...`."""
    context = Group("context", "Which pool is spoken to, and as whom.")
    context.command("list", context=False, examples=["eais context list"])(list_)
    context.command("use", context=False, examples=["eais context use local"])(use)
    context.command("show", examples=["eais context show", "eais context show -o json"])(show)
    group.add(context)


def list_(call: Call) -> None:
    """List the contexts; the current one is marked."""
    from eais_client.cli.table import table

    store = call.store()
    listed = store.read()
    current = call.outside.environ.get("EAIS_CONTEXT") or listed.current
    contexts = [listed.contexts[name] for name in sorted(listed.contexts)]
    rows = [
        ["*" if one.name == current else " ", one.name, one.pool, one.manager] for one in contexts
    ]
    none = ["No contexts: `eais pool up` or `eais join` makes one."]
    lines = table((" ", "NAME", "POOL", "MANAGER"), rows) if rows else none
    data = {"current": current or None, "contexts": [_data(store, one) for one in contexts]}
    call.printer.answer(data, lines)


def use(
    call: Call,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The context.", autocompletion=context_names)
    ],
) -> None:
    """Make a context the current one."""
    store = call.store()
    context = store.use(name)
    call.printer.answer(_data(store, context), [f"{name} is the current context"])


def show(call: Call) -> None:
    """Show the context in force, its pool and its identity."""
    from eais_client.cli.table import pairs

    store, context = call.store(), call.context()
    data = _data(store, context)
    words = [(key.replace("_", " ").capitalize(), str(value or "")) for key, value in data.items()]
    call.printer.answer(data, pairs(words))


def _data(store: ContextStore, context: Context) -> dict[str, object]:
    return {
        "name": context.name,
        "pool": context.pool,
        "manager": context.manager,
        "management": context.management or None,
        "state_dir": context.state_dir or None,
        "identities": str(store.folder(context.name)),
    }
