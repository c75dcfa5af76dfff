"""The listener's line to the pool manager: it dials, says what it has, and takes commands.

It dials again for ever, whatever happened. While there is no line nothing is
kept to be said later: the next Join says all that this host has and holds.

When the listener has a new leaf it goes over to a line that is made with it. The
new one is there, and greeted, before the old one is left; all that was reported on
the old one has been heard before the Join on the new one is said, so nothing is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from google.protobuf.message import Message

from eais import tls
from eais.backoff import RESTART
from eais.errors import EaisError, make_error
from eais.jitter import JITTER
from eais.rpc.v1 import common_pb2, hosts_pb2
from eais.rpc.verbs import HOSTS_RENEW, HOSTS_SIGN_WORKER, Verb
from eais_server.listener.line import UNREACHABLE, Line
from eais_server.listener.manager_place import ManagerPlace

log = logging.getLogger(__name__)

# Until the manager has heard all that was said on a line that is left.
_LEFT_WITHIN_S: Final = 4.0

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)


class Commands(Protocol):
    """What the manager may ask for; each may take its time."""

    async def grant(self, message: hosts_pb2.Grant) -> None:
        """Hold a lease."""
        ...

    async def revoke(self, message: hosts_pb2.Revoke) -> None:
        """End a lease."""
        ...

    async def run_batch(self, message: hosts_pb2.RunBatch) -> None:
        """Time a batch of a model."""
        ...

    async def give_up(self, message: hosts_pb2.GiveUp) -> None:
        """Measure no more for a study."""
        ...

    async def usage_kept(self, message: hosts_pb2.UsageKept) -> None:
        """Forget the last counters of a lease that is gone."""
        ...

    async def cut_off(self) -> None:
        """There is no line any more."""
        ...

    async def check_device(self, message: hosts_pb2.CheckDevice) -> None:
        """Find out how a device is."""
        ...


class Link:
    """One line to the manager at a time.

    Args:
        place: where the manager is now; raises EaisError.
        identity: this listener's key and leaf; raises IdentityError.
        first: what is to be said first on each line: the Join, then what else is known.

    Attributes:
        joined: there is a line.
        fault: why the last one ended, or couldn't be had.
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
        self._line: Line | None = None
        self._outdated = asyncio.Event()
        self._jobs: set[asyncio.Task[None]] = set()
        self.joined = asyncio.Event()
        self.fault: EaisError | None = None
        self.ever_joined = False

    def report(self, message: hosts_pb2.HostReport) -> None:
        """Tell the manager, if there is a line."""
        line = self._line
        if line is not None and not line.report([message]):
            log.error("the manager doesn't read; it is dialled again")
            self._line = None
            self._job(line.close())

    async def sign(self, request: hosts_pb2.SignWorkerRequest) -> hosts_pb2.SignWorkerReply:
        """A worker's leaf.

        Raises:
            EaisError: POOL_UNREACHABLE, or what the manager refuses.
        """
        return await self._ask(HOSTS_SIGN_WORKER, request)

    async def renew(self, request: common_pb2.RenewRequest) -> common_pb2.RenewReply:
        """This listener's next leaf.

        Raises:
            EaisError: as `sign`.
        """
        return await self._ask(HOSTS_RENEW, request)

    async def _ask(self, verb: Verb[Req, Rep], request: Req) -> Rep:
        if self._line is None:
            raise make_error(UNREACHABLE, "there is no line to the manager")
        return await self._line.ask(verb, request)

    def refresh(self) -> None:
        """Go over to a new line, if the present one was made with another leaf than there is."""
        if self._line is not None and self._line.bundle != self._identity():
            self._outdated.set()

    async def run(self, commands: Commands) -> None:
        """Dial, serve the line until it ends, dial again; until cancelled."""
        failures, said = 0, ""
        while True:
            try:
                await self._serve(commands)
            except EaisError as error:
                if self.joined.is_set() or str(error) != said:
                    log.warning("no line to the manager: %s", error)
                said, self.fault = str(error), error
            failures = 1 if self.joined.is_set() else failures + 1
            self.joined.clear()
            await asyncio.sleep(RESTART.delay_s(failures, JITTER))

    async def _dialled(self) -> Line:
        return await Line.dial(self._place(), self._identity())

    async def _serve(self, commands: Commands) -> None:
        self._outdated.clear()
        line = await self._dialled()
        try:
            self._report_on(line)
            line.flow()
            self.joined.set()
            self.ever_joined = True
            log.info("joined the pool")
            while True:
                line = await self._hold(line, commands)
        finally:
            self._line = None
            await line.close()
            await commands.cut_off()

    def _report_on(self, line: Line) -> None:
        """What was so far goes into the first reports on that line, what comes now behind them."""
        line.report(self._first())
        self._line = line

    async def _hold(self, line: Line, commands: Commands) -> Line:
        """Take commands until there is a newer line, which it returns; EaisError: it ended."""
        reading = asyncio.create_task(self._read(line, commands))
        dialling = asyncio.create_task(self._newer())
        try:
            await asyncio.wait((reading, dialling), return_when=asyncio.FIRST_COMPLETED)
            if not dialling.done():
                await reading
                raise make_error(UNREACHABLE, "the manager ended the line")
            return await self._move(line, dialling.result(), reading)
        finally:
            reading.cancel()
            dialling.cancel()
            await asyncio.gather(reading, dialling, return_exceptions=True)

    async def _newer(self) -> Line:
        said = ""
        while True:
            await self._outdated.wait()
            self._outdated.clear()
            try:
                return await self._dialled()
            except EaisError as error:
                if str(error) != said:
                    log.warning("no new line to the manager, the old one is kept: %s", error)
                said = str(error)

    async def _move(self, line: Line, newer: Line, reading: asyncio.Task[None]) -> Line:
        try:
            self._report_on(newer)
            line.leave()
            await asyncio.wait((reading,), timeout=_LEFT_WITHIN_S)
        except BaseException:
            await newer.close()
            raise
        newer.flow()
        self._job(line.retire())
        log.info("on a new line to the manager, with the leaf until %s", newer.bundle.not_after)
        return newer

    async def _read(self, line: Line, commands: Commands) -> None:
        async for command in line.commands():
            self._take(command, commands)

    def _take(self, command: hosts_pb2.HostCommand, commands: Commands) -> None:
        match command.WhichOneof("kind"):
            case "grant":
                self._job(commands.grant(command.grant))
            case "revoke":
                self._job(commands.revoke(command.revoke))
            case "run_batch":
                self._job(commands.run_batch(command.run_batch))
            case "give_up":
                self._job(commands.give_up(command.give_up))
            case "check_device":
                self._job(commands.check_device(command.check_device))
            case "usage_kept":
                self._job(commands.usage_kept(command.usage_kept))
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
