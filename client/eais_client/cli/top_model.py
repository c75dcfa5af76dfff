"""What `eais top` shows, from what the pool says: rows, and the ratio that is observed. (Brain)

The ratio is CPU cores at work, of front-ends and of the pool, to the accelerators that are
granted, in devices. A pool's CPU device is no accelerator: it is on the ratio's other side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eais.instance import InstanceState
from eais_client.instances import Activity, Instance
from eais_client.pool_status import DeviceUse, HostUse, PoolStatus

CPU = "cpu"
_IDLE = Activity()


@dataclass(frozen=True, slots=True)
class Ratio:
    """CPU cores at work : accelerators granted, in devices."""

    cpu_cores: float
    accelerators: float


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """An instance and what it does; of one that makes no calls all is 0."""

    instance: Instance
    activity: Activity
    ratio: Ratio


@dataclass(frozen=True, slots=True)
class Totals:
    """The pool as one: of operators all of it, of a front-end its tenant's instances."""

    instances: int
    in_use: int
    calls_per_s: float
    waiting_calls: int
    slowest_p99_ms: float
    ratio: Ratio


@dataclass(frozen=True, slots=True)
class TopView:
    """All that is shown at one moment; a front-end sees no hosts and no devices."""

    pool: str
    totals: Totals
    hosts: tuple[HostUse, ...]
    devices: tuple[DeviceUse, ...]
    instances: tuple[InstanceRow, ...]


def top_view(pool: str, status: PoolStatus | None, instances: Sequence[Instance]) -> TopView:
    """What the pool says, as rows: the instances with most calls first.

    Args:
        status: None for a front-end, which isn't told.
    """
    rows = sorted(map(_row, instances), key=_order)
    return TopView(
        pool=pool,
        totals=_totals(rows),
        hosts=status.hosts if status else (),
        devices=status.devices if status else (),
        instances=tuple(rows),
    )


def host_state(host: HostUse) -> str:
    """ "unreachable", "draining", "drained", "cordoned", "ready": the one that says most."""
    if not host.reachable:
        return "unreachable"
    if host.draining:
        return "draining" if host.instances else "drained"
    return "cordoned" if host.cordoned else "ready"


def _row(instance: Instance) -> InstanceRow:
    activity = instance.activity or _IDLE
    return InstanceRow(instance, activity, _ratio(instance, activity))


def _ratio(instance: Instance, activity: Activity) -> Ratio:
    shares = [worker.share_milli for worker in instance.workers if worker.kind != CPU]
    on_cpu = any(worker.kind == CPU for worker in instance.workers)
    pool_cores = activity.busy_cores if on_cpu else 0.0
    return Ratio(activity.frontend_busy_cores + pool_cores, sum(shares) / 1000)


def _order(row: InstanceRow) -> tuple[bool, float, str]:
    instance = row.instance
    return (instance.state is not InstanceState.IN_USE, -row.activity.calls_per_s, instance.id)


def _totals(rows: Sequence[InstanceRow]) -> Totals:
    return Totals(
        instances=len(rows),
        in_use=sum(row.instance.state is InstanceState.IN_USE for row in rows),
        calls_per_s=sum(row.activity.calls_per_s for row in rows),
        waiting_calls=sum(row.activity.waiting_calls for row in rows),
        slowest_p99_ms=max((row.activity.p99_ms for row in rows), default=0.0),
        ratio=_whole_ratio(rows),
    )


def _whole_ratio(rows: Sequence[InstanceRow]) -> Ratio:
    """A front-end's cores count once, however many instances it has."""
    own = [row.ratio.cpu_cores - row.activity.frontend_busy_cores for row in rows]
    front_ends: dict[tuple[str, str], float] = {}
    for row in rows:
        key = row.instance.tenant, row.instance.frontend
        front_ends[key] = max(front_ends.get(key, 0.0), row.activity.frontend_busy_cores)
    cores = sum(own) + sum(front_ends.values())
    return Ratio(cores, sum(row.ratio.accelerators for row in rows))
