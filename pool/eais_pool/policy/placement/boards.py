"""The devices of a pool's hosts in arrays, one board for each kind, kept in step with them. (Brain)

A row is a host's devices of that kind; of cores, one device, as a share of cores is of one. A
column is a unit of a device (`eais.share_units`): a whole accelerator, or one core. So a type of
whole devices takes that many full units of a row, and a fraction takes some of one unit.

Beside each accelerator that works, its worker needs cores. Where a host states its cores, those
that it has left for workers are counted beside its accelerators (`Board.cpu`); nobody is refused
for them, they only weigh.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.share_units import units_left
from eais_pool.policy import DeviceView, HostView
from eais_pool.policy.placement.cluster import Ints
from eais_pool.policy.placement.demands import Shape

CORES_UNSTATED: Final = 128_000
"""Milli-cores for the workers of a host that doesn't say how many it has: enough."""
_SHAPES_MOST: Final = 1_024
ANYBODY: Final = -1
NOBODY: Final = -2


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """Devices that enforce the same shares."""

    kind: str
    granularity_milli: int
    share_limit_milli: int

    @classmethod
    def of(cls, device: DeviceView) -> DeviceClass:
        """That of a device."""
        return cls(device.kind, device.granularity_milli, device.share_limit_milli)

    def enforces(self, shape: Shape) -> bool:
        """Whether it can hold shares of such a shape to their size."""
        spans = self.kind == DeviceKind.CPU
        share = shape.device_milli if spans else shape.milli
        return share <= self.share_limit_milli and share % self.granularity_milli == 0


@dataclass(frozen=True, slots=True)
class Row:
    """Devices of one host, each with the column that it begins at."""

    host: str
    devices: tuple[tuple[DeviceView, int], ...]


class Board:
    """One kind of device on all hosts that have some.

    Attributes:
        rows: in the order of their hosts' names.
        left: milli-devices left, (rows, units).
        cpu: milli-cores left for workers beside them.
        model: of each row, the index in `models` of the classes that it has.
        open: whether the row's host takes leases.
        sole: the one tenant that it may serve, by `Boards.code`, or `ANYBODY`, or `NOBODY`.
        changed, changes: as a `Cluster`'s.
    """

    def __init__(self, kind: str, rows: Sequence[Row]) -> None:
        self.kind = kind
        self.rows = tuple(rows)
        self.width = max((_width(row) for row in rows), default=0)
        count = len(rows)
        self.left: Ints = np.zeros((count, self.width), np.int64)
        self.cpu: Ints = np.zeros(count, np.int64)
        self.open: npt.NDArray[np.bool_] = np.zeros(count, np.bool_)
        self.sole: Ints = np.full(count, ANYBODY, np.int64)
        self.changed: Ints = np.zeros(count, np.int64)
        self.changes = 0
        classes = [[DeviceClass.of(device) for device, _ in row.devices] for row in rows]
        self.classes = tuple(dict.fromkeys(each for row in classes for each in row))
        kept = [frozenset(row) for row in classes]
        self._mixes = tuple(dict.fromkeys(kept))
        self.models = tuple(str(n) for n in range(len(self._mixes)))
        places = {mix: n for n, mix in enumerate(self._mixes)}
        self.model: Ints = np.array([places[mix] for mix in kept], np.int64)
        self._class_of = self._units_classes()
        self._numbers: Ints = np.zeros((count, self.width), np.int64)
        self._usable: dict[Shape, npt.NDArray[np.bool_] | None] = {}

    def _units_classes(self) -> npt.NDArray[np.int16]:
        found = np.zeros((len(self.rows), self.width), np.int16)
        places = {each: n for n, each in enumerate(self.classes)}
        for n, row in enumerate(self.rows):
            for device, start in row.devices:
                found[n, start : start + _units(device)] = places[DeviceClass.of(device)]
        return found

    def set(self, n: int, devices: Mapping[str, DeviceView]) -> None:
        """Take over what is left of a row's devices, by their ids."""
        self.left[n] = 0
        for was, start in self.rows[n].devices:
            device = devices[was.id]
            rest = device.free_milli
            for unit, (left, number) in enumerate(units_left(device.capacity_milli, device.taken)):
                self.left[n, start + unit] = min(left, rest)
                self._numbers[n, start + unit] = number
                rest -= min(left, rest)

    def touch(self, rows: Sequence[int]) -> None:
        """These rows aren't what they were."""
        self.changes += 1
        self.changed[list(rows)] = self.changes

    def device(self, n: int, unit: int) -> tuple[DeviceView, int]:
        """The device whose unit that is, and the unit's number there."""
        found = [each for each in self.rows[n].devices if each[1] <= unit]
        return found[-1][0], int(self._numbers[n, unit])

    def narrowed(self, only: frozenset[tuple[str, str]]) -> Board:
        """This board as if there were just these devices, by host and id."""
        names = frozenset(host for host, _ in only)
        left = np.zeros_like(self.left)
        for n, row in enumerate(self.rows):
            for device, start in row.devices if row.host in names else ():
                if (row.host, device.id) in only:
                    end = start + _units(device)
                    left[n, start:end] = self.left[n, start:end]
        made = copy.copy(self)
        made.left = left
        return made

    def left_for(self, shape: Shape, rows: Ints) -> Ints:
        """What is left of units that enforce such a shape; of others 0."""
        usable = self._usable_by(shape)
        left: Ints = self.left[rows]
        return left if usable is None else np.where(usable[self._class_of[rows]], left, 0)

    def fitting(self, shape: Shape, rows: Ints) -> Ints:
        """Those of `rows` that have room."""
        room = (self.left_for(shape, rows) >= shape.milli).sum(axis=1) >= shape.devices
        found: Ints = rows[room]
        return found

    def mixes_for(self, shape: Shape) -> frozenset[str]:
        """The `models` whose rows may hold such a shape, whatever is left; none if all may."""
        able = [
            name
            for name, mix in zip(self.models, self._mixes, strict=True)
            if any(each.enforces(shape) for each in mix)
        ]
        return frozenset(able) if len(able) < len(self.models) else frozenset()

    def _usable_by(self, shape: Shape) -> npt.NDArray[np.bool_] | None:
        """By class: whether it will do; None: all of them do."""
        if shape not in self._usable:
            if len(self._usable) >= _SHAPES_MOST:
                self._usable.clear()
            usable = np.array([each.enforces(shape) for each in self.classes])
            self._usable[shape] = None if usable.all() else usable
        return self._usable[shape]


