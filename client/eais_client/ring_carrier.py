"""A data stream that goes on in memory shared with the worker, if both are on one host.

The stream begins over the network, as any. There the client asks for a ring, is told where to
come for it, and says that what it sends next is in the ring; then the worker says so too. The
connection stays open: it brings nothing more, and its end is the ring's.
"""

from __future__ import annotations

import os
import select
import threading
import time
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from eais.channel import PIECE_BYTES, RING_PIECE_BYTES
from eais.errors import EaisError, UsageError, make_error
from eais.rpc.v1 import worker_pb2
from eais.transport.parts import Buffer, PiecePart
from eais.transport.ring.end import RingEnd
from eais.transport.ring.handover import HANDOVER_TIMEOUT_S, NoRing, Peer, take_over
from eais.transport.ring.layout import RingBroken
from eais.transport.writing import to_worker
from eais_client.carrier import Carrier, Received, Source
from eais_client.ring_wait import RingWait
from eais_client.socket_wait import SocketWait

_AT_ONCE: Final = 64
"""Messages that are taken before anything is done about them."""
_NEWS_S: Final = 0.5
"""How long a worker's end, of which a failed handover may be the first sign, takes to be known."""
_BYTES_AT_ONCE: Final = 1 << 20
"""Written before somebody looks whether there is something to read."""
# Of a ToClient: ring_offer with whatever length, ring_begins and nothing else.
_OFFER: Final = 0x2A
_BEGINS: Final = worker_pb2.ToClient(ring_begins=True).SerializeToString()

TakeOver = Callable[[worker_pb2.RingOffer, Callable[[Peer], bool]], RingEnd]


class First(Carrier, Protocol):
    """What carries a stream before it goes on in a ring."""

    def connect(self) -> tuple[SocketWait, SocketWait]:
        """See `Carrier`."""
        ...

    def stays_on_host(self) -> bool:
        """Whether the worker may be on this host."""
        ...


