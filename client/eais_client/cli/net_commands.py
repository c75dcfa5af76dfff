"""The network agent of this machine, which makes the kernel's vNICs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer

from eais_client.cli.command import Call, Group

SocketOption = Annotated[
    Path | None,
    typer.Option(
        "--socket",
        metavar="PATH",
        help="The agent's socket; /run/eais/net.sock if unsaid.",
        show_default=False,
    ),
]


def add_to(group: Group) -> None:
    """Register `eais net ...`."""
    net = Group("net", "What makes vNICs on this machine: its network agent.")
    net.command(
        "agent",
        context=False,
        examples=[
            "eais net agent --trust /etc/eais/ca.pem --underlay 10.1.2.4 --user eais",
            "eais net agent --trust ca.pem --netns /run/netns/front --user 1000",
        ],
    )(agent)
    net.command("status", context=False, examples=["eais net status", "eais net status -o json"])(
        status
    )
    net.command("check", context=False, examples=["eais net check", "eais net check -o json"])(
        check
    )
    group.add(net)


def agent(
    call: Call,
    trust: Annotated[
        list[Path],
        typer.Option(
            "--trust",
            metavar="FILE",
            help="A CA, or an identity with its pool's, whose manager's plans it carries out. "
            "May be given again.",
            show_default=False,
        ),
    ],
    underlay: Annotated[
        str,
        typer.Option(
            "--underlay",
            metavar="IP",
            help="This machine's IPv4 address, at which other hosts reach its tunnels; without "
            "one there is no VXLAN.",
            show_default=False,
        ),
    ] = "",
    user: Annotated[
        list[str],
        typer.Option(
            "--user",
            metavar="NAME",
            help="Who may have vNICs made, beside the superuser and the agent's own user; by "
            "name or number. May be given again.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    netns: Annotated[
        list[Path],
        typer.Option(
            "--netns",
            metavar="FILE",
            help="Another network namespace in which it may make them, such as "
            "/run/netns/front; needs CAP_SYS_ADMIN. May be given again.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    socket: SocketOption = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            "--state-dir",
            metavar="DIR",
            help="Where it keeps what it has made; /var/lib/eais/net if unsaid.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the network agent in the foreground.

    It needs CAP_NET_ADMIN, not the superuser; the unit eais-net runs it so.
    Ctrl-C ends it, and what it has made stays: the next one goes on with it.
    """
    _check_installed()
    command = [sys.executable, "-m", "eais_server.net"]
    for flag, values in (("--trust", trust), ("--user", user), ("--netns", netns)):
        command += [word for value in values for word in (flag, str(value))]
    for flag, value in (("--underlay", underlay), ("--socket", socket), ("--state-dir", state_dir)):
        command += [flag, str(value)] if value else []
    call.outside.replace_process(command)


def status(call: Call, socket: SocketOption = None) -> None:
    """Show what this machine's network agent can do, and its vNICs.

    The superuser sees those of all users, everybody else their own.
    """
    from eais.net.asking import NetAgent
    from eais_client.cli.net_view import status_data, status_lines

    found = NetAgent(_socket(call, socket)).status()
    call.printer.answer(status_data(found), status_lines(found, call.printer))


def _socket(call: Call, said: Path | None) -> Path:
    """What is said, or the settings', or the usual one."""
    from eais_client.config import ClientConfig
    from eais_client.vnic_ends import VnicEnds

    config = ClientConfig.of_environ(call.outside.environ, call.store().file)
    return said or VnicEnds.of_config(config).agent.path


def check(call: Call, socket: SocketOption = None) -> int:
    """Look at what a network agent needs here, and say what is missing.

    No agent need run. What the kernel can make is known by making it for a
    moment, for which this needs what the agent needs. What other agents than
    that of the socket have left here is named. Exit code 1 if no driver can be
    done here.
    """
    from eais_client.cli.net_view import check_lines

    _check_installed()
    found = call.outside.check_net(_socket(call, socket))
    call.printer.answer(dict(found), check_lines(found, call.printer))
    return 0 if any(not driver["missing"] for driver in found["drivers"]) else 1


def _check_installed() -> None:
    """Raise NOT_INSTALLED without what makes interfaces."""
    from eais.errors import ConfigError

    if importlib.util.find_spec("pyroute2") is None:
        raise ConfigError(
            "NOT_INSTALLED",
            "a network agent on this machine needs pyroute2",
            hint="pip install 'eais[net]'",
        )
