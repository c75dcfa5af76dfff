"""Instances as their owners see them, as frozen records; made by `views`. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass

from eais.instance import InstanceState
from eais.instance_policy import DEFAULT_POLICY, InstancePolicy
from eais_pool.brain.host_records import Endpoint
from eais_pool.brain.net_records import NetLink


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker as front-ends see it."""

    n: int
    endpoint: Endpoint
    kind: str
    device: str
    share_milli: int
    simulated: bool
    isolation: int
    enforcement: str
    serving: bool
    incarnation: int
    memory_bytes: int = 0
    memory_enforcement: str = ""


@dataclass(frozen=True, slots=True)
class InstanceView:
    """An instance as its owner sees it; `host` names the listener behind `listener`.

    `vnic_driver` is "" while it isn't bound; `address` while that will be any back-end's. `link`:
    the vNIC, if it is the kernel's. `vnic_why`: that driver and no other.
    """

    id: str
    tenant: str
    type: str
    state: InstanceState
    reason: str
    detail: str
    frontend: str
    epoch: int
    host: str
    listener: Endpoint | None
    workers: tuple[WorkerView, ...]
    vnic_driver: str
    address: str
    tolerance: str
    ephemeral: bool
    policy: InstancePolicy = DEFAULT_POLICY
    link: NetLink | None = None
    vnic_why: str = ""
