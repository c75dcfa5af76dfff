"""Nodes and pods of a trace, and the order in which pods arrive.

Lists are CSV, plain or compressed with gzip, in the columns of Alibaba's openb trace (its
cluster-trace-gpu-v2023): `sn,cpu_milli,memory_mib,gpu,model` for nodes and
`name,cpu_milli,memory_mib,num_gpu,gpu_milli` for pods, with `gpu_spec` where pods want devices
of some models, `A|B`.
"""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eais_pool.policy.placement.cluster import Node
from eais_pool.policy.placement.demands import Shape

DEVICE_MILLI = 1000


@dataclass(frozen=True, slots=True)
class Pod:
    """What arrives."""

    name: str
    shape: Shape


def nodes_of(path: Path) -> list[Node]:
    """The nodes of a list."""
    return [
        Node(
            row["sn"],
            int(row["cpu_milli"]),
            int(row["memory_mib"]),
            (DEVICE_MILLI,) * int(row["gpu"]),
            row["model"],
        )
        for row in _rows(path)
    ]


def pods_of(path: Path) -> list[Pod]:
    """The pods of a list, in the order of their names."""
    pods = [Pod(row["name"], _shape(row)) for row in _rows(path)]
    return sorted(pods, key=lambda pod: pod.name)


def capacity_milli(nodes: Iterable[Node]) -> int:
    """Of all devices."""
    return sum(sum(node.devices) for node in nodes)


def arrivals(pods: Sequence[Pod], most_milli: int, seed: int) -> list[Pod]:
    """`pods` shuffled, then copies of some, drawn at random, until one would exceed `most_milli`.

    If the pods alone ask for more, pods drawn at random are left out until they don't. So the
    paper's experiments do; their random numbers are others.
    """
    rng = random.Random(seed)
    order = list(pods)
    rng.shuffle(order)
    total = sum(pod.shape.device_milli for pod in order)
    while total > most_milli:
        total -= order.pop(rng.randrange(len(order))).shape.device_milli
    drawn = list(order) if total and len(order) == len(pods) else []
    copies = 0
    while drawn:
        pod = drawn[rng.randrange(len(drawn))]
        total += pod.shape.device_milli
        if total > most_milli:
            break
        order.append(replace(pod, name=f"{pod.name}-tuned-{copies}"))
        copies += 1
    return order


def _shape(row: dict[str, str]) -> Shape:
    devices = int(row["num_gpu"])
    return Shape(
        int(row["cpu_milli"]),
        int(row["memory_mib"]),
        devices,
        int(row["gpu_milli"]) if devices else 0,
        frozenset(filter(None, (row.get("gpu_spec") or "").split("|"))) if devices else frozenset(),
    )


def _rows(path: Path) -> Iterator[dict[str, str]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="") as lines:
        yield from csv.DictReader(lines)
