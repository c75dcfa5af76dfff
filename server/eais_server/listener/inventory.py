"""The devices of this host: which drivers there are, and what each share is reserved as.

A driver comes from the entry-point group `eais.devices` (an object that, called
without arguments, makes one); the CPU's is built in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.metadata import entry_points

from eais.errors import make_error
from eais_server.devices.cpu import CpuDriver
from eais_server.devices.driver import DeviceDriver, DeviceInfo, Reservation
from eais_server.devices.exclusive import Hold
from eais_server.listener.lease import Lease

log = logging.getLogger(__name__)

GROUP = "eais.devices"


def find_drivers(cpu_cores: int) -> list[DeviceDriver]:
    """The CPU's driver (`cpu_cores` offered; 0: all) and every one that is installed."""
    drivers: list[DeviceDriver] = [CpuDriver(cpu_cores or None)]
    for entry in entry_points(group=GROUP):
        try:
            drivers.append(entry.load()())
        except Exception:
            # Code of others: a driver that can't start costs its devices, not this host.
            log.exception("the device driver %s can't be used", entry.name)
    return drivers


class Inventory:
    """What is here, and which shares of it are reserved for whom.

    `hold` says of each device whether it is this listener's: others aren't offered.
    """

    def __init__(self, drivers: Iterable[DeviceDriver], hold: Hold | None = None) -> None:
        here = ((info, driver) for driver in drivers for info in driver.fingerprint())
        found = [(info, driver) for info, driver in here if hold is None or hold(info)]
        self._hold = hold  # What it holds ends with it.
        self._drivers = {info.id: driver for info, driver in found}
        self._infos = {info.id: info for info, _ in found}
        self._reserved: dict[tuple[str, int], Reservation] = {}

    @property
    def devices(self) -> tuple[DeviceInfo, ...]:
        """All devices, in the order of their drivers."""
        return tuple(self._infos.values())

    def info(self, device: str) -> DeviceInfo:
        """What `device` is.

        Raises:
            DeviceLost: DEVICE_LOST, it isn't here (any more).
        """
        if device not in self._infos:
            raise make_error("DEVICE_LOST", f"this host has no device {device[:64]!r}")
        return self._infos[device]

    def reserve(self, lease: Lease) -> None:
        """Reserve all shares of `lease`, or none.

        Raises:
            DeviceLost: DEVICE_LOST.
            EaisError: what the device's driver refuses.
        """
        try:
            for share in lease.shares:
                info = self.info(share.device)
                held = tuple(self._reserved.values())
                found = self._drivers[info.id].reserve(info.id, share.milli, held)
                self._reserved[lease.instance, share.n] = found
        except Exception:
            self.free(lease.instance)
            raise

    def free(self, instance: str) -> None:
        """Give all shares of an instance back; none is fine."""
        self._reserved = {key: r for key, r in self._reserved.items() if key[0] != instance}

    def reservation(self, instance: str, n: int) -> Reservation:
        """What was reserved for worker `n`; KeyError if nothing was."""
        return self._reserved[instance, n]
