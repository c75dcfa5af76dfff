"""Which driver a vNIC has, and which addresses, number and ports are its own. (Brain)

Addresses are taken from one network, in blocks of a tenant's own, so that a tenant's addresses
tell whose they are. They are unique in the pool, also where a tenant's own network overlaps
another's: whatever two instances a host has, their addresses differ.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from eais.errors import EaisError, make_error
from eais.net.plan import KERNEL_DRIVERS, MAX_NUMBER, VETH, VXLAN, WIREGUARD
from eais_pool.brain.net_records import NetLink, NetOffer

AUTO: Final = "auto"
BLOCK_PREFIX: Final = 24
#: IANA's for VXLAN (RFC 7348, section 5).
VXLAN_PORT: Final = 4789
#: From here on, a port a tunnel; WireGuard's own programs begin there.
WIREGUARD_PORTS: Final = range(51_820, 65_536)
_NO_AGENT: Final = "`eais net check` there says what the machine can do; then `eais net agent`"
_CAPPED: Final = "a cap needs veth, vxlan or wireguard: a network agent on both hosts"


class Choice(NamedTuple):
    """A driver, and why it; "" for the host's own, which needs no agent."""

    driver: str
    why: str


@dataclass(frozen=True, slots=True)
class TakenLink:
    """A link that is there, and whose."""

    tenant: str
    link: NetLink


def choose_driver(
    asked: str,
    own: str,
    frontend: NetOffer | None,
    backend: NetOffer | None,
    *,
    capped: bool = False,
) -> Choice:
    """The driver between a front-end and a back-end.

    Args:
        asked: "" or "auto", the back-end's `own` ("loopback", "host"), or the kernel's.
        own: what the back-end gives without an agent.
        frontend, backend: what their agents offer; None without one.
        capped: its bandwidth, which the kernel's alone can keep.

    Raises:
        ConfigError: NET_DRIVER, which says what is missing on which host.
    """
    if asked in ("", AUTO):
        best = _best(own, frontend, backend)
        if capped and not best.driver:
            raise make_error("NET_DRIVER", f"no cap of a vNIC here: {best.why}", hint=_CAPPED)
        return best
    if asked == own:
        if capped:
            raise make_error("NET_DRIVER", f"{own} keeps no cap", hint=_CAPPED)
        return Choice("", f"{own} was asked for")
    if asked not in KERNEL_DRIVERS:
        raise make_error("NET_DRIVER", f"{asked[:32]!a}: the back-end's own driver is {own}")
    if why_not := _why_not(asked, frontend, backend):
        hint = "" if frontend and backend else _NO_AGENT
        raise make_error("NET_DRIVER", f"no {asked} here: {why_not}", hint=hint)
    return Choice(asked, f"{asked} was asked for")


def _best(own: str, frontend: NetOffer | None, backend: NetOffer | None) -> Choice:
    """On one host veth, between two VXLAN; all is encrypted anyway, so WireGuard is asked for."""
    if frontend is None or backend is None:
        return Choice("", f"{own}: not both hosts have a network agent")
    reasons = []
    for driver in (VETH, VXLAN):
        why_not = _why_not(driver, frontend, backend)
        if not why_not:
            where = "on one host" if driver == VETH else "between two hosts"
            return Choice(driver, f"{driver}: both ends are {where}, and their agents can")
        reasons.append(f"no {driver}, {why_not}")
    return Choice("", f"{own}: {'; '.join(reasons)}")


def _why_not(driver: str, frontend: NetOffer | None, backend: NetOffer | None) -> str:
    """Why there can't be such a link; "" if there can."""
    found = []
    for whose, offer in (("the front-end's host", frontend), ("the back-end", backend)):
        if offer is None:
            found.append(f"{whose} has no network agent")
        elif missing := offer.missing(driver):
            found.append(f"{whose}: {missing}")
    if found or frontend is None or backend is None:
        return "; ".join(found)
    if driver == VETH:
        return _why_no_veth(frontend, backend)
    return _why_no_tunnel(driver, frontend, backend)


def _why_no_veth(frontend: NetOffer, backend: NetOffer) -> str:
    if frontend.agent != backend.agent:
        return "front-end and back-end are on different hosts"
    if not frontend.namespace or not backend.namespace:
        which = "back-end" if frontend.namespace else "front-end"
        return f"the agent isn't given the {which}'s network namespace"
    if frontend.namespace == backend.namespace:
        return "front-end and back-end share a network namespace"
    return ""


def _why_no_tunnel(driver: str, frontend: NetOffer, backend: NetOffer) -> str:
    if frontend.agent == backend.agent:
        return "front-end and back-end are on one host"
    if not backend.underlay or (driver == VXLAN and not frontend.underlay):
        whose = "front-end's host" if backend.underlay else "back-end"
        return f"the agent of the {whose} knows no address that tunnels reach"
    if driver == WIREGUARD and not (frontend.key and backend.key):
        return "an agent has no WireGuard key"
    return ""


