"""One run: a cluster, a policy, and pods that arrive one by one and never leave."""

from __future__ import annotations

import csv
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TextIO

from benchmarks.placement.baselines import (
    BestFit,
    Clustering,
    ClusteringPlacer,
    DotProduct,
    Drawn,
    Packing,
    Paper,
    RandomPlacer,
)
from benchmarks.placement.trace import Pod, capacity_milli
from eais_pool.policy import Refusal
from eais_pool.policy.placement.cluster import Cluster, Node, Seat
from eais_pool.policy.placement.demands import Demand
from eais_pool.policy.placement.fragmentation import NO_FORESIGHT, Fragmentation
from eais_pool.policy.placement.gradient import Gradient
from eais_pool.policy.placement.placer import Placer
from eais_pool.policy.placement.scores import Scoring
from eais_pool.policy.placement.workload import Workload


class Places(Protocol):
    """What is replayed."""

    def place(self, demand: Demand) -> Seat | Refusal:
        """See `Placer.place`."""
        ...


Maker = Callable[[Cluster, Workload, int], Places]
"""Of a policy, for a cluster, a typical workload and a seed."""


def gradient(cluster: Cluster, workload: Workload, seed: int) -> Places:
    """The pool's own."""
    del seed
    return Placer(cluster, Gradient(Fragmentation(workload, cluster.models)))


def _drawn(scoring: Scoring[Cluster]) -> Maker:
    return lambda cluster, _, seed: Placer(cluster, Drawn(scoring, len(cluster.nodes), seed))


def _paper(cluster: Cluster, workload: Workload, seed: int) -> Places:
    measure = Fragmentation(workload, cluster.models, NO_FORESIGHT)
    return Placer(cluster, Drawn(Paper(measure), len(cluster.nodes), seed))


BASELINES: Final[dict[str, Maker]] = {
    "random": lambda cluster, _, seed: RandomPlacer(cluster, seed),
    "dot_product": _drawn(DotProduct()),
    "clustering": lambda cluster, _, seed: ClusteringPlacer(cluster, Clustering(), seed),
    "packing": _drawn(Packing()),
    "best_fit": _drawn(BestFit()),
    "fgd": _paper,
}


@dataclass(frozen=True)
class Run:
    """What came of one.

    Attributes:
        allocated_percent: of all devices, when the last pod had arrived.
        decision_s: what each decision took of this thread's processor time, so that it counts
            nobody else's programs.
        wall_s: and by the clock.
    """

    allocated_percent: float
    decision_s: array[float]
    wall_s: array[float]


class Dump:
    """Writes where each pod went: `seed,pod,node,gpus`, with no node where it was refused."""

    def __init__(self, lines: TextIO) -> None:
        self._writer = csv.writer(lines, lineterminator="\n")
        self._writer.writerow(["seed", "pod", "node", "gpus"])

    def row(self, seed: int, pod: Pod, found: Seat | Refusal) -> None:
        """One arrival."""
        if isinstance(found, Refusal):
            self._writer.writerow([seed, pod.name, "", ""])
        else:
            gpus = "|".join(map(str, found.devices))
            self._writer.writerow([seed, pod.name, found.node, gpus])


def replay(
    nodes: Sequence[Node],
    workload: Workload,
    order: Sequence[Pod],
    make: Maker,
    seed: int,
    dump: Dump | None = None,
) -> Run:
    """Have the pods arrive in `order`; each is tried once."""
    cluster = Cluster(nodes)
    places, allocated = make(cluster, workload, seed), 0
    took, wall = array("d"), array("d")
    for pod in order:
        demand = Demand(pod.name, pod.shape)
        began, began_wall = time.thread_time(), time.perf_counter()
        found = places.place(demand)
        wall.append(time.perf_counter() - began_wall)
        took.append(time.thread_time() - began)
        if isinstance(found, Seat):
            allocated += pod.shape.device_milli
        if dump is not None:
            dump.row(seed, pod, found)
    return Run(100 * allocated / capacity_milli(nodes), took, wall)
