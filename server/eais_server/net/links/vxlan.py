"""VXLAN (RFC 7348): two hosts, joined by a tunnel of the kernel's over UDP. Not encrypted."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from typing import Final

from eais.errors import ConfigError, EaisError
from eais.net.plan import VXLAN, NetPlan
from eais_server.net.link import Ability
from eais_server.net.links import netlink
from eais_server.net.links.entering import OWN, in_namespace
from eais_server.net.links.kernel_says import kernel_says
from eais_server.net.links.naming import GROUP, agent_of
from eais_server.net.links.probing import probe_kind

#: IPv4 20, UDP 8, VXLAN 8, Ethernet 14 (RFC 7348, section 5).
OVERHEAD: Final = 50

_HINTS: Final = {
    errno.EEXIST: "another VXLAN of this host has the number and the port, or the name",
    errno.EADDRNOTAVAIL: "the underlay's address isn't this host's any more",
    errno.EADDRINUSE: "another program has the UDP port: `ss -lunp` names it",
}


class VxlanDriver:
    """Makes tunnels, each to one other host and no other. As `LinkDriver`.

    Args:
        local: this host's address in the underlay.
        namespace: where the interfaces are to be.
        underlay: where the hosts reach each other.
    """

    name = VXLAN
    overhead = OVERHEAD

    def __init__(self, local: str, *, namespace: Path = OWN, underlay: Path = OWN) -> None:
        self._local = local
        self._namespace = namespace
        self._underlay = underlay

    def probe(self) -> Ability:
        """As `LinkDriver`."""
        if not self._local:
            return Ability("the agent knows no address that other hosts reach: --underlay ADDRESS")
        return in_namespace(self._underlay, lambda: probe_kind(VXLAN, vxlan_id=1, vxlan_port=4789))

    def make(self, interface: str, plan: NetPlan) -> None:
        """As `LinkDriver`; one of another plan is made anew: a tunnel's ends can't be changed."""
        with kernel_says(f"the VXLAN interface {interface} can't be made", _HINTS):
            there = in_namespace(self._namespace, lambda: netlink.read_vxlan(interface))
            wanted = (plan.number, self._local, plan.peer_underlay, plan.port)
            if there == wanted:
                return
            if there is not None:
                self.remove(interface)
            try:
                in_namespace(self._underlay, lambda: self._add(interface, plan))
            except FileExistsError:
                raise self._taken(interface, plan) from None

    def _taken(self, interface: str, plan: NetPlan) -> EaisError:
        """Who has the number and the port, as far as it can be seen."""
        what = f"the VXLAN interface {interface} can't be made"
        for space in (self._namespace, self._underlay):
            for other in in_namespace(space, partial(netlink.vxlans_of, plan.number, plan.port)):
                text = f"{what}: {other.name} has the number {plan.number} and the port {plan.port}"
                if agent := agent_of(other.alias):
                    text += f", made by the network agent {agent}, which isn't this one"
                    hint = f"if that agent is gone for good: ip link del {other.name}"
                    return ConfigError("NETDEV", text, hint=hint)
                return ConfigError("NETDEV", text, hint="take it away, or give it another number")
        return ConfigError("NETDEV", f"{what}: File exists", hint=_HINTS[errno.EEXIST])

    def _add(self, interface: str, plan: NetPlan) -> None:
        """Made in the underlay, where its socket stays, for the namespace that it is to be in."""
        with netlink.namespace_file(self._namespace) as fd:
            netlink.add_link(
                interface,
                VXLAN,
                group=GROUP,
                net_ns_fd=fd,
                vxlan_id=plan.number,
                vxlan_local=self._local,
                vxlan_group=plan.peer_underlay,
                vxlan_port=plan.port,
                # Who is at the other end is known, and is never learnt from what comes.
                vxlan_learning=0,
                # TCP within has its own; "SHOULD be transmitted as zero" (RFC 7348, section 5).
                vxlan_udp_csum=0,
            )

    def remove(self, interface: str) -> None:
        """As `LinkDriver`."""
        with kernel_says(f"the VXLAN interface {interface} can't be taken away"):
            in_namespace(self._namespace, lambda: netlink.delete_link(interface))
