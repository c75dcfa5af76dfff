"""One accepted connection: a socket, its TLS, the engine, and the calls that are on it.

What was read is decrypted, given to the engine, acted on and answered within one callback of
the event loop, so that a small call costs one turn of it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from enum import Enum
from typing import Final

from eais.channel import SLOW_CONSUMER_S
from eais.errors import EaisError, make_error
from eais.identity import Peer
from eais.rpc.guard import Guard
from eais.rpc.status import DETAILS_KEY, clip, status_code, status_details
from eais.transport.event_socket import EventSocket
from eais.transport.h2 import codes
from eais.transport.h2.engine import Engine
from eais.transport.h2.events import (
    Called,
    Ended,
    Event,
    Failed,
    Message,
    Ready,
    Reset,
    Stalled,
)
from eais.transport.h2.limits import Role
from eais.transport.h2_calls import Call, Contact, maker_of
from eais.transport.h2_host import REFUSED_LIMITS, SERVER_LIMITS, Host
from eais.transport.parts import Buffer
from eais.transport.tls_context import verified_leaf
from eais.transport.tls_pipe import RECORD_BYTES, TlsPipe

log = logging.getLogger(__name__)

# In one turn of the event loop, there being other connections.
WRITE_BYTES: Final = 256 << 10
# After our last word, for the peer's: closed under what still comes, a socket takes back what it
# has sent.
_LINGER_S: Final = 1.0
# How a TLS client begins.
_HANDSHAKE_RECORD: Final = 22


class Phase(Enum):
    """Where a connection is in its life."""

    SHAKING = "shaking hands"
    OPEN = "open"
    ENDING = "ending"
    CLOSED = "closed"


class Connection:
    """One client's connection, from its first byte on. All on the event loop."""

    def __init__(
        self, host: Host[Connection], sock: socket.socket, context: ssl.SSLContext
    ) -> None:
        self._host = host
        room = memoryview(host.room)
        self._socket = EventSocket(host.loop, sock, room, self._pump, self.close)
        self._pipe = TlsPipe(context)
        self._owed = self._pipe.goes
        self.phase = Phase.SHAKING
        self.peer: Peer | None = None
        # From the handshake's end on.
        self.engine: Engine
        self._began = False
        self._refusal: EaisError | None = None
        self._calls: dict[int, Call] = {}
        # Calls that have something to say, or had no room for all of it.
        self._restless: dict[Call, None] = {}
        self._scheduled = False
        self._draining = False
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._patience: asyncio.TimerHandle | None
        self._patience = host.loop.call_later(host.handshake_s, self._too_slow)
        self._socket.on_readable(self._shake)

    def __repr__(self) -> str:
        who = self.peer.identity.uri if self.peer else "nobody yet"
        return f"<Connection {self.phase.value}, of {who}, {len(self._calls)} calls>"

    @property
    def busy(self) -> bool:
        """Whether there are calls that somebody still serves."""
        return bool(self._calls)

    @property
    def saying(self) -> bool:
        """Whether the peer hasn't got all that was said to it."""
        match self.phase:
            case Phase.OPEN:
                # Of calls that are over streams are left until they have said all.
                unsaid = self.engine.open_streams > len(self._calls) or self.engine.wants_write
                return unsaid or self._socket.unsent
            case Phase.ENDING:
                return self._socket.unsent
        return False

    # the handshake

    def _shake(self) -> None:
        if not self._host.may_shake():
            # What has come stays where it is, and is heard of again in the next turn.
            return
        # What follows the handshake is TLS's already, and waits there for no bounds of ours.
        came = self._socket.read(RECORD_BYTES)
        if came is None:
            return
        if not self._began and came[0] != _HANDSHAKE_RECORD:
            self._host.complain("PLAINTEXT_ON_TLS: somebody speaks without TLS to a port of TLS")
            self.close()
            return
        self._began = True
        try:
            done = self._pipe.shake(came)
        except ssl.SSLError as error:
            self._broken("a TLS handshake failed", error)
            return
        self._socket.send(self._pipe.to_send)
        if done and self.phase is Phase.SHAKING:
            self._shaken()

    def _shaken(self) -> None:
        """Who it is decides what is served: all, or nothing but refusals."""
        self.phase = Phase.OPEN
        try:
            self.peer = self._host.admitted(verified_leaf(self._pipe.connection))
            self._host.opened(self, self.peer)
        except EaisError as error:
            # Its time goes on: it may ask, and be told.
            self._refusal = error
        else:
            self._be_patient()
        host, limits = self._host, REFUSED_LIMITS if self._refusal else SERVER_LIMITS
        self.engine = Engine(Role.SERVER, limits, most=host.message_bytes, among=host.unfinished)
        self.engine.begin(time.monotonic())
        self._retime()
        self._socket.on_readable(self._readable)
        self._received(b"")

    def _broken(self, what: str, error: ssl.SSLError) -> None:
        whys = (getattr(error, name, None) for name in ("verify_message", "reason", "strerror"))
        self._host.complain(f"{what}: {next(filter(None, whys), 'it was broken off')}")
        self._socket.send(self._pipe.to_send)
        self.close()

    def _be_patient(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_slow(self) -> None:
        self._patience = None
        if self.phase is Phase.OPEN:
            self.drain()
            self._end_within(_LINGER_S)
            return
        self._host.complain(f"a handshake wasn't done within {self._host.handshake_s:g} s")
        self.close()

    # reading

    def _readable(self) -> None:
        came = self._socket.read()
        if came is not None:
            self._host.lookout.heard()
            self._received(came)
            self._host.lookout.said()

    def _received(self, came: Buffer) -> None:
        try:
            self._act(self._pipe.received(came))
            if self._owed.pending:
                self._settle()
        except ssl.SSLError as error:
            self._broken(f"{self._whose} broke", error)
        except Exception:
            # The edge of the process: whatever one peer sends, the others are served.
            log.exception("BUG: %s is closed", self._whose)
            self.close()
        if self._pipe.ended:
            self.close()

    def _settle(self) -> None:
        """Have TLS answer what it was asked, where nothing else was said that carries it."""
        self._pipe.check()
        if not self._socket.full:
            self._socket.send(self._pipe.to_send)

    def _act(self, data: Buffer) -> None:
        calls, restless = self._calls, self._restless
        # Nobody needs to be called soon for what is done before this returns.
        self._scheduled = True
        for event in self.engine.receive(data, time.monotonic()):
            if type(event) is Message:
                call = calls.get(event.stream)
                if call is not None:
                    call.message(event.data)
                    restless[call] = None
            else:
                self._on(event)
        self._pump()

    def _on(self, event: Event) -> None:
        match event:
            case Called():
                self._called(event)
            case Ended(stream):
                call = self._calls.get(stream)
                if call is not None:
                    call.half_closed()
                    self._restless[call] = None
            case Ready(stream):
                call = self._calls.get(stream)
                if call is not None:
                    self._restless[call] = None
            case Reset(stream):
                call = self._calls.pop(stream, None)
                if call is not None:
                    self._restless.pop(call, None)
                    call.left()
            case Stalled(stream):
                self._stalled(stream)
            case Failed(error):
                self._host.complain(f"{self._whose} ended: {error.message}")
                self._end_within(_LINGER_S)

    def _stalled(self, stream: int) -> None:
        call = self._calls.pop(stream, None)
        if call is not None:
            self._restless.pop(call, None)
            call.left()
        text = f"nothing of an answer was taken for {SLOW_CONSUMER_S:g} s"
        self._finish(stream, make_error("SLOW_CONSUMER", text))

    @property
    def _whose(self) -> str:
        return f"the connection of {self.peer.identity.uri}" if self.peer else "a connection"

    def _called(self, event: Called) -> None:
        guard = self._host.guards.get(event.path)
        if self._refusal is not None:
            error = self._refusal if guard is None else guard.judge(self._refusal)
            self._finish(event.stream, error)
        elif guard is None:
            self.engine.finish(event.stream, codes.UNIMPLEMENTED, "Method not found!")
        elif self.peer is not None:
            self._begin(event, guard, Contact(self.peer, event.timeout_s))
            self._retime()

    def _begin(self, event: Called, guard: Guard, contact: Contact) -> None:
        try:
            self._calls[event.stream] = maker_of(guard)(self, event.stream, guard, contact)
        except EaisError as error:
            self._finish(event.stream, error)

    # what calls ask

    def ask_again(self, call: Call) -> None:
        """See `eais.transport.h2_calls.Line`."""
        self._restless[call] = None
        self._soon()

    def finished(self, call: Call, error: EaisError | None) -> None:
        """See `eais.transport.h2_calls.Line`."""
        if self._calls.pop(call.stream, None) is not None:
            self._restless.pop(call, None)
            self._finish(call.stream, error)
            self._soon()

    def _finish(self, stream: int, error: EaisError | None) -> None:
        if error is None:
            self.engine.finish(stream, codes.OK)
            return
        status = status_code(error).value[0]
        details = ((DETAILS_KEY, status_details(error)),)
        self.engine.finish(stream, status, clip(str(error)), details, at_once=True)

    def _soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._host.loop.call_soon(self._pump)

    # writing

    def _pump(self) -> None:
        """Have calls hand over what they have, and write what the socket takes, within bounds."""
        self._scheduled = False
        written = 0
        while not self._socket.full and self.phase is Phase.OPEN:
            if self._restless:
                self._go_on()
            if not self.engine.wants_write:
                self._written()
                return
            if written >= WRITE_BYTES:
                self._socket.write_later()
                return
            said = self._pipe.say(self.engine.output(WRITE_BYTES))
            written += len(said)
            self._socket.send(said)

    def _go_on(self) -> None:
        calls = list(self._restless)
        self._restless.clear()
        for call in calls:
            if not call.go_on() and self._calls.get(call.stream) is call:
                self._restless[call] = None
        if self._restless:
            self._retime()

    def _written(self) -> None:
        """Nothing is left to be written now."""
        if self._draining and not self.engine.open_streams:
            self._say_end()

    # time

    def _retime(self) -> None:
        """Be called when the engine has something to do."""
        due_s = self.engine.next_tick_s
        if self._timer is not None:
            if self._due_s <= due_s:
                return
            self._timer.cancel()
        self._due_s = due_s
        self._timer = self._host.loop.call_later(max(0.0, due_s - time.monotonic()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        for event in self.engine.tick(time.monotonic()):
            self._on(event)
        self._pump()
        if self.phase is Phase.OPEN and not self.engine.over:
            self._retime()

    # the end

    def drain(self) -> None:
        """Take no new calls, and end with the last of those that are here."""
        if self.phase is Phase.SHAKING:
            self.close()
        elif self.phase is Phase.OPEN:
            self._draining = True
            self.engine.go_away()
            self._soon()

    def _end_within(self, time_s: float) -> None:
        """End when all is written, or the time is up."""
        self._draining = True
        if self._patience is None:
            self._patience = self._host.loop.call_later(time_s, self.close)

    def _say_end(self) -> None:
        """Say that nothing follows, and wait a little for the peer to have heard it."""
        self._socket.send(self._pipe.say_end())
        if self.phase is Phase.CLOSED:
            return
        self.phase = Phase.ENDING
        self._socket.say_end()
        self._socket.on_readable(self._hear_out)
        if self._patience is None:
            self._linger()

    def _linger(self) -> None:
        # A peer that takes nothing more the kernel gives up by itself: see TCP_USER_TIMEOUT.
        end = self._linger if self._socket.unsent else self.close
        self._patience = self._host.loop.call_later(_LINGER_S, end)

    def _hear_out(self) -> None:
        self._socket.read()

    def close(self) -> None:
        """End at once; calls that aren't over are so now."""
        if self.phase is Phase.CLOSED:
            return
        if self.phase is not Phase.SHAKING:
            self.engine.gone()
        self.phase = Phase.CLOSED
        for timer in (self._timer, self._patience):
            if timer is not None:
                timer.cancel()
        for call in list(self._calls.values()):
            call.left()
        self._calls.clear()
        self._restless.clear()
        self._socket.close()
        self._host.closed(self)
