"""Joining a pool on another machine, with a token of an operator's."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from eais_client.cli.command import Call, Group, context_names

if TYPE_CHECKING:
    from eais_client.joining import JoinedContext


class JoinsAs(StrEnum):
    """What a user may be in a pool."""

    FRONTEND = "frontend"
    OPERATOR = "operator"


def add_to(group: Group) -> None:
    """Register `eais join`."""
    group.command(
        "join",
        context=False,
        examples=[
            "eais join pool.example:7443 < token",
            "eais join 10.0.0.5 --context team",
            "eais join 10.0.0.5 --as operator < token",
        ],
    )(join)


def join(
    call: Call,
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDR[:PORT]", help="Where the pool is joined; the port is 7443 if unsaid."
        ),
    ],
    joins_as: Annotated[
        JoinsAs, typer.Option("--as", help="What the token is for.")
    ] = JoinsAs.FRONTEND,
    context_name: Annotated[
        str,
        typer.Option(
            "--context",
            metavar="NAME",
            help="What to call the pool here; else as it calls itself.",
            autocompletion=context_names,
            show_default=False,
        ),
    ] = "",
) -> None:
    """Join a pool with a token, which is read from standard input.

    On a terminal it is asked for, and not shown. The token is used once; the
    identity that it yields is this user's alone, in this context, and is
    renewed by whatever you run: `eais` and your programs. Not used for thirty
    days, it ends.
    """
    from eais.identity import Role
    from eais_client.cli.token_input import read_token
    from eais_client.joining import Joining

    joining = Joining(call.store(), call.outside.join)
    token = read_token(call.outside)
    with call.progress(f"joining {address}"):
        joined = joining.join(address, token, Role(joins_as), context_name)
    call.printer.answer(_data(joined), _lines(joined))
    if joined.replaced:
        call.printer.note(f"note: it took the place of {joined.replaced}")
    if joined.current != joined.context.name:
        use = f"`eais context use {joined.context.name}`"
        call.printer.note(f"note: context {joined.current} is the current one; {use} changes that")


def _data(joined: JoinedContext) -> dict[str, object]:
    identity, context = joined.leaf.identity, joined.context
    return {
        "context": context.name,
        "current": joined.current == context.name,
        "pool": context.pool,
        "role": joined.role.value,
        "tenant": identity.tenant,
        "name": identity.name,
        "identity": identity.uri,
        "manager": context.manager,
        "management": context.management or None,
        "leaf_ends": f"{joined.leaf.not_after:%FT%TZ}",
        "enrolment_ends": f"{joined.enrolment_ends:%FT%TZ}",
        "replaced": joined.replaced or None,
    }


def _lines(joined: JoinedContext) -> list[str]:
    from eais_client.cli.table import pairs

    identity, context = joined.leaf.identity, joined.context
    whose = f" of tenant {identity.tenant}" if identity.tenant else ""
    rows = [
        ("Context", context.name),
        ("Manager", context.manager),
        ("Identity", identity.uri),
        ("Renewed until", f"{joined.enrolment_ends:%F}, and further whenever it is used"),
    ]
    head = f"joined pool {context.pool} as {joined.role} {identity.name}{whose}"
    return [head, "", *pairs(rows)]
