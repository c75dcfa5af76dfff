"""veth: two network namespaces of one host, joined by a pair of interfaces."""

from __future__ import annotations

from pathlib import Path

from eais.net.plan import VETH, NetPlan
from eais_server.net.link import Ability
from eais_server.net.links import capabilities, netlink
from eais_server.net.links.entering import OWN, in_namespace
from eais_server.net.links.kernel_says import kernel_says
from eais_server.net.links.naming import GROUP, interface_name, other_end
from eais_server.net.links.probing import probe_kind
from eais_server.net.links.spaces import Spaces


def probe_veth() -> Ability:
    """Whether pairs can be made, and the other namespace be entered to set its end up."""
    ability = probe_kind(VETH)
    if ability.missing or capabilities.has(capabilities.SYS_ADMIN):
        return ability
    return Ability("entering the other end's network namespace needs CAP_SYS_ADMIN")


class VethDriver:
    """Makes pairs, of which one end is in `namespace`. As `LinkDriver`.

    Whichever end is asked for first makes both; they go together, too.
    """

    name = VETH
    overhead = 0

    def __init__(self, agent: str, spaces: Spaces, *, namespace: Path = OWN) -> None:
        self._agent = agent
        self._spaces = spaces
        self._namespace = namespace

    def probe(self) -> Ability:
        """As `LinkDriver`."""
        return in_namespace(self._namespace, probe_veth)

    def make(self, interface: str, plan: NetPlan) -> None:
        """As `LinkDriver`."""
        with kernel_says(f"the veth pair of {interface} can't be made"):
            there = in_namespace(self._namespace, lambda: netlink.read_link(interface))
            if there is not None and there.kind == VETH:
                return
            peer = interface_name(self._agent, other_end(plan.key))
            with netlink.namespace_file(self._spaces.path(plan.peer_namespace)) as fd:
                other = {"ifname": peer, "group": GROUP, "net_ns_fd": fd}
                in_namespace(
                    self._namespace,
                    lambda: netlink.add_link(interface, VETH, group=GROUP, peer=other),
                )

    def remove(self, interface: str) -> None:
        """As `LinkDriver`; the other end is gone with it."""
        with kernel_says(f"the veth pair of {interface} can't be taken away"):
            in_namespace(self._namespace, lambda: netlink.delete_link(interface))