def plan_link(
    driver: str,
    tenant: str,
    network: str,
    generation: int,
    frontend: NetOffer,
    backend: NetOffer,
    taken: Collection[TakenLink],
    cap_bytes_per_s: int = 0,
    turn: int = 0,
    machines: Collection[str] = (),
) -> NetLink:
    """A link with addresses, number and ports that no other has.

    Args:
        network: of which the tenant gets blocks.
        taken: all links that there are.
        turn: grows from link to link. Where others are free, none has what one before it had: its
            front-end's end may still be there.
        machines: IPv4 addresses that machines have, and no vNIC gets.

    Raises:
        RemoteError: ADDRESSES_EXHAUSTED, of the tenant's network, numbers or ports.
    """
    underlays = {frontend.underlay, backend.underlay, *machines} - {""}
    address, peer = _addresses(tenant, network, taken, turn, underlays)
    port, peer_port = _ports(driver, frontend, backend, taken, turn)
    return NetLink(
        driver=driver,
        generation=generation,
        address=address,
        peer=peer,
        number=_number(taken) if driver == VXLAN else 0,
        port=port,
        peer_port=peer_port,
        backend=backend,
        frontend=frontend,
        cap_bytes_per_s=cap_bytes_per_s,
    )


def _addresses(
    tenant: str, network: str, taken: Collection[TakenLink], turn: int, never: Collection[str]
) -> tuple[str, str]:
    """Two that follow each other, in a block where no other tenant has any as long as there is one.

    `never`: none of these.
    """
    links = [text for each in taken for text in (each.link.address, each.link.peer)]
    used = {int(ipaddress.IPv4Address(text)) for text in (*links, *never)}
    others = {
        _block(address)
        for each in taken
        if each.tenant != tenant
        for address in (each.link.address, each.link.peer)
    }
    # Where all blocks have somebody else's, they are shared: the firewall keeps tenants apart.
    for avoided in (others, frozenset[int]()):
        for block in _blocks(network, avoided):
            # The first and the last are left out, lest they be taken for a network's.
            first = int(block.network_address) + 2
            for address in _from(turn, range(first, int(block.broadcast_address) - 1, 2)):
                if address not in used and address + 1 not in used:
                    return _text(address), _text(address + 1)
    own = sum(each.tenant == tenant for each in taken)
    text = f"no two addresses of {network} are free for the tenant {tenant}, which has {own} vNICs"
    hint = f"detach some, or give it a larger network: [vnic.tenants.{tenant}] in the pool's file"
    raise _exhausted(text, hint)


def _blocks(network: str, avoided: Collection[int]) -> Iterator[ipaddress.IPv4Network]:
    whole = ipaddress.IPv4Network(network)
    prefix = max(BLOCK_PREFIX, whole.prefixlen)
    for block in whole.subnets(new_prefix=prefix):
        if prefix > BLOCK_PREFIX or int(block.network_address) not in avoided:
            yield block


def _text(address: int) -> str:
    return str(ipaddress.IPv4Address(address))


def _block(address: str) -> int:
    return int(ipaddress.IPv4Address(address)) >> (32 - BLOCK_PREFIX) << (32 - BLOCK_PREFIX)


def _number(taken: Iterable[TakenLink]) -> int:
    """After the highest, so that one that was given up isn't had again soon."""
    used = {each.link.number for each in taken}
    highest = max(used, default=0)
    if highest < MAX_NUMBER:
        return highest + 1
    for number in range(1, MAX_NUMBER + 1):
        if number not in used:
            return number
    raise _exhausted("all VXLAN network identifiers are taken")


def _ports(
    driver: str, frontend: NetOffer, backend: NetOffer, taken: Iterable[TakenLink], turn: int
) -> tuple[int, int]:
    if driver == VXLAN:
        return VXLAN_PORT, VXLAN_PORT
    if driver != WIREGUARD:
        return 0, 0
    used: dict[str, set[int]] = {}
    for each in taken:
        used.setdefault(each.link.backend.agent, set()).add(each.link.port)
        used.setdefault(each.link.frontend.agent, set()).add(each.link.peer_port)
    return _port(backend.agent, used, turn), _port(frontend.agent, used, turn)


def _port(agent: str, used: dict[str, set[int]], turn: int) -> int:
    there = used.get(agent, set())
    for port in _from(turn, WIREGUARD_PORTS):
        if port not in there:
            return port
    raise _exhausted(f"all WireGuard ports of the agent {agent} are taken")


def _from(turn: int, choices: range) -> Iterator[int]:
    """All of them, beginning with the one whose turn it is."""
    begin = turn % len(choices)
    yield from choices[begin:]
    yield from choices[:begin]


def _exhausted(text: str, hint: str = "") -> EaisError:
    return make_error("ADDRESSES_EXHAUSTED", text, hint=hint)


def check_network(text: str) -> str:
    """`text`, if vNICs can have addresses of it.

    Raises:
        ValueError: it is no network, is too small, or holds addresses that hosts can't have.
    """
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise ValueError(f"{text[:80]!r}: no IPv4 network such as 198.18.0.0/15: {error}") from None
    if network.prefixlen > 29:
        raise ValueError(f"{text}: is too small for a vNIC; /29 or larger")
    for other in _NEVER:
        if network.overlaps(other):
            raise ValueError(f"{text}: overlaps {other}, which no vNIC can have")
    return text


_NEVER: Final = tuple(
    map(ipaddress.IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"))
)
