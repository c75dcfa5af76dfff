"""The listener's leaves turn over: its own, and those of the workers of its leases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from eais.errors import DeadlineExceeded, EaisError, Unavailable
from eais_server.listener.grants import Grants
from eais_server.listener.host import Host
from eais_server.listener.lease import Lease
from eais_server.listener.leaves import leaf_message
from eais_server.listener.link import Link
from eais_server.listener.own_identity import OwnIdentity
from eais_server.listener.workers import Workers

log = logging.getLogger(__name__)

# Between the looks at what is due. A leaf is renewed in the middle sixth of its life.
EVERY_S: Final = 0.25
_WARNED_AGAIN_S: Final = 60.0


class Renewal:
    """`once` is to be called several times in a sixth of a leaf's life. `now`: aware."""

    def __init__(
        self,
        host: Host,
        grants: Grants,
        workers: Workers,
        link: Link,
        own: OwnIdentity,
        now: Callable[[], datetime],
    ) -> None:
        self._host = host
        self._grants = grants
        self._workers = workers
        self._link = link
        self._own = own
        self._now = now
        self._warned: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(EVERY_S)

    async def once(self) -> None:
        """Renew what is due; what fails is tried again the next time."""
        try:
            await self._own.renew()
            # Also when somebody else has put another leaf into the file.
            self._link.refresh()
        except EaisError as error:
            self._warn("the listener's leaf", error)
        await self._renew_workers()

    async def _renew_workers(self) -> None:
        now = self._now()
        due = [key for key, bundle in self._grants.leaves.items() if now >= bundle.renew_after]
        for instance, n in due:
            try:
                await self._renew_worker(instance, n)
            except EaisError as error:
                self._warn(f"the leaf of worker {n} of {instance}", error)
                if isinstance(error, Unavailable | DeadlineExceeded):
                    return  # the others would wait for the same pool

    async def _renew_worker(self, instance: str, n: int) -> None:
        lease = self._holds(instance, n)
        if lease is None:
            return
        bundle = await self._grants.new_leaf(lease, n)
        now = self._holds(instance, n)
        if now is None or now.epoch != lease.epoch:  # given back meanwhile
            return
        self._grants.leaves[instance, n] = bundle
        self._workers.renew(instance, n, leaf_message(bundle))
        try:
            await self._host.durable(self._host.files.save_leaf, instance, n, bundle)
        except OSError as error:
            # A restarted listener would find the older one, and have it renewed.
            log.error("the leaf of worker %s of %s can't be written: %s", n, instance, error)

    def _holds(self, instance: str, n: int) -> Lease | None:
        """The lease, if it is here and has a worker of that number."""
        lease = self._host.admission.leases.get(instance)
        return lease if lease and any(share.n == n for share in lease.shares) else None

    def _warn(self, what: str, error: EaisError) -> None:
        """Log what fails once a minute, not four times a second."""
        now = self._host.clock()
        self._warned = {w: at for w, at in self._warned.items() if now - at < _WARNED_AGAIN_S}
        if what not in self._warned:
            self._warned[what] = now
            log.warning("%s isn't renewed: %s", what, error)
