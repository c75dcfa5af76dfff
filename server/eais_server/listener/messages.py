"""What the listener knows, as it is written on the wire, and back."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from eais.errors import REASONS, EaisError, make_error
from eais.identity import Identity
from eais.instance import check_instance_name
from eais.instance_policy import InstancePolicy
from eais.model_digest import model_digest as digest_of
from eais.net.messages import traffic_message
from eais.net.traffic import NO_TRAFFIC
from eais.rpc.status import (
    MAX_ONNXRUNTIME_TEXT,
    MAX_TEXT,
    ONNXRUNTIME_CLASS,
    clip,
    error_to_message,
)
from eais.rpc.v1 import common_pb2, hosts_pb2, listener_pb2, pool_pb2, supervision_pb2
from eais.telemetry import latency
from eais_server.devices.driver import DeviceInfo, Enforcement, Reservation, Runtime
from eais_server.in_flight import InFlight
from eais_server.listener.inventory import Inventory
from eais_server.listener.lease import Lease, Share
from eais_server.listener.sessions import KeptSession
from eais_server.listener.usage import Counters, UsageRecord
from eais_server.process import Exit
from eais_server.store import ManifestFile, Missing
from eais_server.supervision import SeatView
from eais_server.supervision import actions as do
from eais_server.supervision.device import Device, DeviceHealth
from eais_server.supervision.events import Failure, WorkerExited
from eais_server.supervision.quarantine import Record

_MAX_PORT = 65535


def endpoints(
    pool: str, lease: Lease, seats: Iterable[SeatView], inventory: Inventory
) -> list[pool_pb2.WorkerEndpoint]:
    """The workers of a lease, as clients and the pool see them."""
    return [_endpoint(pool, lease, seat, inventory) for seat in seats]


def _endpoint(
    pool: str, lease: Lease, seat: SeatView, inventory: Inventory
) -> pool_pb2.WorkerEndpoint:
    share = lease.share(seat.n)
    info, reserved = inventory.info(share.device), inventory.reservation(lease.instance, seat.n)
    name = Identity.worker(pool, lease.instance, seat.n).dns_name
    return pool_pb2.WorkerEndpoint(
        n=seat.n,
        endpoint=common_pb2.Endpoint(address=lease.address, port=seat.port, server_name=name),
        kind=info.kind,
        device=info.id,
        share_milli=share.milli,
        simulated=info.simulated,
        isolation=seat.level,
        enforcement=reserved.enforcement or info.enforcement,
        serving=seat.serving,
        incarnation=seat.incarnation,
        memory_bytes=reserved.process_memory_bytes or reserved.memory_bytes,
        memory_enforcement=_memory_enforcement(reserved),
    )


def _memory_enforcement(reserved: Reservation) -> str:
    if reserved.process_memory_bytes:
        return Enforcement.FORCED
    return Enforcement.COOPERATIVE if reserved.memory_bytes else ""


def runtimes(found: Iterable[tuple[str, Runtime]]) -> list[supervision_pb2.Runtime]:
    """What opens models on a device, with whose it is."""
    return [
        supervision_pb2.Runtime(driver=driver, name=runtime.name, precision=runtime.precision)
        for driver, runtime in found
    ]


def granted(
    lease: Lease, workers: list[pool_pb2.WorkerEndpoint], listener: str | None
) -> hosts_pb2.Granted:
    """A lease that is held here; `listener`: the listener's name, as its leaf says it."""
    user_plane = common_pb2.Endpoint(
        address=lease.address, port=lease.user_port, server_name=listener
    )
    return hosts_pb2.Granted(
        instance=lease.instance,
        epoch=lease.epoch,
        tenant=lease.tenant,
        workers=workers,
        address=lease.address,
        user_plane=user_plane if lease.user_port else None,
    )


def device(
    info: DeviceInfo, known: Device | None = None, loads: hosts_pb2.Loads | None = None
) -> hosts_pb2.Device:
    """A device as its host tells of it.

    Args:
        known: what is thought of it, if it is watched.
        loads: what can be loaded onto it, if images are.
    """
    return hosts_pb2.Device(
        id=info.id,
        kind=info.kind,
        model=info.model,
        memory_bytes=info.memory_bytes,
        capacity_milli=info.capacity_milli,
        granularity_milli=info.granularity_milli,
        simulated=info.simulated,
        enforcement=info.enforcement,
        piece_enforcement=info.piece_enforcement or "",
        share_limit_milli=info.share_limit_milli,
        runtimes=map(str, info.runtimes),
        health=known.health if known else DeviceHealth.HEALTHY,
        health_reason=known.why if known else "",
        attach_ms=round(info.attach_s * 1000),
        loads=loads,
        unenforced=info.unenforced,
    )


def lease_of(grant: hosts_pb2.Grant) -> Lease:
    """The lease that a grant asks for.

    Raises:
        UsageError: NAME or ARGUMENT, it asks for something that can't be.
    """
    numbers = [share.n for share in grant.shares]
    if not numbers or len(set(numbers)) != len(numbers) or not all(numbers):
        raise make_error("ARGUMENT", "a grant needs shares, numbered from 1, each once")
    if grant.epoch < 1:
        raise make_error("ARGUMENT", "epochs are counted from 1")
    return Lease(
        instance=check_instance_name(grant.instance),
        tenant=grant.tenant,
        epoch=grant.epoch,
        shares=tuple(Share(s.n, s.device, s.milli, unit=s.unit) for s in grant.shares),
        address=grant.address,
        vnic_driver=grant.vnic_driver,
        run_timeout_s=grant.run_timeout_s,
        tolerance=grant.tolerance,
        moving=bool(grant.specs),
        policy=InstancePolicy.checked(grant.policy.ring, grant.policy.slo_p99_us),
        net_plan=base64.b64encode(grant.net_plan.SerializeToString()).decode(),
    )


