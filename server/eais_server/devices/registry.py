"""The device drivers that are installed, by name: this project's own, and those of others.

A vendor adds one by an entry point in the group `eais.devices`: its name is the driver's, and
what it loads is called without arguments, in the listener and in each worker on its device.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from eais_server.devices.cpu import CpuDriver
from eais_server.devices.driver import DeviceDriver
from eais_server.devices.openvino import OpenVinoDriver
from eais_server.devices.sim import SimDriver

log = logging.getLogger(__name__)


def _fpga() -> DeviceDriver:
    """Its modules are loaded by those alone who have to do with boards."""
    from eais_server.devices.fpga.driver import FpgaDriver

    return FpgaDriver()


def _cuda() -> DeviceDriver:
    """Its module is loaded by those alone who have to do with GPUs."""
    from eais_server.devices.cuda import CudaDriver

    return CudaDriver()


def _npu() -> DeviceDriver:
    """As above, with NPUs."""
    from eais_server.devices.npu import NpuDriver

    return NpuDriver()


GROUP: Final = "eais.devices"
Maker = Callable[[], DeviceDriver]
BUILT_IN: Final[Mapping[str, Maker]] = {
    "cpu": CpuDriver,
    "sim": SimDriver,
    "openvino": OpenVinoDriver,
    "fpga": _fpga,
    "cuda": _cuda,
    "npu": _npu,
}


def makers(installed: Iterable[EntryPoint] | None = None) -> dict[str, Maker]:
    """Name to what makes the driver: the built-in ones first; none of others' code ran yet.

    `installed` are others' entry points: those of the group, if it is None.
    """
    found: dict[str, Maker] = dict(BUILT_IN)
    for entry in entry_points(group=GROUP) if installed is None else installed:
        if entry.name in found:
            log.error("%s: a device driver is named %s already", entry.value, entry.name)
        else:
            found[entry.name] = partial(_make, entry)
    return found


def _make(entry: EntryPoint) -> DeviceDriver:
    driver: DeviceDriver = entry.load()()
    return driver
