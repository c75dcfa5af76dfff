"""The health of this host's devices: what is watched, how it is checked, who is told.

What is thought of a device is the supervision's to decide (`eais_server.supervision.checks`).
CPU cores aren't watched: what fails there is a model, or the host.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from eais.device_type import DeviceKind
from eais.errors import EaisError
from eais.rpc.v1 import hosts_pb2, supervision_pb2
from eais_server.devices.driver import DeviceInfo
from eais_server.listener.health_file import HealthFile
from eais_server.listener.host import Host
from eais_server.listener.hosted import HostedShares
from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from eais_server.supervision.device import Device

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""How often the processes that serve devices are looked for."""


class Health:
    """What the supervision needs done about devices, and the pool wants to know of them."""

    def __init__(self, host: Host, file: HealthFile, shares: HostedShares) -> None:
        self._host = host
        self._file = file
        self._shares = shares
        self._checks: set[asyncio.Task[None]] = set()
        self._hosted = [i.id for i in host.inventory.devices if host.inventory.hosted(i.id)]
        watched = (info for info in host.inventory.devices if is_watched(info))
        host.state.devices = {i.id: Device(i.id, hosted=i.id in self._hosted) for i in watched}
        file.restore(host.state.devices.values())
        host.inventory.lost = self._lost

    def _lost(self, device: str, error: EaisError) -> None:
        self._host.tell(on.DeviceFailed(device, error.message))

    async def run(self) -> None:
        """Look for the processes that serve devices, until cancelled."""
        while True:
            for device in self._hosted:
                driver = self._host.inventory.hosted(device)
                if driver is not None and not driver.is_alive(device):
                    self._host.tell(on.DeviceFailed(device, "the process that serves it is gone"))
            await asyncio.sleep(LOOK_S)

    def ask(self, device: str) -> None:
        """An operator wants a check."""
        self._host.tell(on.CheckAsked(device))

    def check(self, action: do.Check) -> supervision_pb2.Check | None:
        """What a spare is told to check: the least share of the device.

        None if its driver refuses that; that is the answer then.
        """
        inventory = self._host.inventory
        try:
            share = inventory.trial_share(action.device)
        except EaisError as error:
            self._host.tell(on.Checked(action.worker, error.message))
            return None
        return supervision_pb2.Check(
            device=share.device,
            milli=share.milli,
            memory_bytes=share.memory_bytes,
            drivers=inventory.drivers(share.device),
            words=share.words,
        )

    async def outcome(self, action: do.CheckHosted | do.KeepHealth) -> None:
        """Begin a look at the process that serves a device, or tell how one is."""
        match action:
            case do.KeepHealth():
                await self._keep(action)
            case do.CheckHosted():
                self._begin(action)

    def _begin(self, action: do.CheckHosted) -> None:
        # It may take as long as the device's own thread is busy.
        task = asyncio.create_task(self._check_hosted(action.device))
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def _check_hosted(self, device: str) -> None:
        try:
            anew = await self._shares.look_after(device)
            self._host.tell(on.HostedChecked(device, anew=anew))
        except EaisError as error:
            self._host.tell(on.HostedChecked(device, error.message))

    async def _keep(self, action: do.KeepHealth) -> None:
        """Write down how devices are, then tell the pool of this one."""
        device = self._host.state.devices[action.device]
        said = hosts_pb2.DeviceHealth(device=device.id, health=device.health, reason=device.why)
        if device.why:
            log.error("%s is %s: %s", device.id, device.health, device.why)
        else:
            log.warning("%s is %s", device.id, device.health)
        found = [(d.id, d.health, d.why) for d in self._host.state.devices.values()]
        try:
            await self._host.durable(self._file.save, found)
        except OSError as error:
            # The pool keeps it too; a listener that comes back would find out once more.
            log.error("how %s is can't be written down: %s", device.id, error)
        self._host.report(hosts_pb2.HostReport(device_health=said))


def is_watched(info: DeviceInfo) -> bool:
    """Whether the device can be at fault for what a worker does."""
    return info.kind is not DeviceKind.CPU
