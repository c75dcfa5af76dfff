"""The control socket's protocol, against a real socket."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from eais_server.net.links.wireguard_keys import WireguardKey
from eais_server.net.links.wireguard_tunnel import Change, Endpoint, Peer, Tunnel
from eais_server.net.links.wireguard_uapi import UapiError, UapiSocket, parse_tunnel

KEY = WireguardKey.of(bytes(range(32)))
OTHER, OLD = b"\xab" * 32, b"\xcd" * 32
PEER = Peer(OTHER, ("198.18.0.3/32",), Endpoint("10.0.0.2", 51821), 25)

# As wireguard-go 0.0.20220316 says it.
TOLD = f"""\
private_key={KEY.private.hex()}
listen_port=51820
public_key={OTHER.hex()}
preshared_key={bytes(32).hex()}
protocol_version=1
endpoint=10.0.0.2:51821
last_handshake_time_sec=0
last_handshake_time_nsec=0
tx_bytes=148
rx_bytes=0
persistent_keepalive_interval=25
allowed_ip=198.18.0.3/32
errno=0

""".encode()


@contextmanager
def answering(path: Path, *pieces: bytes) -> Iterator[list[bytes]]:
    """A server that answers one request with `pieces`, each a write of its own."""
    asked: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            request = b""
            while not request.endswith(b"\n\n"):
                request += connection.recv(1)
            asked.append(request)
            with suppress(BrokenPipeError):
                for piece in pieces:
                    connection.sendall(piece)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.fspath(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield asked
        thread.join()


def test_a_tunnel_is_told_and_its_private_key_is_not_kept(tmp_path: Path) -> None:
    with answering(tmp_path / "s", TOLD) as asked:
        tunnel = UapiSocket(tmp_path / "s").get()
    assert asked == [b"get=1\n\n"]
    assert tunnel == Tunnel(KEY.public, 51820, (PEER,))


def test_an_answer_may_come_byte_by_byte(tmp_path: Path) -> None:
    with answering(tmp_path / "s", *(bytes([one]) for one in TOLD)):
        assert UapiSocket(tmp_path / "s").get() == Tunnel(KEY.public, 51820, (PEER,))


def test_a_change_is_said_as_the_protocol_has_it(tmp_path: Path) -> None:
    with answering(tmp_path / "s", b"errno=0\n\n") as asked:
        UapiSocket(tmp_path / "s").set(Change(True, 51820, (OLD,), PEER), KEY)
    assert asked[0].decode().splitlines() == [
        "set=1",
        f"private_key={KEY.private.hex()}",
        "listen_port=51820",
        f"public_key={OLD.hex()}",
        "remove=true",
        f"public_key={OTHER.hex()}",
        "endpoint=10.0.0.2:51821",
        "persistent_keepalive_interval=25",
        "replace_allowed_ips=true",
        "allowed_ip=198.18.0.3/32",
        "",
    ]


def test_a_change_of_the_peer_alone_says_neither_key_nor_port(tmp_path: Path) -> None:
    with answering(tmp_path / "s", b"errno=0\n\n") as asked:
        UapiSocket(tmp_path / "s").set(Change(gone=(OLD,)), KEY)
    assert asked == [f"set=1\npublic_key={OLD.hex()}\nremove=true\n\n".encode()]


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_refusal_is_the_number_that_it_says(tmp_path: Path, sign: str) -> None:
    refusal = f"errno={sign}{errno.EADDRINUSE}\n\n".encode()
    with answering(tmp_path / "s", refusal), pytest.raises(UapiError) as raised:
        UapiSocket(tmp_path / "s").set(Change(port=1), KEY)
    assert raised.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize(
    "answer", [b"", b"errno=0\n", b"listen_port=1", b"x" * (1 << 20) + b"x\n\n"]
)
def test_an_answer_that_is_cut_or_endless_is_refused(tmp_path: Path, answer: bytes) -> None:
    with answering(tmp_path / "s", answer), pytest.raises(UapiError, match="whole"):
        UapiSocket(tmp_path / "s").get()


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\n\n",
        b"listen_port=many\n\n",
        b"private_key=abc\n\n",
        b"private_key=abcd\n\n",
        b"public_key=zz\n\n",
        b"public_key=ab\nendpoint=nowhere\n\n",
        b"errno=what\n\n",
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, answer: bytes) -> None:
    with answering(tmp_path / "s", answer), pytest.raises(UapiError, match="the answer"):
        UapiSocket(tmp_path / "s").get()


def test_a_private_key_that_is_none_is_not_quoted() -> None:
    with pytest.raises(UapiError) as raised:
        parse_tunnel(b"private_key=0badc0de\n\n")
    assert raised.value.__cause__ is None
    assert "0badc0de" not in str(raised.value)


def test_nobody_there_is_told_from_somebody_who_is_gone(tmp_path: Path) -> None:
    control = UapiSocket(tmp_path / "s")
    with pytest.raises(FileNotFoundError):
        control.get()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gone:
        gone.bind(os.fspath(tmp_path / "s"))
    with pytest.raises(ConnectionRefusedError):
        control.get()
    assert control.pid() is None


def test_who_has_the_socket_is_known_though_it_says_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(os.fspath(tmp_path / "s"))
        silent.listen()
        control = UapiSocket(tmp_path / "s", answer_s=0.01)
        assert control.pid() == os.getpid()
        with pytest.raises(TimeoutError):
            control.get()
