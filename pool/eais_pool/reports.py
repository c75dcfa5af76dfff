"""What hosts report, as the brains' records.

It is judged here: a listener can be wrong or hostile, and the brains trust what they get.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterable
from typing import TypeVar

from eais.channel import MAX_SESSIONS_BYTES
from eais.device_type import DeviceKind
from eais.errors import UsageError
from eais.model_digest import model_digest
from eais.net.messages import traffic_of
from eais.rpc.status import clip, error_of_message
from eais.rpc.v1 import common_pb2, hosts_pb2, pool_pb2
from eais_pool.brain import vnics
from eais_pool.brain.events import (
    DeviceReported,
    Event,
    GrantAccepted,
    GrantFailed,
    GrantGoesOn,
    HostJoined,
    NetOffered,
    Released,
    SessionsChanged,
    ShareFailed,
    SharesGone,
    UsageReported,
    WorkersChanged,
)
from eais_pool.brain.host_records import HEALTHS, DeviceRecord, Endpoint, HostRecord, ModelLoad
from eais_pool.brain.ledger_records import ModelUsage, UsageRecord
from eais_pool.brain.loads import LoadsReported
from eais_pool.brain.records import Failure, HeldLease, SharePick, WorkerRecord
from eais_pool.net_offers import offer_of

T = TypeVar("T")

_INSTANCE = re.compile(r"ei-[a-z0-9]{1,61}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_MAX_TEXT = 256
_MAX_DEVICES = 1024
_MAX_RUNTIMES = 64
_MAX_LOADS = 1024
_DIGEST_BYTES = 32
_MAX_WORKERS = 1024
_MAX_LEASES = 65_536


def joined(host: str, join: hosts_pb2.Join) -> HostJoined:
    """What a listener brings; `host` is the name in its certificate.

    Raises:
        UsageError: ARGUMENT, for what no host can have.
    """
    _at_most("devices", join.devices, _MAX_DEVICES)
    _at_most("leases", join.leases, _MAX_LEASES)
    devices = tuple(_device(device) for device in join.devices)
    if len({device.id for device in devices}) != len(devices):
        raise _refused("two devices of one id")
    driver, address = _vnic(join)
    record = HostRecord(
        host=host,
        boot_id=_text(join.boot_id),
        user_plane=_endpoint(join.user_plane),
        isolation=join.isolation,
        isolation_reason=_text(join.isolation_reason),
        devices=devices,
        vnic_driver=driver,
        vnic_address=address,
        management_plane=_endpoint(join.management_plane) if join.management_plane.port else None,
        net=offer_of(join.net_offer) if join.HasField("net_offer") else None,
    )
    leases = tuple(_held(lease) for lease in join.leases)
    if len({(lease.instance, lease.epoch) for lease in leases}) != len(leases):
        raise _refused("two leases of one instance and epoch")
    return HostJoined(record, leases)


def ended(host: str, join: hosts_pb2.Join) -> list[UsageReported]:
    """The last counters of leases that are gone, which a listener brings; raises as `joined`."""
    _at_most("leases", join.ended, _MAX_LEASES)
    return [_usage(host, news) for news in join.ended]


def reported(host: str, report: hosts_pb2.HostReport) -> Event:
    """A report after Join as an event; raises as `joined`, and for Hello and Join."""
    match report.WhichOneof("kind"):
        case "granted":
            return GrantAccepted(host, _held(report.granted))
        case "grant_failed":
            failed = report.grant_failed
            failure = Failure.of(error_of_message(failed.error))
            return GrantFailed(host, _instance(failed.instance), _epoch(failed.epoch), failure)
        case "share_failed" | "shares_gone":
            return _shares(host, report)
        case "grant_goes_on":
            going = report.grant_goes_on
            return GrantGoesOn(host, _instance(going.instance), _epoch(going.epoch))
        case "released":
            gone = report.released
            return Released(host, _instance(gone.instance), _epoch(gone.epoch))
        case "workers":
            news = report.workers
            _at_most("workers", news.workers, _MAX_WORKERS)
            workers = tuple(_worker(worker) for worker in news.workers)
            return WorkersChanged(host, _instance(news.instance), _epoch(news.epoch), workers)
        case "sessions":
            return _sessions(host, report.sessions)
        case "usage":
            return _usage(host, report.usage)
        case "device_health" | "device_loads" | "net_offer":
            return _of_host(host, report)
    raise UsageError("MALFORMED_MESSAGE", "expected news of a lease")


def _sessions(host: str, news: hosts_pb2.SessionsChanged) -> SessionsChanged:
    if news.ByteSize() > MAX_SESSIONS_BYTES:
        raise _refused("too many session specs")
    specs = (spec.SerializeToString(deterministic=True) for spec in news.specs)
    sessions = tuple(base64.b64encode(spec).decode() for spec in specs)
    models = tuple(map(model_digest, news.specs))
    return SessionsChanged(host, _instance(news.instance), _epoch(news.epoch), sessions, models)


def _usage(host: str, news: hosts_pb2.Usage) -> UsageReported:
    _at_most("models", news.models, _MAX_LOADS)
    if any(len(each.model) != _DIGEST_BYTES for each in news.models):
        raise _refused("a model without its SHA-256")
    named = {
        each.model: ModelUsage(
            each.model.hex(), each.requests, each.bytes_in, each.bytes_out, each.busy_ns
        )
        for each in news.models
    }
    models = tuple(named[model] for model in sorted(named))
    vnic = traffic_of(news.vnic)
    usage = UsageRecord(news.requests, news.bytes_in, news.bytes_out, news.busy_ns, models, vnic)
    return UsageReported(host, _instance(news.instance), _epoch(news.epoch), usage)


def _shares(host: str, report: hosts_pb2.HostReport) -> Event:
    if report.HasField("share_failed"):
        lost = report.share_failed
        failure = Failure.of(error_of_message(lost.error))
        return ShareFailed(host, _instance(lost.instance), _epoch(lost.epoch), lost.n, failure)
    left = report.shares_gone
    _at_most("shares", left.shares, _MAX_WORKERS)
    return SharesGone(host, _instance(left.instance), _epoch(left.epoch), tuple(left.shares))


def _of_host(
    host: str, report: hosts_pb2.HostReport
) -> DeviceReported | LoadsReported | NetOffered:
    if report.HasField("net_offer"):
        said = report.net_offer
        return NetOffered(host, offer_of(said) if said.agent else None)
    if report.HasField("device_loads"):
        told = report.device_loads
        return LoadsReported(host, _name("device", told.device), _loads(told.loads))
    news = report.device_health
    name, health = _name("device", news.device), _health(news.health)
    return DeviceReported(host, name, health, _text(news.reason))


def _loads(said: hosts_pb2.Loads) -> tuple[ModelLoad, ...]:
    _at_most("models", said.models, _MAX_LOADS)
    if any(len(each.model) != _DIGEST_BYTES for each in said.models):
        raise _refused("a model without its SHA-256")
    return tuple(ModelLoad(e.model.hex(), e.load_ms, e.ready_milli) for e in said.models)


def _held(lease: hosts_pb2.Granted) -> HeldLease:
    _at_most("workers", lease.workers, _MAX_WORKERS)
    picks = (
        SharePick(worker.n, _name("device", worker.device), worker.share_milli)
        for worker in lease.workers
        if worker.share_milli
    )
    return HeldLease(
        instance=_instance(lease.instance),
        epoch=_epoch(lease.epoch),
        tenant=_name("tenant", lease.tenant),
        address=_text(lease.address),
        shares=tuple(picks),
        workers=tuple(_worker(worker) for worker in lease.workers),
        missing=lease.specs_missing,
        user_plane=_endpoint(lease.user_plane) if lease.HasField("user_plane") else None,
    )


def _worker(worker: pool_pb2.WorkerEndpoint) -> WorkerRecord:
    return WorkerRecord(
        n=worker.n,
        endpoint=_endpoint(worker.endpoint),
        isolation=worker.isolation,
        serving=worker.serving,
        incarnation=worker.incarnation,
        enforcement=_text(worker.enforcement),
        memory_bytes=worker.memory_bytes,
        memory_enforcement=_text(worker.memory_enforcement),
    )


def _device(device: hosts_pb2.Device) -> DeviceRecord:
    if device.kind not in set(DeviceKind):
        raise _refused(f"device kind {device.kind[:16]!r}")
    if not (device.capacity_milli and device.granularity_milli and device.share_limit_milli):
        raise _refused(f"device {device.id[:64]!r} without capacity, granularity or share limit")
    _at_most("runtimes", device.runtimes, _MAX_RUNTIMES)
    return DeviceRecord(
        id=_name("device", device.id),
        kind=device.kind,
        model=_text(device.model),
        memory_bytes=device.memory_bytes,
        capacity_milli=device.capacity_milli,
        granularity_milli=device.granularity_milli,
        share_limit_milli=device.share_limit_milli,
        simulated=device.simulated,
        enforcement=_text(device.enforcement),
        piece_enforcement=_text(device.piece_enforcement),
        runtimes=tuple(map(_text, device.runtimes)),
        health=_health(device.health),
        why=_text(device.health_reason),
        attach_ms=device.attach_ms,
        loads=_loads(device.loads) if device.HasField("loads") else None,
        unenforced=_text(device.unenforced),
    )


def _health(word: str) -> str:
    """As a host says it; one that says nothing of it has no reason to."""
    if word and word not in HEALTHS:
        raise _refused(f"device health {word[:16]!r}")
    return word or "ok"


def _endpoint(endpoint: common_pb2.Endpoint) -> Endpoint:
    return Endpoint(_text(endpoint.address), endpoint.port)


def _vnic(join: hosts_pb2.Join) -> tuple[str, str]:
    """The driver and, with "host", the address of a host's instances."""
    driver = join.vnic_driver or vnics.LOOPBACK
    if driver not in vnics.DRIVERS:
        raise _refused(f"vNIC driver {driver[:32]!r}")
    if driver != vnics.HOST:
        return driver, ""
    try:
        address = ipaddress.ip_address(join.vnic_address)
    except ValueError:
        raise _refused(f"instances at {join.vnic_address[:64]!r}") from None
    mapped = address.version == 6 and address.ipv4_mapped is not None
    if address.is_unspecified or address.is_multicast or mapped:
        raise _refused(f"instances at {address}")
    return driver, join.vnic_address


def _instance(text: str) -> str:
    if not _INSTANCE.fullmatch(text):
        raise _refused("a lease without an instance id")
    return text


def _name(what: str, text: str) -> str:
    if not _NAME.fullmatch(text):
        raise _refused(f"{what} {text[:64]!r}")
    return text


def _epoch(epoch: int) -> int:
    if epoch < 1:
        raise _refused("epoch 0")
    return epoch


def _text(text: str) -> str:
    return clip(text, _MAX_TEXT)


def _at_most(what: str, items: Iterable[T], limit: int) -> None:
    if sum(1 for _ in items) > limit:
        raise _refused(f"more than {limit} {what}")


def _refused(what: str) -> UsageError:
    return UsageError("ARGUMENT", f"the host reports what can't be: {what}")
