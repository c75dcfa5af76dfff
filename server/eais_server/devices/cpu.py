"""The CPU as a device: onnxruntime's CPU execution provider on cores and pieces of them.

A share is a number of whole cores, or a piece of one: the worker is pinned to them and runs as
many threads. Workers with pieces of a core take turns on it, by the CPU time that the kernel
counts: that is "forced". One with whole cores that unpinned itself would not be stopped: that is
"cooperative". The same part of the host's memory goes with a share, and that the kernel keeps.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.errors import EaisError, UsageError, make_error
from eais.share_units import Taken, fits_in, unit_for
from eais_server.devices.driver import (
    REFERENCE,
    DeviceInfo,
    DeviceStats,
    Enforcement,
    ModelSource,
    Reservation,
    Runtime,
    RuntimeSession,
    SessionSettings,
)
from eais_server.devices.shares import check_share
from eais_server.turns.meter import CpuMeter, Meter

if TYPE_CHECKING:
    from eais_server.devices.driver import DeviceDriver

DEVICE_ID: Final = "cpu0"
_GRANULARITY_MILLI: Final = WHOLE_MILLI // 8
SHARED_MEMORY: Final = 7 / 8
"""Of the host's memory what all shares together are given; the rest is for what isn't a worker."""
_UNKNOWN_MODEL: Final = "CPU"
# /proc/stat's columns after the name: user, nice, system, idle, iowait, irq, softirq, steal.
_IDLE_COLUMNS: Final = (3, 4)


def allowed_cores() -> tuple[int, ...]:
    """The cores that this process may run on."""
    return tuple(sorted(os.sched_getaffinity(0)))


class CpuDriver:
    """All the cores of this host that the listener may use, as one device.

    Args:
        cores: how many to offer, in place of all those allowed. More than there are is
            allowed: then shares overlap.
        memory_limit_bytes: of one share, whatever its part would be; 0: none.
        allowed: which they are; a constructor argument for the sake of tests.
        proc: where the kernel tells of itself.
    """

    def __init__(
        self,
        cores: int | None = None,
        *,
        memory_limit_bytes: int = 0,
        allowed: Callable[[], tuple[int, ...]] = allowed_cores,
        proc: Path = Path("/proc"),
    ) -> None:
        if cores is not None and cores < 1:
            raise ValueError(f"cores = {cores}: at least 1")
        self._memory_limit = memory_limit_bytes
        self._allowed = allowed()
        self._cores = cores or len(self._allowed)
        self._proc = proc

    def fingerprint(self) -> list[DeviceInfo]:
        """One device, "cpu0", of 1000 milli-devices a core."""
        capacity = self._cores * WHOLE_MILLI
        return [
            DeviceInfo(
                id=DEVICE_ID,
                kind=DeviceKind.CPU,
                model=_model_name(self._proc / "cpuinfo"),
                memory_bytes=_memory(self._proc / "meminfo")["MemTotal"],
                capacity_milli=capacity,
                granularity_milli=_GRANULARITY_MILLI,
                share_limit_milli=capacity,
                enforcement=Enforcement.COOPERATIVE,
                piece_enforcement=Enforcement.FORCED,
            )
        ]

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        """A piece of the fullest core that has room, or whole cores; see `DeviceDriver`."""
        info = check_share(self.fingerprint(), device, milli, held)
        unit = unit_for(milli, info.capacity_milli, _taken(held))
        if unit is None:
            raise _in_pieces(milli)
        return self._reserved(unit, device, milli, held)

    def reserve_in(
        self, unit: int, device: str, milli: int, held: Collection[Reservation]
    ) -> Reservation:
        """See `DividedDevice`."""
        if milli >= WHOLE_MILLI:
            return self.reserve(device, milli, held)
        info = check_share(self.fingerprint(), device, milli, held)
        if not fits_in(unit, milli, info.capacity_milli, _taken(held)):
            raise _in_pieces(milli)
        return self._reserved(unit, device, milli, held)

    def _reserved(
        self, unit: int, device: str, milli: int, held: Collection[Reservation]
    ) -> Reservation:
        """Of the cores, those that the fewest of `held` use; the pieces of a unit lie on one."""
        memory, threads = self._memory_of(milli), milli // WHOLE_MILLI
        if threads:
            cores = self._least_used(threads, held)
            return Reservation(device, milli, threads, cores, process_memory_bytes=memory)
        turns = f"{device}/{unit}"
        beside = [share.cores for share in held if share.turns == turns]
        return Reservation(
            device,
            milli,
            1,
            beside[0] if beside else self._least_used(1, held),
            process_memory_bytes=memory,
            turns=turns,
            unit=unit,
            enforcement=Enforcement.FORCED,
        )

    def meter(self, share: Reservation, pid: int) -> Meter:
        """The CPU time of all threads of the process."""
        return CpuMeter(pid)

    def _memory_of(self, milli: int) -> int:
        total = _memory(self._proc / "meminfo")["MemTotal"]
        part = int(total * SHARED_MEMORY * milli / (self._cores * WHOLE_MILLI))
        return min(part, self._memory_limit or part)

    def _least_used(self, count: int, held: Iterable[Reservation]) -> tuple[int, ...]:
        used = Counter(core for reservation in held for core in reservation.cores)
        by_use = sorted(self._allowed, key=lambda core: (used[core], core))
        return tuple(sorted(by_use[:count]))

    def open(
        self,
        share: Reservation,
        model: ModelSource,
        settings: SessionSettings,
        runtime: Runtime = REFERENCE,
    ) -> RuntimeSession:
        """An onnxruntime session of `share.threads` threads; see `DeviceDriver`."""
        from eais_server.runtime.session import open_session

        if runtime != REFERENCE:
            raise UsageError("ARGUMENT", f"the CPU's driver has no runtime {runtime}")
        return open_session(model, settings, threads=share.threads)

    def stats(self) -> list[DeviceStats]:
        """Busy time of the allowed cores since boot, whoever used them."""
        memory = _memory(self._proc / "meminfo")
        return [
            DeviceStats(
                device=DEVICE_ID,
                busy_ns=_busy_ns(self._proc / "stat", self._allowed),
                memory_used_bytes=memory["MemTotal"] - memory["MemAvailable"],
            )
        ]


def _taken(held: Collection[Reservation]) -> list[Taken]:
    return [(share.milli, share.unit) for share in held if share.device == DEVICE_ID]


def _in_pieces(milli: int) -> EaisError:
    text = f"{milli} milli-devices of {DEVICE_ID} aren't free together: other cores are in pieces"
    return make_error("NO_DEVICE", text)


def _model_name(cpuinfo: Path) -> str:
    for line in cpuinfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return _UNKNOWN_MODEL


def _memory(meminfo: Path) -> dict[str, int]:
    """Name to bytes."""
    lines = (line.split() for line in meminfo.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) == 3}


def _busy_ns(stat: Path, cores: Iterable[int]) -> int:
    names = {f"cpu{core}" for core in cores}
    ticks = 0
    for line in stat.read_text().splitlines():
        name, *columns = line.split()
        if name in names:
            busy = (int(v) for i, v in enumerate(columns[:8]) if i not in _IDLE_COLUMNS)
            ticks += sum(busy)
    return ticks * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


if TYPE_CHECKING:
    _checked: type[DeviceDriver] = CpuDriver
