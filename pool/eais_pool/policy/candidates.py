"""The shares that `auto` weighs, of the devices that a pool has. (Brain)

Cores of a CPU are weighed as a whole: below one, what else runs there decides more than a profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.tolerance import Precision, Tolerance
from eais_pool.policy import DeviceView, HostView
from eais_pool.policy.choosing import Candidate, Runner, shares_weighed
from eais_pool.policy.profiles import TEXT_MOST

_REFERENCE = "onnxruntime/fp32"


def candidates(hosts: Sequence[HostView], tolerance: Tolerance) -> list[Candidate]:
    """Each share of each model of device, by what runs models there.

    Args:
        hosts: those that may serve the instance; the others' devices have no room for it.
        tolerance: `exact` leaves the reference alone.
    """
    room: dict[tuple[Runner, int], Candidate] = {}
    for host in hosts:
        for device in host.devices:
            for each in of_device(device, host.open):
                key = (each.runner, each.share_milli)
                if key not in room or each.room:
                    room[key] = each
    return [each for each in room.values() if _admitted(each, tolerance)]


def of_device(device: DeviceView, is_open: bool = True) -> Iterator[Candidate]:
    """Those of one device."""
    shares = shares_of(device)
    for runner in runners_of(device):
        for share in shares:
            has_room = is_open and device.has_room(share)
            yield Candidate(runner, share, room=has_room, simulated=device.simulated)


def shares_of(device: DeviceView) -> list[int]:
    """The sizes of shares of a device that are weighed."""
    most = min(device.share_limit_milli, device.capacity_milli)
    shares = shares_weighed(device.granularity_milli, most)
    least = WHOLE_MILLI if device.kind == DeviceKind.CPU else 0
    return [share for share in shares if share >= least]


def runners_of(device: DeviceView) -> Iterator[Runner]:
    """What runs models on a device, but for runtimes that nobody knows the precision of."""
    model = device.model[:TEXT_MOST] or device.kind
    for text in device.runtimes or (_REFERENCE,):
        name, _, precision = text.rpartition("/")
        if 0 < len(name) <= TEXT_MOST and precision in _precisions():
            yield Runner(DeviceKind(device.kind), model, name, Precision(precision))


def text_of(runner: Runner) -> str:
    """A runner's runtime as devices name it."""
    return f"{runner.runtime}/{runner.precision}"


def _precisions() -> Iterable[str]:
    return [each.value for each in Precision]


def _admitted(each: Candidate, tolerance: Tolerance) -> bool:
    return tolerance is not Tolerance.EXACT or text_of(each.runner) == _REFERENCE
