"""Nodes, what is left of them, and who has the rest. (Brain)

What is left is kept in arrays, a row for each node in the order of their names, so that all
nodes are looked at in one go. A node with fewer devices than the widest has empty columns, of
which nothing is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eais_pool.policy.placement.demands import NUMBER_MOST, Demand, Shape

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Node:
    """A host to place on.

    Attributes:
        devices: the capacity of each, in milli-devices.
        model: of its devices, as their maker calls it.
    """

    name: str
    cpu_milli: int
    memory_mib: int
    devices: tuple[int, ...] = ()
    model: str = ""

    def __post_init__(self) -> None:
        if any(not 0 <= n <= NUMBER_MOST for n in (self.cpu_milli, self.memory_mib)):
            raise ValueError(f"{self.name}: cores and memory must be 0 to {NUMBER_MOST}")
        if any(not 0 < n <= NUMBER_MOST for n in self.devices):
            raise ValueError(f"{self.name}: a device has 1 to {NUMBER_MOST} milli-devices")


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a demand is: on which of the node's devices, ascending."""

    demand: Demand
    node: str
    devices: tuple[int, ...]


class Cluster:
    """What is left of each node, and the seats that took the rest.

    Attributes:
        cpu, memory: what is left, one entry for each node.
        left: milli-devices left, (nodes, devices).
        model: index in `models` of each node's.
        changed: the number of the last change to each node; 0: none yet.
        changes: how many there were.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = tuple(sorted(nodes, key=lambda node: node.name))
        self._index = {node.name: n for n, node in enumerate(self.nodes)}
        if len(self._index) != len(self.nodes):
            raise ValueError("nodes: two have the same name")
        self.models = tuple(sorted({node.model for node in self.nodes}))
        places = {model: n for n, model in enumerate(self.models)}
        width = max((len(node.devices) for node in self.nodes), default=0)
        rows = [(*node.devices, *[0] * (width - len(node.devices))) for node in self.nodes]
        self.cpu: Ints = np.array([node.cpu_milli for node in self.nodes], np.int64)
        self.memory: Ints = np.array([node.memory_mib for node in self.nodes], np.int64)
        self.left: Ints = np.array(rows, np.int64).reshape(len(self.nodes), width)
        self.model: Ints = np.array([places[node.model] for node in self.nodes], np.int64)
        self.changed: Ints = np.zeros(len(self.nodes), np.int64)
        self.changes = 0
        self._seats: dict[str, Seat] = {}
        self._groups: dict[str, Counter[int]] = {}
        self._taken_milli: Counter[str] = Counter()

    @property
    def seats(self) -> tuple[Seat, ...]:
        """Those taken, the longest placed first."""
        return tuple(self._seats.values())

    def index(self, node: str) -> int:
        """The row of a node; KeyError if there is none of that name."""
        return self._index[node]

    def taken_milli(self, tenant: str) -> int:
        """The milli-devices that a tenant has."""
        return self._taken_milli[tenant]

    def group(self, name: str) -> Counter[int]:
        """How many of a group each row has."""
        return self._groups.get(name, Counter())

    def allowed(self, shape: Shape) -> npt.NDArray[np.bool_]:
        """By device model: whether it will do."""
        return np.array([not shape.models or model in shape.models for model in self.models])

    def fitting(self, shape: Shape, rows: Ints) -> Ints:
        """Those of `rows` that have room."""
        room = (self.cpu[rows] >= shape.cpu_milli) & (self.memory[rows] >= shape.memory_mib)
        if shape.devices:
            room &= (self.left[rows] >= shape.milli).sum(axis=1) >= shape.devices
            if shape.models:
                room &= self.allowed(shape)[self.model[rows]]
        return rows[room]

    def take(self, demand: Demand, node: str, devices: Sequence[int]) -> Seat:
        """Seat `demand`; ValueError if it is seated already, or doesn't fit there."""
        if demand.id in self._seats:
            raise ValueError(f"{demand.id}: has a seat already")
        row, chosen = self.index(node), sorted(devices)
        self._check(demand.shape, row, chosen)
        seat = Seat(demand, node, tuple(chosen))
        self._seats[demand.id] = seat
        self._add(seat, row, 1)
        return seat

    def give_back(self, demand_id: str) -> Seat:
        """The seat that a demand had, free again; KeyError if it had none."""
        seat = self._seats.pop(demand_id)
        self._add(seat, self.index(seat.node), -1)
        return seat

    def _check(self, shape: Shape, row: int, devices: Sequence[int]) -> None:
        name, here = self.nodes[row].name, len(self.nodes[row].devices)
        if len(set(devices)) != shape.devices or any(not 0 <= n < here for n in devices):
            raise ValueError(f"{name}: {devices} aren't {shape.devices} of its {here} devices")
        if any(self.left[row, n] < shape.milli for n in devices):
            raise ValueError(f"{name}: not enough is left of its devices {devices}")
        if self.cpu[row] < shape.cpu_milli or self.memory[row] < shape.memory_mib:
            raise ValueError(f"{name}: not enough cores or memory are left")
        if shape.models and self.nodes[row].model not in shape.models:
            raise ValueError(f"{name}: its devices are none of {sorted(shape.models)}")

    def _add(self, seat: Seat, row: int, sign: int) -> None:
        """Count a seat (1), or no longer (-1)."""
        demand, shape = seat.demand, seat.demand.shape
        self.cpu[row] -= sign * shape.cpu_milli
        self.memory[row] -= sign * shape.memory_mib
        for n in seat.devices:
            self.left[row, n] -= sign * shape.milli
        self._taken_milli[demand.tenant] += sign * shape.device_milli
        if demand.group:
            members = self._groups.setdefault(demand.group, Counter())
            members[row] += sign
            if not members[row]:
                del members[row]
            if not members:
                del self._groups[demand.group]
        self.changes += 1
        self.changed[row] = self.changes
