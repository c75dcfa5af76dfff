"""The pool's records as the messages that carry them."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from eais.identity import Identity
from eais.instance_policy import InstancePolicy
from eais.neighbours import ANYWHERE, Neighbours
from eais.net.plan import ISOLATION
from eais.ratio import UNSAID, RatioPolicy
from eais.rpc.v1 import common_pb2, hosts_pb2, listener_pb2, net_pb2, pool_pb2
from eais_pool.brain import vnics
from eais_pool.brain.actions import CheckDevice, Command, News, Notice, Publish, Reopen, Revoke
from eais_pool.brain.host_records import DeviceRecord, Endpoint, ModelLoad
from eais_pool.brain.view_records import InstanceView, WorkerView

VNIC_ISOLATION = "mTLS only"


def instance_message(view: InstanceView, pool: str) -> pool_pb2.Instance:
    """An instance as its owner is shown it."""
    message = pool_pb2.Instance(
        id=view.id,
        tenant=view.tenant,
        type=view.type,
        state=view.state.value,
        reason=view.reason,
        detail=view.detail,
        frontend=view.frontend,
        epoch=view.epoch,
        workers=[_worker_message(view, worker, pool) for worker in view.workers],
        tolerance=view.tolerance,
        ephemeral=view.ephemeral,
        host=view.host,
        policy=policy_message(view.policy),
    )
    if view.listener is not None:
        listener = Identity.listener(pool, view.host)
        message.listener.CopyFrom(endpoint_message(view.listener, listener))
    # An address of no instance is in answers of before, with the driver that it would have had.
    if view.address or view.vnic_driver == vnics.HOST:
        link = view.link
        vnic = pool_pb2.Vnic(
            driver=view.vnic_driver,
            address=view.address,
            isolation=VNIC_ISOLATION if link is None else ISOLATION[link.driver],
            peer=link.peer if link else "",
            why=view.vnic_why,
            cap_bytes_per_s=link.cap_bytes_per_s if link else 0,
        )
        message.vnic.CopyFrom(vnic)
    return message


def _worker_message(view: InstanceView, worker: WorkerView, pool: str) -> pool_pb2.WorkerEndpoint:
    # The name that clients verify follows from whose worker it is, not from its listener.
    identity = Identity.worker(pool, view.id, worker.n)
    return pool_pb2.WorkerEndpoint(
        n=worker.n,
        endpoint=endpoint_message(worker.endpoint, identity),
        kind=worker.kind,
        device=worker.device,
        share_milli=worker.share_milli,
        simulated=worker.simulated,
        isolation=worker.isolation,
        enforcement=worker.enforcement,
        serving=worker.serving,
        incarnation=worker.incarnation,
        memory_bytes=worker.memory_bytes,
        memory_enforcement=worker.memory_enforcement,
    )


def endpoint_message(endpoint: Endpoint, identity: Identity) -> common_pb2.Endpoint:
    """Where `identity` serves, and the name that its certificate carries."""
    return common_pb2.Endpoint(
        address=endpoint.address, port=endpoint.port, server_name=identity.dns_name or ""
    )


def command_message(
    command: Command,
    sources: Iterable[hosts_pb2.ModelSource] = (),
    net_plan: net_pb2.SignedNetPlan | None = None,
) -> hosts_pb2.HostCommand:
    """A command as a link carries it; `sources` of a grant's sessions, `net_plan` of its vNIC."""
    if isinstance(command, CheckDevice):
        return hosts_pb2.HostCommand(check_device=hosts_pb2.CheckDevice(device=command.device))
    if isinstance(command, Revoke):
        revoke = hosts_pb2.Revoke(
            instance=command.instance,
            epoch=command.epoch,
            drain_grace_ms=command.drain_grace_ms,
            shares=command.shares,
        )
        return hosts_pb2.HostCommand(revoke=revoke)
    shares = [
        hosts_pb2.ShareGrant(n=share.n, device=share.device, milli=share.milli, unit=share.unit)
        for share in command.shares
    ]
    grant = hosts_pb2.Grant(
        instance=command.instance,
        tenant=command.tenant,
        epoch=command.epoch,
        shares=shares,
        address=command.address,
        vnic_driver=command.vnic_driver,
        run_timeout_s=command.run_timeout_s,
        tolerance=command.tolerance,
        specs=specs_of(command.sessions),
        sources=sources,
        policy=policy_message(command.policy),
        net_plan=net_plan,
    )
    return hosts_pb2.HostCommand(grant=grant)


