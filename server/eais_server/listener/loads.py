"""What can be loaded onto devices for which models need an image, as the pool is told of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from eais.errors import EaisError
from eais.rpc.v1 import hosts_pb2
from eais_server.devices.hosted import ModelLoad
from eais_server.listener.host import Host
from eais_server.listener.hosted import HostedShares

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
MOST: Final = 1024
"""Models of a device that the pool is told of."""


class Loads:
    """Looks for what has changed, and says it. What a device had last stands until it is seen."""

    def __init__(self, host: Host, shares: HostedShares) -> None:
        self._host = host
        self._shares = shares
        self._devices = [i.id for i in host.inventory.devices if host.inventory.hosted(i.id)]
        self._known: dict[str, hosts_pb2.Loads] = {}

    def known(self, device: str) -> hosts_pb2.Loads | None:
        """What was seen last; None: nothing yet, or the device needs no images."""
        return self._known.get(device)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """See what each device has now, and say what is other than it was."""
        for device in self._devices:
            await self._look_at(device)

    async def _look_at(self, device: str) -> None:
        try:
            found = await self._shares.loads(device)
        except EaisError as error:
            log.debug("%s doesn't say what is loaded: %s", device, error)
            return
        loads = hosts_pb2.Loads(models=map(_message, found[:MOST]))
        if loads != self._known.get(device):
            self._known[device] = loads
            said = hosts_pb2.DeviceLoads(device=device, loads=loads)
            self._host.report(hosts_pb2.HostReport(device_loads=said))


def _message(load: ModelLoad) -> hosts_pb2.ModelLoad:
    return hosts_pb2.ModelLoad(
        model=bytes.fromhex(load.model),
        load_ms=round(load.load_s * 1000),
        ready_milli=load.ready_milli,
    )
