"""The kernel's interfaces and firewall, in all network namespaces that an agent may enter."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from eais.errors import ConfigError
from eais.net.plan import KERNEL_DRIVERS, VXLAN, Side, VnicKey
from eais.net.traffic import Traffic
from eais.rpc.v1 import net_pb2
from eais_server.net.brain.records import Counted, Held, Look, Place
from eais_server.net.firewall.firewall import Drops, Firewall
from eais_server.net.firewall.ruleset import Guarded, Tunnel
from eais_server.net.link import Ability, LinkDriver
from eais_server.net.links import netlink
from eais_server.net.links.ends import Ends, counted_by
from eais_server.net.links.entering import OWN, in_namespace
from eais_server.net.links.kernel_says import kernel_says
from eais_server.net.links.naming import interface_name
from eais_server.net.links.spaces import Spaces
from eais_server.net.links.veth import VethDriver
from eais_server.net.links.vxlan import VxlanDriver
from eais_server.net.links.wireguard import WireguardDriver
from eais_server.net.links.wireguard_keys import WireguardKey

log = logging.getLogger(__name__)

_KNOWN_S: Final = 5.0
"""How old what is known of the underlay may be: it hardly ever changes."""


@dataclass(frozen=True, slots=True)
class Space:
    """What an agent has in one network namespace."""

    ends: Ends
    drivers: Mapping[str, LinkDriver]


class KernelInterfaces:
    """As `Interfaces`.

    Args:
        agent: whose.
        spaces: those that it may enter.
        underlay: this host's IPv4 address there; "" if it isn't known.
        key: the agent's own, for WireGuard.
    """

    def __init__(self, agent: str, spaces: Spaces, underlay: str, key: WireguardKey) -> None:
        self._agent = agent
        self._spaces = spaces
        self._underlay = underlay
        self._key = key
        self._by_number: dict[int, Space] = {}
        self._abilities: dict[str, Ability] = {}
        self._mtu, self._mtu_at = 0, 0.0

    def offer(self) -> net_pb2.NetOffer:
        """As `Interfaces`; drivers are probed once: to probe makes interfaces."""
        can = self.abilities()
        # Said, and hindering nothing that is there: at boot the address may come later.
        if self._underlay and not can[VXLAN].missing and not self.has_underlay:
            text = f"its --underlay {self._underlay} is none of this host's addresses"
            can = {**can, VXLAN: Ability(text)}
        has_wireguard = not can["wireguard"].missing
        return net_pb2.NetOffer(
            drivers=[
                net_pb2.NetDriver(name=name, missing=ability.missing, how=ability.how)
                for name, ability in can.items()
            ],
            underlay=self._underlay,
            wireguard_public_key=self._key.public if has_wireguard else b"",
            mtu=self._underlay_mtu(""),
        )

    @property
    def has_underlay(self) -> bool:
        """Whether this host has the underlay's address now."""
        return self._underlay_mtu("") > 0

    def abilities(self) -> dict[str, Ability]:
        """By driver's name."""
        if not self._abilities:
            drivers = self._space(self._spaces.number(OWN)).drivers
            self._abilities = {name: drivers[name].probe() for name in KERNEL_DRIVERS}
        return self._abilities

    def name(self, key: VnicKey) -> str:
        """As `Interfaces`."""
        return interface_name(self._agent, key)

    def can_enter(self, namespace: int) -> bool:
        """As `Interfaces`."""
        return namespace in self._numbers()

    def make(self, held: Held) -> None:
        """As `Interfaces`."""
        why = self.abilities()[held.plan.driver].missing
        if why:
            raise ConfigError("NET_DRIVER", f"this host can't do {held.plan.driver}: {why}")
        space = self._space(held.place.namespace)
        plan = replace(held.plan, cap_bytes_per_s=held.cap_bytes_per_s)
        space.ends.make(plan, space.drivers[plan.driver])

    def take(self, place: Place) -> None:
        """As `Interfaces`; one whose namespace the agent hasn't any more is nothing."""
        if place.namespace not in self._numbers():
            return
        space = self._space(place.namespace)
        path = self._spaces.path(place.namespace)
        with kernel_says(f"the interface {place.interface} can't be looked at"):
            link = in_namespace(path, lambda: netlink.read_link(place.interface))
        if link is not None and place not in self._found_in(place.namespace):
            return  # the user's, whatever it is called
        # Each driver: WireGuard's may have a process without its interface.
        for name in reversed(KERNEL_DRIVERS):
            space.drivers[name].remove(place.interface)

    def found(self) -> Collection[Place]:
        """As `Interfaces`; also what was half made."""
        return [place for number in self._numbers() for place in self._found_in(number)]

    def looks(self, ends: Collection[Held]) -> Mapping[VnicKey, Look]:
        """As `Interfaces`."""
        return {
            held.key: Look(link.mtu, Counted(link.index, counted_by(link, held.key.side)))
            for held, link in self._links_of(ends)
        }

    def _links_of(self, ends: Collection[Held]) -> Iterator[tuple[Held, netlink.Link]]:
        for number in self._numbers() & {held.place.namespace for held in ends}:
            here = [held for held in ends if held.place.namespace == number]
            names = {held.place.interface for held in here}
            with kernel_says("interfaces can't be listed"):
                path = self._spaces.path(number)
                by_name = in_namespace(path, partial(netlink.links_named, names))
            for held in here:
                if link := by_name.get(held.place.interface):
                    yield held, link

    def _found_in(self, number: int) -> list[Place]:
        return [Place(number, end.interface) for end in self._space(number).ends.found()]

    def _numbers(self) -> set[int]:
        return {self._spaces.number(path) for path in self._spaces.all} - {0}

    def _space(self, number: int) -> Space:
        if number not in self._by_number:
            self._by_number[number] = self._opened(self._spaces.path(number))
        return self._by_number[number]

    def _opened(self, path: Path) -> Space:
        drivers: tuple[LinkDriver, ...] = (
            VethDriver(self._agent, self._spaces, namespace=path),
            VxlanDriver(self._underlay, namespace=path),
            WireguardDriver(self._key, namespace=path),
        )
        ends = Ends(self._agent, namespace=path, underlay_mtu=self._underlay_mtu)
        return Space(ends, {driver.name: driver for driver in drivers})

    def _underlay_mtu(self, address: str) -> int:
        """Of the interface that has this host's address there; 0 if that isn't known."""
        if not self._underlay:
            return 0
        now = time.monotonic()
        if not self._mtu or now - self._mtu_at > _KNOWN_S:
            self._mtu, self._mtu_at = self._looked_at_mtu(), now
        return self._mtu

    def _looked_at_mtu(self) -> int:
        with kernel_says(f"the interface of {self._underlay} can't be found"):
            for link in in_namespace(OWN, netlink.all_links):
                held = in_namespace(OWN, partial(netlink.addresses, link.index))
                if any(own == self._underlay for own, _, _ in held):
                    return link.mtu
        return 0