class RingCarrier:
    """A `Carrier`.

    Args:
        first: what carries the stream at first, and tells of its end.
        must: nothing but the ring may carry calls: without one the stream ends with
            RING_UNAVAILABLE.
        any_user: whether a ring may be shared with another user's worker.
        take_over: `eais.transport.ring.handover.take_over`.
        patience_s: how long a ring that must be may take.
    """

    def __init__(
        self,
        first: First,
        *,
        must: bool = False,
        any_user: bool = False,
        take_over: TakeOver = take_over,
        patience_s: float = 2 * HANDOVER_TIMEOUT_S,
    ) -> None:
        self.moved = False
        self._first = first
        self._must = must
        self._any_user = any_user
        self._take_over = take_over
        # Said over the network by this carrier itself.
        self._own = _Own()
        self._asked = False
        self._no_ring = ""
        self._patience_s, self._due_s = patience_s, inf
        # What the worker handed over, once it is there; then where is written, then where is read.
        self._handing = allocate_lock()
        self._fetched: RingEnd | NoRing | None = None
        self._end: RingEnd | None = None
        self.outgoing: RingEnd | None = None
        self.incoming: RingEnd | None = None
        self._time_up = self._closed = False
        # Whether the worker rings for what it says.
        self._rings = False
        self._broken: EaisError | None = None
        self._epoll = select.epoll()
        self._waits: tuple[RingWait, RingWait]

    @property
    def used(self) -> str:
        """See `Carrier`."""
        if self.incoming is not None:
            return "ring"
        return f"{self._first.used} (no ring: {self._no_ring})" if self._no_ring else "h2"

    # Its beginning.

    def connect(self) -> tuple[RingWait, RingWait]:
        """See `Carrier`."""
        lead, own = self._first.connect()
        self._waits = RingWait(self, lead, spins=True), RingWait(self, own, spins=False)
        return self._waits

    def begin(self, first: Sequence[Buffer]) -> None:
        """See `Carrier`."""
        self._first.begin(first)
        if self._first.stays_on_host():
            self._asked = True
            self._own.say(to_worker(ring_wanted=True))
            self._due_s = time.monotonic() + self._patience_s if self._must else inf
        else:
            self._go_without("the worker is on another host")

    def stop(self) -> None:
        """See `Carrier`."""
        self._first.stop()

    # How it gets a ring.

    def _heard(self, messages: Sequence[Received]) -> Sequence[Received]:
        """What came over the network without what is about the ring."""
        others: list[Received] = []
        for message in messages:
            if isinstance(message, PiecePart) or not self._is_own(message):
                others.append(message)
        return others

    def _is_own(self, message: Buffer) -> bool:
        if len(message) == len(_BEGINS) and bytes(message) == _BEGINS:
            self._read_ring()
            return True
        if not self._asked or not message or message[0] != _OFFER:
            return False
        with suppress(DecodeError):
            said = worker_pb2.ToClient.FromString(bytes(message))
            if len(said.ListFields()) == 1:
                self._asked = False
                self._fetch(said.ring_offer)
                return True
        return False

    def _fetch(self, offer: worker_pb2.RingOffer) -> None:
        """Come for the ring, on a thread, since who reads here mustn't wait."""
        if not offer.socket:
            self._go_without("the worker lets this client have none")
            return
        fetch = threading.Thread(target=self._come_for, args=(offer,), daemon=True)
        try:
            fetch.start()
        except RuntimeError:
            self._go_without("this process can't start a thread")

    def _come_for(self, offer: worker_pb2.RingOffer) -> None:
        found: RingEnd | NoRing
        try:
            found = self._take_over(offer, self._trusts)
        except NoRing as why:
            found = why
        with self._handing:
            if not self._closed:
                self._fetched = found
            elif isinstance(found, RingEnd):
                found.close()
        for wait in self._waits:
            wait.kick()

    def _trusts(self, peer: Peer) -> bool:
        return self._any_user or peer.uid == os.geteuid()

    def _go_without(self, why: str) -> None:
        self._asked, self._due_s, self._no_ring = False, inf, why
        if self._must:
            self._broken = make_error("RING_UNAVAILABLE", f"no ring: {why}")

    def _use(self, found: RingEnd | NoRing) -> None:
        if isinstance(found, NoRing):
            self._no_ring, self._due_s = str(found), time.monotonic() + _NEWS_S
            if not self._must:
                self._go_without(self._no_ring)
            return
        self._end = found
        for wait in self._waits:
            wait.watch(found.fileno())
        self._own.say(to_worker(ring_begins=True))

    def _read_ring(self) -> None:
        if self._end is None:
            raise UsageError("MALFORMED_MESSAGE", "the worker begins a ring that isn't there")
        self._epoll.register(self._first.fileno(), select.EPOLLIN)
        self._epoll.register(self._end.fileno(), select.EPOLLIN)
        self._due_s, self.moved = inf, True
        self._ask(self._end)
        self.incoming = self._end

    def _ask(self, end: RingEnd) -> None:
        self._rings = True
        try:
            end.ask()
        except RingBroken as why:
            self._break(why)

    # Its life.

    @property
    def blocked(self) -> bool:
        """Whether what was written last waits for room in the ring: then the bell rings."""
        return self.outgoing is not None and self.outgoing.unfinished

    @property
    def first_more(self) -> bool:
        """Whether something waits for room in the network."""
        return self._first.more

    @property
    def more(self) -> bool:
        """See `Carrier`."""
        return (
            self._first.more
            or self._time_up
            or (self._own.waiting and not self._first.full())
            or self._fetched is not None
            or (self.outgoing is not None and self.outgoing.unfinished)
        )

    @property
    def end(self) -> EaisError | None:
        """See `Carrier`; what the worker said in the ring before its end comes first."""
        if self._broken is not None:
            return self._broken
        if self.incoming is not None and self.incoming.ready:
            return None
        return self._first.end

    def fileno(self) -> int:
        """See `Carrier`."""
        return self._first.fileno() if self.incoming is None else self._epoll.fileno()

    def pull(self) -> Sequence[Received]:
        """See `Carrier`."""
        if self.incoming is not None:
            return self._records(self.incoming)
        messages = self._first.pull()
        return self._heard(messages) if self._asked or self._end is not None else messages

    def _records(self, end: RingEnd) -> Sequence[Received]:
        if self._rings:
            for fd, _events in self._epoll.poll(0):
                if fd == end.fileno():
                    end.clear()
                else:
                    self._hear_outside()
        records: list[Received] = []
        try:
            while len(records) < _AT_ONCE and (record := end.take()) is not None:
                records.append(record)
                # Before the next one is taken, a piece must be dealt with.
                if isinstance(record, PiecePart) or not end.ready:
                    break
        except RingBroken as why:
            self._break(why)
        self._ask(end)
        return records

    def _hear_outside(self) -> None:
        """Take in what keeps the connection up, or ends it."""
        if self._first.pull():
            raise UsageError("MALFORMED_MESSAGE", "the worker says more outside of the ring")

    def spin(self, end: RingEnd) -> bool:
        """Look for a while whether something comes, and isn't rung for; for who has the turn."""
        self._rings = False
        end.stays()
        if end.await_more():
            return True
        self._ask(end)
        return end.ready

    def await_room(self) -> bool:
        """Look for a while whether there is room for more; for who has the turn."""
        try:
            return self.outgoing is not None and self.outgoing.await_room()
        except RingBroken as why:
            self._break(why)
            return True

    def _break(self, why: RingBroken) -> None:
        self._broken = UsageError("MALFORMED_MESSAGE", f"the ring is broken: {why}")
        self._time_up = True

    def full(self) -> bool:
        """See `Carrier`."""
        if self.outgoing is not None:
            return self.outgoing.unfinished
        return self._must or self._first.full()

    def push(self, outbox: Source) -> None:
        """See `Carrier`."""
        first, own = self._first, self._own
        self._time_up = False
        if self.outgoing is None:
            if (found := self._fetched) is not None:
                self._fetched = None
                self._use(found)
            if own.waiting:
                first.push(own)
            if self._end is None or own.waiting:
                if not self._must:
                    first.push(outbox)
                return
            self.outgoing, outbox.piece_bytes = self._end, RING_PIECE_BYTES
        if first.more:
            first.push(own)
        try:
            self._write(self.outgoing, outbox)
        except RingBroken as why:
            self._break(why)

    def _write(self, end: RingEnd, outbox: Source) -> None:
        if end.unfinished and not end.go_on():
            return
        size = 0
        while outbox.waiting:
            message = outbox.next_message()
            if message is None:
                continue
            end.send(message)
            if end.unfinished and not end.go_on():
                return
            size += sum(map(len, message))
            if size >= _BYTES_AT_ONCE:
                self._time_up = outbox.waiting
                return

    @property
    def next_tick_s(self) -> float:
        """See `Carrier`."""
        return min(self._first.next_tick_s, self._due_s)

    def tick(self) -> None:
        """See `Carrier`."""
        if self.incoming is not None:
            self._hear_outside()  # an answer to a ping, for which nobody may have looked
        if time.monotonic() >= self._due_s:
            self._go_without(self._no_ring or "the worker doesn't answer")
        self._first.tick()

    def close(self) -> None:
        """See `Carrier`."""
        with self._handing:
            self._closed = True
            found, self._fetched = self._fetched, None
        for end in (found, self._end):
            if isinstance(end, RingEnd):
                end.close()
        self._epoll.close()
        self._first.close()


class _Own:
    """A `Source` of a few messages, none of them a piece."""

    piece_bytes = PIECE_BYTES

    def __init__(self) -> None:
        self.waiting = False
        self._messages: deque[list[Buffer]] = deque()

    def say(self, message: list[Buffer]) -> None:
        self._messages.append(message)
        self.waiting = True

    def next_message(self) -> list[Buffer] | None:
        message = self._messages.popleft() if self._messages else None
        self.waiting = bool(self._messages)
        return message
