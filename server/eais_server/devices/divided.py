"""What a driver is besides its four verbs, if a device of its has several units, such as cores."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from eais_server.devices.driver import Reservation


@runtime_checkable
class DividedDevice(Protocol):
    """Shares below one unit lie where the pool says; see `eais.share_units`."""

    def reserve_in(
        self, unit: int, device: str, milli: int, held: Collection[Reservation]
    ) -> Reservation:
        """As `DeviceDriver.reserve`, on that unit if the share is a piece of one."""
        ...
