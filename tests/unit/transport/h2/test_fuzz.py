"""Whatever comes, in whatever pieces: no exception, bounded memory; what is right arrives."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eais.transport.h2 import Ended, Engine, Failed, Finished, H2Limits, Message, Role
from eais.transport.h2 import frames as h2
from tests.unit.transport.h2 import stranger as raw
from tests.unit.transport.h2.pair import Pair
from tests.unit.transport.h2.stranger import Stranger

SMALL = H2Limits(
    message_bytes=5_000,
    unfinished_bytes=8_000,
    stream_window=2_000,
    connection_window=66_000,
    frame_bytes=20_000,
    streams=4,
)
MANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

frame = st.builds(
    raw.frame,
    kind=st.one_of(st.integers(0, 10), st.integers(0, 255)),
    flags=st.one_of(st.sampled_from([0, 1, 4, 5, 8, 0x2D]), st.integers(0, 255)),
    stream=st.one_of(st.integers(0, 9), st.integers(0, (1 << 32) - 1)),
    payload=st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"", bytes(4), bytes(8), b"\0\0\0\0\1x", raw.number(65_535), bytes(300)]),
    ),
)


def right_frames(stranger: Stranger) -> dict[str, bytes]:
    """Frames that are right in some state or other."""
    return {
        "open 1": raw.block(1, stranger.headers(raw.REQUEST)),
        "open 3": raw.block(3, stranger.headers(raw.REQUEST), end=True),
        "half 5": raw.block(5, stranger.headers(raw.REQUEST), last=False),
        "rest 5": raw.block(5, b"", begins=False),
        "trailers 1": raw.block(1, stranger.headers([("x", "y")]), end=True),
        "answer 1": raw.block(1, stranger.headers(raw.ANSWER)),
        "message 1": raw.message(1, b"hello"),
        "large 1": raw.message(1, bytes(1_500)),
        "head 1": raw.data(1, b"\0\0\0\4"),
        "tail 1": raw.data(1, b"\0" + bytes(30)),
        "end 1": raw.data(1, b"", end=True),
        "reset 1": raw.reset(1),
        "window 0": raw.window_update(0, 70_000),
        "window 1": raw.window_update(1, 70_000),
        "ping": raw.ping(),
        "settings": raw.settings({4: 100, 5: 16_384}),
        "goaway": raw.goaway(1),
    }


def check(engine: Engine, fed: int) -> None:
    """What holds whatever was said."""
    assert engine.open_streams <= SMALL.streams + 1
    waiting = sum(map(len, engine.output()))
    assert waiting <= 40 * fed + 100_000
    if engine.over:
        assert engine.open_streams == 0
        assert engine.receive(raw.ping(), 0.0) == []


def act(engine: Engine, role: Role, choice: random.Random) -> None:
    """Something that a shell or a handler does at any time."""
    stream = choice.choice((1, 3, 5))
    match choice.randrange(7):
        case 0:
            engine.send(stream, [bytes(choice.randrange(3_000))])
        case 1 if role is Role.SERVER:
            engine.finish(stream, choice.randrange(17), "why", at_once=choice.random() < 0.5)
        case 2:
            engine.reset(stream)
        case 3:
            engine.pause(stream)
        case 4:
            engine.resume(stream)
        case 1:
            engine.half_close(stream)
        case 5:
            engine.ping()
        case 6:
            engine.tick(choice.random())


@pytest.mark.parametrize("role", Role)
@MANY
@given(noise=st.binary(max_size=400), cuts=st.randoms(use_true_random=False))
def test_noise(role: Role, noise: bytes, cuts: random.Random) -> None:
    stranger = Stranger(role=role, limits=SMALL)
    for piece in cut(noise, cuts):
        stranger.engine.receive(piece, 0.0)
    check(stranger.engine, len(noise))


@pytest.mark.parametrize("role", Role)
@MANY
@given(wire=st.lists(frame, max_size=30), choice=st.randoms(use_true_random=False))
def test_frames_of_any_kind(role: Role, wire: list[bytes], choice: random.Random) -> None:
    talk(role, wire, choice)


@pytest.mark.parametrize("role", Role)
@MANY
@given(choice=st.randoms(use_true_random=False), length=st.integers(1, 60))
def test_right_frames_at_wrong_times(role: Role, choice: random.Random, length: int) -> None:
    known = list(right_frames(Stranger()).values())
    talk(role, [choice.choice(known) for _ in range(length)], choice)


@MANY
@given(choice=st.randoms(use_true_random=False), flips=st.integers(1, 6))
def test_a_conversation_with_flipped_bits(choice: random.Random, flips: int) -> None:
    wire = bytearray(b"".join(right_frames(Stranger()).values()))
    for _ in range(flips):
        wire[choice.randrange(len(wire))] ^= 1 << choice.randrange(8)
    talk(Role.SERVER, [bytes(wire)], choice)


def talk(role: Role, wire: list[bytes], choice: random.Random) -> None:
    stranger = Stranger(role=role, limits=SMALL)
    if role is Role.CLIENT:
        stranger.engine.call("/t.S/Verb")
    ends: dict[int, int] = {}
    for one in wire:
        for piece in cut(one, choice):
            for event in stranger.engine.receive(piece, 0.0):
                if isinstance(event, Finished):
                    ends[event.stream] = ends.get(event.stream, 0) + 1
        if choice.random() < 0.3:
            act(stranger.engine, role, choice)
    assert all(count == 1 for count in ends.values())
    check(stranger.engine, sum(map(len, wire)))


def cut(data: bytes, choice: random.Random) -> list[bytes]:
    """`data` in random pieces, often tiny ones."""
    count = choice.choice((0, 0, 1, 3, len(data)))
    places = sorted(choice.randrange(len(data) + 1) for _ in range(count))
    ends = [0, *places, len(data)]
    return [data[a:b] for a, b in pairwise(ends) if a < b]


sizes = st.one_of(st.integers(0, 30), st.integers(0, 3_000), st.integers(0, 200_000))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    up=st.lists(st.tuples(st.integers(0, 2), sizes), max_size=12),
    down=st.lists(st.tuples(st.integers(0, 2), sizes), max_size=12),
    windows=st.sampled_from([(65_535, 65_535, 16_384), (100_000, 1 << 20, 50_000), (4 << 20,) * 3]),
    most=st.sampled_from([1, 1_000, 50_000, 256 << 10]),
    seed=st.integers(0, 1 << 30),
)
def test_conversations_come_out_whole_in_whatever_pieces(
    up: list[tuple[int, int]],
    down: list[tuple[int, int]],
    windows: tuple[int, int, int],
    most: int,
    seed: int,
) -> None:
    stream_window, connection_window, frame_bytes = windows
    limits = H2Limits(
        stream_window=stream_window,
        connection_window=connection_window,
        frame_bytes=min(frame_bytes, 1 << 20),
    )
    choice = random.Random(seed)
    pair = Pair(limits, limits, split=lambda data: few(data, choice))
    streams = [pair.call() for _ in range(3)]
    sent_up = [(streams[which], choice.randbytes(size)) for which, size in up]
    sent_down = [(streams[which], choice.randbytes(size)) for which, size in down]
    for (stream, body), sender in [(x, pair.client) for x in sent_up] + [
        (x, pair.server) for x in sent_down
    ]:
        middle = choice.randrange(len(body) + 1)
        sender.send(stream, [body[:middle], memoryview(body)[middle:]])
        if choice.random() < 0.3:
            pair.talk(most)
    for stream in streams:
        pair.client.half_close(stream)
    pair.talk(most)
    for stream in streams:
        pair.server.finish(stream, 0)
    pair.talk(most)
    assert bodies(pair.heard(Message), streams) == expected(sent_up, streams)
    assert bodies(pair.heard(Message, by_client=True), streams) == expected(sent_down, streams)
    assert sorted(event.stream for event in pair.heard(Ended)) == streams
    assert sorted(event.stream for event in pair.heard(Finished, by_client=True)) == streams
    assert not pair.heard(Failed)
    assert not pair.heard(Failed, by_client=True)


def few(data: bytes, choice: random.Random) -> list[bytes]:
    """`data` in some random pieces."""
    places = sorted(choice.randrange(len(data) + 1) for _ in range(choice.randrange(6)))
    return [data[a:b] for a, b in pairwise([0, *places, len(data)]) if a < b]


def bodies(messages: list[Message], streams: list[int]) -> list[list[bytes]]:
    return [[bytes(m.data) for m in messages if m.stream == stream] for stream in streams]


def expected(sent: list[tuple[int, bytes]], streams: list[int]) -> list[list[bytes]]:
    return [[body for to, body in sent if to == stream] for stream in streams]


def test_byte_by_byte() -> None:
    pair = Pair(split=lambda data: [data[at : at + 1] for at in range(len(data))])
    stream = pair.call()
    for body in (b"", b"x", bytes(5_000)):
        pair.client.send(stream, [body])
        pair.server.send(stream, [body])
    pair.talk()
    assert bodies(pair.heard(Message), [stream]) == [[b"", b"x", bytes(5_000)]]
    assert bodies(pair.heard(Message, by_client=True), [stream]) == [[b"", b"x", bytes(5_000)]]


def test_many_messages_in_one_frame_and_one_in_many() -> None:
    stranger = Stranger()
    stranger.calls(1)
    three = b"".join(b"\0" + raw.number(len(body)) + body for body in (b"a", b"", b"ccc"))
    heard = stranger.say(raw.data(1, three[:-1]), raw.data(1, three[-1:]))
    assert [bytes(event.data) for event in heard if isinstance(event, Message)] == [
        b"a",
        b"",
        b"ccc",
    ]


def test_padding_is_taken_off() -> None:
    stranger = Stranger()
    stranger.calls(1)
    payload = b"\x04\0\0\0\0\2hipadd"
    heard = stranger.say(raw.frame(h2.DATA, h2.PADDED, 1, payload))
    assert [bytes(event.data) for event in heard if isinstance(event, Message)] == [b"hi"]
