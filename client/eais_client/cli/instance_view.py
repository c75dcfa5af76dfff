"""Instances as words: one line after a verb, a row of a list, all there is to say."""

from __future__ import annotations

from collections.abc import Sequence

from eais.device_type import AUTO, DeviceKind, devices_text
from eais.device_type import type_text as share_text
from eais.instance import InstanceState
from eais.instance_policy import RingPolicy, slo_text
from eais.neighbours import ANYWHERE
from eais_client.brain.choose import TAKEN_AWAY, stranded
from eais_client.cli.limit_options import bound_data, bound_rows
from eais_client.cli.printer import Printer
from eais_client.cli.table import Column, pairs, table
from eais_client.cli.vnic_view import vnic_data, vnic_rows
from eais_client.instances import Instance, Worker
from eais_client.vnic_end import EndHere

_GIB = 1 << 30
_RINGS = {
    RingPolicy.AUTO: "auto (memory is shared with the workers' user on their host)",
    RingPolicy.ON: "on (memory is shared with any user on the workers' host)",
    RingPolicy.OFF: "off",
}
_COLOURS = {InstanceState.IN_USE: "green", InstanceState.FAILED: "red"}
_HEADINGS = ("ID", "TYPE", "STATE", Column("FRONT-END", 2), Column("ADDRESS", 1, least=16))
_WIDE = ("HOST", "EPOCH", "TOLERANCE", "DEVICE", "ISOLATION", "SHARE", "LISTENER", "VNIC")


def instance_data(instance: Instance) -> dict[str, object]:
    """The instance for `-o json` and `-o yaml`; absent things are None."""
    return {
        "id": instance.id,
        "type": instance.type,
        "state": instance.state.value,
        "tenant": instance.tenant,
        "frontend": instance.frontend or None,
        "epoch": instance.epoch,
        "tolerance": instance.tolerance,
        "ring": instance.policy.ring.value,
        "slo_p99_us": instance.policy.slo_p99_us or None,
        "neighbours": _neighbours_data(instance),
        "ephemeral": instance.ephemeral,
        "line": _line_data(instance),
        "reason": instance.reason or None,
        "detail": instance.detail or None,
        "host": instance.host or None,
        "listener": str(instance.listener) if instance.listener else None,
        "vnic": vnic_data(instance.vnic),
        "workers": [_worker_data(worker) for worker in instance.workers],
    }


def explained_data(instance: Instance) -> dict[str, object]:
    """The same of one of which the pool was asked why it is where it is."""
    asked = {"why": instance.why or None, "binding": bound_data(instance.bound)}
    return {**instance_data(instance), **asked}


def _neighbours_data(instance: Instance) -> dict[str, object] | None:
    said = instance.policy.neighbours
    if said == ANYWHERE:
        return None
    return {"spread": said.spread or None, "near": said.near or None, "strict": said.strict}


def _line_data(instance: Instance) -> dict[str, int] | None:
    line = instance.line
    return {"position": line.position, "of": line.length} if line else None


def _worker_data(worker: Worker) -> dict[str, object]:
    return {
        "n": worker.n,
        "address": str(worker.address),
        "kind": worker.kind,
        "device": worker.device,
        "share_milli": worker.share_milli,
        "simulated": worker.simulated,
        "isolation": f"L{worker.isolation}",
        "enforcement": worker.enforcement,
        "memory_bytes": worker.memory_bytes,
        "memory_enforcement": worker.memory_enforcement,
        "serving": worker.serving,
        "incarnation": worker.incarnation,
    }


def line(instance: Instance, printer: Printer) -> str:
    """`ei-7f3a  IN_USE  cpu.1   tolerance exact   isolation L2   share cooperative   127...`.

    Of auto: what it became, `auto → gpu.1-8 on HOST`.
    """
    head = f"{instance.id}  {_state(instance, printer)}  {became(instance)}"
    if instance.type == AUTO and instance.workers and instance.host:
        head += f" on {instance.host}"
    parts = [head, *_in_use(instance), *_failed(instance)]
    return "   ".join(parts)


def became(instance: Instance) -> str:
    """Its type; of auto also that of its shares, `auto → cpu.1 + gpu.1-8`."""
    if instance.type != AUTO or not instance.workers:
        return instance.type
    shares = (share_text(DeviceKind(each.kind), each.share_milli) for each in instance.workers)
    return f"{AUTO} → {' + '.join(shares)}"


def why_lines(instance: Instance) -> list[str]:
    """Why auto became what it is, in a line; nothing where somebody said what it is to be."""
    return [f"  {instance.why}"] if instance.type == AUTO and instance.why else []


def _in_use(instance: Instance) -> list[str]:
    if not instance.workers:
        return []
    words = [
        f"tolerance {instance.tolerance}",
        f"isolation {_isolation(instance)}",
        f"share {_enforcement(instance)}",
    ]
    if _is_simulated(instance):
        words.append("simulated")
    return [*words, _addresses(instance)]


