"""Where a worker hands rings over to clients of its own host."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
import socket
from collections.abc import Callable
from typing import Final

from eais.instance_policy import RingPolicy
from eais.rpc.v1 import worker_pb2
from eais.transport.ring.end import RingEnd
from eais.transport.ring.handover import (
    HALF_BYTES,
    HANDOVER_TIMEOUT_S,
    NoRing,
    Pair,
    Peer,
    hand_over,
    make_pair,
    peer_of,
)
from eais.transport.ring.memory import KEEPS_ORDER

log = logging.getLogger(__name__)

MAX_RINGS: Final = 64
"""At once, those that are offered too: each may take `AREA_BYTES` of memory twice."""
MAX_CALLERS: Final = 16
"""Processes of the host that have connected and said nothing yet."""

# Without room for one more client: how long nobody is accepted.
_ACCEPT_PAUSE_S: Final = 0.5
_NO_ROOM: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

Take = Callable[[RingEnd], None]


class RingDoor:
    """Offers rings, and hands each over to whoever says its nonce. All on the event loop.

    Args:
        listening: an abstract unix socket that the listener made, since a confined worker can't
            make any; None: no ring is ever offered.
        policy: for whom rings are.
        timeout_s: how long an offer is good, and how long who connected may say nothing.
    """

    def __init__(
        self,
        listening: socket.socket | None,
        policy: RingPolicy,
        timeout_s: float = HANDOVER_TIMEOUT_S,
    ) -> None:
        self._listening = listening
        self._policy = policy
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        # Half of a nonce -> the other, who gets the ring, and the end of the offer.
        self._offers: dict[bytes, tuple[bytes, Take, asyncio.TimerHandle]] = {}
        self._callers: dict[socket.socket, asyncio.TimerHandle] = {}
        self._rings = 0
        # There was no descriptor or memory for one more.
        self._pausing = False

    @property
    def rings(self) -> int:
        """How many are offered, or in use."""
        return self._rings

    def offer(self, take: Take) -> worker_pb2.RingOffer | None:
        """Offer a ring, whose end `take` gets when the client came for it; None: there is none.

        `gone` must be called when it isn't used any more.
        """
        listening = self._listening
        if listening is None or self._policy is RingPolicy.OFF or not KEEPS_ORDER:
            return None
        if self._rings >= MAX_RINGS:
            log.warning("%s clients have a ring: there is none for the next", self._rings)
            return None
        nonce = secrets.token_bytes(2 * HALF_BYTES)
        said, proof = nonce[:HALF_BYTES], nonce[HALF_BYTES:]
        expiry = self._loop.call_later(self._timeout_s, self._expire, said)
        self._offers[said] = proof, take, expiry
        if len(self._offers) == 1:
            self._accept_again()
        self._rings += 1
        name = listening.getsockname()
        return worker_pb2.RingOffer(socket=bytes(name)[1:].decode(), nonce=nonce)

    def withdraw(self, offer: worker_pb2.RingOffer) -> None:
        """Its client is gone: nobody may come for it."""
        self._expire(offer.nonce[:HALF_BYTES])

    def gone(self) -> None:
        """A ring that was taken is not in use any more."""
        self._rings -= 1

    def close(self) -> None:
        """Hand nothing over any more."""
        for said in list(self._offers):
            self._expire(said)
        for sock in list(self._callers):
            self._send_away(sock)
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def _expire(self, said: bytes) -> None:
        found = self._offers.pop(said, None)
        if found is not None:
            found[2].cancel()
            self._rings -= 1
            self._stop_accepting()

    def _stop_accepting(self) -> None:
        # While nothing is offered whoever connects may wait.
        if not self._offers and self._listening is not None:
            self._loop.remove_reader(self._listening.fileno())

    def _accept(self) -> None:
        if self._listening is None:
            return
        try:
            sock, _ = self._listening.accept()
        except OSError as error:
            self._not_accepted(error)
            return
        sock.setblocking(False)
        if len(self._callers) >= MAX_CALLERS or not self._may_come(peer_of(sock)):
            sock.close()
            return
        self._callers[sock] = self._loop.call_later(self._timeout_s, self._send_away, sock)
        self._loop.add_reader(sock.fileno(), self._said, sock)

    def _not_accepted(self, error: OSError) -> None:
        # Who is gone already is no matter; who can't be taken would be there again at once.
        if error.errno in _NO_ROOM and self._listening is not None:
            log.error("no client can come for its ring: %s", error.strerror)
            self._pausing = True
            self._loop.remove_reader(self._listening.fileno())
            self._loop.call_later(_ACCEPT_PAUSE_S, self._pause_ends)

    def _pause_ends(self) -> None:
        self._pausing = False
        self._accept_again()

    def _accept_again(self) -> None:
        if self._offers and self._listening is not None and not self._pausing:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def _may_come(self, peer: Peer) -> bool:
        if self._policy is RingPolicy.ON or peer.uid == os.geteuid():
            return True
        log.info("a client of user %s asked for a ring, which the policy keeps for ours", peer.uid)
        return False

    def _send_away(self, sock: socket.socket) -> None:
        self._callers.pop(sock).cancel()
        self._loop.remove_reader(sock.fileno())
        sock.close()

    def _said(self, sock: socket.socket) -> None:
        """Somebody said something: once, and then it is over."""
        try:
            said = sock.recv(HALF_BYTES)
            found = self._offers.pop(said, None)
            if found is not None:
                proof, take, expiry = found
                expiry.cancel()
                self._stop_accepting()
                self._hand_over(sock, proof, take)
        except OSError as error:
            log.info("who asked for a ring is gone: %s", error.strerror)
        finally:
            self._send_away(sock)

    def _hand_over(self, sock: socket.socket, proof: bytes, take: Take) -> None:
        may_spin = processors(peer_of(sock)) > 1
        try:
            pair = make_pair(may_spin=may_spin)
        except (OSError, NoRing) as error:
            log.warning("no ring can be made: %s", error)
            self._rings -= 1
            return
        if _given(sock, proof, pair, may_spin=may_spin):
            take(pair.end)
        else:
            self._rings -= 1


def _given(sock: socket.socket, proof: bytes, pair: Pair, *, may_spin: bool) -> bool:
    try:
        hand_over(sock, proof, pair, may_spin=may_spin)
    except OSError as error:
        log.info("who asked for a ring is gone: %s", error.strerror)
        pair.end.close()
        return False
    finally:
        pair.handed_over()
    return True


def processors(peer: Peer) -> int:
    """On how many processors this process and `peer` may run."""
    own = os.sched_getaffinity(0)
    try:
        return len(own | os.sched_getaffinity(peer.pid)) if peer.pid > 0 else len(own)
    except OSError:
        return len(own)
