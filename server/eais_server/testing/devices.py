"""What every device driver must do, as one function to call from its own tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from eais.device_type import WHOLE_MILLI
from eais.errors import EaisError, ModelRejected
from eais.rpc.v1 import supervision_pb2
from eais_server.devices.divided import DividedDevice
from eais_server.devices.driver import (
    DeviceDriver,
    DeviceInfo,
    ModelSource,
    Reservation,
    RunSettings,
    Runtime,
    SessionSettings,
)
from eais_server.devices.metered import MeteredDevice

_MODELS = Path(ort.__file__).parent / "datasets"
_FEEDS: dict[str, dict[str, Any]] = {
    "mul_1": {"X": np.arange(6, dtype=np.float32).reshape(3, 2)},
    "sigmoid": {"x": np.linspace(-4, 4, 60, dtype=np.float32).reshape(3, 4, 5)},
    "logreg_iris": {"float_input": np.linspace(0, 7, 6, dtype=np.float32).reshape(3, 2)},
}


def check_device(
    maker: Callable[[], DeviceDriver],
    tolerance: float = 0.0,
    worker: Callable[[], DeviceDriver] | None = None,
) -> None:
    """Check a driver against what the listener and the worker expect of it.

    The models are those that onnxruntime's wheel carries.

    Args:
        maker: makes a driver with at least one device.
        tolerance: how far answers may be from onnxruntime's CPU provider, absolutely and
            relatively; 0: bit by bit.
        worker: makes the driver as a worker does, without settings; `maker` if it takes none.

    Raises:
        AssertionError: it does something else; the message says what.
    """
    driver = maker()
    devices = driver.fingerprint()
    _same("fingerprint at a second call", driver.fingerprint(), devices)
    _same("fingerprint of a second driver", maker().fingerprint(), devices)
    _true("there is a device", bool(devices))
    _same("device ids, each once", sorted({d.id for d in devices}), sorted(d.id for d in devices))
    _same("stats, in the order of fingerprint", [s.device for s in driver.stats()], _ids(devices))
    for device in devices:
        _check_figures(device)
        _check_shares(driver, device)
        _check_turns(driver, device)
        share = _as_told(driver.reserve(device.id, device.granularity_milli))
        opener = (worker or maker)()
        _check_runtimes(opener, device, share)
        for runtime in device.runtimes:
            _check_answers(opener, share, runtime, tolerance)
    _same("fingerprint after all that", driver.fingerprint(), devices)


def _ids(devices: list[DeviceInfo]) -> list[str]:
    return [device.id for device in devices]


def _check_figures(device: DeviceInfo) -> None:
    _true("memory is positive", device.memory_bytes > 0)
    step = device.granularity_milli
    _true("the granularity divides a whole device", step > 0 and WHOLE_MILLI % step == 0)
    _same("capacity in whole steps", device.capacity_milli % step, 0)
    _true("a share is at most the device", step <= device.share_limit_milli)
    _true(
        "the share limit is at most the capacity", device.share_limit_milli <= device.capacity_milli
    )


def _check_shares(driver: DeviceDriver, device: DeviceInfo) -> None:
    step = device.granularity_milli
    held: list[Reservation] = []
    for _ in range(device.capacity_milli // step):
        share = driver.reserve(device.id, step, tuple(held))
        _same(
            "a reservation says its device and share",
            (share.device, share.milli),
            (device.id, step),
        )
        _true("a share has a thread", share.threads >= 1)
        if step < WHOLE_MILLI:
            _same(
                "how a piece is enforced",
                share.enforcement or device.enforcement,
                device.piece_enforcement or device.enforcement,
            )
        held.append(share)
    _same("one share more", _refusal(driver, device.id, step, held), "NO_DEVICE")
    _same("one that was given back", driver.reserve(device.id, step, held[1:]), held[0])
    _same("a share of no size", _refusal(driver, device.id, 0, []), "ARGUMENT")
    _same("a negative share", _refusal(driver, device.id, -step, []), "ARGUMENT")
    if step > 1:
        _same("a broken step", _refusal(driver, device.id, step + 1, []), "ARGUMENT")
    _same("another device", _refusal(driver, "no-such-device", step, []), "NOT_FOUND")


def _check_turns(driver: DeviceDriver, device: DeviceInfo) -> None:
    """Shares by turns: all that lie on one unit say one name, and whole devices say none."""
    step = device.granularity_milli
    if step >= WHOLE_MILLI:
        return
    few, many = _shares_of_a_unit(driver, device)
    if not few.turns and not many.turns:
        return
    _same("turns of shares that lie together", few.turns, many.turns)
    _true("turns are named by their device", few.turns.split("/")[0] == device.id)
    if device.share_limit_milli >= WHOLE_MILLI:
        whole = driver.reserve(device.id, WHOLE_MILLI)
        _same("turns of a whole device", whole.turns, "")
    if isinstance(driver, MeteredDevice):
        used = driver.meter(few, os.getpid())()
        _true("what a process used is in nanoseconds", used is None or used >= 0)


def _shares_of_a_unit(driver: DeviceDriver, device: DeviceInfo) -> tuple[Reservation, Reservation]:
    """A share of one step, and one of all the others of the same device, or unit of it."""
    step = device.granularity_milli
    if isinstance(driver, DividedDevice):
        few = driver.reserve_in(0, device.id, step, ())
        return few, driver.reserve_in(0, device.id, WHOLE_MILLI - step, (few,))
    few = driver.reserve(device.id, step)
    return few, driver.reserve(device.id, WHOLE_MILLI - step, (few,))


def _refusal(driver: DeviceDriver, device: str, milli: int, held: list[Reservation]) -> str:
    try:
        driver.reserve(device, milli, held)
    except EaisError as error:
        return error.reason
    return "reserved"


def _as_told(share: Reservation) -> Reservation:
    """The share as its worker has it, in another process: by way of a message."""
    told = supervision_pb2.Adopt(words=share.words)
    heard = replace(share, words=dict(told.words))
    _same("the words, as a worker is told them", heard, share)
    return heard


def _check_runtimes(driver: DeviceDriver, device: DeviceInfo, share: Reservation) -> None:
    names = [str(runtime) for runtime in device.runtimes]
    _same("runtimes, each once", sorted(set(names)), sorted(names))
    _true("there is a runtime", bool(names))
    _same("a runtime that isn't there", _open_refusal(driver, share), "ARGUMENT")


def _open_refusal(driver: DeviceDriver, share: Reservation) -> str:
    model, runtime = ModelSource(_MODELS / "mul_1.onnx"), Runtime("no-such-runtime")
    try:
        driver.open(share, model, SessionSettings(), runtime)
    except EaisError as error:
        return error.reason
    return "opened"


def _check_answers(
    driver: DeviceDriver, share: Reservation, runtime: Runtime, tolerance: float
) -> None:
    opened = 0
    for name, feed in _FEEDS.items():
        path = _MODELS / f"{name}.onnx"
        try:
            session = driver.open(share, ModelSource(path), SessionSettings(), runtime)
        except ModelRejected as error:
            # Not every runtime has sequences and maps; it must have something.
            _same("why it isn't opened", error.reason, "RUNTIME_REFUSED")
            continue
        opened += 1
        want = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for kind, got, nodes in (
            ("inputs", session.signature.inputs, want.get_inputs()),
            ("outputs", session.signature.outputs, want.get_outputs()),
        ):
            _same(
                f"{name}: {kind}",
                [(g.name, g.type) for g in got],
                [(n.name, n.type) for n in nodes],
            )
        outputs = session.prepare(RunSettings()).execute([], feed)
        for got, right in zip(outputs, want.run(None, feed), strict=True):
            _true(f"{name}: the answer", _close(got, right, tolerance))
        picked = session.signature.outputs[-1].name
        last = session.prepare(RunSettings()).execute([picked], feed)
        _true(f"{name}: one output", len(last) == 1 and _close(last[0], outputs[-1], tolerance))
        _same(f"{name}: no inputs", _failure(session.prepare(RunSettings()), {}), "INPUT_MISSING")
    _true(f"{runtime} opens a model", opened > 0)


def _failure(run: Any, feed: dict[str, Any]) -> str:
    try:
        run.execute([], feed)
    except EaisError as error:
        return error.reason
    return "answered"


def _close(got: Any, want: Any, tolerance: float) -> bool:
    pairs = list(_leaves(got, want))
    if not tolerance:
        return all(g.dtype == w.dtype and g.tobytes() == w.tobytes() for g, w in pairs)
    return all(np.allclose(g, w, rtol=tolerance, atol=tolerance, equal_nan=True) for g, w in pairs)


def _leaves(got: Any, want: Any) -> Iterator[tuple[Any, Any]]:
    """Arrays of both, side by side, through lists and dicts."""
    _same("kind of value", type(got), type(want))
    if isinstance(want, list):
        for one, other in zip(got, want, strict=True):
            yield from _leaves(one, other)
    elif isinstance(want, dict):
        _same("keys of a map", list(got), list(want))
        yield np.array(list(got.values())), np.array(list(want.values()))
    else:
        _same("shape", got.shape, want.shape)
        yield got, want


def _same(what: str, got: object, want: object) -> None:
    if got != want:
        raise AssertionError(f"{what}: {got!r}, not {want!r}")


def _true(what: str, holds: bool) -> None:
    if not holds:
        raise AssertionError(f"not so: {what}")
