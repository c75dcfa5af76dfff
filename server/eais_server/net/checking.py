"""What this host can do for a network agent, and what it lacks.

`python -m eais_server.net.checking` prints one JSON object, `{"drivers": [...], "needs": [...],
"notes": [...]}`, each entry with what is missing in words and what would help. It ends with 0 if
there is a driver that this host can do, else with 1, and needs no agent. Whether a kernel can make
an interface is known by making one, which is taken away again.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from eais.errors import EaisError
from eais.net.asking import DEFAULT_SOCKET, NetAgent
from eais.net.plan import KERNEL_DRIVERS, VETH, WIREGUARD
from eais_server.net.brain.leftovers import leftovers
from eais_server.net.firewall.firewall import Firewall, tables_of_inet
from eais_server.net.links import capabilities, netlink
from eais_server.net.links.probing import probe_kind
from eais_server.net.links.veth import probe_veth
from eais_server.net.links.wireguard import WireguardDriver
from eais_server.net.links.wireguard_go import find_program
from eais_server.net.links.wireguard_keys import KEY_BYTES, WireguardKey

_TUN: Final = Path("/dev/net/tun")
_CONF: Final = Path("/proc/sys/net/ipv4")
_ASKED_S: Final = 2.0
_NOBODY: Final = "0" * 16
#: IANA's port of VXLAN (RFC 7348, section 8): what is there already says that there can be one.
_VXLAN: Final = {"vxlan_id": 1, "vxlan_port": 4789}
_HELP: Final = {
    VETH: "`modprobe veth`, or CAP_SYS_ADMIN, as it says",
    WIREGUARD: "`modprobe wireguard`, or install the package wireguard-go",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        missing: what is wrong, in words; "" if nothing is.
        help: what would help, where something is missing.
        how: what there is.
    """

    name: str
    missing: str = ""
    help: str = ""
    how: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """All that was found.

    Attributes:
        drivers: those of the kernel.
        needs: what they stand on.
        notes: what is worth knowing, and stops nothing.
    """

    drivers: tuple[Finding, ...]
    needs: tuple[Finding, ...]
    notes: tuple[Finding, ...]

    @property
    def can(self) -> bool:
        """Whether at least one driver can be done here."""
        return any(not driver.missing for driver in self.drivers)


def look(socket: Path = DEFAULT_SOCKET) -> Found:
    """Look at this host, in the caller's network namespace.

    Args:
        socket: of the agent that this host has, or is to have.
    """
    needs = (_net_admin(), _pyroute2(), _firewall())
    lacking = next((f"there is no {need.name}" for need in needs if need.missing), "")
    drivers = tuple(_driver(name, lacking) for name in KERNEL_DRIVERS)
    return Found(drivers, needs, (_sys_admin(), _program(), _tun(), *_settings(), *_others(socket)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is found; the exit status."""
    parser = argparse.ArgumentParser("eais net check")
    parser.add_argument("--socket", type=Path, default=DEFAULT_SOCKET)
    found = look(parser.parse_args(arguments).socket)
    sys.stdout.write(json.dumps(asdict(found)) + "\n")
    return 0 if found.can else 1


def _driver(name: str, lacking: str) -> Finding:
    if lacking:
        return Finding(name, lacking)
    if name == VETH:
        ability = probe_veth()
    elif name == WIREGUARD:
        ability = WireguardDriver(WireguardKey.of(bytes(range(KEY_BYTES)))).probe()
    else:
        ability = probe_kind(name, **_VXLAN)
    hint = _HELP.get(name, f"`modprobe {name}`, or another kernel") if ability.missing else ""
    return Finding(name, ability.missing, hint, ability.how)


def _net_admin() -> Finding:
    name = "CAP_NET_ADMIN"
    if capabilities.has(capabilities.NET_ADMIN):
        return Finding(name, how="held")
    text = f"the user {os.geteuid()} may not make interfaces"
    return Finding(name, text, "run it as the superuser, or by its systemd unit")


def _pyroute2() -> Finding:
    if importlib.util.find_spec("pyroute2") is not None:
        return Finding("pyroute2", how="installed")
    return Finding("pyroute2", "it isn't installed", "pip install 'eais[net]'")


def _firewall() -> Finding:
    if not capabilities.has(capabilities.NET_ADMIN):
        return Finding("firewall", "without CAP_NET_ADMIN it isn't known whether there can be one")
    ability = Firewall(_NOBODY).probe()
    return Finding("firewall", ability.missing, how=ability.how)


def _sys_admin() -> Finding:
    name = "CAP_SYS_ADMIN"
    if capabilities.has(capabilities.SYS_ADMIN):
        return Finding(name, how="held")
    return Finding(
        name,
        "no other network namespace can be entered",
        "veth and --netns need it; nothing else does",
    )


def _program() -> Finding:
    program = find_program()
    if program is not None:
        return Finding("wireguard-go", how=str(program))
    text = "it isn't installed: WireGuard is as the kernel has it"
    return Finding("wireguard-go", text, "install the package wireguard-go")


def _tun() -> Finding:
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        text = f"it can't be opened: {error.strerror}"
        return Finding(str(_TUN), text, "`modprobe tun`; only wireguard-go needs it")
    return Finding(str(_TUN), how="can be opened")


def _settings() -> tuple[Finding, ...]:
    """The kernel's, that people ask after: neither stops a vNIC."""
    forwards = _setting("ip_forward") == "1"
    filters = _setting("conf/all/rp_filter")
    return (
        Finding(
            "ip_forward", how="on: nothing is forwarded to or from a vNIC" if forwards else "off"
        ),
        Finding("rp_filter", how=f"{filters}: a vNIC's peer is routed by it, so any value will do"),
    )


def _others(socket: Path) -> Iterator[Finding]:
    """What was made here by agents that aren't the one at `socket`: nobody else looks after it."""
    try:
        own = NetAgent(socket, timeout_s=_ASKED_S).offer().agent
    except EaisError:
        own = ""
    try:
        links = netlink.all_links()
    except (ImportError, OSError):
        return
    for each in leftovers(((link.name, link.alias) for link in links), _tables(), own):
        which = f"which isn't the one at {socket}" if own else f"and none answers at {socket}"
        text = f"{each.text}, made by the agent {each.agent}, {which}"
        yield Finding("leftovers", text, f"if that agent is gone for good: {each.remedy}")


def _tables() -> list[str]:
    """None where they can't be listed: why is said above."""
    if not capabilities.has(capabilities.NET_ADMIN):
        return []
    with suppress(EaisError):
        return tables_of_inet()
    return []


def _setting(name: str) -> str:
    try:
        return (_CONF / name).read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
