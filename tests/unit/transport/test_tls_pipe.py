"""TLS without a socket: whatever is said is heard, however it was cut on its way."""

from __future__ import annotations

import collections
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais.identity import Identity
from eais.transport.tls_context import client_context, server_context, verified_leaf
from eais.transport.tls_pipe import RECORD_BYTES, TlsPipe
from eais_pool.authority import Authority
from tests.unit.transport.tls_speaker import TlsSpeaker

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


def spoken_to(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], log: Path
) -> tuple[TlsPipe, TlsSpeaker]:
    """A server's end whose handshake is done, and who writes the client's records by hand."""
    contexts[1].keylog_filename = str(log)
    server, _ = shaken(contexts)
    return server, TlsSpeaker(log)


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
    cuts=st.lists(st.integers(1, 40_000) | st.integers(1, 300_000), min_size=1, max_size=5),
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


def test_new_keys_are_taken_and_answered(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], tmp_path: Path
) -> None:
    server, speaker = spoken_to(contexts, tmp_path / "log")
    assert server.received(speaker.data(b"old") + speaker.key_update(asks=False)) == b"old"
    assert not server.owes
    updates = [speaker.key_update(asks=True) for _ in range(2)]
    assert server.received(b"".join(updates)) == b""
    # The second is answered with what is said next.
    assert len(server.goes.read()) == len(updates[0])
    assert server.received(speaker.data(b"new")) == b"new"
    assert not server.owes
    plain = len(server.say([b"answer"]))
    assert plain == len(updates[0]) + len(server.say([b"answer"]))


def test_new_keys_between_many_records_are_no_trouble(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], tmp_path: Path
) -> None:
    server, speaker = spoken_to(contexts, tmp_path / "log")
    said = [bytes([k % 251]) * (k % 40) * 30 for k in range(1, 400)]
    sent = b"".join(
        speaker.data(data) + (speaker.key_update(asks=True) if k % 50 == 0 else b"")
        for k, data in enumerate(said)
    )
    assert len(sent) > 200_000
    assert server.received(sent) == b"".join(said)
    assert server.owes


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("size", [1_000, RECORD_BYTES, 256 << 10])
@pytest.mark.parametrize("word", [0, 1, 3_000, 60_000])
def test_new_keys_without_end_are_not(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    tmp_path: Path,
    asks: bool,
    size: int,
    word: int,
) -> None:
    """However they are cut, and whatever is said before them."""
    server, speaker = spoken_to(contexts, tmp_path / "log")
    said = b"".join(speaker.data(part) for part in cut(bytes(word), [RECORD_BYTES]))
    flood = b"".join(speaker.key_update(asks=asks) for _ in range(2_000))
    pieces = cut(said + flood, [size])
    with pytest.raises(ssl.SSLError, match="records that say nothing"):
        collections.deque(map(server.received, pieces), 0)
    assert len(server.to_send) < 2 * RECORD_BYTES
    unheard = sum(map(len, pieces))
    assert len(said) + len(flood) - unheard <= max(size, word + 3 * RECORD_BYTES)
