"""Simulated devices of any kind: true answers from the CPU, and a stated service time.

A run is computed by onnxruntime's CPU provider on one thread, and takes at least

    overhead + work / rate

where work is counted in bytes: those of the model's files for each row
of the first input's leading axis, as if each row read every weight once, and those of all inputs
and outputs. `DeviceInfo.model` states overhead and rate. What the CPU can't compute in that time
takes longer: a simulated device is never faster than its host.

Shares of a device that are smaller than it are kept by turns (`eais_server.turns`): a run that has
the turn has the whole device for that time. Nothing sees from outside what a worker uses of it, so
the time counts for which it holds the turn.

Faults are for tests alone. Only the listener's driver reads the file of them, which lies in the
listener's own directory; a worker is told at its adoption what it has to pretend.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.errors import EaisError, UsageError, make_error
from eais_server.devices.driver import (
    REFERENCE,
    DeviceInfo,
    DeviceStats,
    Enforcement,
    ModelSource,
    PreparedRun,
    Reservation,
    RunSettings,
    Runtime,
    RuntimeSession,
    SessionSettings,
    SessionSignature,
)
from eais_server.devices.shares import check_share

if TYPE_CHECKING:
    from eais_server.devices.driver import DeviceDriver

log = logging.getLogger(__name__)

FAULTS_FILE: Final = "simulated-faults"
"""In the listener's directory, lines of DEVICE FAULT RUNS: "sim-gpu0 hang 50"."""

_GRANULARITY_MILLI: Final = WHOLE_MILLI // 8
_GIB: Final = 1 << 30
# What `reserve` says to `open`.
_KIND, _FAULT, _RUNS = "kind", "fault", "runs"


class Fault(StrEnum):
    """What a simulated device can be told to do once a worker ran so much on it.

    VANISH: every later load and run is DEVICE_LOST. HANG: the next run doesn't end, whoever asks
    it to. GARBAGE: whatever comes back has every bit wrong, the check pattern too, so that the run
    is DEVICE_LOST. CORRUPT: the check pattern alone comes back right, and answers are wrong.
    """

    VANISH = "vanish"
    HANG = "hang"
    GARBAGE = "garbage"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """How long a run takes on the device, at least; and the device's memory, bytes."""

    overhead_s: float
    bytes_per_s: float
    memory_bytes: int

    def seconds(self, work_bytes: int) -> float:
        """For so much work."""
        return self.overhead_s + work_bytes / self.bytes_per_s

    def __str__(self) -> str:
        return f"{self.overhead_s * 1e3:g} ms + {self.bytes_per_s / 1e9:g} GB/s"


SERVICE_TIMES: Final[Mapping[DeviceKind, ServiceTime]] = {
    DeviceKind.GPU: ServiceTime(100e-6, 100e9, 16 * _GIB),
    DeviceKind.NPU: ServiceTime(50e-6, 20e9, 8 * _GIB),
    DeviceKind.FPGA: ServiceTime(20e-6, 5e9, 4 * _GIB),
}


