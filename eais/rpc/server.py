"""Handlers bound from the verb table: who may call, parsing, errors, all in one choke point.

A handler sees a parsed request and the caller's identity, and answers or
raises an `EaisError`. Nothing else leaves: an uncaught exception is logged
here and answered BUG without its text.

On the enrolment plane nobody has an identity yet: there a handler sees from
where it is called (`Stranger`), and no verb of another plane is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NoReturn, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from eais.errors import EaisError, IdentityError, UsageError, make_error
from eais.identity import Identity, is_tls, peer_of
from eais.rpc.hello import check_version, hello_reply
from eais.rpc.places import MAX_CALLS, MAX_STREAMS, Places
from eais.rpc.status import DETAILS_KEY, clip, status_code, status_details
from eais.rpc.v1 import common_pb2
from eais.rpc.verbs import Plane, Shape, Verb
from eais.telemetry.metrics import OK, Tally

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)
_Context = grpc.aio.ServicerContext[Any, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, from the certificate alone, and how long they'll wait (seconds).

    `leaf_end` is when that certificate ends, UTC: it was valid at the handshake, and a
    connection may outlive it.
    """

    identity: Identity
    timeout_s: float | None
    leaf_end: datetime

    @property
    def who(self) -> Hashable:
        """Whose calls are counted together."""
        return self.identity


@dataclass(frozen=True, slots=True)
class Stranger:
    """Who calls on the enrolment plane: the network address is all that is known of them.

    `address` has no port: another connection of the same machine has the same.
    """

    address: str
    timeout_s: float | None

    @property
    def who(self) -> Hashable:
        """Whose calls are counted together."""
        return self.address


UnaryHandler = Callable[[Req, Caller], Awaitable[Rep]]
StrangersHandler = Callable[[Req, Stranger], Awaitable[Rep]]
UploadHandler = Callable[[AsyncIterator[Req], Caller], Awaitable[Rep]]
WatchHandler = Callable[[Req, Caller], AsyncIterator[Rep]]
StreamHandler = Callable[[AsyncIterator[Req], Caller], AsyncIterator[Rep]]


@dataclass(frozen=True, slots=True)
class Binding:
    """A verb and what serves it; made by `unary`, `upload`, `watch` and `stream`."""

    verb: Verb[Any, Any]
    handler: Callable[[Any, Any], Any]


def unary(verb: Verb[Req, Rep], handler: UnaryHandler[Req, Rep]) -> Binding:
    """Serve a verb of one request and one reply."""
    return _binding(verb, Shape.UNARY, handler)


def open_unary(verb: Verb[Req, Rep], handler: StrangersHandler[Req, Rep]) -> Binding:
    """Serve a verb of one request and one reply to whoever reaches the socket."""
    if verb.plane is not Plane.ENROLMENT:
        raise TypeError(f"{verb.path} is of the {verb.plane.value} plane, for those it knows")
    return Binding(verb, handler)


def upload(verb: Verb[Req, Rep], handler: UploadHandler[Req, Rep]) -> Binding:
    """Serve a verb of many requests and one reply."""
    return _binding(verb, Shape.UPLOAD, handler)


def watch(verb: Verb[Req, Rep], handler: WatchHandler[Req, Rep]) -> Binding:
    """Serve a verb of one request and many replies; the handler is an async generator."""
    return _binding(verb, Shape.WATCH, handler)


def stream(verb: Verb[Req, Rep], handler: StreamHandler[Req, Rep]) -> Binding:
    """Serve a verb with streams both ways; the handler is an async generator."""
    return _binding(verb, Shape.STREAM, handler)


def _binding(verb: Verb[Any, Any], shape: Shape, handler: Callable[..., Any]) -> Binding:
    if verb.shape is not shape:
        raise TypeError(f"{verb.path} is {verb.shape.value}")
    if verb.plane is Plane.ENROLMENT:
        raise TypeError(f"{verb.path} is of the enrolment plane, where nobody is known")
    return Binding(verb, handler)


def greet(verb: Verb[common_pb2.Hello, common_pb2.HelloReply], software: str) -> Binding:
    """Serve a service's Greet."""

    async def answer(hello: common_pb2.Hello, caller: Caller) -> common_pb2.HelloReply:
        check_version(hello)
        return hello_reply(software)

    return unary(verb, answer)


