"""Peers of a worker that break HTTP/2, or do what it allows without end.

All of them have a leaf of the right tenant: others don't come so far.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from eais.rpc import verbs
from eais.rpc.hello import hello
from eais.rpc.v1 import pool_pb2, worker_pb2
from eais.transport.h2 import frames as h2
from tests.fault.bystander import Bystander
from tests.fault.wire import Wire
from tests.system.stack import Stack
from tests.unit.transport.h2 import stranger as raw
from tests.unit.transport.tls_speaker import TlsSpeaker

STREAM = verbs.WORKER_STREAM.path
GREETING = worker_pb2.ToWorker(hello=hello("eais-test")).SerializeToString()
CALM = h2.ENHANCE_YOUR_CALM


@pytest.mark.hostile("rapid-reset")
def test_streams_opened_and_reset_by_the_thousand(wire: Wire, bystander: Bystander) -> None:
    wire.greet()
    for first in range(1, 40_000, 1_000):
        numbers = range(first, first + 1_000, 2)
        pairs = (raw.block(n, wire.headers(STREAM)) + raw.reset(n) for n in numbers)
        if not wire.say(*pairs):
            break
        bystander.check()
    assert wire.goaway() == (CALM, "too many streams are reset")


def opened(wire: Wire) -> None:
    wire.open(1, STREAM)
    wire.say(raw.message(1, GREETING))


FLOODS = {
    "pings": (raw.ping(), "too_many_pings"),
    "settings": (raw.settings({4: 70_000}), "too many settings"),
    "empty data": (raw.data(1, b""), "too many frames that say nothing"),
    "priorities": (raw.frame(h2.PRIORITY, 0, 3, bytes(5)), "too many frames that say nothing"),
    "unknown frames": (raw.frame(0xEE, 0, 1, b"x"), "too many frames that say nothing"),
    "answers to nothing": (raw.ping(ack=True), "too many frames that say nothing"),
    "windows": (raw.window_update(1, 1), "too many window updates"),
    "farewells": (raw.goaway(), "too many frames that say nothing"),
}


@pytest.mark.hostile("frame-flood")
@pytest.mark.parametrize("case", FLOODS)
def test_frames_without_end(wire: Wire, case: str) -> None:
    frame, text = FLOODS[case]
    opened(wire.greet())
    for _ in range(1_000):
        if not wire.say(frame * 100):
            break
    assert wire.goaway() == (CALM, text)


@pytest.mark.hostile("key-flood")
@pytest.mark.parametrize("asks", [True, False])
def test_new_keys_without_end(
    stack: Stack,
    instance: pool_pb2.Instance,
    tmp_path: Path,
    bystander: Bystander,
    asks: bool,
) -> None:
    """TLS's own records, in which the peer says nothing."""
    log = tmp_path / "log"
    with Wire(instance.workers[0].endpoint, stack.frontend(), log) as wire:
        speaker = TlsSpeaker(log)
        assert wire.say_raw(speaker.data(h2.PREFACE + raw.settings()))
        for _ in range(100):
            if not wire.say_raw(b"".join(speaker.key_update(asks=asks) for _ in range(2_000))):
                break
            bystander.check()
        assert not [frame for frame in wire.hear() if frame.kind == h2.GOAWAY]
        assert wire.ended


def crumbs(wire: Wire) -> Iterator[bytes]:
    yield raw.block(1, b"", last=False)
    while True:
        yield raw.block(1, b"", last=False, begins=False) * 100


def without_end(wire: Wire) -> Iterator[bytes]:
    yield raw.block(1, b"", last=False)
    while True:
        yield raw.block(1, bytes(10_000), last=False, begins=False)


def bomb(wire: Wire) -> Iterator[bytes]:
    yield raw.block(1, wire.headers(STREAM, ("x", "y" * 4_000)) + b"\xbe" * 20_000)


def long_number(wire: Wire) -> Iterator[bytes]:
    yield raw.block(1, b"\xff" + b"\x80" * 30_000)


def long_name(wire: Wire) -> Iterator[bytes]:
    yield raw.block(1, b"\x40\x7f\xff\xff\xff\xff\x0f" + bytes(20_000))


HEADERS = {
    "crumbs": (crumbs, CALM),
    "without end": (without_end, CALM),
    "a bomb": (bomb, CALM),
    "a number without end": (long_number, h2.PROTOCOL_ERROR),
    "a name of 4 GiB": (long_name, h2.PROTOCOL_ERROR),
}


@pytest.mark.hostile("header-flood")
@pytest.mark.parametrize("case", HEADERS)
def test_headers_without_end(wire: Wire, case: str) -> None:
    make, code = HEADERS[case]
    wire.greet()
    for piece in make(wire):
        if not wire.say(piece):
            break
    assert wire.goaway()[0] == code


def two_windows(at: str) -> bytes:
    return raw.window_update(int(at), 0x7FFFFFFF) * 2


BREACHES = {
    "a window above 2^31": (two_windows("1"), h2.FLOW_CONTROL_ERROR),
    "the connection's window above 2^31": (two_windows("0"), h2.FLOW_CONTROL_ERROR),
    "settings with a window above 2^31": (raw.settings({4: 1 << 31}), h2.FLOW_CONTROL_ERROR),
    "a window by nothing": (raw.window_update(1, 0), h2.PROTOCOL_ERROR),
    "a frame of 16 MiB": (b"\xff\xff\xff\0\0\0\0\0\1" + bytes(1_000), h2.FRAME_SIZE_ERROR),
    "data on no stream": (raw.data(9, b"x"), h2.PROTOCOL_ERROR),
    "data on the connection": (raw.data(0, b"x"), h2.PROTOCOL_ERROR),
    "too much padding": (raw.frame(h2.DATA, h2.PADDED, 1, b"\xffx"), h2.PROTOCOL_ERROR),
    "a ping of 9 bytes": (raw.frame(h2.PING, 0, 0, bytes(9)), h2.FRAME_SIZE_ERROR),
    "a push": (raw.frame(h2.PUSH_PROMISE, 4, 1, raw.number(2)), h2.PROTOCOL_ERROR),
    "a server's stream": (raw.block(2, b"\x82"), h2.PROTOCOL_ERROR),
    "noise": (struct.pack(">LBL", (5 << 8) | 1, 4, 3) + b"\xff\xff\xff\xff\xff", h2.PROTOCOL_ERROR),
}


@pytest.mark.hostile("frame-breach")
@pytest.mark.parametrize("case", BREACHES)
def test_frames_that_break_the_protocol(wire: Wire, case: str) -> None:
    breach, code = BREACHES[case]
    opened(wire.greet())
    wire.say(breach)
    assert wire.goaway()[0] == code
