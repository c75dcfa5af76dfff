"""What the kernel's WireGuard is told and tells, as pyroute2 puts it into bytes and back.

The layouts are linux/wireguard.h's.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Any

from pyroute2.netlink.generic.wireguard import wgmsg

from eais_server.net.links.wireguard_keys import WireguardKey
from eais_server.net.links.wireguard_netlink import device_message, parse_device
from eais_server.net.links.wireguard_tunnel import Change, Endpoint, Peer, Tunnel

KEY = WireguardKey.of(bytes(range(32)))
OTHER, OLD = b"\xab" * 32, b"\xcd" * 32
PEER = Peer(OTHER, ("198.18.0.3/32",), Endpoint("10.0.0.2", 51821), 25)
# struct nlmsghdr and struct genlmsghdr.
HEADERS = 16 + 4


def attributes(data: bytes) -> list[tuple[int, bytes]]:
    """The (type, payload) of each netlink attribute, without the flag that says it is nested."""
    found: list[tuple[int, bytes]] = []
    while data:
        length, kind = struct.unpack_from("=HH", data)
        found.append((kind & 0x7FFF, data[4:length]))
        data = data[(length + 3) & ~3 :]
    return found


def sent(change: Change) -> list[tuple[int, bytes]]:
    message = device_message("eais0123456789a", change, KEY)
    message.encode()
    data = bytes(message.data)
    assert data[16:18] == bytes([1, 1])  # WG_CMD_SET_DEVICE, WG_GENL_VERSION
    return attributes(data[HEADERS:])


def test_a_new_tunnel_is_told_whole() -> None:
    name, private, port, peers = sent(Change(True, 51820, (), PEER))
    assert name == (2, b"eais0123456789a\0")
    assert private == (3, KEY.private)
    assert port == (6, struct.pack("=H", 51820))
    assert peers[0] == 8
    [(_, peer)] = attributes(peers[1])
    told = dict(attributes(peer))
    assert told[1] == OTHER
    assert told[3] == struct.pack("=I", 2)  # WGPEER_F_REPLACE_ALLOWEDIPS
    # struct sockaddr_in, whose size the kernel insists on.
    assert told[4] == struct.pack("=H", 2) + struct.pack(">H", 51821) + b"\x0a\0\0\x02" + bytes(8)
    assert told[5] == struct.pack("=H", 25)
    [(_, allowed)] = attributes(told[9])
    assert attributes(allowed) == [
        (1, struct.pack("=H", 2)),
        (2, b"\xc6\x12\0\x03"),
        (3, b"\x20"),
    ]


def test_a_peer_that_goes_is_named_and_marked() -> None:
    _, peers = sent(Change(gone=(OLD,)))
    [(_, peer)] = attributes(peers[1])
    assert attributes(peer) == [(1, OLD), (3, struct.pack("=I", 1))]  # WGPEER_F_REMOVE_ME


def test_a_peer_that_keeps_its_endpoint_is_told_none() -> None:
    _, peers = sent(Change(peer=Peer(OTHER, ())))
    [(_, peer)] = attributes(peers[1])
    assert 4 not in dict(attributes(peer))


def told(*fields: tuple[str, Any]) -> Any:
    message: Any = wgmsg()
    message["attrs"].extend(fields)
    message.encode()
    read: Any = wgmsg(message.data)
    read.decode()
    return read


def test_what_was_told_is_read_back() -> None:
    message = device_message("eais0123456789a", Change(False, 51820, (), PEER), KEY)
    message.encode()
    read: Any = wgmsg(message.data)
    read.decode()
    assert parse_device([read]) == Tunnel(b"", 51820, (PEER,))


def test_a_tunnel_without_peers_is_one() -> None:
    read = told(("WGDEVICE_A_PUBLIC_KEY", b64encode(KEY.public)), ("WGDEVICE_A_LISTEN_PORT", 7))
    assert parse_device([read]) == Tunnel(KEY.public, 7)
