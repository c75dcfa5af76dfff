"""TLS without a socket: whatever is said is heard, however it was cut on its way."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais.identity import Identity
from eais.transport.tls_context import client_context, server_context, verified_leaf
from eais.transport.tls_pipe import RECORD_BYTES, TlsPipe
from eais_pool.authority import Authority

NOW = datetime.now(UTC)
NAME = "0.ei-1.pool.internal"


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's."""
    authority = Authority.create(tmp_path_factory.mktemp("pool") / "ca", "pool", NOW)
    worker = authority.bundle(Identity.worker("pool", "ei-1", 0), NOW)
    front = authority.bundle(Identity.frontend("pool", "acme", "box-1"), NOW)
    return server_context(worker), client_context(front)


def shaken(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> tuple[TlsPipe, TlsPipe]:
    """Both ends of a connection whose handshake is done, a byte at a time."""
    server, client = TlsPipe(contexts[0]), TlsPipe(contexts[1], NAME)
    assert not client.shake(b"")
    hello = client.to_send
    assert not any(server.shake(hello[k : k + 1]) for k in range(len(hello)))
    assert client.shake(server.to_send)
    assert server.shake(client.to_send)
    return server, client


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """`data` in pieces of these sizes, by turns."""
    at = turn = 0
    while at < len(data):
        yield data[at : at + sizes[turn % len(sizes)]]
        at += sizes[turn % len(sizes)]
        turn += 1


SIZES = st.one_of(
    st.integers(0, 40),
    st.integers(RECORD_BYTES - 30, RECORD_BYTES + 30),
    st.integers(0, 5 * RECORD_BYTES),
)


@given(
    says=st.lists(st.lists(SIZES, max_size=6), min_size=1, max_size=3),
    cuts=st.lists(st.integers(1, 40_000), min_size=1, max_size=5),
    by_server=st.booleans(),
)
def test_what_is_said_is_heard(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    says: list[list[int]],
    cuts: list[int],
    by_server: bool,
) -> None:
    server, client = shaken(contexts)
    speaker, hearer = (server, client) if by_server else (client, server)
    meant = heard = b""
    sent = b""
    for number, sizes in enumerate(says):
        parts = [bytes([number * 16 + k]) * size for k, size in enumerate(sizes)]
        meant += b"".join(parts)
        sent += speaker.say([memoryview(part) for part in parts])
    for piece in cut(sent, cuts):
        heard += hearer.received(piece)
    assert heard == meant
    assert not hearer.ended


def test_small_parts_share_a_record(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, _ = shaken(contexts)
    assert len(server.say([b"x" * 9, b"y" * 5, b"z" * 100])) < 9 + 5 + 100 + 40


def test_an_end_is_heard_behind_what_was_said(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, client = shaken(contexts)
    sent = server.say([b"last words"]) + server.say_end()
    assert client.received(sent) == b"last words"
    assert client.received(b"") == b""
    assert client.ended


def test_a_bit_that_was_turned_is_noticed(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, client = shaken(contexts)
    sent = bytearray(server.say([b"words"]))
    sent[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        client.received(sent)
    # And the other end is told.
    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
        server.received(client.to_send)


def test_each_end_knows_the_other_by_its_leaf(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, client = shaken(contexts)
    assert verified_leaf(server.connection) != verified_leaf(client.connection)