class _Guard:
    """What stands between a socket and a handler."""

    def __init__(self, pool: str, binding: Binding, places: Places, tally: Tally) -> None:
        self._tally = tally
        self._pool = pool
        self._places = places
        self._verb = binding.verb
        self._handler = binding.handler

    def _admit(self, context: _Context) -> Caller | Stranger:
        peer = peer_of(context.auth_context(), self._pool)
        role = peer.identity.role
        if role not in self._verb.roles:
            raise IdentityError(
                "PERMISSION_DENIED", f"a {role.value} may not call {self._verb.method}"
            )
        left = context.time_remaining()
        return Caller(peer.identity, left, peer.leaf_end)

    def _parse(self, data: bytes) -> Any:
        try:
            return self._verb.request.FromString(data)
        except DecodeError:
            raise UsageError(
                "MALFORMED_MESSAGE", f"not a {self._verb.request.DESCRIPTOR.name} message"
            ) from None

    async def _parsed(self, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for data in requests:
            yield self._parse(data)

    @contextlib.asynccontextmanager
    async def _answering(self, context: _Context) -> AsyncIterator[None]:
        try:
            yield
        except EaisError as error:
            self._count(error.reason)
            await _abort(context, error)
        except (asyncio.CancelledError, GeneratorExit):
            self._count("CANCELLED")
            raise
        except Exception:  # noqa: BLE001 - the edge of the process: its text stays in the log
            self._count("BUG")
            await _abort(context, _bug(self._verb))
        else:
            self._count(OK)

    def _count(self, reason: str) -> None:
        self._tally.add(self._verb.service, self._verb.method, reason)

    async def unary(self, data: bytes, context: _Context) -> Any:
        async with self._answering(context):
            caller = self._admit(context)
            with self._places.one(caller.who):
                return await self._handler(self._parse(data), caller)

    async def upload(self, requests: AsyncIterator[bytes], context: _Context) -> Any:
        async with self._answering(context):
            caller = self._admit(context)
            with self._places.one(caller.who):
                return await self._handler(self._parsed(requests), caller)

    async def watch(self, data: bytes, context: _Context) -> AsyncIterator[Any]:
        async with self._answering(context):
            caller = self._admit(context)
            with self._places.one(caller.who):
                replies = self._handler(self._parse(data), caller)
                async with contextlib.aclosing(replies):
                    async for reply in replies:
                        yield reply

    async def stream(self, requests: AsyncIterator[bytes], context: _Context) -> AsyncIterator[Any]:
        async with self._answering(context):
            caller = self._admit(context)
            with self._places.one(caller.who):
                replies = self._handler(self._parsed(requests), caller)
                async with contextlib.aclosing(replies):
                    async for reply in replies:
                        yield reply


class _OpenGuard(_Guard):
    """What stands before a handler of the enrolment plane: TLS, a message, a place."""

    def _admit(self, context: _Context) -> Caller | Stranger:
        if not is_tls(context.auth_context()):
            raise IdentityError("UNAUTHENTICATED", "only TLS is answered here")
        return Stranger(_address_of(context.peer()), context.time_remaining())


def _address_of(peer: str) -> str:
    """The address in gRPC's word for a peer, such as "ipv4:192.0.2.7:40117"."""
    return peer.rpartition(":")[0] or peer


def _bug(verb: Verb[Any, Any]) -> EaisError:
    log.exception("BUG: %s raised", verb.path)
    return make_error("BUG", "the server failed on this call; its log says how")


async def _abort(context: _Context, error: EaisError) -> NoReturn:
    trailer = ((DETAILS_KEY, status_details(error)),)
    await context.abort(status_code(error), clip(str(error)), trailer)
    raise AssertionError("abort always raises")


def _serialize(reply: Message) -> bytes:
    return reply.SerializeToString()


_LASTING: Final = (Shape.STREAM, Shape.WATCH)
_MAKERS: dict[Shape, tuple[Callable[..., grpc.RpcMethodHandler[Any, Any]], str]] = {
    Shape.UNARY: (grpc.unary_unary_rpc_method_handler, "unary"),
    Shape.UPLOAD: (grpc.stream_unary_rpc_method_handler, "upload"),
    Shape.WATCH: (grpc.unary_stream_rpc_method_handler, "watch"),
    Shape.STREAM: (grpc.stream_stream_rpc_method_handler, "stream"),
}


def generic_handlers(
    pool: str, bindings: Iterable[Binding], tally: Tally | None = None
) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
    """One gRPC handler a service, for peers of `pool` only; bounded as `eais.rpc.places` says.

    The enrolment plane's alone are for whoever comes. How calls ended is added to `tally`, as
    (service, verb, reason).
    """
    calls, streams = Places(*MAX_CALLS), Places(*MAX_STREAMS)
    services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
    for binding in bindings:
        make, name = _MAKERS[binding.verb.shape]
        places = streams if binding.verb.shape in _LASTING else calls
        kind = _OpenGuard if binding.verb.plane is Plane.ENROLMENT else _Guard
        guard = kind(pool, binding, places, tally or Tally())
        method = make(getattr(guard, name), response_serializer=_serialize)
        services.setdefault(binding.verb.full_service, {})[binding.verb.method] = method
    return tuple(
        grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()
    )
