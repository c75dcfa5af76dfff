"""Instances as their owners see them. (Brain)"""

from __future__ import annotations

from eais.instance import InstanceState
from eais_pool.brain.layered import touched
from eais_pool.brain.records import InstanceRecord, LeasePhase, LeaseRecord, WorkerRecord
from eais_pool.brain.state import PoolState
from eais_pool.brain.view_records import InstanceView, WorkerView
from eais_pool.brain.vnics import vnic_of

_SHOWS_FRONTEND = (InstanceState.BOUND, InstanceState.IN_USE, InstanceState.DRAINING)


def view_of(state: PoolState, instance: InstanceRecord, planned: str) -> InstanceView:
    """The instance as it is now; endpoints only while it is IN_USE.

    `planned`: the vNIC driver that it will have, while it has no lease.
    """
    lease = state.live_lease(instance.id)
    if lease is not None and lease.phase is not LeasePhase.OPEN:
        lease = None
    host = state.hosts[lease.host] if lease else None
    vnic = vnic_of(instance, lease, host, planned)
    reason, detail = _stranded(state, lease) or (instance.reason, instance.detail)
    return InstanceView(
        id=instance.id,
        tenant=instance.tenant,
        type=instance.type,
        # Scaled to zero it is in use, with no worker: whoever calls is served.
        state=InstanceState.IN_USE if instance.asleep else instance.state,
        reason=reason,
        detail=detail,
        frontend=instance.frontend if instance.state in _SHOWS_FRONTEND else "",
        epoch=instance.epoch,
        host=lease.host if lease else "",
        listener=(lease.user_plane or host.user_plane) if lease and host else None,
        workers=_workers(state, lease) if lease else (),
        vnic_driver=vnic.driver,
        address=vnic.address,
        tolerance=instance.tolerance,
        ephemeral=instance.ephemeral,
        policy=instance.policy,
        link=vnic.link,
        vnic_why=vnic.why,
    )


def _stranded(state: PoolState, lease: LeaseRecord | None) -> tuple[str, str] | None:
    """Of a lease that has no device left but bad ones, and can be given no other: its failure."""
    host = state.hosts[lease.host] if lease is not None else None
    if lease is None or host is None or lease.stuck is None:
        return None
    bad = lease.on_bad(host)
    if not bad or any(share.n not in bad for share in lease.shares):
        return None
    lost = {share.device for share in lease.shares}
    found = [f"{each.id} failed ({each.why})" for each in host.devices if each.id in lost]
    return "DEVICE_LOST", f"{', '.join(found)}, and no other device is free"


def _workers(state: PoolState, lease: LeaseRecord) -> tuple[WorkerView, ...]:
    views = (_worker(state, lease, worker) for worker in lease.workers)
    return tuple(view for view in views if view is not None)


def _worker(state: PoolState, lease: LeaseRecord, worker: WorkerRecord) -> WorkerView | None:
    """None for a worker that its lease has no share for, whatever its listener says."""
    share = next((share for share in lease.shares if share.n == worker.n), None)
    if share is None:
        return None
    device = state.hosts[lease.host].device(share.device)
    return WorkerView(
        n=worker.n,
        endpoint=worker.endpoint,
        kind=device.kind if device else "",
        device=share.device,
        share_milli=share.milli,
        simulated=device.simulated if device else False,
        isolation=worker.isolation,
        enforcement=worker.enforcement or (device.enforcement if device else ""),
        serving=worker.serving,
        incarnation=worker.incarnation,
        memory_bytes=worker.memory_bytes,
        memory_enforcement=worker.memory_enforcement,
    )


def changed(before: PoolState, after: PoolState) -> list[InstanceRecord]:
    """Instances of `after` whose view may differ from that in `before`.

    Records never change, so the same object means the same view.
    """
    names = touched(after.instances) | touched(after.leases)
    for host in touched(after.hosts):
        if after.hosts.get(host) is not before.hosts.get(host):
            names |= {lease.instance for lease in after.leases_on(host)}
    found = [after.instances[name] for name in names if name in after.instances]
    return sorted(found, key=lambda instance: instance.serial)
