"""Peers that break HTTP/2, or do what it allows without end: the connection ends, and says why."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from eais.transport.h2 import Called, Ended, Event, Failed, H2Limits, Message, Reset, Role
from eais.transport.h2 import frames as h2
from tests.unit.transport.h2 import stranger as raw
from tests.unit.transport.h2.stranger import Stranger

CALM = h2.ENHANCE_YOUR_CALM
Peer = Callable[[Stranger], bytes]


def opened(stranger: Stranger, number: int = 1) -> bytes:
    """A stream that is open."""
    stranger.calls(number)
    return b""


def paused(stranger: Stranger) -> bytes:
    """A stream 1 that is given no credit."""
    stranger.calls(1)
    stranger.engine.pause(1)
    return b""


def failed(events: list[Event]) -> bool:
    return any(isinstance(event, Failed) for event in events)


def until_failed(stranger: Stranger, *wire: bytes, most: int, per_s: float) -> int:
    """How many of `wire` the engine took at this rate before it ended the connection."""
    for count in range(most):
        stranger.now_s += 1 / per_s
        if failed(stranger.say(*wire)):
            return count
    raise AssertionError("it was never enough")


def test_streams_opened_and_reset_by_the_thousand_end_the_connection() -> None:
    stranger = Stranger()
    for number in range(1, 20_000, 2):
        stranger.now_s += 1 / 10_000
        headers = raw.block(number, stranger.headers(raw.REQUEST))
        if failed(stranger.say(headers, raw.reset(number))):
            break
    assert stranger.goaway() == (CALM, b"too many streams are reset")
    assert sum(isinstance(event, Called) for event in stranger.events) < 300
    assert stranger.engine.open_streams == 0


def test_a_client_that_cancels_now_and_then_goes_on() -> None:
    stranger = Stranger()
    for number in range(1, 2_000, 2):
        stranger.now_s += 1 / 50
        stranger.calls(number)
        stranger.say(raw.reset(number))
    assert not stranger.engine.over
    assert sum(isinstance(event, Reset) for event in stranger.events) == 1_000


FLOODS = {
    "ping": (raw.ping(), b"too_many_pings"),
    "settings": (raw.settings({4: 70_000}), b"too many settings"),
    "settings-acknowledged": (raw.settings(ack=True), b"too many frames that say nothing"),
    "ping-answers": (raw.ping(ack=True), b"too many frames that say nothing"),
    "empty-data": (raw.data(1, b""), b"too many frames that say nothing"),
    "padded-empty-data": (
        raw.frame(h2.DATA, h2.PADDED, 1, b"\0"),
        b"too many frames that say nothing",
    ),
    "priority": (raw.frame(h2.PRIORITY, 0, 3, bytes(5)), b"too many frames that say nothing"),
    "unknown": (raw.frame(0xEE, 0, 1, b"grease"), b"too many frames that say nothing"),
    "goaway": (raw.goaway(), b"too many frames that say nothing"),
    "window": (raw.window_update(1, 1), b"too many window updates"),
    "connection-window": (raw.window_update(0, 1), b"too many window updates"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_what_is_allowed_ends_the_connection(name: str) -> None:
    wire, text = FLOODS[name]
    stranger = Stranger()
    opened(stranger)
    until_failed(stranger, *[wire] * 100, most=1_000, per_s=100)
    assert stranger.goaway() == (CALM, text)
    assert any(isinstance(event, Reset) for event in stranger.events)


def test_the_pings_of_an_eager_client_are_answered_for_ever() -> None:
    stranger = Stranger()
    for _ in range(5_000):
        stranger.now_s += 0.2
        stranger.say(raw.ping())
    answers = [frame for frame in stranger.written if frame.kind == h2.PING]
    assert len(answers) == 5_000
    assert not stranger.engine.over


def test_late_data_of_a_reset_stream_is_let_pass_but_not_for_ever() -> None:
    stranger = Stranger()
    opened(stranger)
    stranger.engine.reset(1)
    for _ in range(4_000):
        stranger.say(raw.data(1, b"late"))
    assert not stranger.engine.over
    assert not any(isinstance(event, Message) for event in stranger.events)
    until_failed(stranger, *[raw.data(1, b"late")] * 100, most=1_000, per_s=1_000)
    assert stranger.goaway()[0] == CALM


def test_late_headers_of_a_reset_stream_are_let_pass_but_not_for_ever() -> None:
    stranger = Stranger()
    opened(stranger)
    stranger.engine.reset(1)
    late = raw.block(1, stranger.headers([("x", "y")]), end=True)
    stranger.say(late)
    assert not stranger.engine.over
    until_failed(stranger, late, most=1_000, per_s=1_000)
    assert stranger.goaway()[0] == CALM


def test_headers_in_crumbs_end_the_connection() -> None:
    stranger = Stranger()
    stranger.say(raw.block(1, b"", last=False))
    crumb = raw.block(1, b"", last=False, begins=False)
    assert until_failed(stranger, crumb, most=100, per_s=1e6) < 20
    assert stranger.goaway() == (CALM, b"a block of headers without end")


def test_headers_without_end_end_the_connection_before_they_are_kept() -> None:
    stranger = Stranger()
    part = bytes(16_000)
    stranger.say(raw.block(1, part, last=False))
    stranger.say(raw.block(1, part, last=False, begins=False))
    assert failed(stranger.say(raw.block(1, part, last=False, begins=False)))
    assert stranger.goaway() == (CALM, b"a block of headers without end")


def test_a_small_block_that_unpacks_to_large_headers_ends_the_connection() -> None:
    stranger = Stranger()
    bomb = stranger.headers([*raw.REQUEST, ("x", "y" * 4_000)]) + b"\xbe" * 10_000
    assert failed(stranger.say(raw.block(1, bomb)))
    assert stranger.goaway() == (CALM, b"too many or too large headers")


def test_a_number_of_headers_that_never_ends_ends_the_connection() -> None:
    stranger = Stranger()
    assert failed(stranger.say(raw.block(1, b"\xff" + b"\x80" * 30_000)))
    assert not stranger.engine.open_streams


BREACHES: dict[str, tuple[Peer, int]] = {
    "more-than-a-stream's-window": (
        lambda s: paused(s) + raw.data(1, bytes(60_000)) + raw.data(1, bytes(60_000)),
        h2.FLOW_CONTROL_ERROR,
    ),
    "more-than-the-connection's-window": (
        lambda s: opened(s) + raw.data(1, bytes(74_000)) + raw.data(1, bytes(100_000)),
        h2.FLOW_CONTROL_ERROR,
    ),
    "window-above-2^31": (
        lambda s: opened(s) + raw.window_update(1, 0x7FFFFFFF),
        h2.FLOW_CONTROL_ERROR,
    ),
    "connection-window-above-2^31": (
        lambda s: raw.window_update(0, 0x7FFFFFFF),
        h2.FLOW_CONTROL_ERROR,
    ),
    "first-window-above-2^31": (
        lambda s: raw.settings({4: 0x80000000}),
        h2.FLOW_CONTROL_ERROR,
    ),
    "window-above-2^31-by-settings": (
        lambda s: (
            opened(s) + raw.window_update(1, 0x7FFF0000 - 65_535) + raw.settings({4: 1 << 30})
        ),
        h2.FLOW_CONTROL_ERROR,
    ),
    "window-by-nothing": (lambda s: opened(s) + raw.window_update(1, 0), h2.PROTOCOL_ERROR),
    "window-of-no-stream": (lambda s: raw.window_update(7, 10), h2.PROTOCOL_ERROR),
    "data-on-no-stream": (lambda s: raw.data(7, b"x"), h2.PROTOCOL_ERROR),
    "data-on-the-connection": (lambda s: raw.data(0, b"x"), h2.PROTOCOL_ERROR),
    "reset-of-no-stream": (lambda s: raw.reset(7), h2.PROTOCOL_ERROR),
    "a-stream-of-the-server's": (
        lambda s: raw.block(2, s.headers(raw.REQUEST)),
        h2.PROTOCOL_ERROR,
    ),
    "a-lower-stream": (
        lambda s: opened(s, 5) + raw.block(3, s.headers(raw.REQUEST)),
        h2.PROTOCOL_ERROR,
    ),
    "padding-longer-than-the-frame": (
        lambda s: opened(s) + raw.frame(h2.DATA, h2.PADDED, 1, b"\x05abc"),
        h2.PROTOCOL_ERROR,
    ),
    "padding-of-nothing": (
        lambda s: opened(s) + raw.frame(h2.DATA, h2.PADDED, 1),
        h2.PROTOCOL_ERROR,
    ),
    "a-push": (lambda s: raw.frame(h2.PUSH_PROMISE, 4, 1, raw.number(2)), h2.PROTOCOL_ERROR),
    "a-frame-within-headers": (
        lambda s: raw.block(1, s.headers(raw.REQUEST), last=False) + raw.ping(),
        h2.PROTOCOL_ERROR,
    ),
    "data-within-headers": (
        lambda s: opened(s) + raw.block(3, b"", last=False) + raw.data(1, b"x"),
        h2.PROTOCOL_ERROR,
    ),
    "a-reset-within-headers": (
        lambda s: raw.block(1, s.headers(raw.REQUEST), last=False) + raw.reset(1),
        h2.PROTOCOL_ERROR,
    ),
    "another's-continuation": (
        lambda s: (
            raw.block(1, s.headers(raw.REQUEST), last=False) + raw.block(3, b"", begins=False)
        ),
        h2.PROTOCOL_ERROR,
    ),
    "a-continuation-of-nothing": (lambda s: raw.block(1, b"", begins=False), h2.PROTOCOL_ERROR),
    "headers-that-are-none": (lambda s: raw.block(1, b"\xff\xff\xff\xff\x01"), h2.PROTOCOL_ERROR),
    "a-frame-above-the-limit": (
        lambda s: opened(s) + raw.data(1, bytes(150_000)),
        h2.FRAME_SIZE_ERROR,
    ),
    "the-head-of-a-frame-above-the-limit": (
        lambda s: opened(s) + raw.data(1, bytes(150_000))[:9],
        h2.FRAME_SIZE_ERROR,
    ),
    "a-long-ping": (lambda s: raw.frame(h2.PING, 0, 0, bytes(9)), h2.FRAME_SIZE_ERROR),
    "a-short-ping": (lambda s: raw.frame(h2.PING, 0, 0, bytes(7)), h2.FRAME_SIZE_ERROR),
    "a-short-reset": (lambda s: opened(s) + raw.frame(3, 0, 1, b"x"), h2.FRAME_SIZE_ERROR),
    "a-short-window": (lambda s: raw.frame(8, 0, 0, b"xyz"), h2.FRAME_SIZE_ERROR),
    "a-short-goaway": (lambda s: raw.frame(h2.GOAWAY, 0, 0, b"xyz"), h2.FRAME_SIZE_ERROR),
    "a-short-priority": (lambda s: raw.frame(h2.PRIORITY, 0, 1, b"xyz"), h2.FRAME_SIZE_ERROR),
    "endless-settings": (
        lambda s: raw.settings(dict.fromkeys(range(200), 1)),
        h2.FRAME_SIZE_ERROR,
    ),
    "the-head-of-endless-settings": (
        lambda s: raw.settings(dict.fromkeys(range(200), 1))[:9],
        h2.FRAME_SIZE_ERROR,
    ),
    "settings-of-a-stream": (lambda s: raw.frame(h2.SETTINGS, 0, 1), h2.PROTOCOL_ERROR),
    "settings-that-are-torn": (lambda s: raw.frame(h2.SETTINGS, 0, 0, b"x"), h2.FRAME_SIZE_ERROR),
    "a-tiny-frame-size": (lambda s: raw.settings({5: 1}), h2.PROTOCOL_ERROR),
}


@pytest.mark.parametrize("name", BREACHES)
def test_what_breaks_the_protocol_ends_the_connection(name: str) -> None:
    peer, code = BREACHES[name]
    limits = H2Limits(stream_window=110_000, connection_window=150_000, frame_bytes=120_000)
    stranger = Stranger(limits=limits)
    assert failed(stranger.say(peer(stranger)))
    assert stranger.goaway()[0] == code
    assert stranger.engine.over
    assert stranger.engine.open_streams == 0
    assert stranger.say(raw.ping()) == []
    assert not stranger.engine.wants_write


@pytest.mark.parametrize(
    "wire",
    [
        b"GET / HTTP/1.1\r\nHost: eais\r\n\r\n",
        h2.PREFACE[:10] + b"x",
        h2.PREFACE + raw.ping(),
        h2.PREFACE + raw.settings(ack=True),
        h2.PREFACE + raw.window_update(0, 10),
        h2.PREFACE + raw.block(1, b""),
    ],
)
def test_who_doesnt_begin_as_http2_does_is_sent_away(wire: bytes) -> None:
    stranger = Stranger(greets=False)
    assert failed(stranger.say(wire))
    assert stranger.goaway()[0] == h2.PROTOCOL_ERROR


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
    assert heard == [Reset(1, h2.CANCEL)]
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
    assert stranger.say(raw.data(5, half)) == [Reset(5, h2.CANCEL)]
    assert stranger.answers()[0]["grpc-status"] == "8"
    stranger.say(raw.data(1, bytes(40_000)))
    stranger.calls(7)
    assert stranger.say(raw.data(7, half)) == []
    assert not stranger.engine.over


@pytest.mark.parametrize("split", [3, 100])
def test_compressed_messages_arent_taken(split: int) -> None:
    stranger = Stranger()
    stranger.calls(1)
    wire = raw.message(1, b"\x1f\x8b" + bytes(50), flag=1)
    heard = stranger.say(wire[:split]) + stranger.say(wire[split:])
    assert heard == [Reset(1, h2.CANCEL)]
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
    assert heard == [Reset(1, h2.CANCEL)]
    assert stranger.answers()[0]["grpc-status"] == "3"


def test_headers_after_the_end_of_a_stream_end_its_call() -> None:
    stranger = Stranger()
    stranger.calls(1, end=True)
    late = raw.block(1, stranger.headers([("x", "y")]), end=True)
    assert stranger.say(late) == [Reset(1, h2.STREAM_CLOSED)]
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


class TestClient:
    """A server that is none."""

    def stranger(self) -> tuple[Stranger, int]:
        stranger = Stranger(role=Role.CLIENT)
        return stranger, stranger.engine.call("/t.S/Verb")

    def test_a_push_ends_the_connection(self) -> None:
        stranger, number = self.stranger()
        headers = raw.number(2) + stranger.headers(raw.REQUEST)
        assert failed(stranger.say(raw.frame(h2.PUSH_PROMISE, 4, number, headers)))
        assert stranger.goaway()[0] == h2.PROTOCOL_ERROR

    def test_headers_of_a_call_that_nobody_made_end_the_connection(self) -> None:
        stranger, number = self.stranger()
        wire = raw.block(number + 2, stranger.headers(raw.ANSWER))
        assert failed(stranger.say(wire))

    def test_the_first_frame_is_settings(self) -> None:
        stranger = Stranger(role=Role.CLIENT, greets=False)
        assert failed(stranger.say(raw.ping()))
