"""What a WireGuard tunnel is to be, and the least that makes it so (Brain).

An interface carries one vNIC, so it has one peer, which may use one address. What is right
already is left alone: replacing a peer by itself would end its session.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from eais.net.plan import NetPlan

#: Seconds between an idle tunnel's packets. They keep a NAT's mapping (RFC 4787, section 4.3,
#: asks for 120 s, many give 30; wg(8) says 25 for that reason), and the first of them goes when
#: the interface is set up: an end that is made anew starts a new session with it, which the other
#: end would only ask for after 15 s without an answer (WireGuard's white paper, section 6.2).
KEEPALIVE_S: Final = 25


class Endpoint(NamedTuple):
    """Where a peer's tunnel is: IPv4 and a UDP port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end.

    Attributes:
        public_key: X25519, 32 bytes.
        allowed: what it may send from, and what is sent to it: prefixes.
        endpoint: None: not known; the peer calls.
        keepalive_s: 0: only what is asked to be sent is.
    """

    public_key: bytes
    allowed: tuple[str, ...]
    endpoint: Endpoint | None = None
    keepalive_s: int = 0


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel as it is, or is to be.

    Attributes:
        public_key: this end's; b"" if it has no key yet.
        port: this end's, UDP; 0: the kernel's choice.
    """

    public_key: bytes = b""
    port: int = 0
    peers: tuple[Peer, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What makes a tunnel what it is to be.

    Attributes:
        set_key: whether it gets this end's private key.
        port: None: it keeps the one it has.
        gone: peers to take away, by their keys.
        peer: a peer to add or to change; its `endpoint` None: it keeps the one it has.
    """

    set_key: bool = False
    port: int | None = None
    gone: tuple[bytes, ...] = ()
    peer: Peer | None = None

    def __bool__(self) -> bool:
        return self != Change()


def tunnel_of(plan: NetPlan, public_key: bytes) -> Tunnel:
    """What `plan` asks for, at the end whose own key is `public_key`.

    Who knows where the peer is keeps the way open; who doesn't is called.
    """
    endpoint = Endpoint(plan.peer_underlay, plan.peer_port) if plan.peer_underlay else None
    peer = Peer(
        plan.peer_public_key, (f"{plan.peer}/32",), endpoint, KEEPALIVE_S if endpoint else 0
    )
    return Tunnel(public_key, plan.port, (peer,))


def change_to(wanted: Tunnel, found: Tunnel, made: Tunnel | None) -> Change:
    """The least that makes `found` what is `wanted`.

    Args:
        made: what it was made to be last, as far as that is known. A peer that has roamed since
            keeps the endpoint that it was found at, until a plan names another one.
    """
    [peer] = wanted.peers
    others = tuple(one.public_key for one in found.peers if one.public_key != peer.public_key)
    same = next((one for one in found.peers if one.public_key == peer.public_key), None)
    return Change(
        set_key=found.public_key != wanted.public_key,
        port=wanted.port if wanted.port not in (0, found.port) else None,
        gone=others,
        peer=_peer_change(peer, same, _endpoint_of(made, peer.public_key)),
    )


def _peer_change(wanted: Peer, found: Peer | None, said: Endpoint | None) -> Peer | None:
    if found is None:
        return wanted
    keeps = wanted.endpoint in (None, found.endpoint, said)
    as_found = replace(found, endpoint=None)
    as_wanted = replace(wanted, endpoint=None)
    if keeps:
        return as_wanted if as_found != as_wanted else None
    return wanted


def _endpoint_of(made: Tunnel | None, public_key: bytes) -> Endpoint | None:
    for peer in made.peers if made else ():
        if peer.public_key == public_key:
            return peer.endpoint
    return None
