"""The CPU as a device: onnxruntime's CPU execution provider on whole cores.

A share is a number of cores: the worker is pinned to them and runs as many
threads. A worker that unpinned itself would not be stopped, so the enforcement
is "cooperative". The same part of the host's memory goes with it, and that the
kernel keeps.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.errors import UsageError
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

if TYPE_CHECKING:
    from eais_server.devices.driver import DeviceDriver

DEVICE_ID: Final = "cpu0"
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
                granularity_milli=WHOLE_MILLI,
                share_limit_milli=capacity,
                enforcement=Enforcement.COOPERATIVE,
            )
        ]

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        """Whole cores, those that the fewest of `held` use first; see `DeviceDriver`."""
        check_share(self.fingerprint(), device, milli, held)
        threads = milli // WHOLE_MILLI
        return Reservation(
            device,
            milli,
            threads,
            self._least_used(threads, held),
            process_memory_bytes=self._memory_of(milli),
        )

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
