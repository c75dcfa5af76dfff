"""The devices of this host: what their drivers found, and what each share is reserved as."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from eais.errors import DeviceLost, EaisError, UsageError, make_error
from eais.simulated import parse_simulated
from eais_server.devices.cpu import CpuDriver
from eais_server.devices.divided import DividedDevice
from eais_server.devices.driver import DeviceDriver, DeviceInfo, Reservation, Runtime
from eais_server.devices.exclusive import Hold
from eais_server.devices.hosted import HostedDevice
from eais_server.devices.metered import MeteredDevice
from eais_server.devices.registry import makers
from eais_server.devices.sim import FAULTS_FILE, SimDriver
from eais_server.listener.config import ListenerConfig
from eais_server.listener.lease import Lease, Share
from eais_server.turns.meter import Meter, unseen

log = logging.getLogger(__name__)


def find_drivers(
    config: ListenerConfig, directory: Path, boards: DeviceDriver
) -> dict[str, DeviceDriver]:
    """The drivers of this project, as set, and every other that is installed.

    `directory`: the listener's own; `boards`: the driver of its FPGA boards.
    """
    drivers: dict[str, DeviceDriver] = {
        "cpu": CpuDriver(config.cpu_cores or None, memory_limit_bytes=config.worker_memory_bytes),
        "sim": SimDriver(parse_simulated(config.simulate), faults=directory / FAULTS_FILE),
        "fpga": boards,
    }
    for name, make in makers().items():
        if name in drivers:
            continue
        try:
            drivers[name] = make()
        except Exception:
            # Code of others: a driver that can't start costs its devices, not this host.
            log.exception("the device driver %s can't be used", name)
    return drivers


def _unenforced(owner: DeviceDriver, info: DeviceInfo) -> str:
    """Why its driver enforces no share of a device; "": it does some."""
    why = ""
    for milli in range(info.granularity_milli, info.share_limit_milli + 1, info.granularity_milli):
        try:
            owner.reserve(info.id, milli)
        except UsageError as error:
            why = error.message
            continue
        except EaisError:
            return ""  # It could be, but for how the device is now.
        except Exception:
            # Code of others: whoever is granted the share will hear of it.
            log.exception("a share of %s can't be looked at", info.id)
            return ""
        return ""
    log.error("%s lends nothing, no share of it can be enforced: %s", info.id, why)
    return why


def _unheard(device: str, error: EaisError) -> None:
    """Nobody watches devices yet."""


class Inventory:
    """What is here, and which shares of it are reserved for whom.

    `hold` says of each device whether it is this listener's: others aren't offered.

    Attributes:
        lost: told of a device that its driver says has failed.
    """

    def __init__(self, drivers: Mapping[str, DeviceDriver], hold: Hold | None = None) -> None:
        here = ((name, info) for name, each in drivers.items() for info in each.fingerprint())
        found = [(name, info) for name, info in here if hold is None or hold(info)]
        self._hold = hold  # What it holds ends with it.
        self._drivers = drivers
        self._names: dict[str, list[str]] = {}
        self._infos: dict[str, DeviceInfo] = {}
        self._runtimes: dict[str, list[tuple[str, Runtime]]] = {}
        for name, info in found:
            self._names.setdefault(info.id, []).append(name)
            self._runtimes.setdefault(info.id, []).extend((name, r) for r in info.runtimes)
            first = self._infos.setdefault(info.id, info)
            if first is not info:
                runtimes = (*first.runtimes, *info.runtimes)
                self._infos[info.id] = replace(first, runtimes=runtimes)
        self._infos = {
            name: replace(info, unenforced=_unenforced(self._owner(name), info))
            for name, info in self._infos.items()
        }
        self._reserved: dict[tuple[str, int], Reservation] = {}
        self.lost: Callable[[str, EaisError], None] = _unheard

    @property
    def devices(self) -> tuple[DeviceInfo, ...]:
        """All devices, in the order of their drivers."""
        return tuple(self._infos.values())

    def info(self, device: str) -> DeviceInfo:
        """What `device` is.

        Raises:
            DeviceLost: DEVICE_LOST, it isn't here (any more).
        """
        if device not in self._infos:
            raise make_error("DEVICE_LOST", f"this host has no device {device[:64]!r}")
        return self._infos[device]

    def drivers(self, device: str) -> tuple[str, ...]:
        """The names of those who run models on `device`; its owner first."""
        return tuple(self._names[device])

    def runtimes(self, device: str) -> tuple[tuple[str, Runtime], ...]:
        """What opens models on `device`, each with the name of its driver; its owner's first."""
        return tuple(self._runtimes[device])

    def reserve(self, lease: Lease) -> None:
        """Reserve all shares of `lease`, or none.

        Raises:
            DeviceLost: DEVICE_LOST.
            EaisError: what the device's driver refuses.
        """
        try:
            for share in lease.shares:
                self.reserve_share(lease.instance, share)
        except Exception:
            self.free(lease.instance)
            raise

    def reserve_share(self, instance: str, share: Share) -> Reservation:
        """Reserve one share; raises as `reserve`."""
        info = self.info(share.device)
        held = tuple(self._reserved.values())
        owner = self._owner(info.id)
        try:
            if isinstance(owner, DividedDevice):
                found = owner.reserve_in(share.unit, info.id, share.milli, held)
            else:
                found = owner.reserve(info.id, share.milli, held)
        except DeviceLost as error:
            self.lost(info.id, error)
            raise
        self._reserved[instance, share.n] = found
        return found

    def trial_share(self, device: str) -> Reservation:
        """The least share of a device, beside whatever is reserved: for a check.

        Raises:
            DeviceLost: DEVICE_LOST.
            EaisError: what the device's driver refuses.
        """
        info = self.info(device)
        return self._owner(device).reserve(device, info.granularity_milli)

    def free_share(self, instance: str, n: int, reserved: Reservation | None = None) -> None:
        """Give one share back, if it still is `reserved` where that is named; none is fine."""
        if reserved is None or self._reserved.get((instance, n)) is reserved:
            self._reserved.pop((instance, n), None)

    def free(self, instance: str) -> None:
        """Give all shares of an instance back; none is fine."""
        self._reserved = {key: r for key, r in self._reserved.items() if key[0] != instance}

    def reservation(self, instance: str, n: int) -> Reservation:
        """What was reserved for worker `n`; KeyError if nothing was."""
        return self._reserved[instance, n]

    def hosted(self, device: str) -> HostedDevice | None:
        """The driver of `device`, if a process of this host serves its shares."""
        owner = self._owner(device)
        return owner if isinstance(owner, HostedDevice) else None

    def meter(self, share: Reservation, pid: int) -> Meter:
        """What process `pid`, which has the share, used of what it shares by turns."""
        owner = self._owner(share.device)
        return owner.meter(share, pid) if isinstance(owner, MeteredDevice) else unseen

    @property
    def lines(self) -> int:
        """How many lines a worker of any of these devices may need."""
        hosted = (each for each in self._drivers.values() if isinstance(each, HostedDevice))
        return max((each.lines for each in hosted), default=0)

    def _owner(self, device: str) -> DeviceDriver:
        return self._drivers[self._names[device][0]]