def _failed(instance: Instance) -> list[str]:
    failed = has_failed(instance)
    return [f"{instance.reason}: {instance.detail}"] if failed else []


def instance_table(
    instances: Sequence[Instance], printer: Printer, *, tenants: bool = False
) -> list[str]:
    """The rows of `eais list`, with more columns for `-o wide`, and for more than one tenant."""
    headings: tuple[str | Column, ...] = (*_HEADINGS, *(_WIDE if printer.wide else ()))
    rows = [_row(instance, printer.wide) for instance in instances]
    if tenants:
        headings = ("TENANT", *headings)
        rows = [[one.tenant, *row] for one, row in zip(instances, rows, strict=True)]
    return table(headings, rows, printer.width)


def _row(instance: Instance, wide: bool) -> list[str]:
    address = _addresses(instance) or instance.vnic.address
    row = [instance.id, type_text(instance), instance.state, instance.frontend, address]
    if wide:
        row += [instance.host]
        row += [str(instance.epoch), instance.tolerance, _devices(instance)]
        row += [_isolation(instance), _enforcement(instance)]
        row += [str(instance.listener or ""), instance.vnic.driver]
    return row


def description(instance: Instance, printer: Printer, here: EndHere | None = None) -> list[str]:
    """The lines of `eais describe`; `here`: this host's end of its vNIC."""
    rows = [
        ("Instance", instance.id),
        ("Type", instance.type),
        ("State", _state(instance, printer)),
        ("Tenant", instance.tenant),
        ("Front-end", instance.frontend),
        ("Made by", "attach (detach deletes it)" if instance.ephemeral else "create"),
        ("Epoch", str(instance.epoch)),
        ("Tolerance", instance.tolerance),
        ("SLO", _slo(instance)),
        ("Ring", _RINGS[instance.policy.ring]),
        *vnic_rows(instance.vnic, here),
        ("Host", instance.host),
        ("Listener", str(instance.listener or "")),
    ]
    if said := instance.policy.neighbours.text:
        rows.append(("Placed", said))
    if instance.line is not None:
        rows.append(("Waits", f"{instance.line}, for room"))
    if instance.bound is not None:
        rows += bound_rows(instance.bound)
    if has_failed(instance):
        rows.append(("Reason", f"{instance.reason}: {instance.detail}"))
    return [*pairs(rows), *_workers(instance)]


def _workers(instance: Instance) -> list[str]:
    if not instance.workers:
        return ["Workers:    none"]
    lines = ["Workers:"]
    for worker in instance.workers:
        lines += pairs(_worker_rows(worker), indent="  ")
    return lines


def _worker_rows(worker: Worker) -> list[tuple[str, str]]:
    return [
        (f"Worker {worker.n}", "serving" if worker.serving else "not serving"),
        ("Address", str(worker.address)),
        ("Certificate", worker.address.server_name),
        ("Device", f"{worker.device} ({worker.kind}, {worker.made_of})"),
        ("Share", f"{devices_text(worker.share_milli)}, {worker.enforcement}"),
        ("Memory", _memory(worker)),
        ("Isolation", f"L{worker.isolation}"),
        ("Incarnation", str(worker.incarnation)),
    ]


def _memory(worker: Worker) -> str:
    if not worker.memory_bytes:
        return "no limit"
    return f"{memory_text(worker.memory_bytes)} at most, {worker.memory_enforcement}"


def _slo(instance: Instance) -> str:
    slo_us = instance.policy.slo_p99_us
    return f"p99 {slo_text(slo_us)}" if slo_us else ""


def type_text(instance: Instance) -> str:
    """Its type, what that became, and whether that is simulated."""
    return became(instance) + (" (simulated)" if _is_simulated(instance) else "")


def _is_simulated(instance: Instance) -> bool:
    return any(worker.simulated for worker in instance.workers)


def memory_text(size: int) -> str:
    """Bytes as GiB; "" for none."""
    return f"{size / _GIB:.1f} GiB" if size else ""


def _state(instance: Instance, printer: Printer) -> str:
    return printer.paint(instance.state, _COLOURS.get(instance.state, "yellow"))


def _addresses(instance: Instance) -> str:
    return ",".join(str(worker.address) for worker in instance.workers)


def _devices(instance: Instance) -> str:
    return ",".join(worker.device for worker in instance.workers)


def _isolation(instance: Instance) -> str:
    """The lowest level in force: no instance is better guarded than its least worker."""
    levels = [worker.isolation for worker in instance.workers]
    return f"L{min(levels)}" if levels else ""


def _enforcement(instance: Instance) -> str:
    return ",".join(sorted({worker.enforcement for worker in instance.workers}))


def has_failed(instance: Instance) -> bool:
    """Whether it serves nothing for a reason: FAILED, taken away, or on devices that all failed."""
    taken = instance.reason in TAKEN_AWAY and instance.state is not InstanceState.IN_USE
    return instance.state is InstanceState.FAILED or taken or bool(stranded(instance))
