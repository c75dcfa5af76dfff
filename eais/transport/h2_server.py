"""gRPC over our own HTTP/2 engine on an asyncio event loop: the server's socket, and its bounds.

It serves the same `Binding`s behind the same guard as `eais.rpc.server` does by grpc.aio. What
strangers can hold is bounded: handshakes at once and their time, connections of all and of each.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from eais.channel import HANDSHAKE_TIMEOUT_MS, SERVER_KEEPALIVE
from eais.errors import IdentityError, make_error
from eais.identity import Identity, Peer, peer_of_leaf
from eais.rpc.caller import Caller
from eais.rpc.guard import Binding
from eais.rpc.places import PUSH_BACK_MS
from eais.rpc.server import guards
from eais.telemetry.metrics import Tally
from eais.tls import Bundle
from eais.transport.h2_calls import REQUEST_BYTES, maker_of
from eais.transport.h2_connection import Connection
from eais.transport.h2_host import Host
from eais.transport.lookout import Lookout
from eais.transport.tls_context import server_context

log = logging.getLogger(__name__)

_BACKLOG: Final = 128
# Accepted in one turn of the event loop, there being calls to be answered.
_ACCEPTED_AT_ONCE: Final = 16
# Steps of handshakes in one turn: each takes up to a millisecond.
_SHAKES_AT_ONCE: Final = 4
# Without descriptors or memory for one more: how long nobody is accepted.
_ACCEPT_PAUSE_S: Final = 0.5
_NO_ROOM: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
# What the kernel holds that it has not sent: more would make small answers wait behind it.
_NOT_SENT_BYTES: Final = 256 << 10
# How often it is looked whether all was said, when a server stops.
_LOOK_S: Final = 0.02
_COMPLAIN_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections a server has at once.

    Attributes:
        outside: that shake hands, or are to be refused; beyond, the oldest is closed.
        all: that were let in; beyond, new ones are closed.
        each: of one identity; beyond, a new one's calls are refused.
        handshake_s: how long a client may take for its own.
        last_words_s: how long one may take to end a connection after we did, when all stop.
    """

    outside: int = 256
    all: int = 1024
    each: int = 256
    handshake_s: float = HANDSHAKE_TIMEOUT_MS / 1000
    last_words_s: float = 0.5


def _always() -> bool:
    return True


