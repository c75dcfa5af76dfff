"""The pool's hosts, devices and shares as words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from eais.device_type import devices_text
from eais_client.cli.ca_command import ca_data, ca_text
from eais_client.cli.instance_view import memory_text
from eais_client.cli.local_pool import RunningPool
from eais_client.cli.metrics_places import metrics_places
from eais_client.cli.printer import Printer
from eais_client.cli.table import Column, pairs, table
from eais_client.pool_status import DeviceUse, HostUse, PoolStatus, ShareUse

_HEADINGS: Final[tuple[str | Column, ...]] = (
    *("HOST", "DEVICE", Column("KIND", 3), Column("MODEL", 5, least=12), Column("MEMORY", 4)),
    *("FREE", "USED", Column("SHARES", 2), Column("HEALTH", 1), "REAL"),
)
_WIDE = ("RUNTIMES", "STEP", "LARGEST", "HELD BY", "WHY")


def device_data(device: DeviceUse) -> dict[str, object]:
    """The device for `-o json` and `-o yaml`; capacities in milli-devices, memory in bytes."""
    return {
        "host": device.host,
        "id": device.id,
        "kind": device.kind,
        "model": device.model,
        "memory_bytes": device.memory_bytes,
        "capacity_milli": device.capacity_milli,
        "free_milli": device.free_milli,
        "used_milli": _used(device),
        "granularity_milli": device.granularity_milli,
        "share_limit_milli": device.share_limit_milli,
        "simulated": device.simulated,
        "enforcement": "none" if device.unenforced else device.enforcement,
        "piece_enforcement": device.piece_enforcement or None,
        "unenforced": device.unenforced or None,
        "reachable": device.reachable,
        "health": device.health,
        "health_reason": device.health_reason or None,
        "runtimes": list(device.runtimes),
        "attach_s": device.attach_s,
        "loads": None if device.loads is None else [asdict(load) for load in device.loads],
        "shares": [_share_data(share) for share in device.shares],
    }


def _share_data(share: ShareUse) -> dict[str, object]:
    return {
        "instance": share.instance,
        "tenant": share.tenant,
        "milli": share.milli,
        "state": share.state,
    }


def device_table(devices: Sequence[DeviceUse], printer: Printer) -> list[str]:
    """The rows of `eais devices`: free and used in devices (cpu: cores)."""
    headings = (*_HEADINGS, *(_WIDE if printer.wide else ()))
    return table(headings, [_device_row(device, printer.wide) for device in devices], printer.width)


def _device_row(device: DeviceUse, wide: bool) -> list[str]:
    row = [device.host, device.id, device.kind, device.model, memory_text(device.memory_bytes)]
    row += [devices_text(device.free_milli), devices_text(_used(device))]
    row += [_enforcement(device), device.health, "simulated" if device.simulated else "yes"]
    if wide:
        row += [", ".join(device.runtimes)]
        row += [devices_text(device.granularity_milli), devices_text(device.share_limit_milli)]
        row += [_held_by(device), device.health_reason or device.unenforced]
    return row


def _enforcement(device: DeviceUse) -> str:
    """Of whole ones; and of what is less than one, where that differs. "none": nothing is lent."""
    if device.unenforced:
        return "none"
    pieces = device.piece_enforcement
    if not pieces or pieces == device.enforcement:
        return device.enforcement
    return f"{pieces} below 1"


def _held_by(device: DeviceUse) -> str:
    return ", ".join(
        f"{share.instance} of {share.tenant}: {devices_text(share.milli)} {share.state}"
        for share in device.shares
        if share.instance
    )


def pool_data(pool: RunningPool) -> dict[str, object]:
    """The pool for `-o json` and `-o yaml`."""
    return {
        "pool": pool.status.pool,
        "context": pool.context.name,
        "running": True,
        "pid": pool.process.pid,
        "software": pool.status.software,
        "manager": pool.context.manager,
        "management": pool.context.management,
        "enrolment": pool.enrolment,
        "state_dir": pool.context.state_dir,
        "metrics": metrics_places(Path(pool.context.state_dir)),
        "instances": pool.status.instances,
        "ca": ca_data(pool.status.ca),
        "hosts": [_host_data(host) for host in pool.status.hosts],
        "devices": [device_data(device) for device in pool.status.devices],
    }


def _host_data(host: HostUse) -> dict[str, object]:
    return {
        "host": host.host,
        "reachable": host.reachable,
        "isolation": f"L{host.isolation}",
        "isolation_reason": host.isolation_reason or None,
    }


def pool_lines(pool: RunningPool, printer: Printer) -> list[str]:
    """The lines of `eais pool up` and `eais pool status`."""
    head = pairs(
        [
            ("Pool", f"{pool.status.pool} (context {pool.context.name})"),
            ("Supervisor", f"pid {pool.process.pid}"),
            ("Manager", f"{pool.context.manager}, {pool.status.software}"),
            ("Joining", f"at {pool.enrolment}, with a token of `eais token create`"),
            ("State", pool.context.state_dir),
            ("Instances", str(pool.status.instances)),
            ("CA", ca_text(pool.status.ca)),
        ]
    )
    if printer.wide:
        head += pairs([("Metrics", _metrics(pool))])
    return [*head, "", *_hosts(pool.status), "", *device_table(pool.status.devices, printer)]


def _metrics(pool: RunningPool) -> str:
    places = metrics_places(Path(pool.context.state_dir))
    return ", ".join(f"{program} {place}" for program, place in places.items()) or "nowhere"


def _hosts(status: PoolStatus) -> list[str]:
    if not status.hosts:
        return ["No host has joined: start this machine's listener with `eais pool listener`."]
    rows = [
        [host.host, "yes" if host.reachable else "no", _isolation(host)] for host in status.hosts
    ]
    return table(("HOST", "REACHABLE", "ISOLATION"), rows)


def _isolation(host: HostUse) -> str:
    return f"L{host.isolation}" + (f" ({host.isolation_reason})" if host.isolation_reason else "")


def _used(device: DeviceUse) -> int:
    return device.capacity_milli - device.free_milli
