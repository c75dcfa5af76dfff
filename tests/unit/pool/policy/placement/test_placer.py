"""Who is seated where, against a search of all places with the formula from scratch."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from eais_pool.policy import Refusal
from eais_pool.policy.placement.cluster import Cluster, Node, Seat
from eais_pool.policy.placement.demands import Demand, Shape
from eais_pool.policy.placement.fragmentation import Foresight, Fragmentation
from eais_pool.policy.placement.gradient import Gradient
from eais_pool.policy.placement.placer import Placer
from eais_pool.policy.placement.scores import NOWHERE, ScoreBook
from eais_pool.policy.placement.workload import Typical, Workload
from tests.unit.pool.policy.placement.small import (
    demand,
    has_room,
    nodes,
    shapes,
    value_of,
    workloads,
)

HALF = Shape(1000, 1024, 1, 500)
WORKLOAD = Workload((Typical(HALF, 1.0),))
TWO = [Node("a", 8000, 65536, (1000, 1000), "T4"), Node("b", 8000, 65536, (1000, 1000), "T4")]


def placer(some: list[Node], quotas: dict[str, int] | None = None) -> tuple[Cluster, Placer]:
    cluster = Cluster(some)
    gradient = Gradient(Fragmentation(WORKLOAD, cluster.models))
    return cluster, Placer(cluster, gradient, quotas)


def seated(found: Seat | Refusal) -> Seat:
    assert isinstance(found, Seat), found
    return found


class Placing(RuleBasedStateMachine):
    """Demands come and go; each is placed as a search of every place would place it."""

    @initialize(some=nodes(), workload=workloads())
    def start(self, some: list[Node], workload: Workload) -> None:
        self.workload = workload
        self.cluster = Cluster(some)
        self.gradient = Gradient(Fragmentation(workload, self.cluster.models))
        self.placer = Placer(self.cluster, self.gradient)
        self.book = ScoreBook(self.cluster, self.gradient, most=2)
        self.shapes: list[Shape] = []
        self.here: list[str] = []
        self.count = 0

    def values(self, shape: Shape) -> dict[tuple[int, tuple[int, ...]], float]:
        """Of all places for one device; of several, any will do that are the tightest."""
        cluster, found = self.cluster, {}
        for row, node in enumerate(cluster.nodes):
            if not has_room(cluster, shape, row):
                continue
            able = [n for n in range(len(node.devices)) if cluster.left[row, n] >= shape.milli]
            places = list(combinations(able, shape.devices))
            if shape.devices > 1:
                places = [min(places, key=lambda each: [cluster.left[row, n] for n in each])]
                tightest = sorted(able, key=lambda n: (cluster.left[row, n], n))
                places = [tuple(sorted(tightest[: shape.devices]))]
            for place in places:
                found[row, place] = value_of(
                    cluster, shape, row, place, self.workload, Foresight(), self.gradient.tie_break
                )
        return found

    @rule(shape=shapes())
    def arrives(self, shape: Shape) -> None:
        values = self.values(shape)
        self.count += 1
        found = self.placer.place(Demand(str(self.count), shape))
        if not values:
            assert isinstance(found, Refusal)
            assert found.reason == "NO_DEVICE"
            return
        seat = seated(found)
        worth = values[self.cluster.index(seat.node), seat.devices]
        assert worth == pytest.approx(max(values.values()), abs=1e-6)
        self.here.append(seat.demand.id)
        self.shapes.append(shape)

    @rule(which=st.integers(0, 99))
    def leaves(self, which: int) -> None:
        if self.here:
            self.placer.release(self.here.pop(which % len(self.here)))

    @rule(which=st.integers(0, 99))
    def is_scored(self, which: int) -> None:
        """What was kept is what would be computed anew."""
        if not self.shapes:
            return
        shape = self.shapes[which % len(self.shapes)]
        kept, anew = self.book.line(shape), ScoreBook(self.cluster, self.gradient).line(shape)
        assert np.array_equal(kept.scores, anew.scores)
        room = kept.scores > NOWHERE
        assert np.array_equal(kept.device[room], anew.device[room])

    @invariant()
    def adds_up(self) -> None:
        """What is left is what there was, less what the seats took."""
        for row, node in enumerate(self.cluster.nodes):
            mine = [seat for seat in self.cluster.seats if seat.node == node.name]
            taken = sum(seat.demand.shape.cpu_milli for seat in mine)
            assert self.cluster.cpu[row] == node.cpu_milli - taken
            taken = sum(seat.demand.shape.memory_mib for seat in mine)
            assert self.cluster.memory[row] == node.memory_mib - taken
            for n, capacity in enumerate(node.devices):
                taken = sum(seat.demand.shape.milli for seat in mine if n in seat.devices)
                assert self.cluster.left[row, n] == capacity - taken
        assert (self.cluster.left >= 0).all()
        assert (self.cluster.cpu >= 0).all()
        assert (self.cluster.memory >= 0).all()


TestPlacing = Placing.TestCase
TestPlacing.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


@given(nodes(), st.lists(shapes(), max_size=12))
def test_whoever_leaves_leaves_it_as_it_was(some: list[Node], asked: list[Shape]) -> None:
    cluster, policy = placer(some)
    cpu, memory, left = cluster.cpu.copy(), cluster.memory.copy(), cluster.left.copy()
    found = [
        policy.place(Demand(str(n), shape, "ada", "g", 0, "g")) for n, shape in enumerate(asked)
    ]
    for seat in [each for each in found if isinstance(each, Seat)]:
        assert policy.release(seat.demand.id) == seat
    assert np.array_equal(cluster.cpu, cpu)
    assert np.array_equal(cluster.memory, memory)
    assert np.array_equal(cluster.left, left)
    assert cluster.seats == ()
    assert cluster.taken_milli("ada") == 0
    assert not cluster.group("g")


def test_a_tenants_quota_holds_until_something_is_given_back() -> None:
    _, policy = placer(TWO, {"ada": 1000})
    for name in "ab":
        seated(policy.place(demand(name, HALF, tenant="ada")))
    refused = policy.place(demand("c", HALF, tenant="ada"))
    assert isinstance(refused, Refusal)
    assert refused.reason == "QUOTA"
    assert refused.message == ("tenant ada has 1000 of 1000 milli-devices, and asks for 500 more")
    seated(policy.place(demand("c", HALF, tenant="bob")))
    policy.release("a")
    seated(policy.place(demand("d", HALF, tenant="ada")))


def test_a_group_that_is_spread_has_so_many_on_one_node() -> None:
    _, policy = placer(TWO)
    found = [seated(policy.place(demand(n, HALF, group="web", spread=1))) for n in "ab"]
    assert {seat.node for seat in found} == {"a", "b"}
    assert isinstance(policy.place(demand("c", HALF, group="web", spread=1)), Refusal)
    seated(policy.place(demand("c", HALF, group="web", spread=2)))
    seated(policy.place(demand("d", HALF, group="other", spread=1)))


def test_near_goes_before_any_score_while_there_is_room() -> None:
    cluster, policy = placer(TWO)
    cluster.take(demand("first", HALF, group="web"), "b", [0])
    cluster.take(demand("fuller", Shape(1000, 0, 1, 400)), "a", [0])
    assert seated(policy.place(demand("x", HALF))).node == "b"
    cluster.take(demand("filler", Shape(0, 0, 1, 900)), "a", [1])
    assert [seated(policy.place(demand(n, HALF, near="web"))).node for n in "yz"] == ["b", "b"]
    assert seated(policy.place(demand("late", HALF, near="web"))).node == "a"


def test_near_a_node_without_memory_is_elsewhere() -> None:
    cluster, policy = placer(TWO)
    cluster.take(demand("first", Shape(0, 65000), group="web"), "b", [])
    assert seated(policy.place(demand("x", HALF, near="web"))).node == "a"


def test_memory_rules_the_best_node_out() -> None:
    cluster, policy = placer(TWO)
    cluster.take(demand("first", Shape(1000, 65000, 1, 500)), "b", [1])
    assert seated(policy.place(demand("x", Shape(1000, 64, 1, 500)))).node == "b"
    assert seated(policy.place(demand("y", HALF))).node == "a"
    refused = policy.place(demand("z", Shape(1000, 65537, 1, 500, frozenset({"T4"}))))
    assert isinstance(refused, Refusal)
    assert refused.message == (
        "no node has room for 1 x 500 milli-devices of T4 with 1000 milli-cores and 65537 MiB now"
    )


def test_cores_alone_go_where_they_strand_no_device() -> None:
    cluster, policy = placer(TWO)
    for n, device in enumerate((0, 0, 1, 1)):
        cluster.take(demand(str(n), HALF), "b", [device])
    assert seated(policy.place(demand("cores", Shape(4000)))).node == "b"
    refused = policy.place(demand("more", Shape(9000)))
    assert isinstance(refused, Refusal)
    assert refused.message == "no node has room for 9000 milli-cores and 0 MiB now"


def test_what_doesnt_fit_isnt_taken() -> None:
    cluster = Cluster(TWO)
    cluster.take(demand("x", HALF), "a", [0])
    wrong: list[tuple[Demand, list[int]]] = [
        (demand("x", HALF), [1]),
        (demand("y", HALF), [2]),
        (demand("y", HALF), [0, 1]),
        (demand("y", Shape(1000, 0, 1, 600)), [0]),
        (demand("y", Shape(8000, 0, 1, 500)), [1]),
        (demand("y", Shape(0, 65536, 1, 500)), [1]),
        (demand("y", Shape(0, 0, 1, 500, frozenset({"A10"}))), [1]),
    ]
    for each, devices in wrong:
        with pytest.raises(ValueError, match=r"seat already|aren't|enough|none of"):
            cluster.take(each, "a", devices)
    assert [seat.demand.id for seat in cluster.seats] == ["x"]
    assert cluster.left.tolist() == [[500, 1000], [1000, 1000]]


def test_names_of_nodes_differ() -> None:
    with pytest.raises(ValueError, match="same name"):
        Cluster([TWO[0], TWO[0]])


def test_a_cluster_without_nodes_has_no_room() -> None:
    _, policy = placer([])
    assert isinstance(policy.place(demand("x", HALF)), Refusal)
