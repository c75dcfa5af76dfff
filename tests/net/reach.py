"""A back-end, two tenants' front-ends and a bystander, each a network namespace; and raw packets.

Plain veth pairs stand for the vNICs. Whether a packet arrives is seen by raw sockets, which get
what netfilter let in, whatever port it is for.

                       tenants' veths                 uplink
    f1 10.9.0.2 ─────────── 10.9.0.1 b 192.0.2.1 ─────────── 192.0.2.2 x
    f2 10.9.1.2 ─────────── 10.9.1.1
"""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eais_server.net.links.entering import in_namespace

OPEN, CLOSED, CLIENT = 8443, 8080, 40_000
VXLAN_PORT: Final = 4790
UPLINK_B, UPLINK_X, OTHER_X = "192.0.2.1", "192.0.2.2", "192.0.2.3"
SYN, RST, ACK = 0x02, 0x04, 0x10
ECHO_REPLY, ECHO, TIMESTAMP = 0, 8, 13
#: How long a packet may take that should arrive, and how long is waited for one that shouldn't.
ARRIVES_S, NEVER_S = 10.0, 0.2
Made = Callable[[bytes], list[bytes]]
_PROTOCOLS: Final = (socket.IPPROTO_ICMP, socket.IPPROTO_TCP, socket.IPPROTO_UDP)
_TAG: Final = f"eaistest{os.getpid()}"


def ip(*words: str) -> None:
    """Run `ip` of iproute2."""
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)


def place(name: str) -> Path:
    """The file of a host's namespace."""
    return Path("/run/netns") / f"{_TAG}{name}"


@contextmanager
def hosts(*names: str) -> Iterator[None]:
    """Namespaces of these names, gone afterwards with all that is in them."""
    with ExitStack() as stack:
        for name in names:
            ip("netns", "add", place(name).name)
            stack.callback(ip, "netns", "delete", place(name).name)
            ip("-n", place(name).name, "link", "set", "lo", "up")
            in_namespace(place(name), _let_all_pass)
        yield


def _let_all_pass() -> None:
    for setting, value in (
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/icmp_ratelimit", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
    ):
        with suppress(FileNotFoundError):
            (Path("/proc/sys/net") / setting).write_text(value)


@dataclass(frozen=True, slots=True)
class End:
    """One end of a veth pair."""

    host: str
    interface: str
    address: str


def join(one: End, other: End) -> None:
    """Join two hosts by a veth pair, as point to point links with IPv6's own addresses, too."""
    namespaces = place(one.host).name, place(other.host).name
    ip("link", "add", one.interface, "netns", namespaces[0], "type", "veth",
       "peer", "name", other.interface, "netns", namespaces[1])  # fmt: skip
    for number, (end, peer) in enumerate(((one, other), (other, one)), 1):
        words = ("-n", place(end.host).name)
        ip(*words, "address", "add", f"{end.address}/32", "peer", peer.address,
           "dev", end.interface)  # fmt: skip
        ip(*words, "address", "add", f"fe80::{number}/64", "dev", end.interface, "nodad")
        ip(*words, "link", "set", end.interface, "up")


def back_end(tenant: int) -> End:
    """Of tenant 1 or 2."""
    return End("b", f"eaistb{tenant}", f"10.9.{tenant - 1}.1")


def front_end(tenant: int) -> End:
    """Of tenant 1 or 2."""
    return End(f"f{tenant}", f"eaistf{tenant}", f"10.9.{tenant - 1}.2")


@contextmanager
def four_hosts() -> Iterator[None]:
    """f1, f2, b, x as in the picture; everyone's way to anyone else is by the back-end."""
    with hosts("b", "f1", "f2", "x"):
        join(End("b", "uplink", UPLINK_B), End("x", "uplink", UPLINK_X))
        ip("-n", place("x").name, "address", "add", f"{OTHER_X}/32", "dev", "uplink")
        ip("-n", place("x").name, "route", "add", "default", "via", UPLINK_B)
        ip("-n", place("b").name, "route", "add", f"{OTHER_X}/32", "dev", "uplink")
        for tenant in (1, 2):
            front, back = front_end(tenant), back_end(tenant)
            join(front, back)
            namespace = place(front.host).name
            ip("-n", namespace, "address", "add", f"172.16.{tenant}.1/32", "dev", "lo")
            ip("-n", namespace, "route", "add", "default", "via", back.address)
            ip("-n", place("b").name, "route", "add", f"172.16.{tenant}.1/32",
               "dev", back.interface)  # fmt: skip
        yield


@dataclass(frozen=True, slots=True)
class Attempt:
    """A packet that `sender` sends, and `receiver` gets but for the walls that stop it.

    Attributes:
        packets: with a token: whole IPv4 packets, or for `scope` an ICMPv6 message.
        target: where the sender routes it.
        walls: "back", "front": each of them alone is enough.
        scope: IPv6: the sender's interface.
    """

    name: str
    sender: str
    receiver: str
    target: str
    packets: Made
    walls: frozenset[str]
    scope: str = ""


