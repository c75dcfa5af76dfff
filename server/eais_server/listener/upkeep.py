"""What a listener does every so often: counters, idle sessions, stale uploads, leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from eais.errors import DeadlineExceeded, EaisError, Unavailable
from eais.rpc.v1 import hosts_pb2
from eais_server.listener import messages
from eais_server.listener.grants import Grants, leaf_message
from eais_server.listener.host import Host
from eais_server.listener.openings import Openings
from eais_server.listener.workers import Workers

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0


class Upkeep:
    """`once` is to be called about once a second. `now` gives the time of day, aware."""

    def __init__(
        self,
        host: Host,
        grants: Grants,
        openings: Openings,
        workers: Workers,
        now: Callable[[], datetime],
    ) -> None:
        self._host = host
        self._grants = grants
        self._openings = openings
        self._workers = workers
        self._now = now
        # Whose counters wait for the disk: that is logged once.
        self._unsaid: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(EVERY_S)

    async def once(self) -> None:
        """All of it, one after the other."""
        await self._tell_usage()
        await self._openings.drop_idle()
        await asyncio.to_thread(self._host.store.sweep)
        await self._renew_leaves()

    async def _tell_usage(self) -> None:
        """Counters are on disk before they are told, so they never go back after a restart."""
        for instance, record in self._host.meter.changed().items():
            if instance not in self._host.admission.leases:
                continue  # released since: its last word was told then
            try:
                await self._host.durable(self._host.files.save_usage, instance, record)
            except OSError as error:
                self._unwritten(instance, error)
                continue
            self._unsaid.discard(instance)
            usage = messages.usage(instance, record)
            self._host.report(hosts_pb2.HostReport(usage=usage))

    def _unwritten(self, instance: str, error: OSError) -> None:
        """What isn't on disk isn't told: after a restart it would be less again."""
        self._host.meter.untell(instance)
        if instance not in self._unsaid:
            log.error("the counters of %s can't be written, they wait: %s", instance, error)
        self._unsaid.add(instance)

    async def _renew_leaves(self) -> None:
        """Renew what is past half of its life; when the pool can't be reached, next time."""
        now = self._now()
        due = [key for key, bundle in self._grants.leaves.items() if now >= bundle.renew_after]
        for instance, n in due:
            try:
                await self._renew(instance, n)
            except (EaisError, OSError) as error:
                log.warning("the leaf of worker %s of %s isn't renewed: %s", n, instance, error)
                if isinstance(error, Unavailable | DeadlineExceeded):
                    return  # the others would wait for the same pool

    async def _renew(self, instance: str, n: int) -> None:
        lease = self._host.admission.leases.get(instance)
        if lease is None:
            return
        bundle = await self._grants.new_leaf(lease, n)
        now = self._host.admission.leases.get(instance)
        if now is None or now.epoch != lease.epoch:  # released meanwhile
            return
        await self._host.durable(self._host.files.save_leaf, instance, n, bundle)
        self._grants.leaves[instance, n] = bundle
        self._workers.renew(instance, n, leaf_message(bundle))
