"""Moves that make less be lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais_pool.policy.placement.cluster import Cluster, Node
from eais_pool.policy.placement.demands import Demand, Shape
from eais_pool.policy.placement.fragmentation import NO_FORESIGHT, Foresight, Fragmentation
from eais_pool.policy.placement.moving import Move, defragmentation
from eais_pool.policy.placement.workload import Typical, Workload
from tests.unit.pool.policy.placement.small import (
    demand,
    has_room,
    lost_of,
    nodes,
    shapes,
    workloads,
)

HALF, WHOLE = Shape(1000, 0, 1, 500), Shape(1000, 0, 1, 1000)
WHOLES = Workload((Typical(WHOLE, 1.0),))


def halves_apart() -> Cluster:
    """Two devices that are half taken each."""
    cluster = Cluster([Node("a", 8000, 0, (1000,)), Node("b", 8000, 0, (1000,))])
    cluster.take(demand("x", HALF, group="g", spread=1), "a", [0])
    cluster.take(demand("y", HALF), "b", [0])
    return cluster


def seat_anywhere(cluster: Cluster, asked: list[Shape], rows: list[int]) -> None:
    for n, (shape, start) in enumerate(zip(asked, rows, strict=True)):
        for offset in range(len(cluster.nodes)):
            row = (start + offset) % len(cluster.nodes)
            if has_room(cluster, shape, row):
                able = np.flatnonzero(cluster.left[row] >= max(1, shape.milli)).tolist()
                group, spread = (f"g{n % 3}", 2) if n % 2 else ("", 0)
                mine = Demand(str(n), shape, group=group)
                if spread and cluster.group(group)[row] < spread:
                    mine = Demand(str(n), shape, group=group, spread=spread)
                cluster.take(mine, cluster.nodes[row].name, able[::-1][: shape.devices])
                break


@given(
    nodes(),
    workloads(),
    st.lists(st.tuples(shapes(), st.integers(0, 3)), max_size=14),
    st.sampled_from([NO_FORESIGHT, Foresight()]),
)
def test_moves_are_feasible_in_order_and_each_loses_less(
    some: list[Node],
    workload: Workload,
    asked: list[tuple[Shape, int]],
    foresight: Foresight,
) -> None:
    cluster = Cluster(some)
    seat_anywhere(cluster, [shape for shape, _ in asked], [row for _, row in asked])
    seats, left = cluster.seats, cluster.left.copy()
    measure = Fragmentation(workload, cluster.models, foresight)
    moves = defragmentation(cluster, measure, most=6)
    assert cluster.seats == seats
    assert np.array_equal(cluster.left, left)
    rows = range(len(cluster.nodes))
    for move in moves:
        before = sum(lost_of(cluster, row, workload, foresight) for row in rows)
        assert cluster.give_back(move.before.demand.id) == move.before
        assert move.after.demand == move.before.demand
        assert move.after.node != move.before.node
        cluster.take(move.after.demand, move.after.node, move.after.devices)
        after = sum(lost_of(cluster, row, workload, foresight) for row in rows)
        assert before - after == pytest.approx(move.gain, abs=1e-6)
        assert move.gain >= 1.0
        mine = move.after.demand
        here = cluster.group(mine.group)[cluster.index(move.after.node)]
        assert not mine.spread or here <= mine.spread


def moves_of(cluster: Cluster, most: int = 9) -> list[Move]:
    return defragmentation(cluster, Fragmentation(WHOLES, ("",), NO_FORESIGHT), most=most)


def test_two_halves_make_a_whole_device_free() -> None:
    (move,) = moves_of(halves_apart())
    assert move.gain == pytest.approx(1000)
    assert {move.before.node, move.after.node} == {"a", "b"}


def test_no_more_are_made_than_asked_for() -> None:
    assert moves_of(halves_apart(), most=0) == []


def test_who_may_not_move_stays() -> None:
    cluster, measure = halves_apart(), Fragmentation(WHOLES, ("",), NO_FORESIGHT)
    (move,) = defragmentation(cluster, measure, most=9, may_move=lambda seat: seat.demand.id == "y")
    assert move.before.demand.id == "y"
    assert defragmentation(cluster, measure, most=9, may_move=lambda _: False) == []


def test_a_gain_that_isnt_worth_a_move_isnt_taken() -> None:
    measure = Fragmentation(WHOLES, ("",), NO_FORESIGHT)
    assert defragmentation(halves_apart(), measure, most=9, least_gain=1001) == []


def test_spread_keeps_a_group_apart() -> None:
    cluster = Cluster([Node("a", 8000, 0, (1000,)), Node("b", 8000, 0, (1000,))])
    cluster.take(demand("x", HALF, group="g", spread=1), "a", [0])
    cluster.take(demand("y", HALF, group="g", spread=1), "b", [0])
    assert moves_of(cluster) == []