class H2Server:
    """Serves `bindings` to peers of `pool` alone. All on the event loop.

    Args:
        bundle: the leaf that is shown.
        tally: told how calls ended, as (service, verb, reason).
        admit: raises EaisError for callers for whom there is nothing here: they are
            answered so, whatever they call, and their connection ends after `handshake_s`.
        quiet: whether nothing runs in this process that needs the processor while the next
            message is looked out for.

    Raises:
        TypeError: a binding of a shape that isn't served here.
        IdentityError: the bundle can't be used.
    """

    def __init__(
        self,
        pool: str,
        bindings: Iterable[Binding],
        bundle: Bundle,
        tally: Tally | None = None,
        admit: Callable[[Caller], None] | None = None,
        limits: ConnectionLimits | None = None,
        quiet: Callable[[], bool] = _always,
    ) -> None:
        self._pool = pool
        self._limits = limits or ConnectionLimits()
        self._admit = admit
        self._context = server_context(bundle)
        self._guards = {guard.verb.path: guard for guard in guards(pool, bindings, tally)}
        for guard in self._guards.values():
            maker_of(guard)
        self._roles = frozenset().union(*(guard.verb.roles for guard in self._guards.values()))
        self._loop = asyncio.get_running_loop()
        self._host = Host(
            self._loop,
            self._guards,
            self._admitted,
            self._opened,
            self._closed,
            _Turns(self._loop).take,
            Lookout(self._loop, quiet),
            _Complaints().say,
            self._limits.handshake_s,
            {path: REQUEST_BYTES for path, guard in self._guards.items() if not guard.raw},
        )
        self._listening: socket.socket | None = None
        self._connections: dict[Connection, Identity | None] = {}
        # Of them, those that weren't let in: they shake hands, or are about to be refused.
        self._outside: dict[Connection, None] = {}
        self._of: Counter[Identity] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def connections(self) -> int:
        """Clients' connections, those that still shake hands too."""
        return len(self._connections)

    def bind(self, address: str, port: int) -> int:
        """Listen at an IP address; the port, which the kernel chooses for 0.

        Raises:
            OSError: it is taken, or isn't this host's.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setblocking(False)
            listening.bind((address, port))
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
        self._listening = listening
        self._loop.add_reader(listening.fileno(), self._accept)
        return int(listening.getsockname()[1])

    def renew(self, bundle: Bundle) -> None:
        """Show another leaf, and trust its CAs, from the next handshake on.

        Raises:
            IdentityError: it can't be used; the old one stays.
        """
        self._context = server_context(bundle)

    async def stop(self, grace_s: float, words_s: float = 0.0) -> None:
        """Take no more connections and calls, and end all of them.

        Args:
            grace_s: what calls have until they are ended.
            words_s: what there is then for peers to take what they were answered. Nobody waits
                if they have it all.
        """
        self._close_listening()
        for connection in list(self._connections):
            connection.drain()
        if await self._emptied(grace_s):
            return
        await self._say_all(words_s)
        # Those that are left have said all, and wait for their peers to have heard it.
        if not await self._emptied(self._limits.last_words_s):
            for connection in list(self._connections):
                connection.close()

    async def _say_all(self, within_s: float) -> None:
        """End what is still served; the last answers go out, if the time is enough for them."""
        until_s = self._loop.time() + within_s
        while (left_s := until_s - self._loop.time()) > 0 and self._end_busy(even_saying=False):
            await self._emptied(min(left_s, _LOOK_S))
        self._end_busy(even_saying=True)

    def _end_busy(self, *, even_saying: bool) -> bool:
        """Close connections with calls that are served; whether some have something to say."""
        saying = False
        for connection in list(self._connections):
            says = connection.saying
            if connection.busy and (even_saying or not says):
                connection.close()
            saying = saying or says
        return saying

    async def _emptied(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def _close_listening(self) -> None:
        if self._listening is not None:
            self._loop.remove_reader(self._listening.fileno())
            self._listening.close()
            self._listening = None

    # accepting

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if self._listening is None:
                return
            try:
                sock, _ = self._listening.accept()
            except OSError as error:
                self._not_accepted(error)
                return
            self._connect(sock)

    def _not_accepted(self, error: OSError) -> None:
        if error.errno in _NO_ROOM and self._listening is not None:
            log.error("no client can be accepted: %s", error.strerror)
            self._loop.remove_reader(self._listening.fileno())
            self._loop.call_later(_ACCEPT_PAUSE_S, self._accept_again)

    def _accept_again(self) -> None:
        if self._listening is not None:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def _connect(self, sock: socket.socket) -> None:
        if len(self._connections) - len(self._outside) >= self._limits.all:
            self._host.complain(f"there are {self._limits.all} connections: no more is taken")
            sock.close()
            return
        try:
            _tune(sock)
        except OSError:
            # It was gone before it was looked at.
            sock.close()
            return
        connection = Connection(self._host, sock, self._context)
        self._connections[connection] = None
        self._outside[connection] = None
        self._empty.clear()
        if len(self._outside) > self._limits.outside:
            self._host.complain(
                f"more than {self._limits.outside} handshakes at once: the oldest ends"
            )
            next(iter(self._outside)).close()

    # what connections ask

    def _admitted(self, leaf: bytes) -> Peer:
        peer = peer_of_leaf(leaf, self._pool)
        role = peer.identity.role
        if role not in self._roles:
            raise IdentityError("PERMISSION_DENIED", f"a {role.value} may not call anything here")
        if self._admit is not None:
            self._admit(Caller(peer.identity, None, peer.leaf_end))
        return peer

    def _opened(self, connection: Connection, peer: Peer) -> None:
        identity = peer.identity
        if self._of[identity] >= self._limits.each:
            about = {"push_back_ms": str(PUSH_BACK_MS), "limit": str(self._limits.each)}
            text = f"this caller has {self._limits.each} connections"
            raise make_error("BUSY", text, metadata=about)
        self._of[identity] += 1
        self._connections[connection] = identity
        del self._outside[connection]

    def _closed(self, connection: Connection) -> None:
        identity = self._connections.pop(connection)
        self._outside.pop(connection, None)
        if identity is not None:
            self._of[identity] -= 1
            if not self._of[identity]:
                del self._of[identity]
        if not self._connections:
            self._empty.set()


class _Turns:
    """Steps of handshakes, so many in each turn of the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left = _SHAKES_AT_ONCE

    def take(self) -> bool:
        if self._left == _SHAKES_AT_ONCE:
            self._loop.call_soon(self._again)
        self._left -= 1
        return self._left >= 0

    def _again(self) -> None:
        self._left = _SHAKES_AT_ONCE


class _Complaints:
    """Lines in the log for what anybody can bring about: one a second."""

    def __init__(self) -> None:
        self._next_s = 0.0
        self._unsaid = 0

    def say(self, text: str) -> None:
        now_s = time.monotonic()
        if now_s < self._next_s:
            self._unsaid += 1
            return
        log.warning("%s%s", text, f" (and {self._unsaid} unsaid)" if self._unsaid else "")
        self._next_s, self._unsaid = now_s + _COMPLAIN_EVERY_S, 0


def _tune(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A peer that takes no more of what was sent: a ping would wait behind it.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SERVER_KEEPALIVE.wait_ms)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT_BYTES)
