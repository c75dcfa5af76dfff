"""WireGuard's configuration protocol, as wireguard-go speaks it on a unix socket.

Lines of `key=value`, ended by an empty one; keys in hex:
https://www.wireguard.com/xplatform/#configuration-protocol
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from eais_server.net.links.wireguard_keys import WireguardKey
from eais_server.net.links.wireguard_tunnel import Change, Endpoint, Peer, Tunnel

#: Where every wireguard-go has its sockets: it is built with this directory (ipc/uapi_unix.go).
SOCKET_DIR: Final = Path("/var/run/wireguard")
#: How long one exchange may take.
ANSWER_S: Final = 5.0
#: Far more than a tunnel with one peer has to say.
_MAX_REPLY: Final = 1 << 20
_ENDED: Final = b"\n\n"
_UCRED: Final = struct.Struct("=iII")


class UapiError(OSError):
    """The other side said no (`errno` is its number), or what it said can't be read."""


class UapiSocket:
    """The control socket of one tunnel. Each call is a connection of its own.

    Args:
        answer_s: how long the answer may take.
    """

    def __init__(self, path: Path, *, answer_s: float = ANSWER_S) -> None:
        self.path = path
        self._answer_s = answer_s

    def get(self) -> Tunnel:
        """The tunnel as it is.

        Raises:
            FileNotFoundError, ConnectionRefusedError: nobody has the socket.
            TimeoutError: whoever has it doesn't answer.
            UapiError: it can't be read.
        """
        return parse_tunnel(self._ask(b"get=1\n\n"))

    def set(self, change: Change, key: WireguardKey) -> None:
        """Carry `change` out, whole or not at all as far as the other side does so.

        Raises:
            OSError: as `get`; UapiError: refused.
        """
        self._ask(b"set=1\n" + b"".join(_set_lines(change, key)) + b"\n")

    def pid(self) -> int | None:
        """Which process has the socket; None: none has. 0: one in another PID namespace."""
        try:
            with self._connect() as connection:
                size = _UCRED.size
                told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        pid: int = _UCRED.unpack(told)[0]
        return pid

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self._answer_s)
            connection.connect(os.fspath(self.path))
        except OSError:
            connection.close()
            raise
        return connection

    def _ask(self, request: bytes) -> bytes:
        with self._connect() as connection:
            connection.sendall(request)
            reply = _read_reply(connection)
        return _checked(reply)


def _read_reply(connection: socket.socket) -> bytes:
    reply = bytearray()
    # An answer with nothing to tell is its errno alone, so the end is looked for as a whole.
    while not reply.endswith(_ENDED):
        piece = connection.recv(1 << 16)
        reply += piece
        if not piece or len(reply) > _MAX_REPLY:
            raise UapiError(0, "the answer isn't whole")
    return bytes(reply)


def _checked(reply: bytes) -> bytes:
    number = 0
    for key, value in _pairs(reply):
        if key == "errno":
            # wireguard-go says -EADDRINUSE where others say EADDRINUSE.
            number = abs(_integer(value))
    if number:
        raise UapiError(number, os.strerror(number))
    return reply


def parse_tunnel(reply: bytes) -> Tunnel:
    """What a `get` was answered. Raises UapiError if that is none."""
    public, port = b"", 0
    peers: list[list[tuple[str, str]]] = []
    for key, value in _pairs(reply):
        if key == "public_key":
            peers.append([(key, value)])
        elif peers:
            peers[-1].append((key, value))
        elif key == "private_key":
            public = _public(value)
        elif key == "listen_port":
            port = _integer(value)
    return Tunnel(public, port, tuple(_peer(lines) for lines in peers))


def _peer(lines: list[tuple[str, str]]) -> Peer:
    last = dict(lines)
    return Peer(
        _key(last["public_key"]),
        tuple(value for key, value in lines if key == "allowed_ip"),
        _endpoint(last["endpoint"]) if "endpoint" in last else None,
        _integer(last.get("persistent_keepalive_interval", "0")),
    )


def _set_lines(change: Change, key: WireguardKey) -> Iterator[bytes]:
    if change.set_key:
        yield b"private_key=%s\n" % key.private.hex().encode()
    if change.port is not None:
        yield b"listen_port=%d\n" % change.port
    for gone in change.gone:
        yield b"public_key=%s\nremove=true\n" % gone.hex().encode()
    if change.peer is not None:
        yield from _peer_lines(change.peer)


def _peer_lines(peer: Peer) -> Iterator[bytes]:
    yield b"public_key=%s\n" % peer.public_key.hex().encode()
    if peer.endpoint is not None:
        yield b"endpoint=%s:%d\n" % (peer.endpoint.address.encode(), peer.endpoint.port)
    yield b"persistent_keepalive_interval=%d\n" % peer.keepalive_s
    yield b"replace_allowed_ips=true\n"
    for prefix in peer.allowed:
        yield b"allowed_ip=%s\n" % prefix.encode()


def _pairs(reply: bytes) -> Iterator[tuple[str, str]]:
    for line in reply.decode("ascii", "replace").splitlines():
        key, equals, value = line.partition("=")
        if equals:
            yield key, value
        elif line:
            raise UapiError(0, "a line of the answer has no value")


def _public(private_hex: str) -> bytes:
    try:
        return WireguardKey.of(bytes.fromhex(private_hex)).public
    except ValueError:
        # Without the cause, which may quote it.
        raise UapiError(0, "the answer has a key that is none") from None


def _key(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise UapiError(0, "the answer has a key that is none") from None


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UapiError(0, f"the answer has {text[:32]!a} for a number") from None


def _endpoint(text: str) -> Endpoint:
    address, _, port = text.rpartition(":")
    return Endpoint(address, _integer(port))
