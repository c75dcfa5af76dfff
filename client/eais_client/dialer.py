"""Channels to the pool's servers, made with this front-end's identity.

The far end can't say why it refused a certificate, so the identity is checked here
before anything is dialled. A channel keeps the leaf it was made with: when the file has
a newer one, the next channel asked for is a new one.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from eais import channel as tuning
from eais.credentials import client_credentials
from eais.deadline import NEVER, Deadline
from eais.errors import DeadlineExceeded, IdentityError, Unavailable, UsageError
from eais.identity import Identity, Role
from eais.rpc import client
from eais.rpc.hello import check_version, hello
from eais.rpc.v1 import common_pb2
from eais.rpc.verbs import Verb
from eais.tls import Bundle, LeafFile, check_validity
from eais_client.context import enrolment_file
from eais_client.instances import Address

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)
Greet = Verb[common_pb2.Hello, common_pb2.HelloReply]

SOFTWARE = "eais-client"
# For a channel that is to take another's place: how long its greeting may take, and how long
# after a failure the next one is tried.
REPLACE_WITHIN_S = 2.0
REPLACE_AGAIN_S = 1.0

_NO_GRACE = timedelta(0)
_NO_IDENTITY_HINT = (
    "`eais pool up` makes one of this machine's pool, `eais join` of another's; "
    "EAIS_CONTEXT chooses among contexts"
)
_EXPIRED_HINT = "the manager of this machine's pool writes a new one while it runs: `eais pool up`"
_JOIN_HINT = (
    "it was away for too long: an operator's token joins it again, `eais join ADDR < token`"
)


def utc_now() -> datetime:
    """The wall clock, which certificates are judged by."""
    return datetime.now(UTC)


class Dialer:
    """Makes channels with the identity in one file, reading it again when it changed.

    `pool` and `role` are what the identity must be of: no server would say what is wrong.
    `revive` is called with an identity that has ended, and may put another in its place.
    """

    def __init__(
        self,
        leaf: LeafFile,
        pool: str,
        role: Role = Role.FRONTEND,
        wall: Callable[[], datetime] = utc_now,
        revive: Callable[[Bundle], None] | None = None,
    ) -> None:
        self._leaf = leaf
        self._pool = pool
        self._role = role
        self._wall = wall
        self._revive = revive

    def bundle(self) -> Bundle:
        """The identity now, found to be usable.

        Raises `IdentityError` CERT_MISSING, CERT_EXPIRED, CERT_NOT_YET_VALID,
        CERT_KEY_MISMATCH, ... as `eais.tls`; CERT_IDENTITY for another pool's or role's;
        POOL_UNREACHABLE if it has ended and nobody answers who could give the next one.
        """
        bundle = self.identity()
        if self._revive is not None and self._wall() > bundle.not_after:
            self._revive(bundle)
            bundle = self.identity()
        self._check_validity(bundle)
        return bundle

    def identity(self) -> Bundle:
        """The identity in the file, found to be the one that is meant, whatever its times.

        Raises `IdentityError` as `bundle`.
        """
        try:
            bundle = self._leaf.current()
        except IdentityError as error:
            error.hint = error.hint or _NO_IDENTITY_HINT
            raise
        self._check_name(bundle.identity)
        return bundle

    def _check_name(self, identity: Identity) -> None:
        if (identity.pool, identity.role) != (self._pool, self._role):
            text = f"{identity.uri} is not the identity of a {self._role} of pool {self._pool}"
            raise IdentityError("CERT_IDENTITY", text, hint=_NO_IDENTITY_HINT)

    def _check_validity(self, bundle: Bundle) -> None:
        try:
            # A server would refuse it, and couldn't say why.
            check_validity(bundle, self._wall(), _NO_GRACE)
        except IdentityError as error:
            if error.reason == "CERT_EXPIRED":
                joined = enrolment_file(self._leaf.path).exists()
                error.hint = _JOIN_HINT if joined else _EXPIRED_HINT
            raise

    def dial(self, address: Address) -> grpc.Channel:
        """A new channel of its own; the caller closes it. Raises `IdentityError`."""
        return dial_as(address, self.bundle())


# The process that made the first channel: gRPC works in none of its forked children.
_dialled_by: list[int] = []


def check_process() -> None:
    """Raise `UsageError` FORKED in a child forked from a process that had used the network."""
    if _dialled_by and _dialled_by[0] != os.getpid():
        raise forked()


def forked() -> UsageError:
    """The error of a process that uses what it inherited from the one it was forked from."""
    return UsageError(
        "FORKED",
        "this process was forked from one that used EAIS, which gRPC doesn't survive",
        hint='start it by multiprocessing\'s "spawn" or "forkserver", or fork before the '
        "first session",
    )


def dial_as(address: Address, bundle: Bundle) -> grpc.Channel:
    """A new channel that shows `bundle`; the caller closes it."""
    check_process()
    if not _dialled_by:
        _dialled_by.append(os.getpid())
    options = tuning.client_options(address.server_name)
    return grpc.secure_channel(address.target, client_credentials(bundle), options)


@dataclass(slots=True)
class _Line:
    """A channel, and the identity that it was made with."""

    bundle: Bundle
    channel: grpc.Channel
    greeted: bool = False
    retry_at: float = 0.0


class Peer:
    """A server whose unary and upload verbs are called; safe from any thread.

    The service's Greet is the first call on each channel; `timeout_s` is for both. When the
    identity was renewed a new channel is greeted before the old one is let go: while that
    can't be done, calls go on the old one.
    """

    def __init__(
        self,
        dialer: Dialer,
        address: Address,
        greet: Greet,
        unreachable: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._dialer = dialer
        self.address = address
        self._greet = greet
        self.unreachable = unreachable
        self._lock = threading.Lock()
        self._held: _Line | None = None
        self._next: _Line | None = None
        self.replaced = 0

    def call(self, verb: Verb[Req, Rep], request: Req, timeout_s: float | None) -> Rep:
        """Call a unary verb; every failure is an `EaisError`."""
        until = self._until(timeout_s)
        with self._no_stranger():
            channel, left_s = self._ready(until), self._left_s(until)
            return client.call(
                channel, verb, request, timeout_s=left_s, unreachable=self.unreachable
            )

    def ask(self, verb: Verb[Req, Rep], request: Req, timeout_s: float | None) -> Rep:
        """The answer to a question; who keeps silent is away: it is no caller's deadline."""
        try:
            return self.call(verb, request, timeout_s)
        except DeadlineExceeded:
            text = f"no answer in {timeout_s or 0:.3g} s"
            raise Unavailable(self.unreachable, text) from None

    def upload(self, verb: Verb[Req, Rep], requests: Iterable[Req], timeout_s: float | None) -> Rep:
        """Call an upload verb; every failure is an `EaisError`."""
        until = self._until(timeout_s)
        with self._no_stranger():
            channel, left_s = self._ready(until), self._left_s(until)
            return client.upload(
                channel, verb, requests, timeout_s=left_s, unreachable=self.unreachable
            )

    def channel(self) -> grpc.Channel:
        """The channel made with the newest identity."""
        return self._newest().channel

    def close(self) -> None:
        """End the channels and what is under way on them."""
        with self._lock:
            lines = [line for line in (self._held, self._next) if line is not None]
            self._held = self._next = None
        for line in lines:
            line.channel.close()

    @contextlib.contextmanager
    def _no_stranger(self) -> Iterator[None]:
        """Leave a server that isn't the one meant: a channel would dial it again and again."""
        try:
            yield
        except IdentityError as error:
            if error.reason == "SERVER_UNTRUSTED":
                with self._lock:
                    # Dropped, it ends; closed, it would make other threads' calls fail otherwise.
                    self._held = self._next = None
            raise

    def _until(self, timeout_s: float | None) -> Deadline:
        return NEVER if timeout_s is None else Deadline(self._clock() + timeout_s)

    def _left_s(self, until: Deadline) -> float | None:
        return until.left_or_none(self._clock())

    def _newest(self) -> _Line:
        bundle = self._dialer.bundle()
        with self._lock:
            for line in (self._next, self._held):
                if line is not None and line.bundle == bundle:
                    return line
            made = _Line(bundle, dial_as(self.address, bundle))
            if self._held is None:
                self._held = made
            else:
                self._next = made
            return made

    def _ready(self, until: Deadline) -> grpc.Channel:
        """A channel that was greeted: the newest if that can be, else the one in use."""
        line = self._newest()
        if line.greeted:
            return line.channel
        with self._lock:
            held = self._held
        if held is None or not held.greeted:
            self._greet_on(line, until)
        elif line.retry_at > self._clock() or not self._could_greet(line, until):
            return held.channel
        self._take(line)
        return line.channel

    def _could_greet(self, line: _Line, until: Deadline) -> bool:
        """Greet on a channel that is to take the place of one that serves."""
        now = self._clock()
        try:
            self._greet_on(line, until.earlier(Deadline(now + REPLACE_WITHIN_S)))
        except (Unavailable, DeadlineExceeded, IdentityError):
            line.retry_at = now + REPLACE_AGAIN_S
            return False
        return True

    def _greet_on(self, line: _Line, until: Deadline) -> None:
        left_s = self._left_s(until)
        reply = client.call(
            line.channel,
            self._greet,
            hello(SOFTWARE),
            timeout_s=left_s,
            unreachable=self.unreachable,
        )
        check_version(reply)
        line.greeted = True

    def _take(self, line: _Line) -> None:
        with self._lock:
            if self._next is line:
                # A dropped channel ends with its last call; closing it would end them now.
                self._held, self._next = line, None
                self.replaced += 1
