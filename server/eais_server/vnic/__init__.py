"""Virtual NICs: one interface, a driver a file."""

from __future__ import annotations

from eais_server.vnic.driver import VnicDriver, VnicPlan, VnicState
from eais_server.vnic.host import HostDriver
from eais_server.vnic.kernel import KernelDriver
from eais_server.vnic.loopback import LoopbackDriver

__all__ = [
    "HostDriver",
    "KernelDriver",
    "LoopbackDriver",
    "VnicDriver",
    "VnicPlan",
    "VnicState",
]
