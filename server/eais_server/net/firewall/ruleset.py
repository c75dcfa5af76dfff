"""What nftables is told of the vNIC ends of one network namespace: one table, whole. (Brain)

Nothing here looks at connections: a back-end is only a server, of known TCP ports, and a front-end
only a client, so each packet says by itself whether it may pass. Connection tracking would cost
the data path a look-up a packet, have a table that a tenant can fill, and be switched on for the
whole namespace, where the user may not have it.

A packet's way in is judged before anything else of netfilter sees it (`_FIRST`), so a packet that
would be forwarded is judged like one for this host; its way out after all else (`_LAST`), so that
no address translation comes later. `accept` here ends this table alone: the user's own tables are
asked too, and what they drop is dropped. What this table drops, none of theirs brings back.

The number of rules doesn't grow with that of the vNICs: sets and maps do.

It is told in nftables' own language, not in its JSON, which can't name the type of a part of a
packet (`@th,96,32`) in a set before nftables 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, Final

from eais.errors import make_error
from eais.net.plan import MAX_CAP_BYTES_PER_S, MAX_NUMBER, Side

#: Priorities of hooks (linux/netfilter_ipv4.h): before NF_IP_PRI_CONNTRACK_DEFRAG (-400), so that
#: fragments are seen as they came whatever else is loaded; after NF_IP_PRI_NAT_SRC (100).
_FIRST: Final = -450
_LAST: Final = 300
#: linux/if.h: 16 with its end; what an interface of ours or of a test may be called.
_INTERFACE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,14}", re.ASCII)
_AGENT: Final = re.compile(r"[a-z0-9][a-z0-9.\-]*", re.ASCII)
_AGENT_CHARACTERS: Final = 8
#: What may be saved up beyond what the kernel's limiter of bytes always lets be, one second of the
#: rate (net/netfilter/nft_limit.c: the bucket holds rate + burst): the largest packet that
#: segmentation offload hands over at once, so that no cap is too small for one to pass.
_BURST_BYTES: Final = 65_536

_COUNTERS: Final = ("in", "out")
_KINDS_ANEW: Final = ("chain", "map", "set")


@dataclass(frozen=True, slots=True)
class Guarded:
    """One end of a vNIC, as the firewall sees it.

    Attributes:
        interface: its name.
        address, peer: IPv4, the end's own and the other end's.
        ports: back-end: the TCP ports that the front-end may reach.
        cap_bytes_per_s: back-end: of what comes in, in bytes of IP packets; 0: none.
    """

    side: Side
    interface: str
    address: str
    peer: str
    ports: frozenset[int] = frozenset()
    cap_bytes_per_s: int = 0

    def __post_init__(self) -> None:
        """Raises: IdentityError NET_PLAN, naming the field that can't be so."""
        if not _INTERFACE.fullmatch(self.interface):
            raise make_error("NET_PLAN", f"{self.interface[:32]!a} is no interface's name")
        for what, text in (("address", self.address), ("peer", self.peer)):
            _check_address(what, text)
        for port in self.ports:
            _check_port(port)
        if not 0 <= self.cap_bytes_per_s <= MAX_CAP_BYTES_PER_S:
            text = f"a cap must be 0 to {MAX_CAP_BYTES_PER_S} bytes a second"
            raise make_error("NET_PLAN", text)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A VXLAN tunnel of ours, in the namespace where its UDP socket is.

    Attributes:
        peer_underlay: the one IPv4 address that its packets may come from.
        number: the VXLAN network identifier.
        port: UDP, here.
    """

    peer_underlay: str
    number: int
    port: int

    def __post_init__(self) -> None:
        """Raises: IdentityError NET_PLAN, naming the field that can't be so."""
        _check_address("peer_underlay", self.peer_underlay)
        _check_port(self.port)
        if not 1 <= self.number <= MAX_NUMBER:
            raise make_error("NET_PLAN", f"number {self.number} is not 1 to {MAX_NUMBER}")


