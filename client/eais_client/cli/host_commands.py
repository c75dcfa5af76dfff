"""Back-end hosts and what an operator may do to them: cordon, drain, force-detach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from eais_client.cli.command import Call, Group, outside_of
from eais_client.cli.instance_commands import InstanceArgument

if TYPE_CHECKING:
    from eais_client.pool_status import HostUse


def host_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Completion of hosts."""
    from eais_client.cli.completion import complete_hosts

    name = ctx.params.get("context") or ""
    return complete_hosts(outside_of(ctx), str(name), incomplete)


HostArgument = Annotated[
    str, typer.Argument(metavar="HOST", help="The back-end.", autocompletion=host_names)
]


def add_to(group: Group) -> None:
    """Register `eais host ...`, `eais drain` and `eais force-detach`."""
    host = Group("host", "The pool's back-ends; for operators.")
    host.command("list", examples=["eais host list", "eais host list -o wide"])(list_)
    host.command("cordon", examples=["eais host cordon host-2"])(cordon)
    host.command(
        "uncordon", examples=["eais host uncordon host-2", "eais host uncordon host-2 cuda0"]
    )(uncordon)
    group.add(host)
    group.command("drain", examples=["eais drain host-2", "eais drain host-2 --no-wait -o json"])(
        drain
    )
    group.command(
        "force-detach", examples=["eais force-detach ei-7f3a", "eais force-detach ei-7f3a --yes"]
    )(force_detach)


def list_(call: Call) -> None:
    """List the back-ends, and what they are granted and hold."""
    from eais_client.cli.host_view import host_data, host_table

    with call.operator() as operator:
        hosts = operator.status().hosts
    lines = host_table(hosts, call.printer) if hosts else ["No host has joined."]
    call.printer.answer({"hosts": [host_data(host) for host in hosts]}, lines)


def cordon(call: Call, host: HostArgument) -> None:
    """Grant nothing more on a host; what runs there runs on."""
    with call.operator() as operator:
        _answer(call, operator.cordon(host))


def uncordon(
    call: Call,
    host: HostArgument,
    device: Annotated[
        str, typer.Argument(metavar="[DEVICE]", help="One that is bad.", show_default=False)
    ] = "",
) -> None:
    """Grant on a host again; ends a drain that is under way.

    With a device: have that one checked, and grant it again if it passes.
    """
    from eais_client.cli.device_checking import wait_until_checked
    from eais_client.cli.pool_view import device_data, device_table

    with call.operator() as operator:
        if not device:
            _answer(call, operator.cordon(host, cordoned=False))
            return
        operator.check_device(host, device)
        with call.progress(f"checking {device}"):
            found = wait_until_checked(call, operator, host, device)
    call.printer.answer(device_data(found), device_table([found], call.printer))


def drain(
    call: Call,
    host: HostArgument,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Begin, and return at once.", show_default=False)
    ] = False,
    timeout_s: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.1,
            help="How long to wait; else until the host is empty.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Move a host's instances to other hosts, under calls.

    Nothing new is granted there. Ends when the host is empty; what can't move
    now is named with the reason, and tried again. Ctrl-C ends the waiting, not
    the drain: `eais host uncordon` ends that.
    """
    from eais_client.cli.draining import wait_until_empty

    with call.operator() as operator:
        found = operator.drain(host)
        if not no_wait:
            with call.progress(f"draining {host}") as progress:
                found = wait_until_empty(call, operator, found, progress, timeout_s)
    _answer(call, found)


def force_detach(
    call: Call,
    instance: InstanceArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.", show_default=False)] = False,
) -> None:
    """End an instance's lease, whatever its tenant does.

    It is bound to nobody then, and its calls fail. For a tenant that doesn't
    answer, or must not go on.
    """
    from eais_client.cli.instance_view import instance_data, line

    if not yes:
        _ask(call, f"end the lease and binding of {instance}, under its tenant's calls?")
    with call.operator() as operator:
        found = operator.force_detach(instance)
    call.printer.answer(instance_data(found), [line(found, call.printer)])


def _ask(call: Call, question: str) -> None:
    """Go on if a person says yes; `UsageError` ARGUMENT if there is none, or they don't."""
    from eais.errors import UsageError

    outside = call.outside
    if not outside.stdin.isatty():
        raise UsageError("ARGUMENT", "there is nobody to ask here", hint="--yes doesn't ask")
    outside.stderr.write(f"{question} [y/N] ")
    outside.stderr.flush()
    if outside.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("ARGUMENT", "not done: the answer wasn't yes")


def _answer(call: Call, host: HostUse) -> None:
    from eais_client.cli.host_view import host_data, host_table

    call.printer.answer(host_data(host), host_table([host], call.printer))
