"""The policies that the paper compares, as its simulator computes them.

Weng et al., "Beware of Fragmentation" (USENIX ATC 2023), and its simulator's plug-ins. All take
the node of the highest score, a whole number of 0 to 100; they differ in the score. But for the
paper's own, all take the devices of least room on it.

Whole numbers are often equal: all scores of a pod without devices are, by some policies. Then
the order of nodes decides, and moves the result by points. The published simulator has it go by
names, of which the published trace has others than the cluster had: any order may have been
theirs. Here each run draws one (`Drawn`), which meets what is published: docs/placement.md.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from eais_pool.policy import Refusal
from eais_pool.policy.placement.cluster import Cluster, Floats, Ints, Seat
from eais_pool.policy.placement.demands import Demand, Shape
from eais_pool.policy.placement.gradient import Gradient, tightest
from eais_pool.policy.placement.placer import Placer
from eais_pool.policy.placement.scores import Scoring

CPU_MOST: Final = 128_000.0
DEVICE_MOST: Final = 8_000
WHOLE: Final = 1_000


class Drawn:
    """Scores by `scoring`; of nodes with equal ones, which are whole numbers, the first by lot.

    The order is drawn once, from `seed`, for all nodes.
    """

    def __init__(self, scoring: Scoring[Cluster], nodes: int, seed: int) -> None:
        order = list(range(nodes))
        random.Random(seed).shuffle(order)
        self._scoring = scoring
        self._order: Floats = np.array(order) / (2 * nodes)

    def score(self, cluster: Cluster, shape: Shape, rows: Ints) -> tuple[Floats, Ints]:
        """See `Scoring`."""
        scores, device = self._scoring.score(cluster, shape, rows)
        return scores - self._order[rows], device


class Paper(Gradient):
    """Fragmentation gradient descent as published: the gain through a sigmoid, cut to percents."""

    def value(self, gain: Floats, cpu: Ints, left: Ints) -> Floats:
        """See `Gradient.value`."""
        del cpu, left
        return np.floor(100.0 / (1.0 + np.exp(-gain / 1000.0)))


@dataclass(frozen=True)
class BestFit:
    """Least left of cores and devices."""

    def score(self, cluster: Cluster, shape: Shape, rows: Ints) -> tuple[Floats, Ints]:
        """See `Scoring`."""
        cpu = (cluster.cpu[rows] - shape.cpu_milli) / CPU_MOST
        device = (cluster.left[rows].sum(axis=1) - shape.device_milli) / DEVICE_MOST
        return np.floor(100.0 * (1.0 - 0.5 * (cpu + device))), _device(cluster, shape, rows)


@dataclass(frozen=True)
class DotProduct:
    """Least alignment of what is left and what is asked for."""

    def score(self, cluster: Cluster, shape: Shape, rows: Ints) -> tuple[Floats, Ints]:
        """See `Scoring`."""
        cpu = cluster.cpu[rows] * shape.cpu_milli / CPU_MOST**2
        device = cluster.left[rows].sum(axis=1) * shape.device_milli / DEVICE_MOST**2
        return np.floor(100.0 * (1.0 - 0.5 * (cpu + device))), _device(cluster, shape, rows)


@dataclass(frozen=True)
class Packing:
    """Shared devices before free ones, and used nodes before free ones."""

    def score(self, cluster: Cluster, shape: Shape, rows: Ints) -> tuple[Floats, Ints]:
        """See `Scoring`."""
        if not shape.devices:
            return np.zeros(len(rows)), np.zeros(len(rows), np.int64)
        left, here = cluster.left[rows], _counts(cluster)[rows]
        free = (left == WHOLE).sum(axis=1)
        used = np.take_along_axis(left, tightest(shape, left), axis=1)
        opened = (used == WHOLE).sum(axis=1)
        shared = np.maximum(100 - (used * 100 // WHOLE).sum(axis=1) // 10, 50)
        scores = np.where(opened > 0, np.maximum(50 - opened, 33), shared)
        scores = np.where(free == here, np.maximum(33 - free, free), scores)
        return scores.astype(np.float64), _device(cluster, shape, rows)


@dataclass(frozen=True)
class Clustering:
    """Pods of a class (shared device, one device, two, ...) beside their like."""

    classes: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def score(self, cluster: Cluster, shape: Shape, rows: Ints) -> tuple[Floats, Ints]:
        """See `Scoring`."""
        if not shape.devices:
            return np.zeros(len(rows)), np.zeros(len(rows), np.int64)
        here = [self.classes[cluster.nodes[row].name] for row in rows.tolist()]
        like = _class(shape)
        base = np.array([25 * _nearness(classes, like) for classes in here])
        fill = 25 * (DEVICE_MOST - cluster.left[rows].sum(axis=1)) // DEVICE_MOST
        return (base + fill).astype(np.float64), _device(cluster, shape, rows)

    def seated(self, seat: Seat) -> None:
        """A pod has arrived somewhere."""
        if seat.demand.shape.devices:
            self.classes[seat.node].add(_class(seat.demand.shape))


class ClusteringPlacer(Placer):
    """Tells `Clustering` who is where."""

    def __init__(self, cluster: Cluster, clustering: Clustering, seed: int) -> None:
        super().__init__(cluster, Drawn(clustering, len(cluster.nodes), seed))
        self._clustering = clustering

    def place(self, demand: Demand) -> Seat | Refusal:
        """See `Placer.place`."""
        found = super().place(demand)
        if isinstance(found, Seat):
            self._clustering.seated(found)
        return found


class RandomPlacer:
    """Any node that has room, and any devices of it."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster = cluster
        self._rng = random.Random(seed)

    def place(self, demand: Demand) -> Seat | Refusal:
        """See `Placer.place`."""
        cluster, shape = self._cluster, demand.shape
        rows = cluster.fitting(shape, np.arange(len(cluster.nodes)))
        if not len(rows):
            return Refusal("NO_DEVICE", "no node has room")
        row = int(self._rng.choice(rows))
        devices = np.flatnonzero(cluster.left[row] >= max(1, shape.milli)).tolist()
        chosen = self._rng.sample(devices, shape.devices)
        return cluster.take(demand, cluster.nodes[row].name, chosen)


def _device(cluster: Cluster, shape: Shape, rows: Ints) -> Ints:
    if shape.devices != 1:
        return np.zeros(len(rows), np.int64)
    return tightest(shape, cluster.left[rows])[:, 0]


def _counts(cluster: Cluster) -> Ints:
    """How many devices each node has."""
    return np.array([len(node.devices) for node in cluster.nodes], np.int64)


def _class(shape: Shape) -> int:
    return 0 if shape.milli < WHOLE else shape.devices


def _nearness(classes: set[int], like: int) -> int:
    if like in classes:
        return 3 if len(classes) == 1 else 2
    return 0 if classes else 1
