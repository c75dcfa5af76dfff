from __future__ import annotations

import asyncio
import itertools
import queue
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eais.rpc.v1 import supervision_pb2
from eais_server.control import ControlSocket, Frames
from eais_server.in_flight import PAGE_BYTES, Marks
from eais_server.worker.counters import Counters, Reporter
from eais_server.worker.process import Worker

WAIT_S = 30.0


class Socket:
    """A control socket that the test reads, blocks or breaks."""

    def __init__(self) -> None:
        self.sent: queue.SimpleQueue[supervision_pb2.FromWorkerProcess] = queue.SimpleQueue()
        self.broken: Exception | None = None

    def send(self, message: supervision_pb2.FromWorkerProcess) -> None:
        if self.broken:
            raise self.broken
        self.sent.put(message)

    def next(self) -> supervision_pb2.FromWorkerProcess:
        return self.sent.get(timeout=WAIT_S)


def test_heartbeats_come_by_themselves_with_the_counters_of_that_moment() -> None:
    socket, counters = Socket(), Counters()
    reporter = Reporter(socket, counters, lambda: None, interval_s=0.001)
    counters.requests, counters.busy_ns, counters.in_flight = 3, 5, 1
    counters.took(90_000)
    counters.took(210_000)
    counters.took(90_000)
    reporter.start()
    beat = socket.next().heartbeat
    assert (beat.requests, beat.busy_ns, beat.in_flight) == (3, 5, 1)
    assert list(beat.latency_counts) == [2, 0, 0, 0, 0, 1]
    assert socket.next().WhichOneof("kind") == "heartbeat"
    reporter.close()


def test_of_what_changes_often_only_the_newest_is_told() -> None:
    socket = Socket()
    reporter = Reporter(socket, Counters(), lambda: None, interval_s=WAIT_S)
    for number in range(1000):
        reporter.say_newest("held", supervision_pb2.Held(sessions=[f"s{number}"]))
    reporter.start()
    reporter.close()
    told = [socket.next() for _ in range(2)]
    assert list(told[0].held.sessions) == ["s999"]
    assert told[1].WhichOneof("kind") == "heartbeat"


def test_messages_keep_their_order_and_the_last_counters_come_last() -> None:
    socket, counters = Socket(), Counters()
    reporter = Reporter(socket, counters, lambda: None, interval_s=WAIT_S)
    reporter.say(spare=supervision_pb2.Spare(isolation=2))
    reporter.say(held=supervision_pb2.Held(sessions=["s"]))
    reporter.start()
    counters.bytes_out = 9
    reporter.close()
    kinds = [socket.next() for _ in range(3)]
    assert [kind.WhichOneof("kind") for kind in kinds] == ["spare", "held", "heartbeat"]
    assert kinds[2].heartbeat.bytes_out == 9


@pytest.mark.parametrize("why", [BrokenPipeError(), ValueError("too large")])
def test_a_listener_that_can_not_be_told_is_noticed_once(why: Exception) -> None:
    socket, gone = Socket(), threading.Semaphore(0)
    socket.broken = why
    reporter = Reporter(socket, Counters(), gone.release, interval_s=0.001)
    reporter.start()
    assert gone.acquire(timeout=WAIT_S)
    reporter.close()
    assert not gone.acquire(blocking=False)


def test_a_worker_with_much_to_say_still_beats() -> None:
    socket, counters = Socket(), Counters()
    reporter = Reporter(socket, counters, lambda: None, interval_s=0.001)
    enough = threading.Event()

    def talk() -> None:
        while not enough.is_set():
            reporter.say(held=supervision_pb2.Held())
            time.sleep(0)

    talker = threading.Thread(target=talk)
    reporter.start()
    talker.start()
    try:
        kinds = [socket.next().WhichOneof("kind") for _ in range(5_000)]
    finally:
        enough.set()
        talker.join()
        reporter.close()
    assert kinds.count("heartbeat") > 1
    assert kinds.count("held") > 1000


def test_a_worker_whose_event_loop_stands_still_says_so(tmp_path: Path) -> None:
    near, far = socket.socketpair()
    near.settimeout(WAIT_S)
    go_on, loops = threading.Event(), queue.SimpleQueue[asyncio.AbstractEventLoop]()

    async def work() -> None:
        loops.put(asyncio.get_running_loop())
        await Worker(ControlSocket(far), Marks(bytearray(PAGE_BYTES)), tmp_path, 0, {}).run()

    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    turns = _turns(near)
    try:
        first = next(turns)
        assert any(now > first for now in turns)
        loops.get(timeout=WAIT_S).call_soon_threadsafe(go_on.wait)
        assert any(now == before for before, now in itertools.pairwise(turns))
        assert next(turns) == next(turns)
        go_on.set()
        stood = next(turns)
        assert any(now > stood for now in turns)
    finally:
        go_on.set()
        near.close()
        thread.join(WAIT_S)
        far.close()


def _turns(near: socket.socket) -> Iterator[int]:
    """What each of the next hundred heartbeats says of the event loop."""
    frames, beats = Frames(), 0
    while beats < 100:
        for frame in frames.feed(near.recv(1 << 16)):
            message = supervision_pb2.FromWorkerProcess.FromString(frame)
            if message.WhichOneof("kind") == "heartbeat":
                beats += 1
                yield message.heartbeat.turns
