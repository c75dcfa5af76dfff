"""What a client makes of what a server says, and of one that says what is none of gRPC."""

from __future__ import annotations

import pytest

from eais.errors import Unavailable
from eais.transport.h2 import Finished, H2Limits, Message, Role
from eais.transport.h2 import frames as h2
from tests.unit.transport.h2 import stranger as raw
from tests.unit.transport.h2.stranger import Stranger


def calling(limits: H2Limits | None = None) -> tuple[Stranger, int]:
    """A server by hand, and the call that a client's engine made of it."""
    stranger = Stranger(role=Role.CLIENT, limits=limits or H2Limits())
    return stranger, stranger.engine.call("/t.S/Verb")


def ended(stranger: Stranger) -> Finished:
    (found,) = [event for event in stranger.events if isinstance(event, Finished)]
    assert stranger.engine.open_streams == 0
    return found


def trailers(stranger: Stranger, number: int, *fields: tuple[str, str], first: bool) -> bytes:
    given = [*(raw.ANSWER if first else []), *fields]
    return raw.block(number, stranger.headers(given), end=True)


@pytest.mark.parametrize(
    ("code", "status"), [(0, 13), (1, 13), (7, 14), (8, 1), (0xB, 8), (0xC, 7), (0x77, 13)]
)
def test_a_reset_means_what_grpc_says(code: int, status: int) -> None:
    stranger, number = calling()
    stranger.say(raw.reset(number, code))
    assert ended(stranger).status == status


@pytest.mark.parametrize(
    ("http", "status"), [("200", 2), ("401", 16), ("403", 7), ("404", 12), ("503", 14), ("418", 2)]
)
def test_an_answer_that_is_only_http_means_what_grpc_says(http: str, status: int) -> None:
    stranger, number = calling()
    stranger.say(raw.block(number, stranger.headers([(":status", http)]), end=True))
    assert ended(stranger).status == status
    assert http in ended(stranger).message


def test_an_http_error_with_a_body_ends_the_call_at_its_headers() -> None:
    stranger, number = calling()
    html = stranger.headers([(":status", "503"), ("content-type", "text/html")])
    stranger.say(raw.block(number, html), raw.data(number, b"<html>", end=True))
    assert ended(stranger).status == 14
    assert not stranger.engine.over


def test_trailers_carry_status_message_and_metadata() -> None:
    stranger, number = calling()
    stranger.say(raw.block(number, stranger.headers([*raw.ANSWER, ("a", "b")])))
    stranger.say(raw.message(number, b"one"), raw.message(number, b"two"))
    fields = [("grpc-message", "n%C3%B6 %25 %zz"), ("d-bin", "AAE="), ("k", "v")]
    stranger.say(trailers(stranger, number, ("grpc-status", "9"), *fields, first=False))
    assert stranger.events[:2] == [Message(number, b"one"), Message(number, b"two")]
    assert ended(stranger) == Finished(number, 9, "nö % %zz", [("d-bin", b"\0\1"), ("k", "v")])


def test_metadata_that_cant_be_read_doesnt_hide_the_rest() -> None:
    stranger, number = calling()
    fields = [("grpc-status", "5"), ("x-bin", "%%"), ("y", "\xff"), ("z", "z")]
    stranger.say(trailers(stranger, number, *fields, first=True))
    assert ended(stranger) == Finished(number, 5, "", [("z", "z")])


@pytest.mark.parametrize("status", ["", "x", "-1", "٣", "1e3"])
def test_a_status_that_is_no_number_is_unknown(status: str) -> None:
    stranger, number = calling()
    stranger.say(trailers(stranger, number, ("grpc-status", status), first=True))
    assert ended(stranger).status == 2


def test_an_answer_that_ends_without_trailers_is_unknown() -> None:
    stranger, number = calling()
    stranger.say(raw.block(number, stranger.headers(raw.ANSWER)))
    stranger.say(raw.message(number, b"all", end=True))
    assert ended(stranger).status == 2


def test_trailers_above_the_limit_end_the_call() -> None:
    stranger, number = calling(H2Limits(header_list_bytes=2_000))
    fields = [("grpc-status", "0"), ("x", "y" * 3_000)]
    stranger.say(trailers(stranger, number, *fields, first=True))
    assert ended(stranger).status == 8
    assert not stranger.engine.over


def test_a_message_above_the_cap_ends_the_call_and_tells_the_server() -> None:
    stranger, number = calling(H2Limits(message_bytes=100))
    stranger.say(raw.block(number, stranger.headers(raw.ANSWER)))
    stranger.say(raw.message(number, bytes(101)))
    assert ended(stranger).status == 8
    assert [frame.stream for frame in stranger.written if frame.kind == h2.RST_STREAM] == [number]


def test_what_the_server_says_of_a_cancelled_call_is_nobodys() -> None:
    stranger, number = calling()
    stranger.engine.reset(number)
    stranger.say(raw.block(number, stranger.headers(raw.ANSWER)), raw.message(number, b"x"))
    stranger.say(trailers(stranger, number, ("grpc-status", "0"), first=False))
    assert stranger.events == []
    assert not stranger.engine.over


def test_calls_that_the_server_didnt_begin_before_it_went_are_over() -> None:
    stranger, first = calling()
    second = stranger.engine.call("/t.S/Verb")
    stranger.say(raw.goaway(first, 0xB, b"too_many_pings"))
    assert stranger.events == [
        Finished(second, 14, "the server went away before it", []),
    ]
    stranger.say(trailers(stranger, first, ("grpc-status", "0"), first=True))
    assert stranger.events[-1] == Finished(first, 0, "", [])


def test_a_server_may_take_fewer_streams_at_once() -> None:
    stranger, number = calling()
    stranger.say(raw.settings({3: 1}))
    with pytest.raises(Unavailable, match="BUSY"):
        stranger.engine.call("/t.S/Verb")
    stranger.say(trailers(stranger, number, ("grpc-status", "0"), first=True))
    assert stranger.engine.call("/t.S/Verb") == number + 2


def test_a_window_that_shrinks_below_what_was_sent_is_waited_for() -> None:
    stranger, number = calling()
    stranger.engine.send(number, [bytes(40_000)])
    stranger.say()
    stranger.say(raw.settings({4: 10_000}))
    before = len(stranger.written)
    stranger.engine.send(number, [b"x"])
    stranger.say(raw.window_update(number, 30_000))
    assert [f for f in stranger.written[before:] if f.kind == h2.DATA] == []
    stranger.say(raw.window_update(number, 100))
    (sent,) = [f for f in stranger.written[before:] if f.kind == h2.DATA]
    assert sent.payload == b"\0\0\0\0\1x"


def test_frames_keep_to_the_size_that_the_peer_takes() -> None:
    stranger, number = calling()
    stranger.say(raw.settings({4: 1 << 20, 5: 20_000}), raw.window_update(0, 1 << 20))
    stranger.engine.send(number, [bytes(100_000)])
    stranger.say()
    sizes = [len(frame.payload) for frame in stranger.written if frame.kind == h2.DATA]
    assert sum(sizes) == 100_005
    assert max(sizes) == 20_000
