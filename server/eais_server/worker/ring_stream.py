"""A client stream that goes on in a ring, if its client is on this host and asks for it.

What serves the stream sees no difference. The stream over the network stays open: it says
nothing more, and its end is the ring's.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from eais.errors import EaisError, UsageError
from eais.rpc.caller import Caller
from eais.rpc.raw_stream import Buffer, RawHandler, ServedStream, StreamLink
from eais.rpc.v1 import worker_pb2
from eais.transport.parts import PiecePart
from eais.transport.ring.end import RingEnd
from eais.transport.ring.layout import RingBroken
from eais.transport.writing import to_client, to_worker
from eais_server.worker.connection import AT_ONCE
from eais_server.worker.ring_door import RingDoor

BYTES_AT_ONCE: Final = 1 << 20
"""Of at most `AT_ONCE` messages that are taken before anybody else has a turn of the event loop;
the same of those that are sent."""

_LOOK_NS: Final = 10_000
"""How long it looks for a message in one turn of the event loop: about what the turn costs."""

_WANTED: Final = b"".join(to_worker(ring_wanted=True))
_BEGINS: Final = b"".join(to_worker(ring_begins=True))


class TakesPieces(ServedStream, Protocol):
    """A stream that can be given a piece whose bytes aren't its to keep."""

    @property
    def quiet(self) -> bool:
        """Whether nothing runs that would need the processor meanwhile."""
        ...

    def in_ring(self) -> None:
        """Its messages go through a ring from now on."""
        ...

    def receive_piece(self, piece: PiecePart) -> None:
        """A message that says nothing but `piece`, whose bytes are good until this returns.

        Raises as `receive`.
        """
        ...


Handler = Callable[[Caller, StreamLink], TakesPieces]


def with_rings(handler: Handler, door: RingDoor) -> RawHandler:
    """`handler`, whose streams may go on in rings that `door` hands over."""

    def serve(caller: Caller, link: StreamLink) -> RingStream:
        return RingStream(handler, door, caller, link)

    return serve


