"""What the pool's devices run models with, and what would add to that."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from eais.cpu_flags import is_fast_at_bf16
from eais.errors import EaisError
from eais_client.doctor.findings import Finding, Verdict, ok, unknown
from eais_client.doctor.scene import Scene
from eais_client.instances import Instance
from eais_client.pool_status import DeviceUse
from eais_client.session_states import ask_sessions

_NAMED: Final = 3
"""Hosts; of more it is said how many they are."""


def runtimes(scene: Scene) -> Finding:
    """What models run on: of all devices for operators, else of this user's own sessions."""
    if scene.status is None:
        return _of_sessions(scene)
    devices = [device for device in scene.status.devices if device.reachable]
    slower = _names(d.host for d in devices if _is_cpu(d) and not _has_openvino(d))
    return Finding("", Verdict.OK, _listed(devices), remedy=_remedy(scene, slower))


def _listed(devices: Iterable[DeviceUse]) -> str:
    hosts: dict[str, list[str]] = {}
    for device in devices:
        kind = f"{device.kind} (simulated)" if device.simulated else device.kind
        what = f"{kind}: {', '.join(device.runtimes) or 'nothing'}"
        hosts.setdefault(what, []).append(device.host)
    return "; ".join(f"{what} on {_names(on)}" for what, on in hosts.items()) or "no devices"


def _names(hosts: Iterable[str]) -> str:
    found = list(dict.fromkeys(hosts))
    return ", ".join(found) if len(found) <= _NAMED else f"{len(found)} hosts"


def _is_cpu(device: DeviceUse) -> bool:
    return device.kind == "cpu" and not device.simulated


def _has_openvino(device: DeviceUse) -> bool:
    return any(runtime.startswith("openvino/") for runtime in device.runtimes)


def _remedy(scene: Scene, slower: str) -> str:
    if not slower:
        return ""
    add = f"`pip install 'eais[openvino]'` for the listener on {slower} adds a faster one"
    if not scene.context.state_dir:
        return f"{add}, in bf16 too where its CPU has AVX512-BF16 or AMX"
    if not is_fast_at_bf16(scene.cpuinfo):
        return add
    return f"{add}, in bf16 too, at which this CPU is fast: for `--tolerance bf16`"


def _of_sessions(scene: Scene) -> Finding:
    found = scene.instance
    if found is None or found.listener is None:
        return _unseen()
    try:
        return _used(scene, found)
    except EaisError as error:
        return unknown(f"what runs the sessions of {found.id}: {error.reason}: {error.message}")


def _used(scene: Scene, instance: Instance) -> Finding:
    states = ask_sessions(scene.store, scene.context, instance)
    used = sorted({at.runtime for state in states for at in state.workers if at.runtime})
    if not used:
        return _unseen()
    return ok(f"the sessions of {instance.id} run on {', '.join(used)}")


def _unseen() -> Finding:
    return unknown(
        "only an operator sees what devices run models with",
        "`eais describe` says it of the sessions that you have opened",
    )
