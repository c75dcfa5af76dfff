"""What all of an agent's interfaces have alike: marks, addresses, routes, MTU, caps, counters.

Each step may be repeated, and an end that was half made, by an agent that was killed or changed by
somebody else, is made whole by making it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from eais.errors import EaisError, make_error
from eais.net.plan import VETH, NetPlan, Side, VnicKey
from eais.net.traffic import Traffic
from eais_server.net.link import LinkDriver
from eais_server.net.links import netlink
from eais_server.net.links.entering import OWN, in_namespace
from eais_server.net.links.kernel_says import kernel_says
from eais_server.net.links.naming import GROUP, PREFIX, agent_of, interface_name, mark, mark_of

#: Without a plan's: what Ethernet has (RFC 894), less what a tunnel takes of it.
USUAL_MTU: Final = 1500
#: What may leave at once: a fiftieth of a second's, and never less than a few full packets with
#: their segments put together (65 536 bytes at most), without which nothing of those would pass.
_BURST_S: Final = 1 / 50
_LEAST_BURST: Final = 128 << 10
#: Bit 1 of the first: not a maker's (IEEE 802-2014, 8.4).
_MAC_HEAD: Final = (0x02, 0xEA)
#: How long a packet waits at most behind others; beyond that it is dropped, and TCP sees it.
_QUEUE_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class FoundEnd:
    """An interface of this agent's that is there; `is_whole`: its mark is on it."""

    interface: str
    is_whole: bool


class Ends:
    """The ends of vNICs that an agent has in one network namespace.

    Args:
        agent: which.
        namespace: a file of it.
        underlay_mtu: of the interface by which tunnels leave this host, towards an address; 0 if
            that isn't known.
    """

    def __init__(
        self,
        agent: str,
        *,
        namespace: Path = OWN,
        underlay_mtu: Callable[[str], int] = lambda address: 0,
    ) -> None:
        self._agent = agent
        self._namespace = namespace
        self._underlay_mtu = underlay_mtu

    def interface(self, key: VnicKey) -> str:
        """What the interface of an end is called."""
        return interface_name(self._agent, key)

    def make(self, plan: NetPlan, driver: LinkDriver) -> str:
        """Have the end that a plan says, whole and up; the name of its interface.

        Raises:
            ConfigError: NETDEV, which says what the kernel refused; that the interface's name is
                somebody else's; which MTU there can be.
        """
        name, mtu = self.interface(plan.key), self._mtu(plan, driver)
        there = self._check_name(name)
        if not there:
            self._check_addresses(plan)
        driver.make(name, plan)
        with kernel_says(f"the interface {name} of {plan.key.instance} can't be set up"):
            set_up = self._mend if there else self._set_up
            in_namespace(self._namespace, lambda: set_up(name, plan, mtu))
        return name

    def remove(self, key: VnicKey, driver: LinkDriver) -> None:
        """Take an end away; one that isn't there is nothing. Raises as `make`."""
        name = self.interface(key)
        self._check_name(name)
        driver.remove(name)

    def found(self) -> list[FoundEnd]:
        """All interfaces here that are this agent's, or may be: a half made one has no mark yet."""
        with kernel_says("interfaces can't be listed"):
            links = in_namespace(self._namespace, netlink.all_links)
        own = mark_of(self._agent)
        return [
            FoundEnd(link.name, link.alias.startswith(own))
            for link in links
            if link.alias.startswith(own) or _is_half_made(link)
        ]

    def _mtu(self, plan: NetPlan, driver: LinkDriver) -> int:
        known = 0 if plan.driver == VETH else self._underlay_mtu(plan.peer_underlay)
        most = (known or USUAL_MTU) - driver.overhead
        if known and plan.mtu > most:
            text = f"MTU {plan.mtu}: the underlay's {known} leaves {most} for a {driver.name} vNIC"
            raise make_error("NETDEV", text, hint=f"an MTU of {most} or less, or 0 for that")
        return plan.mtu or most

    def _check_name(self, name: str) -> bool:
        """Whether there is an interface of ours that has the name."""
        with kernel_says(f"the interface {name} can't be looked at"):
            link = in_namespace(self._namespace, lambda: netlink.read_link(name))
        if link is None or _is_half_made(link) or link.alias.startswith(mark_of(self._agent)):
            return link is not None
        text = f"the interface {name} is there, and none of this agent's"
        raise make_error("NETDEV", text, hint="rename it, or take it away")

    def _check_addresses(self, plan: NetPlan) -> None:
        """Neither is what this host has already, or it would be cut off from itself or others."""
        asked = (plan.address, plan.peer)
        with kernel_says("addresses can't be listed"):
            taken = in_namespace(self._namespace, lambda: netlink.owned(asked))
            links = in_namespace(self._namespace, netlink.all_links) if taken else []
        by_index = {link.index: link for link in links}
        for address, index in taken.items():
            raise _address_taken(address, by_index.get(index))
        with kernel_says("routes can't be listed"):
            gateways = in_namespace(self._namespace, netlink.gateways)
        if plan.peer in {*gateways, plan.peer_underlay}:
            text = f"the plan's {plan.peer} is a machine by which this host reaches others"
            raise make_error("NETDEV", text, hint="`[vnic]` in the pool's file: another network")

    def _set_up(self, name: str, plan: NetPlan, mtu: int) -> None:
        """One that was just made, in few steps: an attach waits for it."""
        link = _there(name)
        text = mark(self._agent, plan.key)
        if link.alias or netlink.addresses(link.index):
            self._mend(name, plan, mtu)
            return
        netlink.without_ipv6(link.index, name)
        mac = {"address": mac_of(plan.address)} if link.mac else {}
        netlink.set_link(link.index, mtu=mtu, IFLA_IFALIAS=text, state="up", **mac)
        netlink.add_address(link.index, plan.address, plan.peer)
        _know_peer(link, plan)
        if plan.cap_bytes_per_s and plan.key.side is Side.BACKEND:
            _cap(link.index, plan.cap_bytes_per_s)

    def _mend(self, name: str, plan: NetPlan, mtu: int) -> None:
        """One that was there: what isn't as the plan has it."""
        link = _there(name)
        if link.alias != (text := mark(self._agent, plan.key)):
            netlink.set_alias(link.index, text)
        if link.mtu != mtu:
            netlink.set_link(link.index, mtu=mtu)
        wanted = (plan.address, plan.peer, 32)
        found = netlink.addresses(link.index)
        for own, other, prefix in found - {wanted}:
            netlink.delete_address(link.index, own, other, prefix)
        if wanted not in found:
            netlink.add_address(link.index, plan.address, plan.peer)
        if not link.up:
            netlink.without_ipv6(link.index, name)
            netlink.set_link(link.index, state="up")
        if link.mac and link.mac != (mac := mac_of(plan.address)):
            netlink.set_link(link.index, address=mac)
        _know_peer(link, plan)
        if not netlink.has_route(link.index, plan.peer):
            netlink.add_route(link.index, plan.address, plan.peer)
        _cap(link.index, plan.cap_bytes_per_s if plan.key.side is Side.BACKEND else 0)