class SimDriver:
    """As many simulated devices as were asked for, none by default.

    Args:
        counts: kind to how many; a worker's driver needs none to open what was reserved.
        faults: where `FAULTS_FILE` may come to be; None: there are no faults.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        counts: Mapping[DeviceKind, int] | None = None,
        *,
        faults: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        kinds = [(kind, n) for kind, count in (counts or {}).items() for n in range(count)]
        self._devices = {device.id: device for device in (_device(*each) for each in kinds)}
        self._faults = faults
        self._clock = clock
        self._lock = threading.Lock()
        self._share: SimShare | None = None

    def fingerprint(self) -> list[DeviceInfo]:
        """Devices such as "sim-gpu0", of 1000 milli-devices in eighths."""
        return list(self._devices.values())

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        """A share on one thread, with its part of the memory; see `DeviceDriver`.

        Raises:
            DeviceLost: DEVICE_LOST, it was told to vanish at once.
        """
        info = check_share(self._devices.values(), device, milli, held)
        words = {_KIND: str(info.kind), **self._fault_words(device)}
        if words.get(_FAULT) == Fault.VANISH and words[_RUNS] == "0":
            raise _vanished(device)
        memory = info.memory_bytes * milli // WHOLE_MILLI
        turns = device if milli < WHOLE_MILLI else ""
        return Reservation(device, milli, 1, memory_bytes=memory, words=words, turns=turns)

    def _fault_words(self, device: str) -> dict[str, str]:
        if self._faults is None:
            return {}
        for name, fault, runs in _faults(self._faults):
            if name == device:
                return {_FAULT: str(fault), _RUNS: str(runs)}
        return {}

    def open(
        self,
        share: Reservation,
        model: ModelSource,
        settings: SessionSettings,
        runtime: Runtime = REFERENCE,
    ) -> RuntimeSession:
        """An onnxruntime session on the CPU that takes the device's time; see `DeviceDriver`.

        Raises:
            ModelRejected: MODEL_MEMORY, its files are larger than what the share's memory has
                left.
            DeviceLost: DEVICE_LOST, the device has vanished.
        """
        from eais_server.runtime.session import open_session

        if runtime != REFERENCE:
            raise UsageError("ARGUMENT", f"a simulated device has no runtime {runtime}")
        size = model.path.stat().st_size + sum(model.manifest.values())
        here = self._here(share)
        here.check_room(size)
        session = SimSession(open_session(model, settings, share.threads), size, here)
        here.loaded(session)
        return session

    def _here(self, reserved: Reservation) -> SimShare:
        """The share that this worker has; it is told one in its life."""
        with self._lock:
            if self._share is None or self._share.reserved != reserved:
                self._share = SimShare(reserved, self._clock)
            return self._share

    def stats(self) -> list[DeviceStats]:
        """No counters: what is run here is computed, and counted, by the workers."""
        return [DeviceStats(device, 0, 0) for device in self._devices]


def _device(kind: DeviceKind, n: int) -> DeviceInfo:
    states = SERVICE_TIMES[kind]
    return DeviceInfo(
        id=f"sim-{kind}{n}",
        kind=kind,
        model=f"Simulated {kind.upper()} ({states})",
        memory_bytes=states.memory_bytes,
        capacity_milli=WHOLE_MILLI,
        granularity_milli=_GRANULARITY_MILLI,
        share_limit_milli=WHOLE_MILLI,
        # The workers wait by themselves; nothing would stop one that didn't.
        enforcement=Enforcement.COOPERATIVE,
        simulated=True,
    )


def _faults(path: Path) -> Iterator[tuple[str, Fault, int]]:
    """What a test wrote; what can't be read is no fault."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            device, fault, runs = line.split()
            yield device, Fault(fault), int(runs)
        except ValueError:
            log.error("%s: %r isn't DEVICE FAULT RUNS", path, line)


class SimShare:
    """What a worker has of a simulated device. Any thread.

    Raises:
        UsageError: ARGUMENT, the share isn't one of this driver's.
    """

    def __init__(self, reserved: Reservation, clock: Callable[[], float]) -> None:
        words = reserved.words
        if words.get(_KIND) not in SERVICE_TIMES:
            raise UsageError("ARGUMENT", f"{reserved.device} isn't a share of a simulated device")
        self.reserved = reserved
        self._states = SERVICE_TIMES[DeviceKind(words[_KIND])]
        self._fault = Fault(words[_FAULT]) if _FAULT in words else None
        self._fault_after = int(words.get(_RUNS, 0))
        self.clock = clock
        self._lock = threading.Lock()
        self._sessions: WeakSet[SimSession] = WeakSet()
        self._runs = 0

    def check_room(self, size: int) -> None:
        """Whether files of `size` bytes fit beside those that are loaded.

        Raises:
            ModelRejected: MODEL_MEMORY.
            DeviceLost: DEVICE_LOST.
        """
        device = self.reserved.device
        with self._lock:
            if self._fault_in_force() is Fault.VANISH:
                raise _vanished(device)
            left = self.reserved.memory_bytes - sum(each.size for each in self._sessions)
        if size > left:
            text = f"the model has {size} bytes; {left} are left of its share of {device}"
            raise make_error("MODEL_MEMORY", text)

    def loaded(self, session: SimSession) -> None:
        """Count the session's memory for as long as somebody has it."""
        with self._lock:
            self._sessions.add(session)

    def count_run(self) -> Fault | None:
        """A run begins; what the device pretends by then. DEVICE_LOST if that is to be gone."""
        with self._lock:
            fault = self._fault_in_force()
            self._runs += 1
        if fault is Fault.VANISH:
            raise _vanished(self.reserved.device)
        return fault

    def take_time(self, began: float, work_bytes: int, ended: threading.Event) -> None:
        """Wait out what is left of a run's time, unless it is `ended` meanwhile."""
        due = began + self._states.seconds(work_bytes)
        while (left := due - self.clock()) > 0 and not ended.wait(left):
            pass

    def _fault_in_force(self) -> Fault | None:
        return self._fault if self._runs >= self._fault_after else None


