"""Peers that break HTTP/2, or do what it allows without end: the connection ends, and says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eais.transport.h2 import Called, Event, Failed, H2Limits, Message, Reset, Role
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