class KernelWall:
    """As `Wall`: a table in each namespace.

    Args:
        agent: whose.
        spaces: those that it may enter.
    """

    def __init__(self, agent: str, spaces: Spaces) -> None:
        self._agent = agent
        self._spaces = spaces
        # By namespace: each knows what it told the kernel.
        self._firewalls: dict[int, Firewall] = {}

    def guard(self, ends: Collection[Held]) -> None:
        """As `Wall`; a namespace without ends has no table."""
        own = self._spaces.number(OWN)
        tunnels = [
            Tunnel(held.plan.peer_underlay, held.plan.number, held.plan.port)
            for held in ends
            if held.plan.driver == VXLAN
        ]
        for path in self._spaces.all:
            number = self._spaces.number(path)
            guarded = [_guarded(held) for held in ends if held.place.namespace == number]
            firewall = self._firewall(number, path)
            theirs = tunnels if number == own else []
            if guarded or theirs:
                firewall.apply(guarded, theirs)
            elif firewall.found():
                firewall.remove()

    def mend(self, ends: Collection[Held]) -> None:
        """As `Wall`: `nft flush ruleset`, which firewalls' own start is, takes all tables away."""
        for number in {held.place.namespace for held in ends}:
            firewall = self._firewall(number, self._spaces.path(number))
            if not firewall.found():
                log.error("somebody took away what guards vNICs here: it is put back")
                firewall.forget()
                self.guard(ends)

    def dropped(self, ends: Collection[Held]) -> Mapping[VnicKey, Traffic]:
        """As `Wall`."""
        found = {}
        for number in {held.place.namespace for held in ends}:
            drops = self._firewall(number, self._spaces.path(number)).drops()
            for held in ends:
                if held.place.namespace == number:
                    into, out_of = drops.get(held.place.interface, Drops(0, 0))
                    back = held.key.side is Side.BACKEND
                    told = (into, out_of) if back else (out_of, into)
                    found[held.key] = Traffic(0, 0, 0, 0, *told)
        return found

    def _firewall(self, number: int, path: Path) -> Firewall:
        if number not in self._firewalls:
            self._firewalls[number] = Firewall(self._agent, namespace=path)
        return self._firewalls[number]


def _guarded(held: Held) -> Guarded:
    plan = held.plan
    return Guarded(
        plan.key.side,
        held.place.interface,
        plan.address,
        plan.peer,
        frozenset(held.ports),
        held.cap_bytes_per_s if plan.key.side is Side.BACKEND else 0,
    )