class Boards:
    """All boards of a pool.

    Attributes:
        of: the boards, by kind.
        rows_of: the rows of a host, by kind.
        forms: grows when they are made anew, as devices came or went.
    """

    def __init__(self) -> None:
        self.of: dict[str, Board] = {}
        self.rows_of: dict[str, dict[str, list[int]]] = {}
        self.forms = 0
        self._seen: dict[str, HostView] = {}
        self._codes: dict[str, int] = {}

    def code(self, tenant: str) -> int:
        """A number for a tenant."""
        return self._codes.setdefault(tenant, len(self._codes))

    def follow(self, hosts: Sequence[HostView]) -> None:
        """Take over the hosts that aren't as they were when they were seen last."""
        seen = self._seen
        news = [host for host in hosts if seen.get(host.host) is not host]
        if not news:
            return
        kept = all(host.host in seen and _form(seen[host.host]) == _form(host) for host in news)
        seen.update((host.host, host) for host in news)
        if not kept:
            self._make()
            news = list(seen.values())
        for host in news:
            self._set(host)

    def _make(self) -> None:
        by_kind: dict[str, list[Row]] = defaultdict(list)
        for _, host in sorted(self._seen.items()):
            for kind, row in _rows(host):
                by_kind[kind].append(row)
        self.of = {kind: Board(kind, rows) for kind, rows in by_kind.items()}
        self.rows_of = {name: {} for name in self._seen}
        for kind, board in self.of.items():
            for n, row in enumerate(board.rows):
                self.rows_of[row.host].setdefault(kind, []).append(n)
        self.forms += 1

    def _set(self, host: HostView) -> None:
        cores, devices = cores_beside(host), {device.id: device for device in host.devices}
        for kind, rows in self.rows_of[host.host].items():
            board = self.of[kind]
            for n in rows:
                board.set(n, devices)
            board.cpu[rows] = CORES_UNSTATED if cores is None or kind == DeviceKind.CPU else cores
            board.open[rows] = host.open
            board.sole[rows] = self._sole(host)
            board.touch(rows)

    def _sole(self, host: HostView) -> int:
        if host.may_serve(""):
            return ANYBODY
        return self.code(min(host.tenants)) if len(host.tenants) == 1 else NOBODY


def cores_beside(host: HostView) -> int | None:
    """Milli-cores that a host has left for workers beside accelerators; None: it says nothing.

    One core for each accelerator in use, in proportion to the share of it.
    """
    cpus = [each for each in host.devices if each.kind == DeviceKind.CPU]
    if not cpus:
        return None
    rest = (each for each in host.devices if each.kind != DeviceKind.CPU)
    used = sum(each.capacity_milli - each.free_milli for each in rest)
    return sum(each.free_milli for each in cpus) - used


def _rows(host: HostView) -> Iterator[tuple[str, Row]]:
    by_kind: dict[str, list[DeviceView]] = defaultdict(list)
    for device in host.devices:
        by_kind[device.kind].append(device)
    for kind, devices in by_kind.items():
        if kind == DeviceKind.CPU:
            yield from ((kind, Row(host.host, ((device, 0),))) for device in devices)
        else:
            starts = np.cumsum([0, *map(_units, devices)]).tolist()
            yield kind, Row(host.host, tuple(zip(devices, starts, strict=False)))


def _units(device: DeviceView) -> int:
    return device.capacity_milli // WHOLE_MILLI


def _width(row: Row) -> int:
    return sum(_units(device) for device, _ in row.devices)


def _form(host: HostView) -> tuple[object, ...]:
    """What its rows hang on, whoever has what."""
    return tuple((each.id, each.capacity_milli, DeviceClass.of(each)) for each in host.devices)
