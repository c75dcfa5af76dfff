"""Handlers bound from the verb table: who may call, parsing, errors, all in one choke point.

A handler sees a parsed request and the caller's identity, and answers or
raises an `EaisError`. Nothing else leaves: an uncaught exception is logged
here and answered BUG without its text.

On the enrolment plane nobody has an identity yet: there a handler sees from
where it is called (`Stranger`), and no verb of another plane is served.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any, Final, NoReturn, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from eais.errors import EaisError, IdentityError
from eais.identity import is_tls, peer_of
from eais.rpc.caller import Caller as Caller
from eais.rpc.caller import Stranger as Stranger
from eais.rpc.guard import Binding as Binding
from eais.rpc.guard import Guard
from eais.rpc.hello import check_version, hello_reply
from eais.rpc.places import MAX_CALLS, MAX_STREAMS, Places
from eais.rpc.raw_adapter import serve_raw
from eais.rpc.raw_stream import RawHandler
from eais.rpc.status import DETAILS_KEY, clip, status_code, status_details
from eais.rpc.v1 import common_pb2
from eais.rpc.verbs import Plane, Shape, Verb
from eais.telemetry.metrics import Tally

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)
_Context = grpc.aio.ServicerContext[Any, Any]

UnaryHandler = Callable[[Req, Caller], Awaitable[Rep]]
StrangersHandler = Callable[[Req, Stranger], Awaitable[Rep]]
UploadHandler = Callable[[AsyncIterator[Req], Caller], Awaitable[Rep]]
WatchHandler = Callable[[Req, Caller], AsyncIterator[Rep]]
StreamHandler = Callable[[AsyncIterator[Req], Caller], AsyncIterator[Rep]]


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


def raw_stream(verb: Verb[Req, Rep], handler: RawHandler) -> Binding:
    """Serve a verb with streams both ways by callbacks on serialised messages."""
    return replace(_binding(verb, Shape.STREAM, handler), raw=True)


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


class _Contact:
    """A call as grpc.aio knows it."""

    def __init__(self, context: _Context) -> None:
        self._context = context

    def caller(self, pool: str) -> Caller:
        peer = peer_of(self._context.auth_context(), pool)
        return Caller(peer.identity, self._context.time_remaining(), peer.leaf_end)

    def stranger(self) -> Stranger:
        if not is_tls(self._context.auth_context()):
            raise IdentityError("UNAUTHENTICATED", "only TLS is answered here")
        return Stranger(_address_of(self._context.peer()), self._context.time_remaining())


class _Method:
    """One verb's method handler of grpc.aio."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def unary(self, data: bytes, context: _Context) -> Message:
        async with _aborting(context):
            return await self._guard.unary(data, _Contact(context))

    async def upload(self, requests: AsyncIterator[bytes], context: _Context) -> Message:
        async with _aborting(context):
            return await self._guard.upload(requests, _Contact(context))

    async def watch(self, data: bytes, context: _Context) -> AsyncIterator[Message]:
        async with _aborting(context), aclosing(self._guard.watch(data, _Contact(context))) as all_:
            async for reply in all_:
                yield reply

    async def stream(
        self, requests: AsyncIterator[bytes], context: _Context
    ) -> AsyncIterator[Message]:
        replies = self._guard.stream(requests, _Contact(context))
        async with _aborting(context), aclosing(replies):
            async for reply in replies:
                yield reply

    async def raw(self, requests: AsyncIterator[bytes], context: _Context) -> AsyncIterator[bytes]:
        replies = serve_raw(self._guard, requests, _Contact(context))
        async with _aborting(context), aclosing(replies):
            async for reply in replies:
                yield reply


@asynccontextmanager
async def _aborting(context: _Context) -> AsyncIterator[None]:
    try:
        yield
    except EaisError as error:
        await _abort(context, error)


def _address_of(peer: str) -> str:
    """The address in gRPC's word for a peer, such as "ipv4:192.0.2.7:40117"."""
    return peer.rpartition(":")[0] or peer


async def _abort(context: _Context, error: EaisError) -> NoReturn:
    trailer = ((DETAILS_KEY, status_details(error)),)
    await context.abort(status_code(error), clip(str(error)), trailer)
    raise AssertionError("abort always raises")


def _serialize(reply: Message) -> bytes:
    return reply.SerializeToString()


_LASTING: Final = (Shape.STREAM, Shape.WATCH)


def guards(pool: str, bindings: Iterable[Binding], tally: Tally | None = None) -> list[Guard]:
    """The guards of a server's verbs, which share its places (`eais.rpc.places`)."""
    calls, streams = Places(*MAX_CALLS), Places(*MAX_STREAMS)
    counted = tally or Tally()
    return [
        Guard(pool, binding, streams if binding.verb.shape in _LASTING else calls, counted)
        for binding in bindings
    ]


def generic_handlers(
    pool: str, bindings: Iterable[Binding], tally: Tally | None = None
) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
    """One gRPC handler a service, for peers of `pool` only; bounded as `eais.rpc.places` says.

    The enrolment plane's alone are for whoever comes. How calls ended is added to `tally`, as
    (service, verb, reason).
    """
    services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
    for guard in guards(pool, bindings, tally):
        services.setdefault(guard.verb.full_service, {})[guard.verb.method] = _handler(guard)
    return tuple(
        grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()
    )


def _handler(guard: Guard) -> grpc.RpcMethodHandler[Any, Any]:
    method = _Method(guard)
    if guard.raw:
        return grpc.stream_stream_rpc_method_handler(method.raw)
    match guard.verb.shape:
        case Shape.UNARY:
            return grpc.unary_unary_rpc_method_handler(method.unary, None, _serialize)
        case Shape.UPLOAD:
            return grpc.stream_unary_rpc_method_handler(method.upload, None, _serialize)
        case Shape.WATCH:
            return grpc.unary_stream_rpc_method_handler(method.watch, None, _serialize)
        case Shape.STREAM:
            return grpc.stream_stream_rpc_method_handler(method.stream, None, _serialize)