def usage(instance: str, record: UsageRecord, *, last: bool = False) -> hosts_pb2.Usage:
    """A lease's counters; `last`: there won't be others, and the pool says when it has them."""
    counted = record.counters
    return hosts_pb2.Usage(
        instance=instance,
        epoch=record.epoch,
        requests=counted.requests,
        bytes_in=counted.bytes_in,
        bytes_out=counted.bytes_out,
        busy_ns=counted.busy_ns,
        latency_counts=counted.latency,
        models=[
            hosts_pb2.ModelUsage(
                model=bytes.fromhex(each.model),
                requests=each.requests,
                bytes_in=each.bytes_in,
                bytes_out=each.bytes_out,
                busy_ns=each.busy_ns,
            )
            for each in counted.models.values()
        ],
        last=last,
        vnic=traffic_message(record.vnic) if record.vnic != NO_TRAFFIC else None,
    )


def counters(beat: supervision_pb2.Heartbeat) -> Counters:
    """What a worker counted."""
    counts = latency.trimmed(beat.latency_counts)
    return Counters(beat.requests, beat.bytes_in, beat.bytes_out, beat.busy_ns, counts)


def spec_bytes(spec: listener_pb2.SessionSpec) -> bytes:
    """A spec in the one way to write it: equal specs, equal bytes."""
    return spec.SerializeToString(deterministic=True)


def model_digest(spec: bytes) -> str:
    """Which model a spec (serialised) is of: see `eais.model_digest`."""
    return digest_of(listener_pb2.SessionSpec.FromString(spec))


def spec_of(session: KeptSession) -> listener_pb2.SessionSpec:
    """The spec of a kept session."""
    return listener_pb2.SessionSpec.FromString(session.spec)


def manifest(spec: listener_pb2.SessionSpec) -> list[ManifestFile]:
    """The files of a spec, unchecked."""
    return [ManifestFile(file.location, file.sha256, file.size) for file in spec.files]


def missing(files: Iterable[Missing]) -> list[listener_pb2.MissingFile]:
    """What the store lacks."""
    return [
        listener_pb2.MissingFile(sha256=file.sha256, size=file.size, offset=file.offset)
        for file in files
    ]


def failure_of(error: common_pb2.Error) -> Failure:
    """What a worker says went wrong. Its words are a stranger's: they are cut to size, and a
    reason that there isn't is no reason.
    """
    reason = error.reason if error.reason in REASONS else "PROCESS_FAILED"
    metadata = {clip(key, 64): clip(value, 128) for key, value in list(error.metadata.items())[:8]}
    metadata.pop(ONNXRUNTIME_CLASS, None)
    if not error.onnxruntime_class:
        return Failure(reason, clip(error.message), metadata)
    metadata[ONNXRUNTIME_CLASS] = clip(error.onnxruntime_class, 64)
    text = clip(error.message, MAX_ONNXRUNTIME_TEXT)
    return Failure(reason, text, metadata)


def shown(text: str, limit: int = MAX_TEXT) -> str:
    """A stranger's words, as a terminal may have them."""
    return "".join(char if char.isprintable() else "?" for char in clip(text, limit))


def failure(error: EaisError) -> Failure:
    """An error of ours, for the supervision."""
    return Failure(error.reason, error.message, error.metadata)


def error_of(failed: Failure) -> EaisError:
    """The error that a failure is answered with."""
    return make_error(failed.reason, failed.message, metadata=failed.metadata)


def exited(
    worker: int,
    how: Exit,
    in_flight: InFlight,
    answered: tuple[str, ...],
    *,
    out_of_memory: bool,
    stopped: bool,
) -> WorkerExited:
    """A worker's exit, for the supervision."""
    return WorkerExited(
        worker,
        signal=how.signal or 0,
        code=how.code or 0,
        loading=in_flight.loading,
        running=in_flight.running,
        answered=answered,
        out_of_memory=out_of_memory,
        stopped=stopped,
    )


def unload(action: do.Unload) -> supervision_pb2.Unload:
    """What a worker is told of a session that it is to forget."""
    error = error_to_message(error_of(action.failure)) if action.failure else None
    return supervision_pb2.Unload(session=action.session, error=error)


def suspects(action: do.NameSuspects) -> supervision_pb2.Suspects:
    """What a worker is told of those whose calls run alone."""
    named = (
        supervision_pb2.Suspect(session=s.session, hold_ms=round(s.hold_s * 1000))
        for s in action.suspects
    )
    return supervision_pb2.Suspects(suspects=named)


def quarantined(record: Record, now: float) -> hosts_pb2.QuarantinedModel:
    """A quarantined model, as an operator sees it."""
    return hosts_pb2.QuarantinedModel(
        tenant=record.model.tenant,
        digest=bytes.fromhex(record.model.digest),
        deaths=record.deaths,
        stage=record.stage,
        signal=record.how.get("signal", ""),
        ends_in_s=max(0, round(record.ends_at - now)),
    )


def is_port(port: int) -> bool:
    """Whether a socket can be bound to it."""
    return 0 < port <= _MAX_PORT
