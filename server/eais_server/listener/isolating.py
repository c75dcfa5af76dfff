"""Which isolation level the workers of a host have, and which of its devices go with that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eais_server.devices.driver import DeviceInfo
from eais_server.isolation import IsolationProbe


def is_usable(device: DeviceInfo, isolation: int) -> bool:
    """Whether workers can open what the device needs; `isolation` as the operator set it, 0: as
    it suits the devices.
    """
    return isolation < 2 or not device.needs


def within_reach(probe: IsolationProbe, devices: Sequence[DeviceInfo]) -> IsolationProbe:
    """What the host can give to workers of all these devices.

    Spare workers are confined before anybody knows which device they will have, so that what one
    of them needs, all have.
    """
    needy = [device for device in devices if device.needs]
    if probe.level < 2 or not needy:
        return probe
    names = ", ".join(device.id for device in needy)
    files = ", ".join(dict.fromkeys(path for device in needy for path in device.needs))
    return replace(probe, level=1, reason=f"workers of {names} open {files}")
