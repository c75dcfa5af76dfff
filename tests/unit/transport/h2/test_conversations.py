"""Whole calls between two engines: what is sent arrives, once, in order; each call ends once."""

from __future__ import annotations

import pytest

from eais.errors import Unavailable
from eais.transport.h2 import (
    Called,
    Ended,
    Finished,
    H2Limits,
    Message,
    Ready,
    Reset,
)
from eais.transport.h2 import frames as h2
from tests.unit.transport.h2 import stranger as raw
from tests.unit.transport.h2.pair import Pair
from tests.unit.transport.h2.stranger import Stranger


def bodies(messages: list[Message]) -> list[bytes]:
    return [bytes(message.data) for message in messages]


def test_a_call_carries_its_path_and_deadline() -> None:
    pair = Pair()
    stream = pair.call("/eais.S/Verb", 2.5)
    assert pair.heard(Called) == [Called(stream, "/eais.S/Verb", 2.5)]


def test_messages_go_both_ways_in_order_and_the_call_ends_with_its_trailers() -> None:
    pair = Pair()
    stream = pair.call()
    sent = [b"", b"a", b"b" * 70_000, b"c"]
    for body in sent:
        pair.client.send(stream, [body])
    pair.client.half_close(stream)
    pair.talk()
    assert bodies(pair.heard(Message)) == sent
    assert pair.heard(Ended) == [Ended(stream)]
    pair.server.send(stream, [b"ans", b"", b"wer"])
    pair.server.finish(stream, 5, "nothing thére, 100 %", [("d-bin", b"\1\2\3")])
    pair.talk()
    assert [type(event) for event in pair.at_client] == [Message, Finished]
    assert bodies(pair.heard(Message, by_client=True)) == [b"answer"]
    (finished,) = pair.heard(Finished, by_client=True)
    assert (finished.status, finished.message) == (5, "nothing thére, 100 %")
    assert finished.metadata == [("d-bin", b"\1\2\3")]
    assert pair.client.open_streams == pair.server.open_streams == 0


def test_a_call_that_is_refused_before_any_message_ends_with_trailers_alone() -> None:
    pair = Pair()
    stream = pair.call()
    pair.server.finish(stream, 12, "no such verb")
    pair.talk()
    assert pair.at_client == [Finished(stream, 12, "no such verb", [])]
    assert pair.client.open_streams == pair.server.open_streams == 0


def test_a_message_larger_than_all_windows_arrives_whole() -> None:
    limits = H2Limits(stream_window=100_000, connection_window=150_000, frame_bytes=20_000)
    pair = Pair(limits, limits)
    stream = pair.call()
    body = bytes(range(256)) * 8_192
    pair.client.send(stream, [memoryview(body)[:1_000], memoryview(body)[1_000:]])
    pair.talk()
    assert bodies(pair.heard(Message)) == [body]


def test_what_waits_for_windows_is_bounded_by_asking_whether_it_is_ready() -> None:
    pair = Pair(server=H2Limits(stream_window=65_535))
    stream = pair.call()
    pair.server.pause(stream)
    assert pair.client.ready(stream)
    pair.client.send(stream, [bytes(1 << 20)])
    pair.talk()
    assert not pair.client.ready(stream)
    assert pair.heard(Message) == []
    pair.server.resume(stream)
    pair.talk()
    assert [len(body) for body in bodies(pair.heard(Message))] == [1 << 20]
    assert pair.client.ready(stream)
    assert Ready(stream) in pair.at_client


def test_a_paused_stream_stops_after_one_window_and_others_go_on() -> None:
    pair = Pair(server=H2Limits(stream_window=100_000))
    slow, fast = pair.call(), pair.call()
    pair.server.pause(slow)
    for _ in range(20):
        pair.client.send(slow, [bytes(10_000)])
        pair.client.send(fast, [bytes(10_000)])
    pair.talk()
    messages = pair.heard(Message)
    assert sum(message.stream == fast for message in messages) == 20
    assert sum(len(message.data) for message in messages if message.stream == slow) <= 100_000
    pair.server.resume(slow)
    pair.talk()
    assert sum(message.stream == slow for message in pair.heard(Message)) == 20


