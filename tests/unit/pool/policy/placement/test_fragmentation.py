"""The measure, against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais_pool.policy.placement.cluster import Cluster, Node
from eais_pool.policy.placement.demands import Shape
from eais_pool.policy.placement.fragmentation import NO_FORESIGHT, Foresight, Fragmentation
from eais_pool.policy.placement.workload import Typical, Workload
from tests.unit.pool.policy.placement.small import MODELS, lost, nodes, workloads

remainders = st.lists(st.integers(0, 1000), min_size=0, max_size=6)


@given(
    workloads(),
    st.sampled_from(range(len(MODELS))),
    st.integers(0, 9000),
    remainders,
    st.sampled_from([NO_FORESIGHT, Foresight(), Foresight(5, 0.5, 2.0)]),
)
def test_tables_give_what_the_formula_gives(
    workload: Workload, model: int, cpu: int, left: list[int], foresight: Foresight
) -> None:
    measure = Fragmentation(workload, MODELS, foresight)
    found = measure.of(
        np.array([model]), np.array([cpu]), np.array([left], np.int64).reshape(1, len(left))
    )
    assert found[0] == pytest.approx(lost(workload, foresight, MODELS[model], cpu, left), abs=1e-6)


@given(workloads(), nodes())
def test_columns_of_devices_that_arent_there_lose_nothing(
    workload: Workload, some: list[Node]
) -> None:
    cluster = Cluster(some)
    found = Fragmentation(workload, cluster.models).of(cluster.model, cluster.cpu, cluster.left)
    for node, one in zip(cluster.nodes, found, strict=True):
        by_hand = lost(workload, Foresight(), node.model, node.cpu_milli, node.devices)
        assert one == pytest.approx(by_hand, abs=1e-6)


def test_large_devices_are_measured_like_small_ones() -> None:
    cores = Workload((Typical(Shape(0, 0, 1, 100_000), 0.5), Typical(Shape(0, 0, 1, 2_000), 0.5)))
    left = [128_000, 3_000, 1_000]
    found = Fragmentation(cores, ("",)).of(np.array([0]), np.array([0]), np.array([left]))
    assert found[0] == pytest.approx(lost(cores, Foresight(), "", 0, left))


def test_devices_without_cores_are_lost() -> None:
    workload = Workload((Typical(Shape(4000, 0, 1, 500), 1.0),))
    measure = Fragmentation(workload, ("",), NO_FORESIGHT)
    found = measure.of(np.array([0, 0]), np.array([4000, 3999]), np.array([[1000, 400]] * 2))
    assert found.tolist() == [400, 1400]