class RingStream:
    """A `ServedStream`, and the `StreamLink` of what serves it. All on the event loop."""

    def __init__(self, handler: Handler, door: RingDoor, caller: Caller, link: StreamLink) -> None:
        self._link = link
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._offer: worker_pb2.RingOffer | None = None
        self._end: RingEnd | None = None
        # Whether messages go through the ring, in both directions.
        self._in_ring = False
        self._own: deque[list[Buffer]] = deque()
        self._asked = self._due = self._looking = False
        self._look_until_ns = 0
        self._half_closed = self._closed = False
        self._cause: Exception | None = None
        self._served = handler(caller, self)

    # the link of what serves it

    def changed(self) -> None:
        """See `StreamLink`."""
        if self._in_ring:
            self._work_soon()
        else:
            self._link.changed()

    def fail(self, error: EaisError) -> None:
        """See `StreamLink`."""
        self._link.fail(error)

    # what the transport says

    def receive(self, message: Buffer) -> None:
        """See `ServedStream`."""
        if self._in_ring:
            raise UsageError("MALFORMED_MESSAGE", "nothing follows ring_begins on the stream")
        self._served.receive(message)
        if len(message) == len(_WANTED):
            self._own_message(bytes(message))

    def next_message(self) -> list[Buffer] | None:
        """See `ServedStream`."""
        if self._cause is not None:
            raise self._cause
        if self._own:
            return self._own.popleft()
        return None if self._in_ring else self._served.next_message()

    @property
    def may_read(self) -> bool:
        """See `ServedStream`."""
        return self._in_ring or self._served.may_read

    @property
    def over(self) -> bool:
        """See `ServedStream`."""
        if self._own or (self._in_ring and self._end is not None and self._end.unfinished):
            return False
        return self._served.over

    def half_closed(self) -> None:
        """See `ServedStream`."""
        if self._in_ring:
            self._half_closed = True
            self._work_soon()
        else:
            self._served.half_closed()

    def closed(self) -> None:
        """See `ServedStream`."""
        self._closed = True
        if self._end is not None:
            if self._in_ring:
                self._loop.remove_reader(self._end.fileno())
            self._end.close()
            self._door.gone()
        elif self._offer is not None:
            self._door.withdraw(self._offer)
        self._served.closed()

    # how it gets a ring

    def _own_message(self, message: bytes) -> None:
        if message == _WANTED and not self._asked:
            self._asked = True
            self._offer = self._door.offer(self._take)
            self._own.append(to_client(ring_offer=self._offer or worker_pb2.RingOffer()))
        elif message == _BEGINS:
            if self._end is None:
                raise UsageError("MALFORMED_MESSAGE", "no ring was handed over on this stream")
            self._in_ring = True
            self._served.in_ring()
            self._own.append(to_client(ring_begins=True))
            self._loop.add_reader(self._end.fileno(), self._rung)
            self._work_soon()

    def _take(self, end: RingEnd) -> None:
        """The client came for the ring that it was offered."""
        self._end = end

    # messages in the ring

    def _work_soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._work)

    def _rung(self) -> None:
        if self._end is not None:
            self._end.wakes()
        self._work()

    def _work(self) -> None:
        """Take what came, send what is to be sent, and see when to come again."""
        self._due = False
        if self._closed or self._end is None or self._cause is not None:
            return
        try:
            self._exchange(self._end)
        except RingBroken as error:
            self._broken(error)
        except Exception as cause:  # noqa: BLE001 - the transport's guard judges it
            self._fail(cause)

    def _broken(self, error: RingBroken) -> None:
        self._fail(UsageError("MALFORMED_MESSAGE", f"the ring is broken: {error}"))

    def _fail(self, cause: Exception) -> None:
        self._cause = cause
        self._link.changed()

    def _exchange(self, end: RingEnd) -> None:
        end.stays()
        taken = self._take_some(end)
        # In any case: answers don't wait until a large upload ends.
        if not self._send_some(end) or not taken:
            self._work_soon()
        elif self._served.over and not end.unfinished:
            self._link.changed()
        elif self._served.may_read:
            self._rest(end)

    def _take_some(self, end: RingEnd) -> bool:
        """Take messages; False if there may be more than should be taken at once."""
        served, size = self._served, 0
        for _ in range(AT_ONCE):
            if not served.may_read:
                return True
            record = end.take()
            if record is None:
                self._taken_all()
                return True
            if isinstance(record, PiecePart):
                served.receive_piece(record)
                size += len(record.data)
            else:
                served.receive(record)
                size += len(record)
                if not (end.ready or self._half_closed):
                    return True  # to see that there is no more would keep the answer waiting
            if size >= BYTES_AT_ONCE:
                break
        return False

    def _taken_all(self) -> None:
        if self._half_closed:
            self._half_closed = False
            self._served.half_closed()

    def _send_some(self, end: RingEnd) -> bool:
        """Send messages while there is room; False if there may be more for what there is."""
        size = 0
        if end.unfinished and not end.go_on():
            return True
        while (message := self._served.next_message()) is not None:
            end.send(message)
            if end.unfinished and not end.go_on():
                return True
            size += sum(map(len, message))
            if size >= BYTES_AT_ONCE:
                return False
        return True

    # when nothing is there

    def _rest(self, end: RingEnd) -> None:
        """Look for what comes, as long as is worth while, then sleep."""
        if not self._served.quiet:
            self._look_until_ns = 0
            if not end.sleeps():
                self._work_soon()
            return
        self._look_until_ns = end.room_ns if end.unfinished else end.idle()
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Look once more. By way of the loop, since others are served by it, too."""
        self._looking = False
        end = self._end
        if self._closed or self._due or end is None or self._cause is not None:
            return
        if end.comes_within(_LOOK_NS) or self._has_room(end):
            self._work()
        elif time.monotonic_ns() < self._look_until_ns:
            self._looking = True
            self._loop.call_soon(self._look)
        elif not self._sleeps(end):
            self._work()

    def _has_room(self, end: RingEnd) -> bool:
        try:
            return end.unfinished and end.may_go_on
        except RingBroken as error:
            self._broken(error)
            return False

    def _sleeps(self, end: RingEnd) -> bool:
        """Whether nothing is left to be done until the bell rings."""
        try:
            return end.sleeps()
        except RingBroken as error:
            self._broken(error)
            return True
