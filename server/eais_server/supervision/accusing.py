"""A device is accused: of an error of its own, or of a hang that may be the model's. (Brain)"""

from __future__ import annotations

from eais_server.supervision import actions as do
from eais_server.supervision.device import (
    STRIKES,
    STRIKES_S,
    Device,
    DeviceEvent,
    DeviceHealth,
    Doubt,
)
from eais_server.supervision.held import Worker
from eais_server.supervision.leaving import kill
from eais_server.supervision.state import State


def failed(state: State, name: str, why: str, now: float) -> list[do.Action]:
    """The device, if it is one that is watched, said or showed itself that it failed.

    Too often within a time is too often, whatever its checks say. What several workers of a
    device say of one failure is one.
    """
    device = state.devices.get(name)
    if device is None or device.health is not DeviceHealth.HEALTHY:
        return []
    device.strikes = [at for at in device.strikes if now < at + STRIKES_S] + [now]
    if len(device.strikes) < STRIKES:
        return _suspect(device, why)
    often = f"it failed {len(device.strikes)} times in {STRIKES_S / 60:g} minutes: {why}"
    return condemn(state, device, often)


def doubted(state: State, name: str, why: str, doubt: Doubt | None) -> list[do.Action]:
    """A worker hung there: the device's doing if its check fails, else that of `doubt`."""
    device = state.devices.get(name)
    if device is None or device.health is DeviceHealth.BAD:
        return []
    if doubt is not None:
        device.doubts.append(doubt)
    return _suspect(device, why)


def _suspect(device: Device, why: str) -> list[do.Action]:
    device.wanted = True
    news = device.health is DeviceHealth.HEALTHY and device.moved(DeviceEvent.FAULT, why)
    return [do.KeepHealth(device.id)] if news else []


def condemn(state: State, device: Device, why: str) -> list[do.Action]:
    """The device is bad: no process of ours has it from now on, and no model is to blame."""
    device.wanted = False
    device.doubts.clear()
    news = device.moved(DeviceEvent.FAILED, why)
    # Those too that were asked to finish: what they would say is worth nothing.
    ended = [kill(worker, f"{device.id} is bad") for worker in workers_on(state, device)]
    return [*([do.KeepHealth(device.id)] if news else []), *ended]


def workers_on(state: State, device: Device) -> list[Worker]:
    """All workers that have a share of it."""
    slots = [slot for held in state.leases.values() for slot in held.slots.values()]
    return [state.workers[s.worker] for s in slots if s.device == device.id and s.worker]
