"""Shapes, demands and the workload that they make."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eais_pool.policy.placement.cluster import Node
from eais_pool.policy.placement.demands import Demand, Shape
from eais_pool.policy.placement.workload import Typical, Workload

SMALL, LARGE, RARE = Shape(1000, 512, 1, 250), Shape(2000, 0, 2, 1000), Shape(3000)


def test_the_most_frequent_shapes_make_the_workload() -> None:
    workload = Workload.of([RARE, *[SMALL] * 6, *[LARGE] * 3], cover=0.9)
    assert workload.typical == (
        Typical(Shape(1000, 0, 1, 250), 6 / 9),
        Typical(LARGE, 3 / 9),
    )


def test_memory_and_order_make_no_difference() -> None:
    other = Shape(1000, 64, 1, 250)
    assert Workload.of([other, LARGE, RARE]) == Workload.of([RARE, LARGE, SMALL])


def test_all_are_typical_where_the_cover_says_so() -> None:
    assert len(Workload.of([SMALL, LARGE, RARE], cover=1.0).typical) == 3


@pytest.mark.parametrize(
    "made",
    [
        lambda: Shape(-1),
        lambda: Shape(1000, 0, 1, 0),
        lambda: Shape(1000, 0, 0, 500),
        lambda: Shape(1000, models=frozenset({"T4"})),
        lambda: Demand("a", SMALL, spread=-1),
        lambda: Demand("a", SMALL, spread=1),
        lambda: Typical(SMALL, 0.0),
        lambda: Workload((Typical(SMALL, 0.5),)),
        lambda: Workload.of([]),
        lambda: Node("a", -1, 0),
        lambda: Node("a", 0, 0, (0,)),
    ],
)
def test_what_makes_no_sense_is_refused(made: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must|both|no use|there is none|sum up|has 1 to"):
        made()
