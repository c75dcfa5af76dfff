"""What every driver asks of a share before it reserves one."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from eais.device_type import WHOLE_MILLI
from eais.errors import Unavailable, UsageError
from eais_server.devices.driver import DeviceInfo, Reservation


def check_share(
    devices: Iterable[DeviceInfo], device: str, milli: int, held: Collection[Reservation]
) -> DeviceInfo:
    """The one of `devices` that `device` names, if a share of `milli` fits it beside those `held`.

    Raises:
        UsageError: NOT_FOUND, it is none of them; ARGUMENT, no share of it is of that size.
        Unavailable: NO_DEVICE, `held` leaves too little.
    """
    info = next((each for each in devices if each.id == device), None)
    if info is None:
        raise UsageError("NOT_FOUND", "no such device")
    step, most = info.granularity_milli, info.share_limit_milli
    if not 0 < milli <= most or milli % step:
        sizes = f"{most}" if step == most else f"multiples of {step} up to {most}"
        raise UsageError("ARGUMENT", f"shares of {device} are {sizes} milli-devices, not {milli}")
    if milli > WHOLE_MILLI and milli % WHOLE_MILLI:
        text = f"shares of {device} above {WHOLE_MILLI} milli-devices are whole ones, not {milli}"
        raise UsageError("ARGUMENT", text)
    free = info.capacity_milli - sum(share.milli for share in held if share.device == device)
    if milli > free:
        raise Unavailable("NO_DEVICE", f"{milli} milli-devices asked for, {free} are free")
    return info
