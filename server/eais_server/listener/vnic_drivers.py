"""The vNIC drivers of a listener's host, and what its network agent offers the pool."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from eais.errors import EaisError
from eais.identity import Identity
from eais.net.asking import NetAgent
from eais.net.plan import KERNEL_DRIVERS
from eais.rpc.v1 import net_pb2
from eais_server.listener.surroundings import Surroundings
from eais_server.listener.usage import UsageMeter
from eais_server.vnic import HostDriver, KernelDriver, LoopbackDriver, VnicCounters, VnicDriver

log = logging.getLogger(__name__)

_OFFERED_IN_S: Final = 2.0
"""The pool isn't kept waiting for an agent that keeps silent."""


def vnic_drivers(world: Surroundings, own: Identity, meter: UsageMeter) -> dict[str, VnicDriver]:
    """By name; of which new leases get one: older ones may have another."""

    def counted(instance: str) -> VnicCounters:
        record = meter.total(instance)
        if record is None:
            return VnicCounters()
        return VnicCounters(record.counters.bytes_in, record.counters.bytes_out)

    made: list[VnicDriver] = [LoopbackDriver(counted), HostDriver(world.address, counted)]
    if (agent := world.agent) is not None:
        made += [KernelDriver(name, own.pool, own.name, agent) for name in KERNEL_DRIVERS]
    return {**{driver.name: driver for driver in made}, **world.vnics}


def net_offer(agent: NetAgent | None) -> net_pb2.NetOffer | None:
    """What the host's agent can do; None without one, or if it doesn't answer."""
    if agent is None:
        return None
    try:
        return replace(agent, timeout_s=_OFFERED_IN_S).offer()
    except EaisError as error:
        log.error("the pool isn't offered the kernel's vNICs: %s", error)
        return None
