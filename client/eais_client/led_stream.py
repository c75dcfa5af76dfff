"""A data stream that is read by whoever waits for it: leader and followers.

Of the threads that wait for an answer one leads: it reads, and tells what came for the others
too. They sleep until their own answer is there, or until the leader leaves and one of them leads.
A thread of the stream's own reads while nobody else does, and says how the stream begins and ends.

Two rules keep them apart. Who has the *turn* alone waits for messages, and takes them in; whoever
holds the *lock* alone touches the connection, never for longer than a write that doesn't block.
What a thread finds that another is to do, it leaves where that one will look before it sleeps.
The order of dict and attribute accesses in CPython is what this rests on.
"""

from __future__ import annotations

import asyncio
import threading
import time
from _thread import allocate_lock
from collections.abc import Callable
from contextlib import suppress
from math import inf
from threading import get_ident
from typing import Final

from eais.errors import EaisError, Unavailable, make_error
from eais.transport.writing import EncodedRun
from eais.value import Deferred
from eais_client.background import no_thread
from eais_client.carrier import Carrier, Wait
from eais_client.dialer import SOFTWARE
from eais_client.exchange import Exchange
from eais_client.loop_reader import LoopReader
from eais_client.wire import StreamEvents, Waiter

_JOIN_S: Final = 2.0
# How often the stream's own thread looks whether others still read.
_LOOK_S: Final = 0.05
# How long those who are inside a stream that is over may take to leave before they are asked again.
_LEAVE_S: Final = 0.02
_TURN: Final = "turn"


