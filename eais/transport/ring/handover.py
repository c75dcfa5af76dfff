"""How a ring gets from the worker, which makes it, to the client: over a unix socket, once.

The worker's offer, on the authenticated stream, names the socket and a nonce of two halves. The
client says the first there, and the worker answers with the second and the descriptors. So each
knows whom it talks with, though any process of the host may connect.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from eais.rpc.v1 import worker_pb2
from eais.transport.ring.bell import make_bell, require_bell
from eais.transport.ring.end import Descriptors, RingEnd
from eais.transport.ring.layout import RingBroken
from eais.transport.ring.memory import AREA_BYTES, KEEPS_ORDER, make_memory

HANDOVER_TIMEOUT_S: Final = 5.0
HALF_BYTES: Final = 16
"""Of a nonce, the half that each side says."""

_REPLY_BYTES: Final = HALF_BYTES + 1
_CREDENTIALS: Final = struct.Struct("3i")
_FD: Final = struct.Struct("i")


class NoRing(Exception):
    """No ring was agreed upon; the text says why, for people."""


class Peer(NamedTuple):
    """Who is at the other end of a unix socket, as the kernel says.

    `pid` is 0 where the process can't be seen from here.
    """

    pid: int
    uid: int


def peer_of(sock: socket.socket) -> Peer:
    """Who connected, or who listens."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _gid = _CREDENTIALS.unpack(data)
    return Peer(pid, uid)


def listening_socket() -> socket.socket:
    """An abstract unix socket of a name that can't be guessed; OSError if there is none."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.bind(f"\0eais-ring-{secrets.token_hex(16)}")
        sock.listen(64)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


@dataclass(frozen=True, slots=True)
class Pair:
    """A ring that was just made: this process's end, and the descriptors of the other.

    `others` are `incoming`, `outgoing`, `own_bell`, `other_bell` as the other end sees them.
    """

    end: RingEnd
    others: Descriptors

    def handed_over(self) -> None:
        """The other end has its descriptors: close these."""
        _close(self.others)


def make_pair(*, may_spin: bool, area: int = AREA_BYTES) -> Pair:
    """Make both directions.

    Raises:
        OSError: no memory or descriptors are left.
        NoRing: this machine can't.
    """
    if not KEEPS_ORDER:
        raise NoRing("rings need a processor that keeps the order of stores (x86-64)")
    memory = partial(make_memory, area)
    made = _all_of([memory, memory, make_bell, make_bell])
    others = Descriptors(made[1], made[0], made[3], made[2])
    try:
        own = Descriptors(*_all_of([partial(os.dup, fd) for fd in made]))
        return Pair(RingEnd(own, may_spin=may_spin), others)
    except BaseException:
        _close(made)
        raise


def _all_of(makers: Sequence[Callable[[], int]]) -> list[int]:
    """A descriptor of each, or of none."""
    made: list[int] = []
    try:
        for make in makers:
            made.append(make())
    except BaseException:
        _close(made)
        raise
    return made


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def hand_over(sock: socket.socket, proof: bytes, pair: Pair, *, may_spin: bool) -> None:
    """Answer a client that said its half; OSError if it is gone.

    `proof`: the worker's half.
    """
    reply = proof + bytes([may_spin])
    socket.send_fds(sock, [reply], list(pair.others))


def take_over(
    offer: worker_pb2.RingOffer,
    trusts: Callable[[Peer], bool],
    timeout_s: float = HANDOVER_TIMEOUT_S,
) -> RingEnd:
    """The client's end of what the worker offers; blocks.

    Args:
        trusts: whether a ring may be shared with who listens there.
        timeout_s: of each step.

    Raises:
        NoRing: it isn't on this host, isn't trusted, or what it gives is no ring; or this process
            has no descriptors left.
    """
    if not KEEPS_ORDER:
        raise NoRing("rings need a processor that keeps the order of stores (x86-64)")
    if len(offer.nonce) != 2 * HALF_BYTES:
        raise NoRing("the worker's offer isn't one that this version understands")
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise NoRing(f"this process can't open a socket: {error.strerror}") from None
    with sock:
        sock.settimeout(timeout_s)
        try:
            sock.connect("\0" + offer.socket)
        except (OSError, ValueError):
            raise NoRing("the worker isn't on this host, or in another network namespace") from None
        if not trusts(peer_of(sock)):
            raise NoRing("the worker belongs to another user, and the instance's policy isn't on")
        return _taken(sock, offer.nonce)


def _taken(sock: socket.socket, nonce: bytes) -> RingEnd:
    try:
        sock.sendall(nonce[:HALF_BYTES])
        data, fds = _received(sock)
    except OSError as error:
        why = error.strerror or "no answer in time"
        raise NoRing(f"the handover broke off: {why}") from None
    try:
        given = _checked(data, fds, nonce)
    except RingBroken as error:
        _close(fds)
        raise NoRing(f"the worker handed over no ring: {error}") from None
    try:
        return RingEnd(given, may_spin=bool(data[-1]))
    except (RingBroken, OSError) as error:
        raise NoRing(f"the worker handed over no ring: {error}") from None


def _received(sock: socket.socket) -> tuple[bytes, list[int]]:
    """The reply and what came with it; not `socket.recv_fds`, which loses the flag (3.11)."""
    room = socket.CMSG_LEN(len(Descriptors._fields) * _FD.size)
    data, ancillary, *_ = sock.recvmsg(_REPLY_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    fds = []
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            whole = content[: len(content) - len(content) % _FD.size]
            fds += [fd for (fd,) in _FD.iter_unpack(whole)]
    return data, fds


def _checked(data: bytes, fds: Sequence[int], nonce: bytes) -> Descriptors:
    if not data:
        raise RingBroken("it refused")
    if len(data) != _REPLY_BYTES or len(fds) != len(Descriptors._fields):
        raise RingBroken("something else came")
    if not secrets.compare_digest(data[:HALF_BYTES], nonce[HALF_BYTES:]):
        raise RingBroken("it doesn't know the other half of the nonce")
    given = Descriptors(*fds)
    require_bell(given.own_bell)
    require_bell(given.other_bell)
    return given
