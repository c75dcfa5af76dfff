"""Stubs bound from the verb table, for sync and asyncio channels.

Every failure is an `EaisError`; `unreachable` is the reason that a peer gets
for whom nobody answers (POOL_UNREACHABLE, HOST_UNREACHABLE, ...). On a channel that this
process has closed it is `Detached` CANCELLED, which gRPC calls a ValueError.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any, Final, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.message import Message

from eais.errors import Detached
from eais.rpc.status import error_of_rpc
from eais.rpc.verbs import Verb

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)

# grpcio's own texts, on a channel that is closed (or was closed by a fork), begin so.
_CLOSED: Final = "Cannot invoke RPC"


def _serialize(request: Message) -> bytes:
    return request.SerializeToString()


def call(
    channel: grpc.Channel,
    verb: Verb[Req, Rep],
    request: Req,
    *,
    timeout_s: float | None,
    unreachable: str,
) -> Rep:
    """Call a unary verb and wait for its reply."""
    stub = channel.unary_unary(verb.path, _serialize, verb.reply.FromString)
    try:
        return cast("Rep", stub(request, timeout=timeout_s))
    except grpc.RpcError as error:
        raise error_of_rpc(error, unreachable) from None
    except ValueError as error:
        _raise_if_closed(error)
        raise


def upload(
    channel: grpc.Channel,
    verb: Verb[Req, Rep],
    requests: Iterable[Req],
    *,
    timeout_s: float | None,
    unreachable: str,
) -> Rep:
    """Send all of `requests`, then wait for the one reply."""
    stub = channel.stream_unary(verb.path, _serialize, verb.reply.FromString)
    try:
        return cast("Rep", stub(iter(requests), timeout=timeout_s))
    except grpc.RpcError as error:
        raise error_of_rpc(error, unreachable) from None
    except ValueError as error:
        _raise_if_closed(error)
        raise


def stream(channel: grpc.Channel, verb: Verb[Req, Rep], requests: Iterable[Req]) -> Any:
    """Open a stream; iterate the returned grpc call for replies, `cancel()` it at the end."""
    stub = channel.stream_stream(verb.path, _serialize, verb.reply.FromString)
    try:
        return stub(iter(requests))
    except ValueError as error:
        _raise_if_closed(error)
        raise


def raw_stream(channel: grpc.Channel, verb: Verb[Req, Rep], requests: Iterable[bytes]) -> Any:
    """`stream` of serialised messages, both ways."""
    stub = channel.stream_stream(verb.path, None, None)
    try:
        return stub(iter(requests))
    except ValueError as error:
        _raise_if_closed(error)
        raise


def _raise_if_closed(error: ValueError) -> None:
    """Any other ValueError is a programming error, which isn't the connection's."""
    if str(error).startswith(_CLOSED):
        raise Detached("CANCELLED", "the connection was closed by this process") from None


async def acall(
    channel: grpc.aio.Channel,
    verb: Verb[Req, Rep],
    request: Req,
    *,
    timeout_s: float | None,
    unreachable: str,
) -> Rep:
    """Like `call`, on an asyncio channel."""
    stub = channel.unary_unary(verb.path, _serialize, verb.reply.FromString)
    try:
        return cast("Rep", await stub(request, timeout=timeout_s))
    except grpc.RpcError as error:
        raise error_of_rpc(error, unreachable) from None


def astream(channel: grpc.aio.Channel, verb: Verb[Req, Rep], requests: AsyncIterable[Req]) -> Any:
    """Like `stream`, on an asyncio channel."""
    stub = channel.stream_stream(verb.path, _serialize, verb.reply.FromString)
    return stub(requests.__aiter__())
