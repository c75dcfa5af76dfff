"""The vNICs of leases: made before the lease is written down, gone with it.

Where a vNIC is the one way between an instance and its front-end, the listener answers that
front-end there, beside the workers, and says which ports of the address are meant to be reached.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

from eais.errors import EaisError, make_error
from eais.net.traffic import NO_TRAFFIC, Traffic
from eais_server.listener.host import Host
from eais_server.listener.lease import Lease
from eais_server.listener.leftover_vnics import LeftoverVnics
from eais_server.vnic import VnicDriver, VnicPlan

log = logging.getLogger(__name__)

_AGAIN_S: Final = 0.1
_COUNT_EVERY_S: Final = 1.0
_TIDY_AGAIN_S: Final = 1.0
_AGENT_COMES_WITHIN_S: Final = 15.0
"""After the listener: both may have been started at the same time."""


class OwnPlanes(Protocol):
    """User planes of single instances, each at its own address."""

    async def open(self, instance: str, address: str, kept: int) -> int:
        """Answer there, on the port that was `kept` if it can be had; the port.

        Raises:
            ConfigError: PORT, none can be bound there.
        """
        ...

    async def close(self, instance: str) -> None:
        """Answer there no more; nothing if it has none."""
        ...


class LeaseVnics:
    """What leases have of vNICs on this host."""

    def __init__(self, host: Host, planes: OwnPlanes, leftovers: LeftoverVnics) -> None:
        self._host = host
        self._planes = planes
        self._leftovers = leftovers
        # Instances that have one here, or are about to.
        self._needed: set[str] = set()
        # Drivers of which nobody tells the counters: that is logged once.
        self._uncounted: set[str] = set()
        # Set while there may be ends that nobody needs.
        self._left = asyncio.Event()
        # What vNICs of new leases had carried before: an agent that was away kept an older one.
        self._before: dict[str, Traffic] = {}
        # Instances of which an agent that didn't answer is to be told the ports.
        self._untold: set[str] = set()
        self._wake = asyncio.Event()

    async def make(self, lease: Lease) -> Lease:
        """Have the lease's vNIC; the lease, as it is with it.

        Raises:
            EaisError: as `VnicDriver.create`; PORT; ARGUMENT, no such driver here.
        """
        self._needed.add(lease.instance)
        try:
            return await self._make(lease)
        except BaseException:
            self._needed.discard(lease.instance)
            raise

    async def _make(self, lease: Lease) -> Lease:
        driver = self._driver(lease)
        signed = base64.b64decode(lease.net_plan)
        plan = VnicPlan(lease.instance, lease.tenant, lease.address, signed)
        made = await self._host.durable(driver.create, plan)
        self._before[lease.instance] = made.carried
        if not driver.is_private:
            return lease
        port = await self._planes.open(lease.instance, lease.address, lease.user_port)
        lease = replace(lease, user_port=port)
        # A new lease's ports are told with its worker's first one, which is there in a moment.
        if any(share.port for share in lease.shares):
            await self.connect(lease)
        return lease

    def carried_before(self, instance: str) -> Traffic:
        """What the vNIC of a lease that is new had carried before it."""
        return self._before.get(instance, NO_TRAFFIC)

    async def make_again(self, lease: Lease) -> Lease:
        """As `make`, for a lease that the last listener had; an agent that is away is awaited."""
        until_s = self._host.clock() + _AGENT_COMES_WITHIN_S
        while True:
            try:
                return await self.make(lease)
            except EaisError as error:
                if error.reason != "NET_AGENT" or self._host.clock() >= until_s:
                    raise
                log.warning("the vNIC of %s waits: %s", lease.instance, error)
                await asyncio.sleep(_AGAIN_S)

    async def connect(self, lease: Lease) -> None:
        """Let the front-end reach the lease's ports. Who can't be told now is told later."""
        driver = self._driver(lease)
        if not driver.is_private:
            return
        ports = {lease.user_port, *(share.port for share in lease.shares)} - {0}
        try:
            await self._host.durable(driver.connect, lease.instance, ports)
            self._untold.discard(lease.instance)
        except EaisError as error:
            if lease.instance not in self._untold:
                log.error("the ports of %s aren't open yet: %s", lease.instance, error)
            self._untold.add(lease.instance)
            self._wake.set()

    async def end(self, lease: Lease) -> None:
        """No more is said by the lease's vNIC, and what it has carried is counted."""
        with suppress(EaisError):
            if self._driver(lease).is_private:
                await self._planes.close(lease.instance)
                await self._count([lease])

    async def take_away(self, lease: Lease) -> None:
        """Nothing is left of the lease's vNIC, or it is said in the log."""
        self._untold.discard(lease.instance)
        self._needed.discard(lease.instance)
        self._before.pop(lease.instance, None)
        with suppress(EaisError):
            driver = self._driver(lease)
            if driver.is_private:
                await self._planes.close(lease.instance)
            try:
                await self._host.durable(driver.destroy, lease.instance)
            except EaisError as error:
                log.error("the vNIC of %s isn't taken away yet: %s", lease.instance, error)
                self._left.set()

    async def tidy(self) -> None:
        """Take away what no lease has; later, if the agent doesn't answer now."""
        if not await self._leftovers.take_away(self._needed):
            self._left.set()

    async def run(self) -> None:
        """Count what passes, tell again what couldn't be told, take away what couldn't be."""
        async with asyncio.TaskGroup() as all_:
            all_.create_task(self._tell_again())
            all_.create_task(self._tidy_again())
            all_.create_task(self._keep_counting())

    async def _keep_counting(self) -> None:
        while True:
            await asyncio.sleep(_COUNT_EVERY_S)
            await self._count(list(self._host.admission.leases.values()))

    async def _count(self, leases: Collection[Lease]) -> None:
        """Have the meter know what the vNICs of leases have carried."""
        drivers = {name: self._host.vnics.get(name) for name in {x.vnic_driver for x in leases}}
        for name, driver in drivers.items():
            if driver is None or not driver.is_private:
                continue
            try:
                carried = await asyncio.to_thread(driver.counters)
            except EaisError as error:
                self._say_uncounted(name, error)
                continue
            self._uncounted.discard(name)
            for lease in leases:
                if lease.vnic_driver == name and lease.instance in carried:
                    self._host.meter.carried(lease.instance, lease.epoch, carried[lease.instance])

    def _say_uncounted(self, name: str, error: EaisError) -> None:
        if name not in self._uncounted:
            log.error("what passes by %s isn't counted now: %s", name, error)
        self._uncounted.add(name)

    async def _tidy_again(self) -> None:
        while True:
            await self._left.wait()
            await asyncio.sleep(_TIDY_AGAIN_S)
            self._left.clear()
            await self.tidy()

    async def _tell_again(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            for instance in sorted(self._untold):
                lease = self._host.admission.leases.get(instance)
                if lease is not None:
                    await self.connect(lease)
            if self._untold:
                await asyncio.sleep(_AGAIN_S)

    def _driver(self, lease: Lease) -> VnicDriver:
        driver = self._host.vnics.get(lease.vnic_driver)
        if driver is None:
            raise make_error("ARGUMENT", f"no vNIC driver {lease.vnic_driver[:32]!r} here")
        return driver
