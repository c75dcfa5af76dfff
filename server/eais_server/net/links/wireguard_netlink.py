"""The few requests that WireGuard's drivers make of the kernel, by pyroute2.

All of pyroute2 that they need is here. Each call is of the calling thread's network namespace,
but for where it says so, and raises OSError with the kernel's errno.
"""

from __future__ import annotations

import errno
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from socket import AF_INET
from typing import Any, Final

from eais_server.net.links.wireguard_keys import WireguardKey
from eais_server.net.links.wireguard_tunnel import Change, Endpoint, Peer, Tunnel

# linux/wireguard.h
_FAMILY: Final = "wireguard"
_VERSION: Final = 1
_GET_DEVICE: Final = 0
_SET_DEVICE: Final = 1
_REMOVE_ME: Final = 1
_REPLACE_ALLOWEDIPS: Final = 2

_REQUEST, _ACK, _DUMP = 1, 4, 0x300  # linux/netlink.h


def kind_of(interface: str) -> str | None:
    """What kind of link has that name: "wireguard", "tun", "" for one without; None: none has."""
    with _routes() as netlink:
        links = list(netlink.link("dump", ifname=interface))
    for link in links:
        info = link.get_attr("IFLA_LINKINFO")
        return str(info.get_attr("IFLA_INFO_KIND") or "") if info else ""
    return None


def create(interface: str, namespace: Path) -> None:
    """Make a link of kind wireguard in `namespace`; its sockets are where this is called."""
    with _opened(namespace) as fd, _routes() as netlink:
        netlink.link("add", ifname=interface, kind=_FAMILY, net_ns_fd=fd)


def move(interface: str, namespace: Path) -> None:
    """Give a link to `namespace`."""
    with _opened(namespace) as fd, _routes() as netlink:
        netlink.link("set", index=_index(netlink, interface), net_ns_fd=fd)


def delete(interface: str) -> None:
    """Take a link away."""
    with _routes() as netlink:
        netlink.link("del", index=_index(netlink, interface))


def read_tunnel(interface: str) -> Tunnel:
    """The tunnel that is there, as the kernel has it."""
    with _wireguard() as netlink:
        message = _message(interface, _GET_DEVICE)
        request = netlink.nlm_request(message, msg_type=netlink.prid, msg_flags=_REQUEST | _DUMP)
        return parse_device(list(request))


def write_tunnel(interface: str, change: Change, key: WireguardKey) -> None:
    """Carry `change` out."""
    with _wireguard() as netlink:
        message = device_message(interface, change, key)
        list(netlink.nlm_request(message, msg_type=netlink.prid, msg_flags=_REQUEST | _ACK))


def device_message(interface: str, change: Change, key: WireguardKey) -> Any:
    """The message that asks the kernel for `change`."""
    message = _message(interface, _SET_DEVICE)
    attributes = message["attrs"]
    if change.set_key:
        attributes.append(("WGDEVICE_A_PRIVATE_KEY", b64encode(key.private)))
    if change.port is not None:
        attributes.append(("WGDEVICE_A_LISTEN_PORT", change.port))
    peers = [_gone(one) for one in change.gone]
    if change.peer is not None:
        peers.append(_peer(change.peer))
    if peers:
        attributes.append(("WGDEVICE_A_PEERS", peers))
    return message


def parse_device(messages: list[Any]) -> Tunnel:
    """The tunnel that the kernel's answer to a dump tells of; a long one comes in pieces."""
    public, port = b"", 0
    peers: dict[bytes, Peer] = {}
    for message in messages:
        public = b64decode(message.get_attr("WGDEVICE_A_PUBLIC_KEY") or public)
        port = int(message.get_attr("WGDEVICE_A_LISTEN_PORT") or port)
        for told in message.get_attr("WGDEVICE_A_PEERS") or ():
            peer = _told_peer(told)
            peers[peer.public_key] = peer
    return Tunnel(public, port, tuple(peers.values()))


def _message(interface: str, command: int) -> Any:
    from pyroute2.netlink.generic.wireguard import wgmsg

    message: Any = wgmsg()
    message["cmd"] = command
    message["version"] = _VERSION
    message["attrs"].append(("WGDEVICE_A_IFNAME", interface))
    return message


def _gone(public_key: bytes) -> dict[str, Any]:
    attributes = [
        ("WGPEER_A_PUBLIC_KEY", b64encode(public_key)),
        ("WGPEER_A_FLAGS", _REMOVE_ME),
    ]
    return {"attrs": attributes}


def _peer(peer: Peer) -> dict[str, Any]:
    attributes: list[tuple[str, Any]] = [
        ("WGPEER_A_PUBLIC_KEY", b64encode(peer.public_key)),
        ("WGPEER_A_FLAGS", _REPLACE_ALLOWEDIPS),
        ("WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL", peer.keepalive_s),
        ("WGPEER_A_ALLOWEDIPS", [_allowed(prefix) for prefix in peer.allowed]),
    ]
    if peer.endpoint is not None:
        endpoint = {"addr": peer.endpoint.address, "port": peer.endpoint.port}
        attributes.append(("WGPEER_A_ENDPOINT", endpoint))
    return {"attrs": attributes}


def _allowed(prefix: str) -> dict[str, Any]:
    address, _, bits = prefix.partition("/")
    attributes = [
        ("WGALLOWEDIP_A_FAMILY", AF_INET),
        ("WGALLOWEDIP_A_IPADDR", IPv4Address(address).packed),
        ("WGALLOWEDIP_A_CIDR_MASK", int(bits)),
    ]
    return {"attrs": attributes}


def _told_peer(told: Any) -> Peer:
    endpoint = told.get_attr("WGPEER_A_ENDPOINT")
    return Peer(
        b64decode(told.get_attr("WGPEER_A_PUBLIC_KEY")),
        tuple(str(one["addr"]) for one in told.get_attr("WGPEER_A_ALLOWEDIPS") or ()),
        Endpoint(endpoint["addr"], endpoint["port"]) if endpoint and endpoint["port"] else None,
        int(told.get_attr("WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL") or 0),
    )


def _index(netlink: Any, interface: str) -> int:
    for index in netlink.link_lookup(ifname=interface):
        return int(index)
    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))


@contextmanager
def _opened(namespace: Path) -> Iterator[int]:
    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _routes() -> Iterator[Any]:
    from pyroute2 import IPRoute

    with _errors(), IPRoute() as netlink:
        yield netlink


@contextmanager
def _wireguard() -> Iterator[Any]:
    # pyroute2.WireGuard looks the family up before it can be closed: where there is none, it
    # leaves its descriptors open.
    from pyroute2.netlink.generic import GenericNetlinkSocket
    from pyroute2.netlink.generic.wireguard import wgmsg

    made: Any = GenericNetlinkSocket
    with _errors(), made() as netlink:
        netlink.asyncore.module_err_level = "debug"
        netlink.bind(_FAMILY, wgmsg)
        yield netlink


@contextmanager
def _errors() -> Iterator[None]:
    """pyroute2's errors are no OSErrors."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from None
