"""The pool manager as it is called: what is sent again, and with which identity.

Every changing verb carries an `op_id` made once a call, so that it can be sent again after
a lost answer: the pool then gives the stored one. It is sent again only while nobody
answers (POOL_UNREACHABLE, JOURNAL_UNAVAILABLE), until the caller's deadline or `patience_s`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from typing import Protocol, Self, TypeVar

from google.protobuf.message import Message

from eais.backoff import RETRY, Rng
from eais.deadline import Deadline, current
from eais.errors import EaisError
from eais.jitter import JITTER
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais.rpc.verbs import Verb
from eais_client import renewal
from eais_client.context import Context
from eais_client.dialer import Dialer, Peer
from eais_client.instances import Instance
from eais_client.own_identity import OwnIdentity

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)

PATIENCE_S = 10.0
RENEW_TIMEOUT_S = 5.0
# A command that could go on with the leaf it has doesn't wait for long.
FRESHEN_TIMEOUT_S = 2.0
_AGAIN = frozenset({"POOL_UNREACHABLE", "JOURNAL_UNAVAILABLE"})


class Caller(Protocol):
    """What carries one call to a server; `eais_client.dialer.Peer` is one."""

    def call(self, verb: Verb[Req, Rep], request: Req, timeout_s: float | None) -> Rep:
        """Call a unary verb; every failure is an `EaisError`."""
        ...

    def close(self) -> None:
        """End what is under way."""
        ...


class ManagerClient:
    """Calls to the manager, which are sent again while it doesn't answer."""

    def __init__(
        self,
        peer: Caller,
        *,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: Rng = JITTER,
    ) -> None:
        self._peer = peer
        self._patience_s = patience_s
        self._clock = clock
        self._sleep = sleep
        self._rng = rng

    def close(self) -> None:
        """End the connection."""
        self._peer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def call(self, verb: Verb[Req, Rep], request: Req) -> Rep:
        """Call until answered, refused, or out of patience or time."""
        patience = Deadline.after(self._patience_s, self._clock())
        caller = current()
        failures = 0
        while True:
            try:
                caller.check(self._clock())
                return self._peer.call(verb, request, caller.left_or_none(self._clock()))
            except EaisError as error:
                failures += 1
                wait_s = RETRY.delay_s(failures, self._rng)
                until = patience.earlier(caller)
                if error.reason not in _AGAIN or until.passed(self._clock() + wait_s):
                    raise
            self._sleep(wait_s)


def freshen(own: OwnIdentity, peer: Caller) -> None:
    """Renew the identity over `peer` if it is time; never raises for it."""
    renewal.freshen(own.renewal(lambda ask: peer.call(own.verb, ask, FRESHEN_TIMEOUT_S)))


def pool_peer(dialer: Dialer, context: Context) -> Peer:
    """The user plane of the context's manager."""
    return Peer(dialer, context.manager_address(), verbs.POOL_GREET, "POOL_UNREACHABLE")


def new_op_id() -> str:
    """A UUID that names one changing call, however often it is sent."""
    return str(uuid.uuid4())


def instances_of(messages: Iterable[pool_pb2.Instance]) -> tuple[Instance, ...]:
    """Instances as the wire says them."""
    return tuple(Instance.of_message(message) for message in messages)
