"""Channels to the pool's servers, made with this front-end's identity.

The far end can't say why it refused a certificate, so the identity is checked here
before anything is dialled. A channel keeps the leaf it was made with: when the file has
a newer one, the next channel asked for is a new one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from eais import channel as tuning
from eais.deadline import NEVER, Deadline
from eais.errors import IdentityError, UsageError
from eais.rpc import client
from eais.rpc.hello import check_version, hello
from eais.rpc.v1 import common_pb2
from eais.rpc.verbs import Verb
from eais.tls import Bundle, LeafFile, check_validity, client_credentials
from eais_client.instances import Address

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)
Greet = Verb[common_pb2.Hello, common_pb2.HelloReply]

SOFTWARE = "eais-client"
_NO_IDENTITY_HINT = "`eais pool up` makes one on this machine; EAIS_CONTEXT chooses among contexts"


def utc_now() -> datetime:
    """The wall clock, which certificates are judged by."""
    return datetime.now(UTC)


class Dialer:
    """Makes channels with the identity in one file, reading it again when it changed."""

    def __init__(self, leaf: LeafFile, wall: Callable[[], datetime] = utc_now) -> None:
        self._leaf = leaf
        self._wall = wall

    def bundle(self) -> Bundle:
        """The identity now, found to be usable.

        Raises `IdentityError` CERT_MISSING, CERT_EXPIRED, CERT_NOT_YET_VALID,
        CERT_KEY_MISMATCH, ... as `eais.tls`.
        """
        try:
            bundle = self._leaf.current()
        except IdentityError as error:
            error.hint = error.hint or _NO_IDENTITY_HINT
            raise
        check_validity(bundle, self._wall())
        return bundle

    def dial(self, address: Address) -> grpc.Channel:
        """A new channel of its own; the caller closes it. Raises `IdentityError`."""
        return _dial(address, self.bundle())


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


def _dial(address: Address, bundle: Bundle) -> grpc.Channel:
    check_process()
    if not _dialled_by:
        _dialled_by.append(os.getpid())
    options = tuning.client_options(address.server_name)
    return grpc.secure_channel(address.target, client_credentials(bundle), options)


class Peer:
    """A server whose unary and upload verbs are called; safe from any thread.

    The service's Greet is the first call on each channel; `timeout_s` is for both.
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
        self._held: tuple[Bundle, grpc.Channel] | None = None
        self._greeted: grpc.Channel | None = None

    def call(self, verb: Verb[Req, Rep], request: Req, timeout_s: float | None) -> Rep:
        """Call a unary verb; every failure is an `EaisError`."""
        until = self._until(timeout_s)
        channel, left_s = self._ready(until), self._left_s(until)
        return client.call(channel, verb, request, timeout_s=left_s, unreachable=self.unreachable)

    def upload(self, verb: Verb[Req, Rep], requests: Iterable[Req], timeout_s: float | None) -> Rep:
        """Call an upload verb; every failure is an `EaisError`."""
        until = self._until(timeout_s)
        channel, left_s = self._ready(until), self._left_s(until)
        return client.upload(
            channel, verb, requests, timeout_s=left_s, unreachable=self.unreachable
        )

    def channel(self) -> grpc.Channel:
        """The channel in use, made with the newest leaf."""
        bundle = self._dialer.bundle()
        with self._lock:
            # A dropped channel ends with its last call; closing it would end them now.
            if self._held is None or self._held[0] != bundle:
                self._held = (bundle, _dial(self.address, bundle))
            return self._held[1]

    def close(self) -> None:
        """End the channel and what is under way on it."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held[1].close()

    def _until(self, timeout_s: float | None) -> Deadline:
        return NEVER if timeout_s is None else Deadline(self._clock() + timeout_s)

    def _left_s(self, until: Deadline) -> float | None:
        return until.left_or_none(self._clock())

    def _ready(self, until: Deadline) -> grpc.Channel:
        channel = self.channel()
        if self._greeted is not channel:
            reply = client.call(
                channel,
                self._greet,
                hello(SOFTWARE),
                timeout_s=self._left_s(until),
                unreachable=self.unreachable,
            )
            check_version(reply)
            self._greeted = channel
        return channel
