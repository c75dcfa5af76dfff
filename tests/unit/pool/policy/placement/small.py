"""Small clusters and workloads, and the measure computed by its definition, demand by demand."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from eais_pool.policy.placement.cluster import Cluster, Node
from eais_pool.policy.placement.demands import Demand, Shape
from eais_pool.policy.placement.fragmentation import Foresight
from eais_pool.policy.placement.gradient import LARGE_CPU_MILLI, LARGE_DEVICE_MILLI
from eais_pool.policy.placement.workload import Typical, Workload

MODELS = ("", "A10", "T4")

sizes = st.sampled_from([125, 250, 300, 500, 625, 1000])
wishes = st.sampled_from([frozenset[str](), frozenset({"T4"}), frozenset({"A10", "T4"})])


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    devices = draw(st.integers(0, 3))
    cpu, memory = draw(st.integers(0, 8)) * 1000, draw(st.integers(0, 3)) * 4096
    if not devices:
        return Shape(cpu, memory)
    return Shape(cpu, memory, devices, draw(sizes), draw(wishes))


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    return [
        Node(
            f"node-{n}",
            draw(st.integers(0, 24)) * 1000,
            draw(st.integers(1, 4)) * 8192,
            (1000,) * draw(st.integers(0, 4)),
            draw(st.sampled_from(MODELS)),
        )
        for n in range(draw(st.integers(1, 4)))
    ]


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    typical = draw(st.lists(shapes(), min_size=1, max_size=5))
    counts = [draw(st.integers(1, 9)) for _ in typical]
    total = sum(counts)
    return Workload(
        tuple(Typical(shape, n / total) for shape, n in zip(typical, counts, strict=True))
    )


def suits(shape: Shape, model: str) -> bool:
    return not shape.models or model in shape.models


def lost_to_one(shape: Shape, model: str, cpu: int, left: Sequence[int]) -> int:
    """F_n(m) as the paper says it."""
    able = [r for r in left if r >= shape.milli]
    if not shape.devices or not suits(shape, model) or cpu < shape.cpu_milli:
        return sum(left)
    if len(able) < shape.devices:
        return sum(left)
    return sum(left) - sum(able)


def lost(
    workload: Workload, foresight: Foresight, model: str, cpu: int, left: Sequence[int]
) -> float:
    """F_n(M) + L_n(M), from scratch."""
    total = sum(
        each.weight * lost_to_one(each.shape, model, cpu, left) for each in workload.typical
    )
    fitting = [
        each
        for each in workload.typical
        if each.shape.devices
        and suits(each.shape, model)
        and cpu >= each.shape.cpu_milli
        and sum(r >= each.shape.milli for r in left) >= each.shape.devices
    ]
    none = 1 - sum(each.weight for each in fitting)
    total += foresight.node * sum(left) * none**foresight.ahead
    for r in left:
        unused = 1 - sum(each.weight for each in fitting if r >= each.shape.milli)
        total += foresight.device * r * unused**foresight.ahead
    return total


def lost_of(cluster: Cluster, row: int, workload: Workload, foresight: Foresight) -> float:
    node = cluster.nodes[row]
    left = cluster.left[row].tolist()[: len(node.devices)]
    return lost(workload, foresight, node.model, int(cluster.cpu[row]), left)


def value_of(
    cluster: Cluster,
    shape: Shape,
    row: int,
    devices: Sequence[int],
    workload: Workload,
    foresight: Foresight,
    tie_break: float,
) -> float:
    """What a place is worth, from scratch."""
    node = cluster.nodes[row]
    left = cluster.left[row].tolist()[: len(node.devices)]
    after = [r - shape.milli * (n in devices) for n, r in enumerate(left)]
    cpu = int(cluster.cpu[row])
    gain = lost(workload, foresight, node.model, cpu, left)
    gain -= lost(workload, foresight, node.model, cpu - shape.cpu_milli, after)
    rest = (cpu - shape.cpu_milli) / LARGE_CPU_MILLI + sum(after) / LARGE_DEVICE_MILLI
    return float(gain - tie_break * rest / 2)


def has_room(cluster: Cluster, shape: Shape, row: int) -> bool:
    node, left = cluster.nodes[row], cluster.left[row].tolist()
    return (
        cluster.cpu[row] >= shape.cpu_milli
        and cluster.memory[row] >= shape.memory_mib
        and sum(r >= shape.milli > 0 for r in left) >= shape.devices
        and (not shape.devices or suits(shape, node.model))
    )


def demand(name: str, shape: Shape, **others: object) -> Demand:
    return Demand(name, shape, **others)  # type: ignore[arg-type]
