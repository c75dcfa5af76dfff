"""What a driver is besides its four verbs, if it sees who uses a device that is shared by turns."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from eais_server.devices.driver import Reservation
from eais_server.turns.meter import Meter


@runtime_checkable
class MeteredDevice(Protocol):
    """Counts from outside. Where no driver does, the time counts for which a worker has the turn,
    and one that computes without asking isn't found.
    """

    def meter(self, share: Reservation, pid: int) -> Meter:
        """What process `pid`, which has the share, used of what it shares by turns."""
        ...
