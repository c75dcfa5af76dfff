"""The vNIC drivers of a listener's host."""

from __future__ import annotations

from eais.identity import Identity
from eais.net.plan import KERNEL_DRIVERS
from eais.net.traffic import NO_TRAFFIC, Traffic
from eais_server.listener.surroundings import Surroundings
from eais_server.listener.usage import UsageMeter
from eais_server.vnic import HostDriver, KernelDriver, LoopbackDriver, VnicDriver


def vnic_drivers(world: Surroundings, own: Identity, meter: UsageMeter) -> dict[str, VnicDriver]:
    """By name; of which new leases get one: older ones may have another."""

    def counted(instance: str) -> Traffic:
        record = meter.total(instance)
        if record is None:
            return NO_TRAFFIC
        return Traffic(record.counters.bytes_in, record.counters.bytes_out)

    made: list[VnicDriver] = [LoopbackDriver(counted), HostDriver(world.address, counted)]
    if (agent := world.agent) is not None:
        made += [KernelDriver(name, own.pool, own.name, agent) for name in KERNEL_DRIVERS]
    return {**{driver.name: driver for driver in made}, **world.vnics}
