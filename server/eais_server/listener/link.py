"""The listener's line to the pool manager: it dials, says what it has, and takes commands.

It dials again for ever, whatever happened. While there is no line nothing is
kept to be said later: the next Join says all that this host has and holds.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import grpc
import grpc.aio

from eais import channel, tls
from eais.backoff import RESTART
from eais.errors import EaisError, make_error
from eais.jitter import JITTER
from eais.rpc.client import acall, astream
from eais.rpc.hello import check_version, hello
from eais.rpc.status import error_of_rpc
from eais.rpc.v1 import hosts_pb2
from eais.rpc.verbs import HOSTS_LINK, HOSTS_SIGN_WORKER

log = logging.getLogger(__name__)

SOFTWARE: Final = "eais-listener"
_UNREACHABLE: Final = "POOL_UNREACHABLE"
_HELLO_TIMEOUT_S: Final = 5.0
_SIGN_TIMEOUT_S: Final = 5.0
# A manager that doesn't read what it is told is dialled again rather than waited for.
_UNREAD_REPORTS: Final = 10_000

#: Reports to be sent; None ends the sending.
_Unsent: TypeAlias = asyncio.Queue[hosts_pb2.HostReport | None]


@dataclass(frozen=True, slots=True)
class ManagerPlace:
    """Where the manager's management plane is, and the DNS name of its certificate."""

    pool: str
    address: str
    port: int
    server_name: str

    @classmethod
    def read(cls, path: Path) -> ManagerPlace:
        """From the file that the manager writes when it serves.

        Raises:
            EaisError: POOL_NOT_RUNNING, there is none yet; CONFIG, it isn't one.
        """
        try:
            record = json.loads(path.read_text())
            plane = record["management"]
            return cls(record["pool"], plane["address"], int(plane["port"]), plane["server_name"])
        except FileNotFoundError:
            raise make_error("POOL_NOT_RUNNING", "the manager doesn't serve yet") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise make_error("CONFIG", f"{path} names no manager: {error!r}") from None


class Commands(Protocol):
    """What the manager may ask for; each may take its time."""

    async def grant(self, message: hosts_pb2.Grant) -> None:
        """Hold a lease."""
        ...

    async def revoke(self, message: hosts_pb2.Revoke) -> None:
        """End a lease."""
        ...


class Link:
    """One stream to the manager at a time.

    Args:
        place: where the manager is now; raises EaisError.
        identity: this listener's key and leaf; raises IdentityError.
        first: what is to be said first on each stream: the Join, then what else is known.
    """

    def __init__(
        self,
        place: Callable[[], ManagerPlace],
        identity: Callable[[], tls.Bundle],
        first: Callable[[], list[hosts_pb2.HostReport]],
    ) -> None:
        self._place = place
        self._identity = identity
        self._first = first
        self._channel: grpc.aio.Channel | None = None
        self._unsent: _Unsent | None = None
        self._jobs: set[asyncio.Task[None]] = set()
        self.joined = asyncio.Event()

    def report(self, message: hosts_pb2.HostReport) -> None:
        """Tell the manager, if there is a line."""
        if self._unsent is None:
            return
        try:
            self._unsent.put_nowait(message)
        except asyncio.QueueFull:
            log.error("the manager doesn't read; it is dialled again")
            self._unsent = None
            self._job(self._hang_up())

    async def sign(self, request: hosts_pb2.SignWorkerRequest) -> hosts_pb2.SignWorkerReply:
        """A worker's leaf.

        Raises:
            EaisError: POOL_UNREACHABLE, or what the manager refuses.
        """
        if self._channel is None:
            raise make_error(_UNREACHABLE, "there is no line to the manager")
        return await acall(
            self._channel,
            HOSTS_SIGN_WORKER,
            request,
            timeout_s=_SIGN_TIMEOUT_S,
            unreachable=_UNREACHABLE,
        )

    async def run(self, commands: Commands) -> None:
        """Dial, serve the line until it ends, dial again; until cancelled."""
        failures, said = 0, ""
        while True:
            try:
                await self._serve(commands)
            except EaisError as error:
                if self.joined.is_set() or str(error) != said:
                    log.warning("no line to the manager: %s", error)
                said = str(error)
            failures = 1 if self.joined.is_set() else failures + 1
            self.joined.clear()
            await asyncio.sleep(RESTART.delay_s(failures, JITTER))

    async def _serve(self, commands: Commands) -> None:
        place, bundle = self._place(), self._identity()
        target = f"{place.address}:{place.port}"
        options = channel.client_options(place.server_name, channel.LINE_KEEPALIVE)
        credentials = tls.client_credentials(bundle)
        self._channel = grpc.aio.secure_channel(target, credentials, options=options)
        try:
            await self._talk(self._channel, commands)
        except grpc.RpcError as error:
            raise error_of_rpc(error, _UNREACHABLE) from None
        finally:
            self._unsent = None
            await self._hang_up()

    async def _hang_up(self) -> None:
        line, self._channel = self._channel, None
        if line is not None:
            await line.close(None)

    async def _talk(self, line: grpc.aio.Channel, commands: Commands) -> None:
        unsent: _Unsent = asyncio.Queue(_UNREAD_REPORTS)
        greeted = asyncio.Event()
        call = astream(line, HOSTS_LINK, self._reports(unsent, greeted))
        try:
            commands_in = aiter(call)
            await self._greet(commands_in)
            for message in self._first():
                unsent.put_nowait(message)
            self._unsent = unsent
            self.joined.set()
            greeted.set()
            log.info("joined the pool")
            async for command in commands_in:
                self._take(command, commands)
        except asyncio.CancelledError:
            # gRPC says so too when the channel was closed under the call (`report`).
            if not _is_cancelled():
                raise make_error(_UNREACHABLE, "the line was given up") from None
            raise
        finally:
            call.cancel()
            _end(unsent)
            greeted.set()
        raise make_error(_UNREACHABLE, "the manager ended the line")

    async def _greet(self, replies: AsyncIterator[hosts_pb2.HostCommand]) -> None:
        try:
            first = await asyncio.wait_for(anext(replies), _HELLO_TIMEOUT_S)
        except (TimeoutError, StopAsyncIteration):
            raise make_error(_UNREACHABLE, "the manager doesn't answer Hello") from None
        check_version(first.hello)

    @staticmethod
    async def _reports(
        unsent: _Unsent, greeted: asyncio.Event
    ) -> AsyncIterator[hosts_pb2.HostReport]:
        yield hosts_pb2.HostReport(hello=hello(SOFTWARE))
        await greeted.wait()
        while (message := await unsent.get()) is not None:
            yield message

    def _take(self, command: hosts_pb2.HostCommand, commands: Commands) -> None:
        match command.WhichOneof("kind"):
            case "grant":
                self._job(commands.grant(command.grant))
            case "revoke":
                self._job(commands.revoke(command.revoke))
            case kind:
                log.warning("the manager's command %s isn't known here", kind)

    def _job(self, work: Awaitable[None]) -> None:
        async def do() -> None:
            try:
                await work
            except Exception:
                # A bug in one command must not cost the line, nor go unseen.
                log.exception("BUG: a command of the manager's")

        task = asyncio.create_task(do())
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def close(self) -> None:
        """End what is still being done for the manager."""
        for job in self._jobs:
            job.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._jobs, return_exceptions=True)


def _end(unsent: _Unsent) -> None:
    """Have what sends end: gRPC goes on waiting for it when it was the peer that ended a call."""
    while not unsent.empty():
        unsent.get_nowait()
    unsent.put_nowait(None)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
