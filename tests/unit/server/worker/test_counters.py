from __future__ import annotations

import queue
import threading

from eais.rpc.v1 import supervision_pb2
from eais_server.worker.counters import Counters, Reporter

WAIT_S = 30.0


class Socket:
    """A control socket that the test reads, blocks or breaks."""

    def __init__(self) -> None:
        self.sent: queue.SimpleQueue[supervision_pb2.FromWorkerProcess] = queue.SimpleQueue()
        self.broken = False

    def send(self, message: supervision_pb2.FromWorkerProcess) -> None:
        if self.broken:
            raise BrokenPipeError
        self.sent.put(message)

    def next(self) -> supervision_pb2.FromWorkerProcess:
        return self.sent.get(timeout=WAIT_S)


def test_heartbeats_come_by_themselves_with_the_counters_of_that_moment() -> None:
    socket, counters = Socket(), Counters()
    reporter = Reporter(socket, counters, lambda: None, interval_s=0.001)
    counters.requests, counters.busy_ns, counters.in_flight = 3, 5, 1
    reporter.start()
    beat = socket.next().heartbeat
    assert (beat.requests, beat.busy_ns, beat.in_flight) == (3, 5, 1)
    assert socket.next().WhichOneof("kind") == "heartbeat"
    reporter.close()


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


def test_a_listener_that_is_gone_is_noticed_once() -> None:
    socket, gone = Socket(), threading.Semaphore(0)
    socket.broken = True
    reporter = Reporter(socket, Counters(), gone.release, interval_s=0.001)
    reporter.start()
    assert gone.acquire(timeout=WAIT_S)
    reporter.close()
    assert not gone.acquire(blocking=False)