def policy_message(policy: InstancePolicy) -> pool_pb2.InstancePolicy:
    """A policy, all of it said."""
    said = policy.ratio
    ratio = pool_pb2.RatioPolicy(
        ratio=said.text,
        least=said.least,
        most=said.most,
        kinds=said.kinds,
        late_target=said.late_target,
    )
    return pool_pb2.InstancePolicy(
        ring=policy.ring.value,
        slo_p99_us=policy.slo_p99_us,
        rate_per_s=policy.rate_per_s,
        price_cap_per_h=policy.price_cap_per_h,
        ratio=None if said == UNSAID else ratio,
        neighbours=_neighbours_message(policy.neighbours),
        vnic_cap_bytes_per_s=policy.vnic_cap_bytes_per_s,
    )


def policy_of(message: pool_pb2.InstancePolicy) -> InstancePolicy:
    """What was asked; raises as `InstancePolicy.checked`."""
    said, beside = message.ratio, message.neighbours
    return InstancePolicy.checked(
        message.ring,
        message.slo_p99_us,
        message.tolerance,
        message.rate_per_s,
        message.price_cap_per_h,
        RatioPolicy.checked(said.ratio, said.least, said.most, said.kinds, said.late_target),
        Neighbours.checked(beside.spread, beside.near, beside.strict),
        message.vnic_cap_bytes_per_s,
    )


def _neighbours_message(said: Neighbours) -> pool_pb2.Neighbours | None:
    if said == ANYWHERE:
        return None
    return pool_pb2.Neighbours(spread=said.spread, near=said.near, strict=said.strict)


def specs_of(sessions: Iterable[str]) -> list[listener_pb2.SessionSpec]:
    """Session specs as they are kept in records, as messages."""
    return [listener_pb2.SessionSpec.FromString(base64.b64decode(text)) for text in sessions]


def news_message(news: News, pool: str) -> pool_pb2.WatchDown:
    """What a Watch carries down."""
    match news:
        case Publish(_, _, view):
            return pool_pb2.WatchDown(instance=instance_message(view, pool))
        case Notice(_, _, instance, reason, message):
            notice = pool_pb2.Notice(instance=instance, reason=reason, message=message)
            return pool_pb2.WatchDown(notice=notice)
        case Reopen(_, _, instance, epoch, host, listener, _):
            endpoint = endpoint_message(listener, Identity.listener(pool, host))
            reopen = pool_pb2.Reopen(instance=instance, epoch=epoch, listener=endpoint)
            return pool_pb2.WatchDown(reopen=reopen)


def device_message(device: DeviceRecord) -> hosts_pb2.Device:
    """A device as operators are shown it."""
    return hosts_pb2.Device(
        id=device.id,
        kind=device.kind,
        model=device.model,
        memory_bytes=device.memory_bytes,
        capacity_milli=device.capacity_milli,
        granularity_milli=device.granularity_milli,
        simulated=device.simulated,
        enforcement=device.enforcement,
        piece_enforcement=device.piece_enforcement,
        share_limit_milli=device.share_limit_milli,
        runtimes=device.runtimes,
        health=device.health,
        health_reason=device.why,
        attach_ms=device.attach_ms,
        loads=_loads_message(device.loads),
        unenforced=device.unenforced,
    )


def _loads_message(loads: tuple[ModelLoad, ...] | None) -> hosts_pb2.Loads | None:
    if loads is None:
        return None
    models = (
        hosts_pb2.ModelLoad(
            model=bytes.fromhex(each.model), load_ms=each.load_ms, ready_milli=each.ready_milli
        )
        for each in loads
    )
    return hosts_pb2.Loads(models=models)
