"""What can be loaded onto devices for which models need an image, as hosts say. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass, replace

from eais_pool.brain.host_records import HostRecord, ModelLoad


@dataclass(frozen=True, slots=True)
class LoadsReported:
    """An event: a host says what can be loaded onto one of its devices, and what is."""

    host: str
    device: str
    loads: tuple[ModelLoad, ...]


@dataclass(frozen=True, slots=True)
class LoadsChanged:
    """A fact: that is other than it was."""

    host: str
    device: str
    loads: tuple[ModelLoad, ...]


def changed(host: HostRecord, event: LoadsReported) -> LoadsChanged | None:
    """What of it is new, if the host has such a device."""
    device = host.device(event.device)
    if device is None or device.loads == event.loads:
        return None
    return LoadsChanged(event.host, event.device, event.loads)


def with_loads(host: HostRecord, fact: LoadsChanged) -> HostRecord:
    """The host as it is from then on."""
    devices = tuple(
        replace(device, loads=fact.loads) if device.id == fact.device else device
        for device in host.devices
    )
    return replace(host, devices=devices)
