"""The listener of this machine as a back-end of a pool elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    from eais_client.cli.host_listener import HostListener, RunningListener
    from eais_client.cli.membership import Certificate, MemberFiles

NameOption = Annotated[
    str,
    typer.Option(
        "--name",
        metavar="HOST",
        help="This host's name, as the token says it; each name has a state of its own.",
        show_default=False,
    ),
]
StateDirOption = Annotated[Path | None, state_dir_option("listener", "listener")]
ConfigOption = Annotated[Path | None, config_option("[listener] and [supervisor]")]


def add_to(group: Group) -> None:
    """Register `eais listener ...`."""
    listener = Group("listener", "This machine as a back-end of a pool on another one.")
    listener.command(
        "up",
        context=False,
        examples=[
            "eais listener up --pool 10.1.2.3 --address 10.1.2.4 < token",
            "eais listener up",
            "eais listener up --simulate gpu=2",
            "eais listener up --foreground",
        ],
    )(up)
    listener.command("down", context=False, examples=["eais listener down"])(down)
    listener.command(
        "status", context=False, examples=["eais listener status", "eais listener status -o json"]
    )(status)
    group.add(listener)


def up(
    call: Call,
    pool: Annotated[
        str,
        typer.Option(
            "--pool",
            metavar="ADDR[:PORT]",
            help="Where to join, once; the port is 7443 if unsaid.",
            show_default=False,
        ),
    ] = "",
    address: Annotated[
        str,
        typer.Option(
            "--address",
            metavar="IP",
            help="This machine's address, at which front-ends reach it; kept.",
            show_default=False,
        ),
    ] = "",
    name: NameOption = "",
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    cpu_cores: CoresOption = None,
    simulate: SimulateOption = None,
    join_again: Annotated[
        bool,
        typer.Option("--join-again", help="Join once more, with a new token.", show_default=False),
    ] = False,
    no_start: Annotated[
        bool,
        typer.Option("--no-start", help="Join alone: systemd starts it.", show_default=False),
    ] = False,
    foreground: ForegroundOption = False,
) -> None:
    """Bring up this machine's listener, in the background.

    The first time it joins the pool, with a token that is read from standard
    input (`eais token create --for listener`). After that, and after a reboot,
    it needs neither token nor options.
    """
    from eais_client.cli.host_listener import ListenerOptions

    check_simulated(simulate)
    options = ListenerOptions(
        pool, address, name, config, cpu_cores, join_again, foreground, simulate
    )
    host = _host(call, name, state_dir)
    if no_start:
        member = host.join(options)
        data = {"host": member.host, "pool": member.pool, "address": member.address}
        text = f"host {member.host} of pool {member.pool}, at {member.address}: not started"
        call.printer.answer(data | {"running": False}, [text])
        return
    with call.progress("starting") as progress:
        running = host.up(options, progress)
    if not running.started:
        note_without_effect(call, "listener", options.flags())
    if foreground:
        stay(running.process, lambda: _tell(call, host, running))
    else:
        _tell(call, host, running)


def down(call: Call, name: NameOption = "", state_dir: StateDirOption = None) -> None:
    """Stop this machine's listener; its leases and models are kept."""
    host = _host(call, name, state_dir)
    with call.progress("stopping"):
        stopped = host.down()
    data = {"stopped": stopped, "state_dir": str(host.directory)}
    call.printer.answer(data, [f"listener {'stopped' if stopped else 'was not running'}"])


def status(call: Call, name: NameOption = "", state_dir: StateDirOption = None) -> None:
    """Show this machine's listener; exit code 4 if it isn't up."""
    host = _host(call, name, state_dir)
    _tell(call, host, host.status())


def _host(call: Call, name: str, state_dir: Path | None) -> HostListener:
    from eais_client.cli.host_listener import HostListener
    from eais_client.cli.token_input import read_token

    return HostListener.find(call.outside, read_token, name, state_dir)


def _tell(call: Call, host: HostListener, running: RunningListener) -> None:
    from eais_client.cli.table import pairs

    member, said = running.membership, running.said
    head = f"host {member.host} of pool {member.pool}"
    rows = [
        ("Supervisor", f"pid {running.process.pid}"),
        ("Address", f"{member.address}, user plane {said.get('user_port', '?')}"),
        ("Manager", member.management),
        ("Pool", "joined" if running.fault is None else f"not joined: {running.fault}"),
        ("Instances", str(len(said.get("instances", ())))),
        ("Leaf", _until(host.members.leaf())),
        ("Enrolment", _until(host.members.enrolment())),
        ("State", str(host.directory)),
    ]
    call.printer.answer(_data(host, running), [head, "", *pairs(rows)])
    if host.members.must_join_again():
        call.printer.note(
            "note: no certificate of this host is of use any more; join again:"
            " `eais listener up --join-again`, with a new token"
        )


def _data(host: HostListener, running: RunningListener) -> dict[str, object]:
    member, said, fault = running.membership, running.said, running.fault
    return {
        "host": member.host,
        "pool": member.pool,
        "running": True,
        "started": running.started,
        "pid": running.process.pid,
        "address": member.address,
        "user_port": said.get("user_port"),
        "management_port": said.get("management_port"),
        "manager": member.management,
        "joined": fault is None,
        "fault": fault.reason if fault else None,
        "instances": list(said.get("instances", ())),
        **_ends(host.members),
        "state_dir": str(host.directory),
    }


def _ends(members: MemberFiles) -> dict[str, object]:
    found = {"leaf_ends": members.leaf().ends, "enrolment_ends": members.enrolment().ends}
    return {key: f"{ends:%FT%TZ}" if ends else None for key, ends in found.items()}


def _until(certificate: Certificate) -> str:
    ends = certificate.ends
    return f"until {ends:%F %T} UTC, renewed by itself" if ends else certificate.fault
