"""One listener on a host has an accelerator: a lock of the host's, by the device's id.

CPU cores and simulated devices belong to their pool, so that two pools of one machine, or two
listeners of one, don't collide. The lock is an abstract unix socket: the kernel gives it up with
the process, however that ends; nothing is left on a disk, and no directory has to be writable.
It is of the network namespace, which a listener shares with its host.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable

from eais.device_type import DeviceKind
from eais_server.devices.driver import DeviceInfo

log = logging.getLogger(__name__)

Hold = Callable[[DeviceInfo], bool]
"""Whether this listener has the device from now on."""


def is_shared(device: DeviceInfo) -> bool:
    """Whether several listeners of a host may have it."""
    return device.kind is DeviceKind.CPU or device.simulated


class HostLocks:
    """The accelerators that this process has, for as long as it lives."""

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}

    def hold(self, device: DeviceInfo) -> bool:
        """Have `device`, if no other process of this host has it."""
        if is_shared(device) or device.id in self._held:
            return True
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            lock.bind(f"\0eais/device/{device.id}")
        except OSError as error:
            lock.close()
            if error.errno != errno.EADDRINUSE:
                raise
            log.error("%s isn't offered: another listener of this host has it", device.id)
            return False
        self._held[device.id] = lock
        return True

    def close(self) -> None:
        """Give all of them up."""
        for lock in self._held.values():
            lock.close()
        self._held.clear()
