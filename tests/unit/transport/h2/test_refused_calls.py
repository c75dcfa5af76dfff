"""Calls that are refused alone: their connection goes on, and keeps no more than it must."""

from __future__ import annotations

import tracemalloc

import pytest

from eais.transport.h2 import Called, Ended, H2Limits, Message, Reset
from eais.transport.h2 import frames as h2
from eais.transport.h2.assembly import Unfinished
from tests.unit.transport.h2 import stranger as raw
from tests.unit.transport.h2.stranger import Stranger


def test_streams_above_the_limit_are_refused_one_by_one() -> None:
    stranger = Stranger(limits=H2Limits(streams=3))
    for number in range(1, 20, 2):
        stranger.calls(number)
    assert [event.stream for event in stranger.events if isinstance(event, Called)] == [1, 3, 5]
    refused = [frame for frame in stranger.written if frame.kind == h2.RST_STREAM]
    assert [frame.stream for frame in refused] == list(range(7, 20, 2))
    assert {frame.payload for frame in refused} == {raw.number(h2.REFUSED_STREAM)}
    stranger.say(raw.message(1, b"still served"))
    assert Message(1, b"still served") in stranger.events


def test_a_message_above_the_cap_ends_its_stream_alone() -> None:
    stranger = Stranger(limits=H2Limits(message_bytes=1_000))
    stranger.calls(1)
    stranger.calls(3)
    stranger.say(raw.message(1, bytes(1_000)))
    heard = stranger.say(raw.message(1, bytes(1_001)))
    assert heard == [Reset(1)]
    (answer,) = stranger.answers()
    assert answer["grpc-status"] == "8"
    assert answer["grpc-message"] == "Received message larger than max (1001 vs. 1000)"
    assert stranger.say(raw.message(3, b"x")) == [Message(3, b"x")]


def test_a_length_that_is_only_claimed_takes_no_memory() -> None:
    stranger = Stranger(limits=H2Limits(message_bytes=0xFFFFFFFF))
    tracemalloc.start()
    try:
        for number in range(1, 100, 2):
            stranger.calls(number)
            stranger.say(raw.data(number, b"\0\xff\xff\xff\xff" + bytes(1_000)))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_message_in_single_bytes_takes_little_more_than_its_size() -> None:
    stranger = Stranger()
    stranger.calls(1)
    stranger.say(raw.data(1, b"\0" + raw.number(100_000)))
    crumbs = raw.data(1, b"x") * 1_000
    tracemalloc.start()
    try:
        for _ in range(99):
            stranger.say(crumbs)
        assert tracemalloc.get_traced_memory()[0] < 500_000
    finally:
        tracemalloc.stop()
    heard = stranger.say(crumbs)
    assert heard == [Message(1, memoryview(b"x" * 100_000))]


