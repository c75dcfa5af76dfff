"""What time does to a connection, on a clock that the test moves."""

from __future__ import annotations

import math

import pytest

from eais.transport.h2 import Engine, Event, Failed, Finished, H2Limits, Reset, Role, Stalled
from tests.unit.transport.h2 import stranger as raw
from tests.unit.transport.h2.pair import Pair
from tests.unit.transport.h2.stranger import Stranger

PATIENT = H2Limits(keepalive_every_s=5.0, keepalive_wait_s=15.0)


def reasons(events: list[Event]) -> list[str]:
    return [event.error.reason for event in events if isinstance(event, Failed)]


def test_nothing_is_due_where_nothing_is_asked_for() -> None:
    pair = Pair()
    pair.call()
    assert pair.client.next_tick_s == pair.server.next_tick_s == math.inf


def test_a_peer_that_answers_pings_is_kept_for_ever() -> None:
    pair = Pair(PATIENT)
    for _ in range(100):
        pair.now_s = pair.client.next_tick_s
        assert pair.client.tick(pair.now_s) == []
        assert pair.client.wants_write
        pair.talk()
    assert pair.now_s == pytest.approx(500.0)
    assert not pair.client.over


def test_a_peer_that_is_silent_after_a_ping_is_given_up() -> None:
    pair = Pair(PATIENT)
    stream = pair.call()
    assert pair.client.next_tick_s == 5.0
    assert pair.client.tick(4.9) == []
    assert not pair.client.wants_write
    assert pair.client.tick(5.0) == []
    assert pair.client.next_tick_s == 20.0
    assert pair.client.tick(19.9) == []
    events = pair.client.tick(20.0)
    assert [type(event) for event in events] == [Finished, Failed]
    assert isinstance(events[0], Finished)
    assert (events[0].stream, events[0].status) == (stream, 14)
    assert reasons(events) == ["HOST_UNREACHABLE"]
    assert pair.client.next_tick_s == math.inf


def test_any_byte_is_a_sign_of_life() -> None:
    pair = Pair(PATIENT)
    pair.client.tick(5.0)
    pair.client.output()
    pair.server.ping()
    pair.client.receive(b"".join(pair.server.output()), 19.0)
    assert pair.client.next_tick_s == 24.0


def test_who_never_says_its_settings_is_sent_away() -> None:
    late = Engine(Role.SERVER, H2Limits(greeting_s=5.0))
    late.begin(100.0)
    assert late.next_tick_s == 105.0
    assert late.tick(104.9) == []
    assert reasons(late.tick(105.0)) == ["HOST_UNREACHABLE"]


def test_a_servers_call_ends_at_its_deadline() -> None:
    pair = Pair()
    pair.now_s = 10.0
    stream = pair.call(timeout_s=2.0)
    other = pair.call(timeout_s=4.0)
    assert pair.server.next_tick_s == 12.0
    assert pair.server.tick(11.9) == []
    assert pair.server.tick(12.0) == [Reset(stream)]
    pair.talk()
    (finished,) = pair.heard(Finished, by_client=True)
    assert (finished.stream, finished.status) == (stream, 4)
    assert pair.server.next_tick_s == 14.0
    pair.server.finish(other, 0)
    assert pair.server.tick(14.0) == []
    assert pair.server.next_tick_s == math.inf


def test_deadlines_of_calls_that_are_over_arent_kept() -> None:
    pair = Pair()
    kept = pair.call(timeout_s=3.0)
    for k in range(300):
        pair.server.finish(pair.call(timeout_s=10.0 + k), 0)
    assert pair.server.tick(3.0) == [Reset(kept)]
    ticks = 0
    while pair.server.next_tick_s < math.inf:
        assert pair.server.tick(pair.server.next_tick_s) == []
        ticks += 1
    assert ticks <= 66


def stalled() -> tuple[Pair, int]:
    """A server that waits to send 1 MiB to a client who takes the first 64 KiB."""
    pair = Pair(client=H2Limits(stream_window=65_535), server=H2Limits(stall_s=10.0))
    stream = pair.call()
    pair.client.pause(stream)
    pair.server.send(stream, [bytes(1 << 20)])
    pair.talk()
    return pair, stream


def test_who_takes_nothing_of_an_answer_is_not_waited_for() -> None:
    pair, stream = stalled()
    assert pair.server.next_tick_s <= 1.0
    assert pair.server.tick(1.0) == []
    assert pair.server.next_tick_s == 3.5
    assert pair.server.tick(10.9) == []
    assert pair.server.tick(14.0) == [Stalled(stream)]
    assert pair.server.tick(15.0) == []
    pair.server.finish(stream, 0)
    assert pair.server.tick(24.0) == [Stalled(stream)]
    pair.server.finish(stream, 8, "read faster", at_once=True)
    pair.talk()
    assert pair.heard(Finished, by_client=True) == [Finished(stream, 8, "read faster", [])]
    assert pair.server.next_tick_s == math.inf


def test_who_opens_no_window_of_the_connection_is_not_waited_for_either() -> None:
    stranger = Stranger(limits=H2Limits(stall_s=10.0))
    stranger.say(raw.settings({4: 1 << 20}))
    stranger.calls(1)
    stranger.engine.send(1, [bytes(100_000)])
    stranger.say()
    assert stranger.engine.tick(1.0) == []
    assert stranger.engine.tick(11.0) == [Stalled(1)]


def test_who_takes_a_little_is_waited_for() -> None:
    pair, stream = stalled()
    for _ in range(10):
        pair.now_s += 9.0
        assert pair.server.tick(pair.now_s) == []
        pair.client.resume(stream)
        pair.client.pause(stream)
        pair.talk()
    assert pair.server.open_streams == 1