def test_a_small_message_does_not_wait_behind_a_large_one_of_another_stream() -> None:
    pair = Pair()
    large, small = pair.call(), pair.call()
    pair.client.send(large, [bytes(8 << 20)])
    pair.client.send(small, [b"now"])
    pair.talk(64 << 10)
    assert [message.stream for message in pair.heard(Message)] == [small, large]


def test_two_large_messages_share_the_connection() -> None:
    pair = Pair()
    first, second = pair.call(), pair.call()
    pair.client.send(first, [bytes(4 << 20)])
    pair.client.send(second, [bytes(1 << 20)])
    pair.talk(128 << 10)
    assert [message.stream for message in pair.heard(Message)] == [second, first]


def test_a_client_cancels_and_the_server_hears_of_it_once() -> None:
    pair = Pair()
    stream = pair.call()
    pair.client.reset(stream)
    pair.talk()
    assert pair.heard(Reset) == [Reset(stream)]
    pair.server.finish(stream, 0)
    pair.server.send(stream, [b"too late"])
    pair.talk()
    assert pair.at_client == []
    assert pair.client.open_streams == pair.server.open_streams == 0


def test_what_a_cancelled_call_had_on_the_way_disturbs_nobody() -> None:
    pair = Pair()
    stream = pair.call()
    pair.client.send(stream, [bytes(100_000)])
    pair.server.reset(stream, 7)
    pair.talk()
    assert [event.status for event in pair.heard(Finished, by_client=True)] == [14]
    again = pair.call()
    pair.client.send(again, [b"here"])
    pair.talk()
    assert bodies(pair.heard(Message))[-1] == b"here"


@pytest.mark.parametrize("cut", [9, 12, 20, 5_000])
def test_the_rest_of_a_frame_to_a_call_that_was_finished_takes_no_answer_back(cut: int) -> None:
    stranger = Stranger()
    stranger.calls(1)
    # Nothing in it may be taken for a message's beginning.
    frame = raw.message(1, b"\xff" * 9_000)
    stranger.say(frame[:cut])
    answer = bytes(100_000)
    stranger.engine.send(1, [answer])
    stranger.engine.finish(1, 0)
    stranger.say(frame[cut:])
    stranger.say(raw.window_update(0, 1 << 20), raw.window_update(1, 1 << 20))
    sent = b"".join(frame.payload for frame in stranger.written if frame.kind == h2.DATA)
    assert sent[5:] == answer
    assert stranger.answers()[-1]["grpc-status"] == "0"


def test_an_end_at_once_drops_what_waits() -> None:
    pair = Pair(client=H2Limits(stream_window=65_535))
    stream = pair.call()
    pair.client.pause(stream)
    pair.server.send(stream, [bytes(1 << 20)])
    pair.talk()
    pair.server.finish(stream, 8, "SLOW_CONSUMER: read faster", at_once=True)
    pair.talk()
    (finished,) = pair.heard(Finished, by_client=True)
    assert (finished.status, finished.message) == (8, "SLOW_CONSUMER: read faster")


def test_going_away_lets_what_is_open_end_and_refuses_what_is_new() -> None:
    pair = Pair()
    stream = pair.call()
    pair.server.go_away(0, "draining")
    pair.talk()
    assert not pair.client.takes_calls
    with pytest.raises(Unavailable, match="DRAINING"):
        pair.client.call("/t.S/Verb")
    pair.client.send(stream, [b"still"])
    pair.talk()
    pair.server.send(stream, [b"served"])
    pair.server.finish(stream, 0)
    pair.talk()
    assert bodies(pair.heard(Message)) == [b"still"]
    assert bodies(pair.heard(Message, by_client=True)) == [b"served"]
    assert [event.status for event in pair.heard(Finished, by_client=True)] == [0]


def test_a_call_that_crossed_the_going_away_is_unavailable() -> None:
    pair = Pair()
    pair.server.go_away()
    stream = pair.client.call("/t.S/Verb")
    pair.talk()
    assert pair.heard(Called) == []
    assert [(e.stream, e.status) for e in pair.heard(Finished, by_client=True)] == [(stream, 14)]
