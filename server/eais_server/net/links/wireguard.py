"""WireGuard: between hosts, encrypted; by the kernel's module, or by wireguard-go without it.

A tunnel has two network namespaces: its interface is in that of the front-end's or the
back-end's program, its UDP socket in the underlay's, where hosts reach each other. What is in the
tunnel never sees the underlay.

Who may send what is WireGuard's own: the peer is known by its key, and what comes from it has the
one address that the plan gives it. Rekeying and roaming are WireGuard's, too.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from eais.errors import ConfigError
from eais.net.plan import WIREGUARD, NetPlan, bad_plan
from eais_server.net.link import Ability
from eais_server.net.links.entering import OWN, in_namespace
from eais_server.net.links.wireguard_go import GoTunnels, find_program
from eais_server.net.links.wireguard_kernel import HOW, KernelTunnels
from eais_server.net.links.wireguard_keys import WireguardKey
from eais_server.net.links.wireguard_tunnel import Change, Tunnel, change_to, tunnel_of

#: IPv4 20, UDP 8, WireGuard's header 16 and tag 16 (its white paper, section 5.4.6).
OVERHEAD: Final = 60

_HINTS: Final = {
    errno.EPERM: "making interfaces needs CAP_NET_ADMIN",
    errno.EEXIST: "another interface of this host has the name: take it away, or rename it",
    errno.EOPNOTSUPP: "this kernel has no wireguard module: install the package wireguard-go",
    errno.ENOENT: "install the package wireguard-go, or a kernel with the wireguard module",
}


class WireguardDriver:
    """Makes the tunnels of one agent in one network namespace. As `LinkDriver`.

    Args:
        key: the agent's own.
        namespace: a file of the network namespace where its interfaces are to be.
        underlay: of the one where the hosts reach each other.
        find: finds wireguard-go, for a kernel without the module.
    """

    name = WIREGUARD
    overhead = OVERHEAD

    def __init__(
        self,
        key: WireguardKey,
        *,
        namespace: Path = OWN,
        underlay: Path = OWN,
        find: Callable[[], Path | None] = find_program,
    ) -> None:
        self._key = key
        self._underlay = underlay
        self._kernel = KernelTunnels(namespace=namespace, underlay=underlay)
        self._go = GoTunnels(namespace=namespace, underlay=underlay, find=find)
        self._made: dict[str, Tunnel] = {}

    def probe(self) -> Ability:
        """As `LinkDriver`."""
        no_module = self._kernel.missing()
        if not no_module:
            return Ability(how=HOW)
        no_program = self._go.missing()
        if not no_program:
            return Ability(how=self._go.how)
        return Ability(missing=f"{no_module}, and {no_program}")

    def make(self, interface: str, plan: NetPlan) -> None:
        """As `LinkDriver`; a peer, an endpoint or a port that has changed, while it is up.

        Raises:
            ConfigError: NETDEV.
            IdentityError: NET_PLAN, the plan joins this agent to itself.
        """
        if plan.peer_public_key == self._key.public:
            raise bad_plan("peer_public_key", "is the agent's own")
        wanted = tunnel_of(plan, self._key.public)
        with _kernel_says(f"the WireGuard interface {interface} can't be made"):
            tunnels = self._tunnels_for(interface)
            tunnels.make(interface)
            self._change(tunnels, interface, wanted)

    def remove(self, interface: str) -> None:
        """As `LinkDriver`."""
        self._made.pop(interface, None)
        with _kernel_says(f"the WireGuard interface {interface} can't be taken away"):
            self._go.remove(interface)
            self._kernel.remove(interface)

    def _tunnels_for(self, interface: str) -> KernelTunnels | GoTunnels:
        """Who made it goes on with it, also where the module was loaded since."""
        if self._go.has(interface):
            return self._go
        if self._kernel.has(interface) or not self._kernel.missing():
            return self._kernel
        return self._go

    def _change(self, tunnels: KernelTunnels | GoTunnels, interface: str, wanted: Tunnel) -> None:
        change = change_to(wanted, tunnels.read(interface), self._made.get(interface))
        if change.port is not None:
            in_namespace(self._underlay, lambda: _check_port(wanted.port))
        if change:
            _write(tunnels, interface, change, self._key)
        self._made[interface] = wanted


def _write(
    tunnels: KernelTunnels | GoTunnels, interface: str, change: Change, key: WireguardKey
) -> None:
    try:
        tunnels.write(interface, change, key)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and change.port is not None:
            raise _port_taken(change.port) from None
        raise


def _check_port(port: int) -> None:
    """Raise NETDEV if a socket has `port`: WireGuard itself is told only when it is set up."""
    for family, anywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((anywhere, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _port_taken(port) from None
            # A host without IPv6 has nobody who could have it.


def _port_taken(port: int) -> ConfigError:
    return ConfigError(
        "NETDEV",
        f"UDP port {port} is another program's on this host, and the plan's tunnel needs it",
        hint=f"`ss -lunp sport = :{port}` names it",
    )


@contextmanager
def _kernel_says(what: str) -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise ConfigError(
            "NETDEV", f"{what}: pyroute2 isn't installed", hint="pip install 'eais[net]'"
        ) from None
    except OSError as error:
        number = error.errno or 0
        why = error.strerror or str(error) or "no answer"
        raise ConfigError("NETDEV", f"{what}: {why}", hint=_HINTS.get(number, "")) from error