def test_a_small_part_of_a_large_read_is_no_reason_to_keep_it() -> None:
    stranger = Stranger()
    stranger.calls(1)
    stranger.say(raw.data(1, b"\0" + raw.number(1_000_000)))
    tracemalloc.start()
    try:
        for _ in range(50):
            stranger.say(raw.data(1, bytes(3_000)) + unknown(20_000))
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def unknown(size: int) -> bytes:
    """Frames of `size` bytes that nobody keeps."""
    return raw.frame(0xEE, 0, 0, bytes(size // 2)) * 2


def test_unfinished_messages_are_bounded_together() -> None:
    stranger = Stranger(limits=H2Limits(unfinished_bytes=100_000))
    for number in (1, 3, 5):
        stranger.calls(number)
    half = b"\0" + raw.number(80_000) + bytes(40_000)
    stranger.say(raw.data(1, half), raw.data(3, half))
    assert stranger.say(raw.data(5, half)) == [Reset(5)]
    assert stranger.answers()[0]["grpc-status"] == "8"
    stranger.say(raw.data(1, bytes(40_000)))
    stranger.calls(7)
    assert stranger.say(raw.data(7, half)) == []
    assert not stranger.engine.over


def test_unfinished_messages_of_all_connections_are_bounded_together() -> None:
    among = Unfinished(200_000)
    one, two, three = (Stranger(among=among) for _ in range(3))
    half = b"\0" + raw.number(80_000) + bytes(60_000)
    for stranger in (one, two):
        stranger.calls(1)
        assert stranger.say(raw.data(1, half)) == []
    three.calls(1)
    three.calls(3)
    assert three.say(raw.data(1, half)) == [Reset(1)]
    # Who wants little is none of those that have too much.
    assert three.say(raw.data(3, half[:20_000])) == []
    assert among.bytes == 2 * len(half) + 20_000
    # What was a message's, or a connection's, is free again.
    assert [type(event) for event in one.say(raw.data(1, bytes(20_000)))] == [Message]
    two.engine.gone()
    assert three.say(raw.data(3, half[20_000:])) == []
    assert among.bytes == len(half)


def test_a_path_may_have_smaller_messages_than_others() -> None:
    stranger = Stranger(most={"/t.S/Verb": 1_000})
    stranger.calls(1)
    stranger.calls(3)
    whole = raw.message(1, bytes(1_000))[9:]
    heard = stranger.say(raw.data(1, whole[:500]), raw.data(1, whole[500:]))
    assert heard == [Message(1, memoryview(bytes(1_000)))]
    # Of more than that not a byte is kept.
    assert stranger.say(raw.data(3, raw.message(3, bytes(1_001))[9:15])) == [Reset(3)]
    fields = [(key, "/t.S/Other" if key == ":path" else value) for key, value in raw.REQUEST]
    stranger.say(raw.block(5, stranger.headers(fields)))
    heard = stranger.say(raw.message(5, bytes(1_001)))
    assert heard == [Message(5, bytes(1_001))]


@pytest.mark.parametrize("split", [3, 100])
def test_compressed_messages_arent_taken(split: int) -> None:
    stranger = Stranger()
    stranger.calls(1)
    wire = raw.message(1, b"\x1f\x8b" + bytes(50), flag=1)
    heard = stranger.say(wire[:split]) + stranger.say(wire[split:])
    assert heard == [Reset(1)]
    assert stranger.answers()[0]["grpc-status"] == "12"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (("grpc-encoding", "gzip"), "12"),
        (("x", "y" * 12_000), "8"),
        (("x", "y" * 20_000), "8"),
        (("grpc-timeout", "0u"), "4"),
        (("grpc-timeout", "123456789u"), "3"),
        (("grpc-timeout", "soon"), "3"),
        (("x-bin", "%%%"), "3"),
        (("x", "\xe4"), "3"),
    ],
)
def test_a_call_whose_headers_are_wrong_is_refused_alone(
    more: tuple[str, str], status: str
) -> None:
    stranger = Stranger()
    assert stranger.calls(1, more) == []
    assert stranger.answers()[0]["grpc-status"] == status
    assert any(isinstance(event, Called) for event in stranger.calls(3))


@pytest.mark.parametrize(
    ("name", "value", "http"), [(":method", "GET", "405"), ("content-type", "text/html", "415")]
)
def test_what_isnt_grpc_is_answered_by_http(name: str, value: str, http: str) -> None:
    stranger = Stranger()
    headers = [(key, value if key == name else old) for key, old in raw.REQUEST]
    assert stranger.say(raw.block(1, stranger.headers(headers), end=True)) == []
    assert stranger.answers() == [{":status": http}]


def test_a_stream_that_ends_inside_a_message_is_refused() -> None:
    stranger = Stranger()
    stranger.calls(1)
    heard = stranger.say(raw.data(1, b"\0\0\0\0\5abc", end=True))
    assert heard == [Reset(1)]
    assert stranger.answers()[0]["grpc-status"] == "3"


def test_headers_after_the_end_of_a_stream_end_its_call() -> None:
    stranger = Stranger()
    stranger.calls(1, end=True)
    late = raw.block(1, stranger.headers([("x", "y")]), end=True)
    assert stranger.say(late) == [Reset(1)]
    stranger.engine.send(1, [b"nobody hears"])
    stranger.engine.finish(1, 0)
    assert not stranger.engine.open_streams


def test_what_comes_after_the_end_of_a_stream_is_nobodys() -> None:
    stranger = Stranger()
    stranger.calls(1, end=True)
    assert stranger.events[-1] == Ended(1)
    assert stranger.say(raw.message(1, b"after")) == []
    stranger.calls(3)
    stranger.engine.finish(3, 0)
    assert stranger.say(raw.message(3, b"after")) == []
    assert not stranger.engine.over


def test_a_table_for_our_headers_stays_small_whatever_the_peer_allows() -> None:
    stranger = Stranger()
    stranger.decoder.max_allowed_table_size = 1 << 30
    stranger.say(raw.settings({1: 1 << 30}))
    tracemalloc.start()
    try:
        for number in range(1, 2_000, 2):
            stranger.calls(number, end=True)
            stranger.engine.finish(number, 3, f"{number}" * 200)
            stranger.say()
            stranger.written.clear()
            stranger.events.clear()
        assert tracemalloc.get_traced_memory()[0] < 2 << 20
    finally:
        tracemalloc.stop()
