"""The sessions that come with a grant: their models are fetched from where they are, and loaded.

One after the other, as a client would open them, but for the models: these come from other
listeners, which are tried in turn, and go on where an earlier one broke off. A model that none
of them has is missing here; whoever has it is asked for it. One that is here and doesn't load,
or that there is no room for, is why the grant fails.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from eais.errors import EaisError, make_error
from eais.rpc.v1 import hosts_pb2, listener_pb2
from eais_server.listener.fetching import Fetching
from eais_server.listener.host import Host
from eais_server.listener.lease import Lease
from eais_server.listener.openings import Openings
from eais_server.listener.peers import Peers
from eais_server.listener.sessions import KeptSession

log = logging.getLogger(__name__)

SAID_EVERY_S: Final = 1.0
"""How often the pool hears that a grant is still worked at."""

Ended = Callable[[Lease, int | EaisError], Awaitable[None]]
"""Told of an arrival's end: how many sessions are missing, or why it failed."""


@dataclass(frozen=True, slots=True)
class _Way:
    """Where a lease's models come from."""

    lease: Lease
    fetching: Fetching


class Arrivals:
    """What is on its way to this listener, by instance.

    `dial` opens the ways to other listeners, for one arrival.
    """

    def __init__(
        self,
        host: Host,
        openings: Openings,
        dial: Callable[[], AbstractAsyncContextManager[Peers]],
    ) -> None:
        self._host = host
        self._openings = openings
        self._dial = dial
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, lease: Lease, grant: hosts_pb2.Grant, ended: Ended) -> None:
        """Bring the grant's sessions here, unless that is under way."""
        if lease.instance not in self._tasks:
            task = asyncio.create_task(self._bring(lease, grant, ended))
            self._tasks[lease.instance] = task

    def cancel(self, instance: str) -> None:
        """Nobody waits for the instance's sessions any more."""
        task = self._tasks.pop(instance, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def close(self) -> None:
        """End all that is under way."""
        tasks = list(self._tasks.values())
        for instance in list(self._tasks):
            self.cancel(instance)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _bring(self, lease: Lease, grant: hosts_pb2.Grant, ended: Ended) -> None:
        saying = asyncio.create_task(self._say_on(lease))
        try:
            outcome = await self._outcome(lease, grant)
        finally:
            saying.cancel()
        if self._tasks.get(lease.instance) is asyncio.current_task():
            del self._tasks[lease.instance]
            await ended(lease, outcome)

    async def _outcome(self, lease: Lease, grant: hosts_pb2.Grant) -> int | EaisError:
        try:
            async with self._dial() as peers:
                way = _Way(lease, self._fetching(lease, peers, grant.sources))
                return sum([not await self._open(way, spec) for spec in grant.specs])
        except EaisError as error:
            return error
        except Exception:
            # The pool waits for an answer, whatever it is.
            log.exception("BUG: the sessions of %s", lease.instance)
            return make_error("BUG", "the listener failed on this; its log says how")

    def _fetching(
        self, lease: Lease, peers: Peers, sources: Sequence[hosts_pb2.ModelSource]
    ) -> Fetching:
        def came() -> None:
            self._openings.pushed(lease.instance)

        return Fetching(self._host, peers, sources, lease.tenant, came)

    async def _say_on(self, lease: Lease) -> None:
        message = hosts_pb2.GrantGoesOn(instance=lease.instance, epoch=lease.epoch)
        while True:
            await asyncio.sleep(SAID_EVERY_S)
            self._host.report(hosts_pb2.HostReport(grant_goes_on=message))

    async def _open(self, way: _Way, spec: listener_pb2.SessionSpec) -> bool:
        """Whether the session is here now; False when a file of its is nowhere."""
        found = await self._openings.open(way.lease, spec, None)
        if isinstance(found, KeptSession):
            return True
        for file in found:
            if not await way.fetching.fetch(file):
                log.warning("a model of %s is at none of its sources", way.lease.instance)
                return False
        return isinstance(await self._openings.open(way.lease, spec, None), KeptSession)
