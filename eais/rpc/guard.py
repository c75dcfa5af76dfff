"""What stands between a transport and a handler: one choke point for all verbs.

Who calls is looked at, a place is held, messages are parsed, and how a call ended is counted.
Nothing but an `EaisError` leaves: an uncaught exception is logged here and becomes BUG without
its text. Transports (`eais.rpc.server` by grpc.aio, `eais.transport.h2_server` by our own
engine) say how an error travels, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Hashable,
    Iterator,
)
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from google.protobuf.message import DecodeError, Message

from eais.errors import EaisError, IdentityError, UsageError, make_error
from eais.rpc.caller import Caller, Contact, Stranger
from eais.rpc.places import Places
from eais.rpc.raw_stream import ServedStream, StreamLink
from eais.rpc.verbs import Plane, Verb
from eais.telemetry.metrics import OK, Tally

log = logging.getLogger(__name__)

Asked = bytes | Callable[[], Awaitable[bytes]]
"""A request, or what waits for it."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A verb and what serves it; made by the functions of `eais.rpc.server`.

    `raw`: the handler is an `eais.rpc.raw_stream.RawHandler`.
    """

    verb: Verb[Any, Any]
    handler: Callable[[Any, Any], Any]
    raw: bool = False


class Guard:
    """What stands before the handler of one verb.

    Args:
        pool: whose peers alone are let in.
        places: of all verbs that share them.
        tally: told how calls ended, as (service, verb, reason).
    """

    def __init__(self, pool: str, binding: Binding, places: Places, tally: Tally) -> None:
        self.verb = binding.verb
        self.handler = binding.handler
        self.raw = binding.raw
        self._pool = pool
        self._places = places
        self._tally = tally

    async def unary(self, data: Asked, contact: Contact) -> Message:
        """The reply to one request; raises EaisError."""
        with self._answering(contact) as caller:
            request = self._parse(await _whole(data))
            reply: Message = await self.handler(request, caller)
            return reply

    async def upload(self, requests: AsyncIterator[bytes], contact: Contact) -> Message:
        """The reply to many requests; raises EaisError."""
        with self._answering(contact) as caller:
            reply: Message = await self.handler(self._parsed(requests), caller)
            return reply

    async def watch(self, data: Asked, contact: Contact) -> AsyncGenerator[Message, None]:
        """The replies to one request; raises EaisError."""
        with self._answering(contact) as caller:
            request = self._parse(await _whole(data))
            async with aclosing(self.handler(request, caller)) as replies:
                async for reply in replies:
                    yield reply

    async def stream(
        self, requests: AsyncIterator[bytes], contact: Contact
    ) -> AsyncGenerator[Message, None]:
        """The replies to many requests; raises EaisError."""
        with self._answering(contact) as caller:
            async with aclosing(self.handler(self._parsed(requests), caller)) as replies:
                async for reply in replies:
                    yield reply

    def admit(self, contact: Contact) -> Caller | Stranger:
        """Who calls, with a place that is to be given back to `leave`; raises EaisError."""
        caller = self._known(contact)
        self._places.take(caller.who)
        return caller

    def leave(self, who: Hashable) -> None:
        """Give the place of `who` back."""
        self._places.give(who)

    def judge(self, cause: BaseException | None) -> EaisError | None:
        """Count a call that ended by `cause`; what its caller is told, None for nothing."""
        if cause is None:
            self._count(OK)
            return None
        if isinstance(cause, EaisError):
            self._count(cause.reason)
            return cause
        if isinstance(cause, Exception):
            self._count("BUG")
            log.error("BUG: %s raised", self.verb.path, exc_info=cause)
            return make_error("BUG", "the server failed on this call; its log says how")
        self._count("CANCELLED")
        return None

    def rethrow(self, cause: BaseException) -> NoReturn:
        """Judge `cause`, and raise what is told of it; itself, if that is nothing."""
        raise self.judge(cause) or cause from None

    def _known(self, contact: Contact) -> Caller | Stranger:
        if self.verb.plane is Plane.ENROLMENT:
            return contact.stranger()
        caller = contact.caller(self._pool)
        role = caller.identity.role
        if role not in self.verb.roles:
            raise IdentityError(
                "PERMISSION_DENIED", f"a {role.value} may not call {self.verb.method}"
            )
        return caller

    @contextmanager
    def _answering(self, contact: Contact) -> Iterator[Caller | Stranger]:
        try:
            caller = self.admit(contact)
            try:
                yield caller
            finally:
                self.leave(caller.who)
        except BaseException as cause:  # noqa: BLE001 - judged, and raised again
            self.rethrow(cause)
        self.judge(None)

    def _count(self, reason: str) -> None:
        self._tally.add(self.verb.service, self.verb.method, reason)

    def _parse(self, data: bytes) -> Any:
        try:
            return self.verb.request.FromString(data)
        except DecodeError:
            raise UsageError(
                "MALFORMED_MESSAGE", f"not a {self.verb.request.DESCRIPTOR.name} message"
            ) from None

    async def _parsed(self, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for data in requests:
            yield self._parse(data)


async def _whole(data: Asked) -> bytes:
    return data if isinstance(data, bytes) else await data()


class RawCall:
    """One call of a raw stream, from its admission to its end.

    Raises what refuses it, an EaisError, when it is made.
    """

    def __init__(self, guard: Guard, contact: Contact, link: StreamLink) -> None:
        self._guard = guard
        self._served = self._here = True
        self._told: EaisError | None = None
        try:
            caller = guard.admit(contact)
            self._who = caller.who
            self.served = self._begun(caller, link)
        except BaseException as cause:  # noqa: BLE001 - judged, and raised again
            guard.rethrow(cause)

    def _begun(self, caller: Caller | Stranger, link: StreamLink) -> ServedStream:
        try:
            served: ServedStream = self._guard.handler(caller, link)
        except BaseException:
            self._guard.leave(caller.who)
            raise
        return served

    def over(self, cause: BaseException | None) -> EaisError | None:
        """Nobody serves it any more, by `cause`, None: as it should; what the caller is told.

        An `asyncio.CancelledError` is a client that left. What was first is what counts.
        """
        if self._served:
            self._served = False
            try:
                self.served.closed()
            except Exception as raised:  # noqa: BLE001 - a handler's bug; it is over all the same
                cause = raised
            self._told = self._guard.judge(cause)
        return self._told

    def end(self, cause: BaseException | None) -> EaisError | None:
        """It is over, and its transport has nothing more of it either."""
        if self._here:
            self._here = False
            self._guard.leave(self._who)
        return self.over(cause)
