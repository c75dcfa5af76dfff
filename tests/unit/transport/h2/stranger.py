"""A peer that writes HTTP/2 frames by hand, right or wrong ones, to an engine or over a wire."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from hpack.hpack import Decoder, Encoder

from eais.transport.h2 import Engine, Event, H2Limits, Role
from eais.transport.h2.assembly import Unfinished
from eais.transport.h2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)

REQUEST = [
    (":method", "POST"),
    (":scheme", "https"),
    (":path", "/t.S/Verb"),
    (":authority", "eais"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
ANSWER = [(":status", "200"), ("content-type", "application/grpc")]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">LBL", (len(payload) << 8) | kind, flags, stream) + payload


def number(value: int) -> bytes:
    return struct.pack(">L", value)


def settings(values: dict[int, int] | None = None, *, ack: bool = False) -> bytes:
    payload = b"".join(struct.pack(">HL", key, value) for key, value in (values or {}).items())
    return frame(SETTINGS, ACK if ack else 0, 0, payload)


def ping(*, ack: bool = False) -> bytes:
    return frame(PING, ACK if ack else 0, 0, b"01234567")


def window_update(stream: int, credit: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, number(credit))


def reset(stream: int, code: int = 8) -> bytes:
    return frame(RST_STREAM, 0, stream, number(code))


def goaway(last: int = 0, code: int = 0, text: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, number(last) + number(code) + text)


def data(stream: int, payload: bytes, *, end: bool = False) -> bytes:
    return frame(DATA, END_STREAM if end else 0, stream, payload)


def message(stream: int, body: bytes, *, end: bool = False, flag: int = 0) -> bytes:
    return data(stream, struct.pack(">BL", flag, len(body)) + body, end=end)


def block(
    stream: int, encoded: bytes, *, end: bool = False, last: bool = True, begins: bool = True
) -> bytes:
    """One frame of a block of headers."""
    flags = (END_STREAM if end else 0) | (END_HEADERS if last else 0)
    return frame(HEADERS if begins else CONTINUATION, flags, stream, encoded)


@dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


def frames_of(wire: bytes) -> list[Frame]:
    """The frames of what an engine wrote; the rest must be whole."""
    found = []
    while wire:
        head, flags, stream = struct.unpack_from(">LBL", wire)
        found.append(Frame(head & 0xFF, flags, stream, wire[9 : 9 + (head >> 8)]))
        assert len(found[-1].payload) == head >> 8
        wire = wire[9 + (head >> 8) :]
    return found


@dataclass
class Stranger:
    """What a stranger sends to one engine, and what that heard and answered."""

    role: Role = Role.SERVER
    limits: H2Limits = field(default_factory=H2Limits)
    greets: bool = True
    now_s: float = 0.0
    most: Mapping[str, int] | None = None
    among: Unfinished | None = None
    events: list[Event] = field(default_factory=list)
    written: list[Frame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = Engine(self.role, self.limits, most=self.most, among=self.among)
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.engine.begin(self.now_s)
        self._read()
        if self.greets:
            if self.role is Role.SERVER:
                self.say(PREFACE)
            self.say(settings())

    def say(self, *wire: bytes) -> list[Event]:
        """Send this; what the engine heard of it."""
        heard = self.engine.receive(b"".join(wire), self.now_s)
        self.events += heard
        self._read()
        return heard

    def _read(self) -> None:
        wire = b"".join(self.engine.output())
        if wire.startswith(PREFACE):
            wire = wire[len(PREFACE) :]
        self.written += frames_of(wire)

    def headers(self, given: list[tuple[str, str]]) -> bytes:
        return self.encoder.encode(given)

    def calls(self, stream: int, *more: tuple[str, str], end: bool = False) -> list[Event]:
        """Open a stream."""
        return self.say(block(stream, self.headers([*REQUEST, *more]), end=end))

    def goaway(self) -> tuple[int, bytes]:
        """The code and the text of the one GOAWAY that the engine wrote."""
        (found,) = [frame.payload for frame in self.written if frame.kind == GOAWAY]
        return struct.unpack_from(">L", found, 4)[0], found[8:]

    def answers(self) -> list[dict[str, str]]:
        """The headers and trailers that the engine wrote, decoded; to be asked once."""
        return [
            {_text(name): _text(value) for name, value in self.decoder.decode(frame.payload)}
            for frame in self.written
            if frame.kind == HEADERS
        ]


def _text(raw: str | bytes) -> str:
    return raw if isinstance(raw, str) else raw.decode()
