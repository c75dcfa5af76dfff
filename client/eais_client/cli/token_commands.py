"""Tokens to join with, which an operator makes."""

from __future__ import annotations

import os
import stat
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from eais_client.cli.command import Call, Group

if TYPE_CHECKING:
    from eais_client.pool_status import NewToken

_DEFAULT_TENANT = "default"


class Purpose(StrEnum):
    """What a token is for."""

    FRONTEND = "frontend"
    LISTENER = "listener"
    OPERATOR = "operator"


def add_to(group: Group) -> None:
    """Register `eais token create`."""
    token = Group("token", "Tokens to join the pool with; for operators.")
    token.command(
        "create",
        examples=[
            "eais token create --for frontend --tenant acme > token",
            "eais token create --for listener --name host-2 > token",
            "eais token create --for operator --name ada -o json",
        ],
    )(create)
    group.add(token)


def create(
    call: Call,
    purpose: Annotated[
        Purpose, typer.Option("--for", help="What joins with it.", show_default=False)
    ],
    tenant: Annotated[
        str,
        typer.Option(
            "--tenant",
            metavar="T",
            help="Whose front-end it is for; else `default`.",
            show_default=False,
        ),
    ] = "",
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="N",
            help="The front-end's, host's or operator's name in the pool; else one is made up.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Make a token for one machine to join the pool with.

    It works once, and for ten minutes. Standard output is the token alone, so
    that `> token` keeps it; whoever can read that file can join in your place:
    `umask 077` before, delete it afterwards.
    """
    from eais.errors import UsageError
    from eais.identity import Role

    if tenant and purpose is not Purpose.FRONTEND:
        raise UsageError("ARGUMENT", f"--tenant is for a front-end, a {purpose} has no tenant")
    whose = (tenant or _DEFAULT_TENANT) if purpose is Purpose.FRONTEND else ""
    with call.operator() as operator:
        made = operator.create_token(Role(purpose), tenant=whose, name=name)
    call.printer.answer(_data(made, purpose, whose, name), [made.token])
    for line in _words(made, purpose, whose):
        call.printer.note(line)
    if _others_read(call.outside.stdout):
        call.printer.note("note: others can read the file that the token is in now: chmod 600 it")


def _data(made: NewToken, purpose: Purpose, tenant: str, name: str) -> dict[str, object]:
    return {
        "token": made.token,
        "purpose": purpose.value,
        "tenant": tenant or None,
        "name": name or None,
        "life_s": made.life_s,
        "enrolment": str(made.enrolment),
    }


def _words(made: NewToken, purpose: Purpose, tenant: str) -> list[str]:
    whose = f" of tenant {tenant}" if tenant else ""
    return [
        f"for one {purpose}{whose}, once, within {made.life_s // 60} minutes; there:",
        f"  {_command(made, purpose)}",
    ]


def _others_read(stdout: TextIO) -> bool:
    """Whether standard output is a file that more users than its owner may read."""
    try:
        mode = os.fstat(stdout.fileno()).st_mode
    except OSError:  # what has no descriptor says so by one, too
        return False
    return stat.S_ISREG(mode) and bool(mode & 0o077)


def _command(made: NewToken, purpose: Purpose) -> str:
    if purpose is Purpose.LISTENER:
        return f"eais listener up --pool {made.enrolment} --address ITS_OWN_ADDRESS < token"
    more = " --as operator" if purpose is Purpose.OPERATOR else ""
    return f"eais join {made.enrolment}{more} < token"
