"""Two hosts, each a network namespace, joined by a veth pair as their underlay."""

from __future__ import annotations

import os
import secrets
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eais.net.plan import WIREGUARD, NetPlan, Side, VnicKey
from eais_server.net.links.entering import in_namespace
from eais_server.net.links.wireguard import WireguardDriver
from eais_server.net.links.wireguard_keys import WireguardKey

#: How long a packet may take that should arrive: starved machines are slow, and wireguard-go
#: looks once a second whether an interface in another namespace is up.
ARRIVES_S: Final = 10.0
#: How long is waited for one that shouldn't.
NEVER_S: Final = 0.2
PORT: Final = 5201


def ip(*words: str) -> None:
    """Run `ip` of iproute2."""
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)


@dataclass(frozen=True, slots=True)
class Host:
    """A host, its tunnel's interface, and who makes that."""

    name: str
    underlay: str
    inside: str
    interface: str
    address: str
    port: int
    key: WireguardKey
    driver: WireguardDriver

    @property
    def place(self) -> Path:
        """Where its programs are."""
        return Path("/run/netns") / self.inside

    def make(self, plan: NetPlan) -> None:
        """Make the link, and set it up as all links are."""
        self.driver.make(self.interface, plan)
        ip("-n", self.inside, "address", "replace", f"{plan.address}/32", "peer", plan.peer,
           "dev", self.interface)  # fmt: skip
        ip("-n", self.inside, "link", "set", self.interface, "up")

    def run(self, call: Callable[[], object]) -> object:
        """What `call` returns where the programs of this host are."""
        return in_namespace(self.place, call)

    def links(self) -> set[str]:
        """The interfaces that are where its tunnels begin and end."""
        names: set[str] = set()
        for namespace in {self.name, self.inside}:
            found = in_namespace(Path("/run/netns") / namespace, socket.if_nameindex)
            names |= {name for _, name in found}
        return names


def plan_of(host: Host, peer: Host, *, calls: bool = True, called: bool = True) -> NetPlan:
    """A plan of `host`'s end; `calls`: it knows where `peer` is; `called`: by a known port."""
    return NetPlan(
        VnicKey("pool", "ei-1", "rack1", Side.BACKEND), "a1", "t", 1, WIREGUARD,
        host.address, peer.address, peer_agent="a2", peer_public_key=peer.key.public,
        peer_underlay=peer.underlay if calls else "", peer_port=peer.port if calls else 0,
        port=host.port if called else 0,
    )  # fmt: skip


@contextmanager
def two_hosts(*, apart: bool) -> Iterator[tuple[Host, Host]]:
    """A front-end and a back-end; `apart`: their programs are in namespaces of their own."""
    tag = secrets.token_hex(2)
    names = [f"eaistest{tag}{one}" for one in ("f", "b", "F", "B")]
    insides = names[2:] if apart else names[:2]
    hosts = [_host(number, names[number], insides[number], tag) for number in (0, 1)]
    try:
        for name in names:
            ip("netns", "add", name)
        cable = f"eaistest{tag}"
        ip("-n", names[0], "link", "add", f"{cable}u", "type", "veth",
           "peer", "name", f"{cable}u", "netns", names[1])  # fmt: skip
        for host in hosts:
            ip("-n", host.name, "address", "add", f"{host.underlay}/24", "dev", f"{cable}u")
            ip("-n", host.name, "link", "set", f"{cable}u", "up")
        yield hosts[0], hosts[1]
    finally:
        for host in hosts:
            with suppress(Exception):
                host.driver.remove(host.interface)
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


def _host(number: int, name: str, inside: str, tag: str) -> Host:
    key = WireguardKey.of(os.urandom(32))
    places = Path("/run/netns")
    driver = WireguardDriver(key, namespace=places / inside, underlay=places / name)
    return Host(
        name, f"192.0.2.{number + 1}", inside, f"eaistest{tag}{number}",
        f"198.18.0.{number + 2}", 51820 + number, key, driver,
    )  # fmt: skip


def ping(sender: Host, to: str, *, wait_s: float = ARRIVES_S) -> bool:
    """Whether an ICMP echo is answered; sent again each 0.2 s until then."""
    return bool(sender.run(lambda: _pings(to, wait_s)))


def _pings(to: str, wait_s: float) -> bool:
    mark = secrets.token_bytes(8)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(min(0.2, wait_s))
        for _ in range(max(1, round(wait_s / 0.2))):
            with suppress(OSError):
                raw.sendto(_echo(mark), (to, 0))
                while True:
                    if _is_reply(raw.recv(2048), mark):
                        return True
    return False


def _echo(mark: bytes) -> bytes:
    body = struct.pack(">BBHHH", 8, 0, 0, 1, 1) + mark
    total = sum(struct.unpack(f">{len(body) // 2}H", body))
    total = (total & 0xFFFF) + (total >> 16)
    check = ~(total + (total >> 16)) & 0xFFFF
    return body[:2] + struct.pack(">H", check) + body[4:]


def _is_reply(packet: bytes, mark: bytes) -> bool:
    icmp = packet[(packet[0] & 15) * 4 :]
    return icmp[0] == 0 and icmp[8:] == mark


def heard(receiver: Host, sender: Host, source: str, wait_s: float) -> bool:
    """Whether a UDP packet of `sender`, from `source`, comes to `receiver`."""

    def listening() -> socket.socket:
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.bind((receiver.address, PORT))
        ear.settimeout(wait_s)
        return ear

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
            mouth.bind((source, 0))
            mouth.sendto(b"hear", (receiver.address, PORT))

    ear = receiver.run(listening)
    assert isinstance(ear, socket.socket)
    with ear:
        sender.run(send)
        try:
            return ear.recv(16) == b"hear"
        except TimeoutError:
            return False


def carried(receiver: Host, sender: Host, data: bytes) -> bytes:
    """What comes out at `receiver` of a TCP connection that `sender` writes `data` to."""
    server = receiver.run(lambda: socket.create_server((receiver.address, PORT)))
    assert isinstance(server, socket.socket)
    with server:
        server.settimeout(ARRIVES_S)
        client = sender.run(
            lambda: socket.create_connection((receiver.address, PORT), timeout=ARRIVES_S)
        )
        assert isinstance(client, socket.socket)
        with client:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(ARRIVES_S)
                return _through(client, connection, data)


def _through(client: socket.socket, connection: socket.socket, data: bytes) -> bytes:
    got = bytearray()
    for start in range(0, len(data), 1 << 14):
        piece = data[start : start + (1 << 14)]
        client.sendall(piece)
        while len(got) < start + len(piece):
            got += connection.recv(1 << 16)
    return bytes(got)


def processes_of(interface: str) -> list[int]:
    """The pids of all whose command line has the interface in it."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if interface.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found
