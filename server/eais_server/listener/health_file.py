"""What is thought of this host's devices, on disk: `devices.json` in the listener's directory.

Written whole and synced before the pool is told. A device that was bad stays bad for the next
listener; one that was suspect is checked by it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from eais import files
from eais.sealed import Damaged, seal, unseal
from eais_server.supervision.device import Device, DeviceHealth

log = logging.getLogger(__name__)

_LARGEST: Final = 1 << 20


class HealthFile:
    """One listener's file; one process writes it, one call at a time.

    Args:
        disk: does what changes the disk.
    """

    def __init__(self, path: Path, disk: files.DiskOps = files.DISK) -> None:
        self._path = path
        self._disk = disk
        files.remove_leftovers_of(path)

    def save(self, found: Iterable[tuple[str, DeviceHealth, str]]) -> None:
        """Make durable which devices aren't ok, and why; raises OSError."""
        rows = [
            {"device": device, "health": health.value, "why": why}
            for device, health, why in found
            if health is not DeviceHealth.HEALTHY
        ]
        files.replace_file(self._path, seal({"devices": rows}), disk=self._disk)

    def restore(self, devices: Iterable[Device]) -> None:
        """Have devices be as they were left; a damaged file, said in the log, has them checked."""
        known = {device.id: device for device in devices}
        if not self._path.exists():
            return
        try:
            for row in unseal(files.read_private(self._path, _LARGEST))["devices"]:
                device, health = known.get(row["device"]), DeviceHealth(row["health"])
                if device is not None:
                    device.health, device.why = health, str(row["why"])
                    device.wanted = health is DeviceHealth.SUSPECT
        except (Damaged, OSError, KeyError, TypeError, ValueError) as error:
            log.error("%s is damaged; devices are checked: %s", self._path, error)
            for device in known.values():
                device.health, device.why = DeviceHealth.SUSPECT, "what was known of it is lost"
                device.wanted = True
