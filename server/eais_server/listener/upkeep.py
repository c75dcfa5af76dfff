"""What a listener does every so often: counters, idle sessions, stale uploads."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from eais.rpc.v1 import hosts_pb2
from eais_server.listener import messages
from eais_server.listener.host import Host
from eais_server.listener.openings import Openings
from eais_server.store import StoreUse

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0


class Upkeep:
    """`once` is to be called about once a second.

    Attributes:
        store_use: the store's numbers as they were then.
    """

    def __init__(self, host: Host, openings: Openings) -> None:
        self._host = host
        self._openings = openings
        # Whose counters wait for the disk: that is logged once.
        self._unsaid: set[str] = set()
        self.store_use: StoreUse | None = None

    @property
    def unwritten(self) -> frozenset[str]:
        """The instances whose counters the disk doesn't take."""
        return frozenset(self._unsaid)

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
        self.store_use = await asyncio.to_thread(self._host.store.use)

    async def _tell_usage(self) -> None:
        """Counters are on disk before they are told, so they never go back after a restart."""
        for instance, record in self._host.meter.changed(self._host.clock()).items():
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
            if record.spent:
                await self._drop(instance, record.spent)

    async def _drop(self, instance: str, pages: tuple[str, ...]) -> None:
        """What workers that are gone counted is kept: their pages needn't be."""
        try:
            await self._host.durable(self._host.files.remove_pages, pages)
        except OSError as error:
            log.error("what workers of %s counted stays on the disk: %s", instance, error)
        self._host.meter.dropped(instance, pages)

    def _unwritten(self, instance: str, error: OSError) -> None:
        """What isn't on disk isn't told: after a restart it would be less again."""
        self._host.meter.untell(instance)
        if instance not in self._unsaid:
            log.error("the counters of %s can't be written, they wait: %s", instance, error)
        self._unsaid.add(instance)