def ipv4(source: str, target: str, protocol: int, body: bytes, *, fragment: int = 0) -> bytes:
    """An IPv4 packet; the kernel fills in its length and checksum (raw(7))."""
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0x4541, fragment, 64, protocol, 0,
        socket.inet_aton(source), socket.inet_aton(target),
    )  # fmt: skip
    return head + body


def tcp(source: str, target: str, ports: tuple[int, int], flags: int) -> Made:
    """A segment from one port to another, with the token as its data."""

    def made(token: bytes) -> list[bytes]:
        body = struct.pack("!HHIIBBHHH", *ports, 1, 1, 5 << 4, flags, 1024, 0, 0) + token
        return [ipv4(source, target, socket.IPPROTO_TCP, body)]

    return made


def udp(source: str, target: str, port: int, head: bytes = b"") -> Made:
    """A datagram; without a checksum (RFC 768)."""

    def made(token: bytes) -> list[bytes]:
        body = struct.pack("!HHHH", CLIENT, port, 8 + len(head) + len(token), 0) + head + token
        return [ipv4(source, target, socket.IPPROTO_UDP, body)]

    return made


def vxlan(source: str, target: str, number: int) -> Made:
    """RFC 7348, section 5."""
    return udp(source, target, VXLAN_PORT, struct.pack("!II", 0x08000000, number << 8))


def in_pieces(whole: Made, *, first: int = 8) -> Made:
    """A packet in two fragments, the first with so many bytes of data."""

    def made(token: bytes) -> list[bytes]:
        (packet,) = whole(token)
        source, target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        body, protocol = packet[20:], packet[9]
        more = 0x2000
        return [
            ipv4(source, target, protocol, body[:first], fragment=more),
            ipv4(source, target, protocol, body[first:], fragment=first // 8),
        ]

    return made


def icmp(source: str, target: str, kind: int) -> Made:
    """A message with the token as its data."""

    def made(token: bytes) -> list[bytes]:
        body = struct.pack("!BBHHH", kind, 0, 0, 7, 7) + token
        body = body[:2] + struct.pack("!H", _checksum(body)) + body[4:]
        return [ipv4(source, target, socket.IPPROTO_ICMP, body)]

    return made


def icmp6(token: bytes) -> list[bytes]:
    """An echo request; the kernel fills in its checksum (RFC 3542, section 3.1)."""
    return [struct.pack("!BBHHH", 128, 0, 0, 7, 7) + token]


def _checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def send(attempt: Attempt, token: bytes) -> None:
    """Send the attempt's packets where its sender is; a wall there may say that it won't."""

    def sent() -> None:
        with _sending_socket(attempt) as raw:
            target = (attempt.target, 0, 0, socket.if_nametoindex(attempt.scope)) if (
                attempt.scope) else (attempt.target, 0)  # fmt: skip
            for packet in attempt.packets(token):
                with suppress(PermissionError):
                    raw.sendto(packet, target)

    in_namespace(place(attempt.sender), sent)


def _sending_socket(attempt: Attempt) -> socket.socket:
    if attempt.scope:
        return socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


def arrived(attempts: list[Attempt], expected: list[Attempt]) -> set[str]:
    """Names of the attempts that arrive; waits for the `expected`, and a little for the others."""
    tokens = {os.urandom(16): attempt for attempt in attempts}
    with ExitStack() as stack:
        ears = {
            ear: host for host in {one.receiver for one in attempts}
            for ear in in_namespace(place(host), lambda: _ears(stack))
        }  # fmt: skip
        for token, attempt in tokens.items():
            send(attempt, token)
        found: set[str] = set()
        missing = {one.name for one in expected}
        until = time.monotonic() + ARRIVES_S
        while missing - found and time.monotonic() < until:
            found |= _heard(ears, tokens, NEVER_S)
        return found | _heard(ears, tokens, NEVER_S)


def _ears(stack: ExitStack) -> list[socket.socket]:
    made = [socket.socket(socket.AF_INET, socket.SOCK_RAW, one) for one in _PROTOCOLS]
    made.append(socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))
    for ear in made:
        stack.enter_context(ear)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return made


def _heard(ears: dict[socket.socket, str], tokens: dict[bytes, Attempt], wait_s: float) -> set[str]:
    """What is heard until nothing is for `wait_s` seconds."""
    found: set[str] = set()
    while ready := select.select(list(ears), [], [], wait_s)[0]:
        for ear in ready:
            packet = ear.recv(65_535)
            found |= {
                attempt.name for token, attempt in tokens.items()
                if token in packet and ears[ear] == attempt.receiver
            }  # fmt: skip
    return found


@contextmanager
def server(host: str, address: str, port: int) -> Iterator[None]:
    """A TCP server there that accepts, as kernels do, without its program's help."""

    def listening() -> socket.socket:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen()
        return made

    with in_namespace(place(host), listening):
        yield


def connects(host: str, address: str, port: int) -> bool:
    """Whether a TCP connection comes to be."""

    def tried() -> bool:
        with socket.socket() as client:
            client.settimeout(NEVER_S)
            try:
                client.connect((address, port))
            except OSError:
                return False
            return True

    return in_namespace(place(host), tried)