class LedStream:
    """A `DataStream`; takes the carrier as its own and closes it at the end."""

    def __init__(self, number: int, carrier: Carrier, events: StreamEvents) -> None:
        self._number = number
        self._carrier = carrier
        self._events = events
        self._exchange = Exchange(number, events, SOFTWARE)
        self._outbox = self._exchange.outbox
        self._lock = allocate_lock()
        # Who has the turn, if somebody has: what several try to set, one has set.
        self._turn: dict[str, object] = {}
        self._followers: dict[Waiter, None] = {}
        self._turns = self._turns_seen = self._leader = 0
        self._loop: LoopReader | None = None
        self._loop_change = allocate_lock()
        # Connected, so that there is somewhere to wait; and neither over nor closed.
        self._ready = self._open = self._tick_due = False
        # It is over for all that is to be sent and read; why, unless it was closed.
        self._over = self._closed = False
        self._end: EaisError | None = None
        self._starting = allocate_lock()
        # Where the leader waits, and the stream's own thread; that one naps, too.
        self._lead_wait: Wait
        self._own_wait: Wait
        self._nap = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name=f"eais-stream-{number}", daemon=True
        )

    def start(self) -> None:
        """See `DataStream`."""
        with self._starting:
            if self._closed:
                return
            try:
                self._thread.start()
            except RuntimeError:
                self._over = self._closed = True
                self._carrier.close()
                raise no_thread() from None

    # Sending.

    def send(self, run: EncodedRun, deferred: Deferred, watched: bool = True) -> None:
        """See `DataStream`."""
        if self._over:
            return
        self._exchange.send(run, deferred, watched)
        loop = self._loop
        if loop is None or not loop.soon():
            self.flush()
        if not watched:
            self._wake_own()

    def cancel(self, call: int) -> None:
        """See `DataStream`."""
        self._exchange.cancel(call)
        self._go()

    def hold(self, session: str) -> None:
        """See `DataStream`."""
        self._outbox.hold(session)
        self._go()

    def release(self, session: str) -> None:
        """See `DataStream`."""
        self._outbox.release(session)
        self._go()

    def _go(self) -> None:
        """Have what waits be sent: at once, or with what else this loop's tasks send."""
        loop = self._loop
        if loop is None or not loop.soon():
            self.flush()

    def flush(self) -> None:
        """Send what waits, unless somebody is about to."""
        carrier, outbox, tried = self._carrier, self._outbox, False
        # Whoever holds the lock looks here again when they have released it; whoever reads does
        # when the worker has made room.
        while outbox.waiting:
            if not self._open or self._lock.locked() or (tried and carrier.full()):
                return
            tried = True
            try:
                with self._lock:
                    if self._open:
                        carrier.push(outbox)
            except BaseException as error:
                self._interrupted(error)
                raise
            if carrier.more:
                self._have_more_written()
                return

    def _have_more_written(self) -> None:
        """There was no room for all: whoever has the turn writes when there is."""
        if (loop := self._loop) is not None:
            loop.look()
        if _TURN in self._turn:
            self._lead_wait.kick()
        else:
            self._wake_own()

    # Reading.

    def read_for(self, waiter: Waiter, until_s: float) -> None:
        """See `DataStream`."""
        if not self._open:
            waiter.park(_left_s(until_s))
            return
        turn, followers, parked = self._turn, self._followers, False
        if self._loop is not None:
            self.flush()  # that loop may be waiting here, and not get to what it is to send
        try:
            if turn.setdefault(_TURN, waiter) is not waiter:
                followers[waiter] = None
                # Whoever had it may have left before there was anybody to hand it to.
                if turn.setdefault(_TURN, waiter) is not waiter:
                    waiter.park(_left_s(until_s))
                    parked = True
                    return
                followers.pop(waiter, None)
            self._lead(waiter, until_s)
        finally:
            if turn.get(_TURN) is waiter:
                del turn[_TURN]
                if self._followers or self._over or self._exchange.unwatched:
                    self._hand_on()
            elif followers.pop(waiter, waiter) is waiter and _leaves(self, waiter, until_s, parked):
                self._hand_on()  # it was chosen to lead, and won't

    def _lead(self, waiter: Waiter, until_s: float) -> None:
        carrier, wait = self._carrier, self._lead_wait
        self._leader = get_ident()
        # Before it is looked whether to wait at all.
        waiter.rouse = self._rouse
        try:
            while not waiter.done and waiter.stream is self and not self._over:
                left_s = inf if until_s == inf else until_s - time.monotonic()
                if left_s <= 0:
                    break
                wait.wait(left_s, write=carrier.more)
                self.step()
        finally:
            waiter.rouse = None

    def _rouse(self) -> None:
        """Get the leader out of its wait; who is told of its own answer is out of it."""
        if get_ident() != self._leader:
            self._lead_wait.kick()

    def step(self) -> None:
        """Take what came, tell it, and send what waits; for who has the turn."""
        carrier, outbox = self._carrier, self._outbox
        self._turns += 1
        try:
            with self._lock:
                messages = carrier.pull()
                if self._tick_due:
                    self._tick_due = False
                    carrier.tick()
                if carrier.more or outbox.waiting:
                    carrier.push(outbox)
            for message in messages:
                self._exchange.receive(message)
            if carrier.moved:
                self._move()
        except EaisError as error:
            self._fail(error)  # the worker speaks another protocol than ours
        except BaseException as error:
            self._interrupted(error)
            raise
        if carrier.end is not None:
            self._fail(carrier.end)
        elif outbox.waiting and not carrier.more:
            self.flush()

    def _move(self) -> None:
        self._carrier.moved = False
        if (loop := self._loop) is not None:
            loop.move()

    def _hand_on(self) -> None:
        """The turn is free: wake somebody who takes it, if there is one to."""
        if self._over:
            self._nap.set()
        elif self._followers and _TURN not in self._turn:
            with suppress(KeyError):
                self._followers.popitem()[0].wake()
        elif self._exchange.unwatched:
            self._nap.set()

    def take_turn(self, step: Callable[[], None], who: object) -> bool:
        """Do `step` with the turn, if it is free; False if somebody has it."""
        turn = self._turn
        try:
            if turn.setdefault(_TURN, who) is not who:
                return False
            step()
        finally:
            if turn.get(_TURN) is who:
                del turn[_TURN]
                self._hand_on()
        return True

    @property
    def used(self) -> str:
        """See `DataStream`."""
        return self._carrier.used

    def read_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """See `DataStream`."""
        reader = self._loop
        if reader is not None and reader.loop is loop:
            return
        if self._open and (reader is None or not reader.alive):
            made = LoopReader(self, loop, self._carrier)
            self._read_by(made)
            # Only now, so that whoever moves or ends the stream meanwhile finds it.
            made.watch()
            if self._over:
                self._read_by(None)

    def _read_by(self, reader: LoopReader | None) -> None:
        """Have a loop read, or none; the one that did leaves."""
        with self._loop_change:
            last, self._loop = self._loop, reader
        if last is not None:
            last.leave()

    # Its end.

    def close(self) -> None:
        """See `DataStream`."""
        with self._starting:
            started, closed = bool(self._thread.ident), self._closed
            self._over, self._open, self._closed = True, False, True
        self._outbox.close()
        if not started:
            if not closed:
                self._carrier.close()
            return
        if threading.current_thread() is not self._thread:
            self._get_out()
            self._thread.join(_JOIN_S)

    def _fail(self, error: EaisError) -> None:
        """It is over, for this reason, unless there was one before."""
        if self._end is None:
            self._end = error
        self._over, self._open = True, False
        self._get_out()

    def _interrupted(self, error: BaseException) -> None:
        """Ctrl-C between two steps that belong together: nobody knows what was done of it."""
        self._fail(Unavailable("WORKER_DIED", f"reading was interrupted by {type(error).__name__}"))

    def _get_out(self) -> None:
        """Have whoever waits see that it is over."""
        if self._ready:
            self._lead_wait.kick()
            self._own_wait.kick()
        else:
            self._carrier.stop()
        self._nap.set()

    # The stream's own thread.

    def _wake_own(self) -> None:
        self._nap.set()
        if self._ready and self._carrier.more:
            self._own_wait.kick()

    def _work(self) -> None:
        error = make_error("BUG", "the reader of the data stream failed")
        try:
            error = self._serve()
        finally:
            self._over, self._open = True, False
            self._outbox.close()
            self._empty()
            if not self._closed:
                self._events.broken(self._number, self._why(error))
            with self._lock:
                self._carrier.close()

    def _serve(self) -> EaisError:
        """Connect, and read to the end; why it ended."""
        try:
            self._lead_wait, self._own_wait = self._carrier.connect()
            with self._lock:
                self._carrier.begin(self._outbox.first_message())
                self._carrier.push(self._outbox)
        except EaisError as error:
            return error
        except OSError as error:  # of TLS, too: the worker went as soon as it had answered
            why = error.strerror or str(error)
            return Unavailable("HOST_UNREACHABLE", f"no answer ({why})")
        self._ready, self._open = True, not self._over
        self.flush()
        while not self._over:
            self._look_after()
        return make_error("BUG", "the data stream ended without a reason")

    def _why(self, error: EaisError) -> EaisError:
        end = self._end or error
        if self._exchange.opened and end.reason == "HOST_UNREACHABLE":
            return Unavailable("WORKER_DIED", end.message)
        return end

    def _look_after(self) -> None:
        """Read while nobody else does; see to what time does to the connection."""
        left_s = self._carrier.next_tick_s - time.monotonic()
        others = self._others_read()
        if others:
            self._nap.wait(max(0, min(left_s, _LOOK_S)))
            self._nap.clear()
        elif not self._over:
            self._own_wait.wait(max(0, left_s), write=self._carrier.more)
        self._tick_due = due = self._tick_due or self._carrier.next_tick_s <= time.monotonic()
        if others and self._turns != self._turns_seen and not due and not self._exchange.unwatched:
            return
        if not self.take_turn(self.step, self) and due:
            self._lead_wait.kick()

    def _others_read(self) -> bool:
        seen, self._turns_seen = self._turns_seen, self._turns
        if _TURN in self._turn:
            return True
        if self._exchange.unwatched or self._carrier.more:
            return False
        if (loop := self._loop) is not None and loop.alive:
            return True
        return self._turns_seen != seen

    def _empty(self) -> None:
        """Wait until nobody is inside: the turn is never given back."""
        self._read_by(None)
        while self._ready and self._turn.setdefault(_TURN, self) is not self:
            self._lead_wait.kick()
            self._nap.wait(_LEAVE_S)
            self._nap.clear()


def _left_s(until_s: float) -> float | None:
    return None if until_s == inf else until_s - time.monotonic()


def _leaves(stream: LedStream, waiter: Waiter, until_s: float, parked: bool) -> bool:
    """Whether a waiter won't ask again to be read for: it is done, elsewhere, late, or raised."""
    if not parked or waiter.done or waiter.stream is not stream:
        return True
    return until_s < inf and time.monotonic() >= until_s
