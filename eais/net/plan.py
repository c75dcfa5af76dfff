"""One end of one vNIC, as the pool's manager plans it and a host's network agent makes it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from eais.errors import EaisError, make_error

VETH: Final = "veth"
VXLAN: Final = "vxlan"
WIREGUARD: Final = "wireguard"
#: The drivers that need a network agent on both hosts.
KERNEL_DRIVERS: Final = (VETH, VXLAN, WIREGUARD)
#: What may be asked for at attach.
DRIVERS: Final = ("auto", "loopback", "host", *KERNEL_DRIVERS)
#: What keeps others off an instance's address, in words.
ISOLATION: Final = {
    VETH: "only the bound front-end's packets pass, and mTLS",
    VXLAN: "only the bound front-end's packets pass, and mTLS; its tunnel isn't encrypted",
    WIREGUARD: "only the bound front-end's packets pass, through an encrypted tunnel, and mTLS",
}
#: VXLAN network identifiers have 24 bits (RFC 7348, section 5).
MAX_NUMBER: Final = (1 << 24) - 1
#: X25519 (RFC 7748, section 5).
PUBLIC_KEY_BYTES: Final = 32
#: The kernel's token bucket has 32 bits for a rate (struct tc_ratespec, linux/pkt_sched.h); the
#: firewall's limiter has room for more.
MAX_CAP_BYTES_PER_S: Final = (1 << 32) - 1
#: What IPv4 asks of every link (RFC 791), and the largest that an interface has.
MTU_RANGE: Final = (576, 65_535)

_MAX_OWNER: Final = 512
_NAME = re.compile(r"[a-z0-9][a-z0-9.\-]{0,62}", re.ASCII)


class Side(Enum):
    """Which end of a vNIC."""

    FRONTEND = "frontend"
    BACKEND = "backend"


class VnicKey(NamedTuple):
    """Which vNIC end: an instance has one vNIC a back-end, each with two ends.

    Attributes:
        host: the back-end's name in the pool.
    """

    pool: str
    instance: str
    host: str
    side: Side


@dataclass(frozen=True, slots=True)
class NetPlan:
    """One end of a vNIC. Made by `eais_pool`, signed, carried out by the agent that it names.

    Attributes:
        agent: of the host that it is for.
        generation: grows with each plan of this end.
        driver: one of `KERNEL_DRIVERS`.
        address, peer: this end's IPv4 address and the other end's; each reaches only the other.
        mtu: of the vNIC; 0: what the underlay leaves.
        cap_bytes_per_s: each way, enforced by the back-end; 0: none.
        peer_agent: of the other end's host; veth: the same.
        peer_underlay: vxlan, wireguard: where the other end's tunnel is; "" if it isn't known.
        number: vxlan: the network identifier.
        port: vxlan: UDP, of both ends; wireguard: this end's, 0 for the kernel's choice.
        peer_port: wireguard; 0 if it isn't known.
        peer_public_key: wireguard: X25519, 32 bytes.
        peer_namespace: veth: the other end's network namespace (the inode of its file).
        owner: whose end it is: the identity (a URI) of the front-end, or of the listener.
    """

    key: VnicKey
    agent: str
    tenant: str
    generation: int
    driver: str
    address: str
    peer: str
    mtu: int = 0
    cap_bytes_per_s: int = 0
    peer_agent: str = ""
    peer_underlay: str = ""
    number: int = 0
    port: int = 0
    peer_port: int = 0
    peer_public_key: bytes = b""
    peer_namespace: int = 0
    owner: str = ""

    def __post_init__(self) -> None:
        """Raises: IdentityError NET_PLAN, naming the field that can't be so."""
        for what, text in (("pool", self.key.pool), ("instance", self.key.instance)):
            _check_name(what, text)
        _check_name("host", self.key.host)
        _check_name("agent", self.agent)
        if self.generation < 1:
            raise bad_plan("generation", "must be 1 or more")
        self._check_link()

    def _check_link(self) -> None:
        if len(self.owner) > _MAX_OWNER:
            raise bad_plan("owner", f"has more than {_MAX_OWNER} characters")
        if self.driver not in KERNEL_DRIVERS:
            names = ", ".join(KERNEL_DRIVERS)
            raise bad_plan("driver", f"{self.driver[:32]!a} is none of {names}")
        for what, text in (("address", self.address), ("peer", self.peer)):
            _check_address(what, text)
        if self.address == self.peer:
            raise bad_plan("peer", "is the end's own address")
        if self.mtu and not MTU_RANGE[0] <= self.mtu <= MTU_RANGE[1]:
            raise bad_plan("mtu", f"{self.mtu} is not {MTU_RANGE[0]} to {MTU_RANGE[1]}")
        if not 0 <= self.cap_bytes_per_s <= MAX_CAP_BYTES_PER_S:
            text = f"{self.cap_bytes_per_s} is not 0 to {MAX_CAP_BYTES_PER_S}"
            raise bad_plan("cap_bytes_per_s", text)
        for what, port in (("port", self.port), ("peer_port", self.peer_port)):
            if not 0 <= port <= 65_535:
                raise bad_plan(what, f"{port} is no UDP port")
        _CHECKS[self.driver](self)


def _check_veth(plan: NetPlan) -> None:
    if plan.peer_agent != plan.agent:
        raise bad_plan("peer_agent", "a veth pair has both ends on one host")
    if plan.peer_namespace < 1:
        raise bad_plan("peer_namespace", "a veth pair needs the other end's")


def _check_vxlan(plan: NetPlan) -> None:
    if not 1 <= plan.number <= MAX_NUMBER:
        raise bad_plan("number", f"{plan.number} is not 1 to {MAX_NUMBER}")
    _check_address("peer_underlay", plan.peer_underlay)
    if not plan.port:
        raise bad_plan("port", "both ends of a VXLAN tunnel need the one")


def _check_wireguard(plan: NetPlan) -> None:
    if len(plan.peer_public_key) != PUBLIC_KEY_BYTES:
        raise bad_plan("peer_public_key", f"must be {PUBLIC_KEY_BYTES} bytes")
    if plan.peer_underlay:
        _check_address("peer_underlay", plan.peer_underlay)
    if bool(plan.peer_underlay) != bool(plan.peer_port):
        raise bad_plan("peer_port", "comes with peer_underlay, and not without")


_CHECKS: Final = {VETH: _check_veth, VXLAN: _check_vxlan, WIREGUARD: _check_wireguard}


def _check_name(what: str, text: str) -> None:
    if not _NAME.fullmatch(text):
        raise bad_plan(what, f"{text[:64]!a} is no name")


def _check_address(what: str, text: str) -> None:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise bad_plan(what, f"{text[:64]!a} is no IPv4 address") from None
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        raise bad_plan(what, f"{address} is no host's")


def bad_plan(what: str, text: str) -> EaisError:
    """NET_PLAN: which field, and what it must be."""
    return make_error("NET_PLAN", f"{what}: {text}")
