"""One line to the pool manager: a channel made with one leaf, and the one stream on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, TypeAlias, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from eais import channel, tls
from eais.credentials import client_credentials
from eais.errors import make_error
from eais.rpc.client import acall, astream
from eais.rpc.hello import check_version, hello
from eais.rpc.status import error_of_rpc
from eais.rpc.v1 import common_pb2, hosts_pb2
from eais.rpc.verbs import HOSTS_LINK, HOSTS_RENEW, Verb
from eais_server.listener.manager_place import ManagerPlace

SOFTWARE: Final = "eais-listener"
UNREACHABLE: Final = "POOL_UNREACHABLE"
_HELLO_TIMEOUT_S: Final = 5.0
_ASK_TIMEOUT_S: Final = 5.0
# A manager that doesn't read what it is told is dialled again rather than waited for.
_UNREAD_REPORTS: Final = 10_000

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)
#: Reports to be sent; None ends the sending.
_Unsent: TypeAlias = asyncio.Queue[hosts_pb2.HostReport | None]


class Line:
    """Made and greeted by `dial`; reports wait until `flow`.

    Attributes:
        bundle: the key and leaf that it was made with.
    """

    def __init__(self, place: ManagerPlace, bundle: tls.Bundle) -> None:
        self.bundle = bundle
        self._channel = grpc.aio.secure_channel(
            place.target,
            client_credentials(bundle),
            options=channel.client_options(place.server_name, channel.LINE_KEEPALIVE),
        )
        self._unsent: _Unsent = asyncio.Queue(_UNREAD_REPORTS)
        self._flowing = asyncio.Event()
        self._call = astream(self._channel, HOSTS_LINK, _reports(self._unsent, self._flowing))
        self._replies: AsyncIterator[hosts_pb2.HostCommand] = aiter(self._call)
        self._asking = 0
        self._unasked = asyncio.Event()
        self._unasked.set()

    @classmethod
    async def dial(cls, place: ManagerPlace, bundle: tls.Bundle) -> Line:
        """A line whose Hello the manager has answered.

        Raises:
            EaisError: POOL_UNREACHABLE, VERSION_UNSUPPORTED, or what the manager refuses.
        """
        line = cls(place, bundle)
        try:
            await line._greet()
        except BaseException:
            await line.close()
            raise
        return line

    async def _greet(self) -> None:
        check_version((await first_command(self._replies)).hello)

    def flow(self) -> None:
        """Send what was reported, and from now on what is."""
        self._flowing.set()

    def report(self, messages: Iterable[hosts_pb2.HostReport]) -> bool:
        """Have these sent, in their order; False when the manager doesn't read any more."""
        try:
            for message in messages:
                self._unsent.put_nowait(message)
        except asyncio.QueueFull:
            return False
        return True

    async def commands(self) -> AsyncIterator[hosts_pb2.HostCommand]:
        """What the manager sends, until it ends the line.

        Raises:
            EaisError: POOL_UNREACHABLE, the line broke; or what the manager refuses.
        """
        try:
            async for command in self._replies:
                yield command
        except grpc.RpcError as error:
            raise error_of_rpc(error, UNREACHABLE) from None
        except asyncio.CancelledError:
            # gRPC says so too when the channel was closed under the call.
            if not _is_cancelled():
                raise make_error(UNREACHABLE, "the line was given up") from None
            raise

    async def ask(self, verb: Verb[Req, Rep], request: Req) -> Rep:
        """Call a unary verb of the manager's.

        Raises:
            EaisError: POOL_UNREACHABLE, or what the manager refuses.
        """
        self._asking += 1
        self._unasked.clear()
        try:
            return await acall(
                self._channel, verb, request, timeout_s=_ASK_TIMEOUT_S, unreachable=UNREACHABLE
            )
        finally:
            self._asking -= 1
            if not self._asking:
                self._unasked.set()

    def leave(self) -> None:
        """Say after all reports that this host goes on on another line, and nothing more.

        The manager ends the line when it has heard that.
        """
        if not self.report([hosts_pb2.HostReport(moving=hosts_pb2.Moving())]):
            self._call.cancel()
        elif not self._unsent.full():
            self._unsent.put_nowait(None)

    async def retire(self) -> None:
        """Close it when what is being asked on it is answered, at most five seconds."""
        await self._unasked.wait()
        await self.close()

    async def close(self) -> None:
        """End the line, whatever is on it."""
        self._call.cancel()
        _end(self._unsent)
        self._flowing.set()
        await self._channel.close(None)


async def renew_as(
    place: ManagerPlace, bundle: tls.Bundle, request: common_pb2.RenewRequest
) -> common_pb2.RenewReply:
    """Renew on a connection of its own, made with `bundle`.

    Raises:
        EaisError: POOL_UNREACHABLE, or what the manager refuses.
    """
    async with grpc.aio.secure_channel(
        place.target, client_credentials(bundle), options=channel.client_options(place.server_name)
    ) as made:
        return await acall(
            made, HOSTS_RENEW, request, timeout_s=_ASK_TIMEOUT_S, unreachable=UNREACHABLE
        )


async def first_command(replies: AsyncIterator[hosts_pb2.HostCommand]) -> hosts_pb2.HostCommand:
    """What the manager says first.

    Raises:
        EaisError: POOL_UNREACHABLE, the line broke or it says nothing; or what it refuses.
    """
    try:
        # Not `wait_for`: in Python 3.11 it forgets that it is cancelled while a line breaks.
        async with asyncio.timeout(_HELLO_TIMEOUT_S):
            return await anext(replies)
    except (TimeoutError, StopAsyncIteration):
        raise make_error(UNREACHABLE, "the manager doesn't answer Hello") from None
    except grpc.RpcError as error:
        raise error_of_rpc(error, UNREACHABLE) from None


async def _reports(unsent: _Unsent, flowing: asyncio.Event) -> AsyncIterator[hosts_pb2.HostReport]:
    yield hosts_pb2.HostReport(hello=hello(SOFTWARE))
    await flowing.wait()
    while (message := await unsent.get()) is not None:
        yield message


def _end(unsent: _Unsent) -> None:
    """Have what sends end: gRPC goes on waiting for it when it was the peer that ended a call."""
    while not unsent.empty():
        unsent.get_nowait()
    unsent.put_nowait(None)


def _is_cancelled() -> bool:
    task: asyncio.Task[Any] | None = asyncio.current_task()
    return task is not None and task.cancelling() > 0
