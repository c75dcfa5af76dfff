"""All checks, in the order in which one explains another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from eais_client.doctor import machine, network, path, pool_side, runtimes
from eais_client.doctor.findings import Check, Finding, examine
from eais_client.doctor.scene import Scene

_SPEAKS: Final = ("certificate", "address", "clock", "validity", "server")

CHECKS: Final[Sequence[Check[Scene]]] = (
    Check("config", machine.config),
    Check("fall-back", machine.fallback, ("config",)),
    Check("context", machine.context, ("config",)),
    Check("pool", machine.pool, ("context",)),
    Check("certificate", machine.certificate, ("context",)),
    Check("address", network.address, ("context", "pool")),
    Check("clock", network.clock, ("address",)),
    Check("validity", network.validity, ("certificate",)),
    Check("server", network.server, ("certificate", "address", "clock")),
    Check("accepted", network.accepted, _SPEAKS),
    Check("version", network.version, ("accepted",)),
    Check("clock", network.exact_clock, ("version",)),
    Check("renewal", network.renewal, ("certificate", "validity")),
    Check("operator", pool_side.operator, ("address", "clock", "context", "pool")),
    Check("hosts", pool_side.hosts, ("operator",)),
    Check("instance", pool_side.instance, ("version",)),
    Check("vnic", path.vnic, ("instance",)),
    Check("listener", pool_side.listener, ("instance", "vnic")),
    Check("worker", pool_side.worker, ("instance", "listener")),
    Check("path", path.path, ("instance", "vnic", "listener", "worker")),
    Check("isolation", pool_side.isolation, ("instance",)),
    Check("runtimes", runtimes.runtimes, ("version", "operator")),
    Check("quota", pool_side.quota, ("version", "operator")),
)


def look(scene: Scene) -> list[Finding]:
    """What is found for this user."""
    return examine(CHECKS, scene)
