"""Whose drivers are found, and what two of them say of one device."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Collection
from importlib.metadata import EntryPoint
from typing import Any, cast

import pytest

from eais.device_type import DeviceKind
from eais.tolerance import Precision
from eais_server.devices import registry
from eais_server.devices.cpu import CpuDriver
from eais_server.devices.driver import (
    REFERENCE,
    DeviceDriver,
    DeviceInfo,
    Enforcement,
    Reservation,
    Runtime,
)
from eais_server.listener.inventory import Inventory
from eais_server.listener.lease import Lease, Share

OTHER = Runtime("other", Precision.BF16)


class Beside:
    """A driver that runs models on the CPU's device too, and has one of its own."""

    def __init__(self) -> None:
        own = DeviceInfo("npu0", DeviceKind.NPU, "n", 1, 1000, 125, 1000, Enforcement.FORCED)
        (cpu,) = CpuDriver(2).fingerprint()
        self.devices = [
            DeviceInfo(cpu.id, cpu.kind, "c", 1, 1000, 125, 1000, cpu.enforcement, False, (OTHER,)),
            own,
        ]

    def fingerprint(self) -> list[DeviceInfo]:
        return self.devices

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        return Reservation(device, milli, 7)


def test_a_vendors_driver_is_found_by_its_entry_point() -> None:
    entry = EntryPoint("beside", "eais_server.devices.cpu:CpuDriver", "eais.devices")
    makers = registry.makers([entry])
    assert next(iter(makers)) == "cpu"
    assert isinstance(makers["beside"](), CpuDriver)


def test_a_name_that_is_taken_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        makers = registry.makers([EntryPoint("cpu", "nowhere:Driver", "eais.devices")])
    assert isinstance(makers["cpu"](), CpuDriver)
    assert "nowhere:Driver" in caplog.text


def test_the_first_driver_of_a_device_reserves_its_shares_and_all_may_run_models() -> None:
    drivers: dict[str, Any] = {"cpu": CpuDriver(2), "beside": Beside()}
    inventory = Inventory(cast("dict[str, DeviceDriver]", drivers))
    assert [device.id for device in inventory.devices] == ["cpu0", "npu0"]
    assert inventory.info("cpu0").runtimes == (REFERENCE, OTHER)
    assert inventory.info("cpu0").capacity_milli == 2000
    assert inventory.drivers("cpu0") == ("cpu", "beside")
    assert inventory.drivers("npu0") == ("beside",)
    shares = (Share(1, "cpu0", 1000), Share(2, "npu0", 125))
    inventory.reserve(Lease("ei-1", "t", 1, shares, "127.0.0.1", "loopback", 60, "exact"))
    assert inventory.reservation("ei-1", 1).threads == 1
    assert inventory.reservation("ei-1", 2).threads == 7


def test_who_lists_the_drivers_loads_none_of_those_for_accelerators() -> None:
    code = (
        "import sys; from eais_server.devices.registry import makers; known = makers([]);"
        "print(*(n for n in ('cuda', 'npu') if f'eais_server.devices.{n}' in sys.modules));"
        "print(*(type(known[n]()).__name__ for n in ('cuda', 'npu')));"
        "print(*(m for m in ('onnxruntime', 'pynvml', 'torch') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["", "CudaDriver NpuDriver", ""]