def _address_taken(address: str, link: netlink.Link | None) -> EaisError:
    if link is not None and (agent := agent_of(link.alias)):
        text = (
            f"{address} is {link.name}'s, made by the network agent {agent}, which isn't this one"
        )
        hint = f"if that agent is gone for good: ip link del {link.name}"
        return make_error("NETDEV", text, hint=hint)
    text = f"the plan's {address} is this host's own address, and no vNIC's"
    return make_error("NETDEV", text, hint="`[vnic]` in the pool's file: another network")


def counted_by(link: netlink.Link, side: Side) -> Traffic:
    """As the instance sees it: what comes to the back-end's end goes in, to the other's out."""
    return link.counted if side is Side.BACKEND else link.counted.turned()


def mac_of(address: str) -> str:
    """The MAC address of the end that has an IPv4 address: of local administration, unicast."""
    return ":".join(f"{each:02x}" for each in (*_MAC_HEAD, *IPv4Address(address).packed))


def _know_peer(link: netlink.Link, plan: NetPlan) -> None:
    """Without ARP, which a host that has `arp_ignore` set doesn't answer for such addresses."""
    if link.mac:
        netlink.set_neighbour(link.index, plan.peer, mac_of(plan.peer))


def _there(name: str) -> netlink.Link:
    link = netlink.read_link(name)
    if link is None:
        raise OSError(19, "it was taken away meanwhile")  # ENODEV
    return link


def _is_half_made(link: netlink.Link) -> bool:
    """Made by an agent that didn't come to mark it; a TUN says by its name alone whose it is."""
    ours = link.group == GROUP or link.kind in ("tun", "wireguard")
    return not link.alias and link.name.startswith(PREFIX) and ours


def _cap(index: int, bytes_per_s: int) -> None:
    """What leaves by the interface; what comes is capped where it is filtered."""
    if netlink.rate_of(index) == bytes_per_s:
        return
    if not bytes_per_s:
        netlink.unshape(index)
        return
    burst = max(_LEAST_BURST, int(bytes_per_s * _BURST_S))
    netlink.shape(index, bytes_per_s, burst, burst + int(bytes_per_s * _QUEUE_S))
