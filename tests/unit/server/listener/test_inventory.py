"""What a host lends: nothing of a device of which no share can be enforced."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from eais.device_type import DeviceKind
from eais.errors import UsageError, make_error
from eais_server.devices.driver import Reservation
from eais_server.devices.sim import SimDriver
from eais_server.listener import messages
from eais_server.listener.inventory import Inventory


class Small(SimDriver):
    """A GPU of which shares below `least` have too little memory to be enforced."""

    def __init__(self, least: int) -> None:
        super().__init__({DeviceKind.GPU: 1})
        self.least = least

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        if milli < self.least:
            raise UsageError("ARGUMENT", f"{milli} milli-devices are too few")
        return super().reserve(device, milli, held)


class Gone(SimDriver):
    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        raise make_error("DEVICE_LOST", f"{device} has vanished")


@pytest.mark.parametrize(
    ("least", "why"), [(0, ""), (1000, ""), (1001, "1000 milli-devices are too few")]
)
def test_a_device_of_which_no_share_can_be_enforced_says_so(least: int, why: str) -> None:
    [info] = Inventory({"small": Small(least)}).devices
    assert info.unenforced == why
    assert messages.device(info).unenforced == why


def test_a_device_that_is_lost_is_not_taken_for_one() -> None:
    [info] = Inventory({"gone": Gone({DeviceKind.GPU: 1})}).devices
    assert info.unenforced == ""