class SimSession:
    """An onnxruntime session that takes a simulated device's time. Any thread.

    Attributes:
        size: of the model's files, bytes.
    """

    def __init__(self, session: RuntimeSession, size: int, share: SimShare) -> None:
        self._session = session
        self.size = size
        self.share = share

    @property
    def signature(self) -> SessionSignature:
        """What it takes and gives, as onnxruntime reports it."""
        return self._session.signature

    def prepare(self, settings: RunSettings) -> SimRun:
        """See `RuntimeSession`."""
        return SimRun(self, self._session.prepare(settings))


class SimRun:
    """One run of a `SimSession`, as a `PreparedRun`."""

    def __init__(self, session: SimSession, run: PreparedRun) -> None:
        self._session = session
        self._run = run
        self._ended = threading.Event()

    def execute(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """See `PreparedRun`; DEVICE_LOST if the device has vanished."""
        share = self._session.share
        fault = share.count_run()
        if fault is Fault.HANG:
            threading.Event().wait()
        began = share.clock()
        found = self._run.execute(outputs, feed)
        rows = _rows(next(iter(feed.values()), None))
        moved = sum(map(_bytes, (*feed.values(), *found)))
        share.take_time(began, rows * self._session.size + moved, self._ended)
        return _come_back(found, fault, share.reserved.device)

    def terminate(self) -> None:
        """See `PreparedRun`; the device's time isn't waited out then."""
        self._run.terminate()
        self._ended.set()

    @property
    def terminated(self) -> bool:
        """See `PreparedRun`."""
        return self._run.terminated


def _come_back(outputs: list[Any], fault: Fault | None, device: str) -> list[Any]:
    """The outputs as the device gives them, after the check pattern that goes with each run.

    Raises:
        DeviceLost: DEVICE_LOST, that came back wrong: so may be all else.
    """
    if fault is Fault.GARBAGE:
        raise make_error(
            "DEVICE_LOST", f"{device} gives wrong bits: its check pattern came back so"
        )
    return [_garbled(value) for value in outputs] if fault is Fault.CORRUPT else outputs


def _vanished(device: str) -> EaisError:
    return make_error("DEVICE_LOST", f"{device} has vanished")


def _rows(value: Any) -> int:
    shape = getattr(_plain(value), "shape", ())
    return max(1, shape[0]) if shape else 1


def _bytes(value: Any) -> int:
    """Of a tensor; sequences and maps count as nothing."""
    return getattr(_plain(value), "nbytes", 0)


def _plain(value: Any) -> Any:
    """The array of a tensor, of `eais.value.RawTensor` too; anything else as it is."""
    return getattr(value, "bits", value)


def _garbled(value: Any) -> Any:
    """The tensor with every bit wrong; what is no tensor of numbers is left."""
    import numpy as np

    from eais.value import RawTensor

    if isinstance(value, RawTensor):
        return RawTensor(value.element_type, ~value.bits)
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        return value
    wrong = ~np.frombuffer(value.tobytes(), np.uint8)
    return wrong.view(value.dtype).reshape(value.shape)


if TYPE_CHECKING:
    _checked: type[DeviceDriver] = SimDriver