@dataclass(frozen=True, slots=True)
class Told:
    """What a table was last told.

    Attributes:
        objects: counters and limiters, by kind and name, with how they are made.
        elements: of each set and map, by kind and name.
    """

    objects: Mapping[tuple[str, str], str]
    elements: Mapping[tuple[str, str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Held:
    """What a table has already: kind ("chain", "counter", "limit", "map", "set") and name."""

    objects: frozenset[tuple[str, str]] = frozenset()


def table_of(agent: str) -> str:
    """The name of an agent's table, of family inet."""
    if not _AGENT.fullmatch(agent):
        raise make_error("NET_PLAN", f"{agent[:32]!a} is no agent's id")
    return f"eais-{agent[:_AGENT_CHARACTERS]}"


def counter_of(interface: str, way: str) -> str:
    """The name of the counter of what was dropped on its way "in" or "out"."""
    return f"{way}-{interface}"


def way_and_interface(counter: str) -> tuple[str, str]:
    """What `counter_of` made its name of."""
    way, _, interface = counter.partition("-")
    return way, interface


def read_held(listing: Any) -> Held:
    """What nftables' JSON of one table says that it has."""
    kinds = {*_KINDS_ANEW, "counter", "limit"}
    return Held(
        frozenset(
            (kind, str(told["name"]))
            for entry in listing["nftables"]
            for kind, told in entry.items()
            if kind in kinds
        )
    )


def replacing(
    table: str, held: Held, guarded: Collection[Guarded], tunnels: Collection[Tunnel]
) -> str:
    """One transaction that makes `table`, which has `held`, what the ends need.

    Counters, and limiters of unchanged caps, are left as they are; all else is made anew.
    """
    ends = _ordered(guarded)
    kept = dict(_kept(ends))
    lines = [f"add table inet {table}"]
    lines += _taken_away(table, held, kept)
    lines += _added(table, held, kept)
    for kind, name, kind_of, elements in _sets(ends, tunnels):
        listed = ", ".join(elements)
        inside = f" elements = {{ {listed} }} ;" if listed else ""
        lines.append(f"add {kind} inet {table} {name} {{ {kind_of} ;{inside} }}")
    lines += (f"add chain inet {table} {name}{hook}" for name, hook, _ in _CHAINS)
    lines += (
        f"add rule inet {table} {name} {rule}"
        for name, _, rules in _CHAINS
        for rule in rules
    )  # fmt: skip
    return "\n".join(lines) + "\n"


def telling(guarded: Collection[Guarded], tunnels: Collection[Tunnel]) -> Told:
    """What a table is told that has what the ends need."""
    ends = _ordered(guarded)
    elements = {(kind, name): tuple(each) for kind, name, _, each in _sets(ends, tunnels)}
    return Told(dict(_kept(ends)), elements)


def changing(table: str, before: Told, after: Told) -> str:
    """One transaction from what a table was told to what it is to be told; "": nothing changes.

    Its rules stay. A chain that goes, and a set that is emptied, make the kernel wait until no
    packet looks there, which is most of what a change would cost.
    """
    lines = list(_elements("delete", table, before, after))
    lines += _deleted(table, before.objects.keys() - after.objects.keys())
    lines += _added(table, Held(frozenset(before.objects)), after.objects)
    lines += _elements("add", table, after, before)
    return "\n".join(lines) + "\n" if lines else ""


def _elements(verb: str, table: str, of: Told, without: Told) -> Iterator[str]:
    for key, known in of.elements.items():
        others = set(without.elements[key])
        if listed := ", ".join(one for one in known if one not in others):
            yield f"{verb} element inet {table} {key[1]} {{ {listed} }}"


def _ordered(guarded: Collection[Guarded]) -> list[Guarded]:
    ends = sorted(guarded, key=lambda end: end.interface)
    if len({end.interface for end in ends}) < len(ends):
        raise make_error("NET_PLAN", "two vNIC ends of one namespace have one interface")
    return ends


def _added(table: str, held: Held, kept: Mapping[tuple[str, str], str]) -> Iterator[str]:
    for (kind, name), what in kept.items():
        if (kind, name) not in held.objects:
            yield f"add {kind} inet {table} {name}{what}"


def _kept(ends: Iterable[Guarded]) -> Iterator[tuple[tuple[str, str], str]]:
    for end in ends:
        for way in _COUNTERS:
            yield ("counter", counter_of(end.interface, way)), ""
        if end.cap_bytes_per_s:
            what = f"rate over {end.cap_bytes_per_s} bytes/second burst {_BURST_BYTES} bytes"
            yield ("limit", _limit_of(end)), f" {{ {what} ; }}"


def _taken_away(table: str, held: Held, kept: Collection[tuple[str, str]]) -> Iterator[str]:
    if not held.objects:
        return
    yield f"flush table inet {table}"  # its rules: nothing names anything any more
    for kind in _KINDS_ANEW:
        yield from _deleted(table, (one for one in held.objects if one[0] == kind))
    gone = held.objects - set(kept)
    yield from _deleted(table, (one for one in gone if one[0] not in _KINDS_ANEW))


def _deleted(table: str, objects: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"delete {kind} inet {table} {name}" for kind, name in sorted(objects))


def _limit_of(end: Guarded) -> str:
    # The kernel doesn't change a limiter's rate: another rate is another limiter.
    return f"cap-{end.interface}-{end.cap_bytes_per_s}"


_Set = tuple[str, str, str, Iterable[str]]
"""What kind it is, its name, the type of its elements, and those."""


def _sets(ends: list[Guarded], tunnels: Collection[Tunnel]) -> tuple[_Set, ...]:
    backends = [end for end in ends if end.side is Side.BACKEND]
    frontends = [end for end in ends if end.side is Side.FRONTEND]
    ports = [(end.interface, port) for end in backends for port in sorted(end.ports)]
    # Addresses are unique as plans have it; were they not, the first end would have the count.
    own = {end.address: end for end in reversed(ends)}
    wires = sorted(tunnels, key=lambda one: (one.port, one.number, one.peer_underlay))
    numbers = dict.fromkeys(f"{one.port} . {_on_wire(one)}" for one in wires)
    sources = [f"{one.peer_underlay} . {one.port} . {_on_wire(one)}" for one in wires]
    counted = {way: [f'"{e.interface}" : "{counter_of(e.interface, way)}"' for e in ends]
               for way in _COUNTERS}  # fmt: skip
    return (
        ("set", "backends", "type ifname", (f'"{end.interface}"' for end in backends)),
        ("set", "frontends", "type ifname", (f'"{end.interface}"' for end in frontends)),
        ("set", "pairs", "type ifname . ipv4_addr . ipv4_addr",
         (f'"{end.interface}" . {end.peer} . {end.address}' for end in ends)),
        ("set", "open_ports", "type ifname . inet_service",
         (f'"{interface}" . {port}' for interface, port in ports)),
        ("set", "addresses", "type ipv4_addr", own),
        ("map", "dropped_in", "type ifname : counter", counted["in"]),
        ("map", "dropped_out", "type ifname : counter", counted["out"]),
        ("map", "dropped_to", "type ipv4_addr : counter",
         (f'{address} : "{counter_of(end.interface, "in")}"' for address, end in own.items())),
        ("map", "caps", "type ifname : limit",
         (f'"{end.interface}" : "{_limit_of(end)}"' for end in ends
          if end.cap_bytes_per_s)),
        ("set", "numbers", f"typeof udp dport . {_NUMBER}", numbers),
        ("set", "tunnels", f"typeof ip saddr . udp dport . {_NUMBER}", sources),
    )  # fmt: skip


#: A VXLAN header's second word, after UDP's 8 bytes (RFC 7348, section 5): the identifier's 24 bits
#: and 8 that are 0. One packet in fragments is whole again where this is looked at.
_NUMBER: Final = "@th,96,32"


def _on_wire(tunnel: Tunnel) -> str:
    return f"{tunnel.number << 8:#x}"


#: What one end tells the other that its packets met (RFC 792).
_ICMP_ERRORS: Final = "destination-unreachable, time-exceeded, parameter-problem"

#: Chain, its hook, its rules. What falls out of a chain that is gone to passes.
_CHAINS: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("drop_in", "", ("counter name iifname map @dropped_in", "drop")),
    ("drop_out", "", ("counter name oifname map @dropped_out", "drop")),
    (
        # At a back-end: what its front-end sends.
        "from_frontend",
        "",
        (
            "iifname . ip saddr . ip daddr != @pairs goto drop_in",
            "limit name iifname map @caps goto drop_in",
            # A later fragment has no port to be judged by. TCP doesn't need them.
            "ip frag-off & 0x3fff != 0 goto drop_in",
            "iifname . tcp dport @open_ports accept",
            f"icmp type {{ echo-request, {_ICMP_ERRORS} }} accept",
            "goto drop_in",
        ),
    ),
    (
        # At a front-end: what its back-end answers. A TCP segment without ACK and RST is a first
        # one (RFC 9293, section 3.10.7).
        "from_backend",
        "",
        (
            "iifname . ip saddr . ip daddr != @pairs goto drop_in",
            "ip frag-off & 0x3fff != 0 goto drop_in",
            "tcp flags & (ack | rst) != 0 accept",
            f"icmp type {{ echo-reply, {_ICMP_ERRORS} }} accept",
            "goto drop_in",
        ),
    ),
    (
        # At a back-end: what it answers.
        "to_frontend",
        "",
        (
            "oifname . ip daddr . ip saddr != @pairs goto drop_out",
            "oifname . tcp sport @open_ports tcp flags & (ack | rst) != 0 accept",
            f"icmp type {{ echo-reply, {_ICMP_ERRORS} }} accept",
            "goto drop_out",
        ),
    ),
    ("to_backend", "", ("oifname . ip daddr . ip saddr != @pairs goto drop_out",)),
    (
        "incoming",
        f" {{ type filter hook prerouting priority {_FIRST} ; policy accept ; }}",
        (
            "iifname @backends meta nfproto ipv6 goto drop_in",
            "iifname @frontends meta nfproto ipv6 goto drop_in",
            "iifname @backends goto from_frontend",
            "iifname @frontends goto from_backend",
            # The host's own word to its own programs that a packet of theirs went nowhere.
            f'iifname "lo" icmp type {{ {_ICMP_ERRORS} }} accept',
            "ip daddr @addresses counter name ip daddr map @dropped_to drop",
        ),
    ),
    (
        "outgoing",
        f" {{ type filter hook postrouting priority {_LAST} ; policy accept ; }}",
        (
            # Not counted: a kernel with IPv6 says on its own that an interface is there.
            "oifname @backends meta nfproto ipv6 drop",
            "oifname @frontends meta nfproto ipv6 drop",
            "oifname @backends goto to_frontend",
            "oifname @frontends goto to_backend",
        ),
    ),
    (
        # Where fragments were put together again: tiny ones would hide the identifier. A tunnel
        # that isn't ours is nobody's, or the user's: the kernel and the user's rules know.
        "underlay",
        f" {{ type filter hook input priority {_FIRST} ; policy accept ; }}",
        (
            f"udp dport . {_NUMBER} @numbers"
            f" ip saddr . udp dport . {_NUMBER} != @tunnels counter drop",
        ),
    ),
)


def _check_address(what: str, text: str) -> None:
    try:
        if str(IPv4Address(text)) == text:
            return
    except ValueError:
        pass
    raise make_error("NET_PLAN", f"{what} {text[:64]!a} is no IPv4 address")


def _check_port(port: int) -> None:
    if not 1 <= port <= 65_535:
        raise make_error("NET_PLAN", f"{port} is no port: 1 to 65535 are")
