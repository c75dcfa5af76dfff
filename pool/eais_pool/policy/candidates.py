"""The shares that `auto` weighs, of the devices that a pool has. (Brain)

Cores of a CPU are weighed as a whole, unless an owner names a piece: below one, what else runs
there decides more than a profile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.tolerance import Precision, Tolerance
from eais_pool.policy import DeviceView, HostView
from eais_pool.policy.choosing import Candidate, Image, Runner, shares_weighed
from eais_pool.policy.profiles import TEXT_MOST

_REFERENCE = "onnxruntime/fp32"


def candidates(
    hosts: Sequence[HostView],
    tolerance: Tolerance,
    model: str = "",
    sizes: Mapping[DeviceKind, frozenset[int]] | None = None,
) -> list[Candidate]:
    """Each share of each model of device, by what runs models there.

    Args:
        hosts: those that may serve the instance; the others' devices have no room for it.
        tolerance: `exact` leaves the reference alone.
        model: SHA-256 in hex of the model that it is to run; "": nobody knows.
        sizes: the kinds that will do, each with the sizes of shares; none: those that are weighed.
    """
    room: dict[tuple[Runner, int], Candidate] = {}
    for host in hosts:
        for device in host.devices:
            if sizes is not None and device.kind not in sizes:
                continue
            named = sizes[DeviceKind(device.kind)] if sizes is not None else ()
            for each in of_device(device, host.open, model, named):
                key = (each.runner, each.share_milli)
                if key not in room or _is_better(each, room[key]):
                    room[key] = each
    return [each for each in room.values() if _admitted(each, tolerance)]


def of_device(
    device: DeviceView, is_open: bool = True, model: str = "", sizes: Collection[int] = ()
) -> Iterator[Candidate]:
    """Those of one device, for a model if that is known; of these sizes, if any are named."""
    shares = _sold(device, sizes) if sizes else shares_of(device)
    for runner in runners_of(device):
        for share in shares:
            has_room = is_open and device.has_room(share)
            setup_s, image = _setup(device, model, share)
            yield Candidate(runner, share, setup_s, has_room, device.simulated, image)


def _setup(device: DeviceView, model: str, share: int) -> tuple[float, Image]:
    """Seconds until a share of a device can serve a model, and how far its image is.

    Of a model that nobody knows it is taken that its image takes as long as any.
    """
    attach_ms, image = device.attach_ms, Image.NONE
    if device.loads is not None and model:
        load = next((each for each in device.loads if each.model == model), None)
        if load is None:
            image = Image.MISSING
        elif load.ready_milli >= share:
            image = Image.LOADED
        else:
            image, attach_ms = Image.TO_LOAD, attach_ms + load.load_ms
    elif device.loads:
        attach_ms += max(each.load_ms for each in device.loads)
    return attach_ms / 1000, image


def _is_better(one: Candidate, other: Candidate) -> bool:
    """Whether a share of a device is rather had than one of another device of the same model."""
    return _preference(one) > _preference(other)


def _preference(each: Candidate) -> tuple[bool, bool, float]:
    return each.room, each.image is not Image.MISSING, -each.setup_s


def shares_of(device: DeviceView) -> list[int]:
    """The sizes of shares of a device that are weighed."""
    most = min(device.share_limit_milli, device.capacity_milli)
    shares = shares_weighed(device.granularity_milli, most)
    least = WHOLE_MILLI if device.kind == DeviceKind.CPU else 0
    return [share for share in shares if share >= least]


def _sold(device: DeviceView, sizes: Iterable[int]) -> list[int]:
    most = min(device.share_limit_milli, device.capacity_milli)
    return [each for each in sorted(sizes) if each <= most and not each % device.granularity_milli]


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
