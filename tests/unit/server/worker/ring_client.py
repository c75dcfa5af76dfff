"""A client stream of a worker's tests that goes on in a ring."""

from __future__ import annotations

import select
from typing import Any

from eais.rpc.v1 import worker_pb2
from eais.transport.parts import PiecePart
from eais.transport.ring.end import RingEnd
from eais.transport.ring.handover import take_over
from tests.unit.server.worker.child import WAIT_S, ClientStream, WorkerChild


class RingClient(ClientStream):
    """A `ClientStream` that has said Hello and what it takes to get a ring."""

    def __init__(self, worker: WorkerChild) -> None:
        super().__init__(worker.port, worker.frontend("acme"))
        self.end: RingEnd | None = None
        self.greet()

    def close(self) -> None:
        """See `ClientStream`."""
        super().close()
        if self.end is not None:
            self.end.close()

    def offer(self) -> worker_pb2.RingOffer:
        """What the worker says when it is asked for a ring."""
        self.send(ring_wanted=True)
        message = self.receive()
        assert message is not None
        assert message.HasField("ring_offer")
        return message.ring_offer

    def switch(self) -> RingEnd:
        """Take the ring, and go on there."""
        end = take_over(self.offer(), lambda _peer: True)
        self.send(ring_begins=True)
        message = self.receive()
        assert message is not None
        assert message.ring_begins
        self.end = end
        return end

    def send(self, **fields: Any) -> None:
        """See `ClientStream`."""
        if self.end is None:
            super().send(**fields)
            return
        self.end.send([worker_pb2.ToWorker(**fields).SerializeToString()])
        while self.end.unfinished and not self.end.go_on():
            self._wait(self.end)

    def receive(self) -> worker_pb2.ToClient | None:
        """See `ClientStream`; what comes in the ring, if there is one."""
        if self.end is None:
            return super().receive()
        while (record := self.end.take()) is None:
            if self.end.sleeps():
                self._wait(self.end)
        if not isinstance(record, PiecePart):
            return worker_pb2.ToClient.FromString(bytes(record))
        piece = worker_pb2.Piece(
            call_id=record.call_id,
            tensor=record.tensor,
            offset=record.offset,
            data=bytes(record.data),
        )
        return worker_pb2.ToClient(pieces=[piece])

    def end_of_stream(self) -> worker_pb2.ToClient | None:
        """What the stream over the network says next; raises as `ClientStream.receive`."""
        return super().receive()

    def _wait(self, end: RingEnd) -> None:
        poll = select.poll()
        poll.register(end.fileno(), select.POLLIN)
        if not poll.poll(WAIT_S * 1000):
            raise TimeoutError("the worker says nothing in the ring")
        end.wakes()
