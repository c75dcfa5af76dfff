"""The worlds that choosing is measured in, and what is counted."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from benchmarks.devices.choosing import BATCHES, Outcome, measure, measured, missed, outcome_of
from benchmarks.devices.worlds import World, drawn
from eais.device_type import DeviceKind
from eais_pool.policy.choosing import Candidate


@pytest.mark.parametrize("seed", range(12))
def test_a_world_is_the_same_each_time_and_makes_sense(seed: int) -> None:
    world = drawn(seed)
    assert drawn(seed) == world
    assert len({each.runner.kind for each in world.candidates}) >= 2
    for runner, truth in world.truths.items():
        mine = [each for each in world.candidates if each.runner == runner]
        assert all(each.share_milli % 125 == 0 for each in mine)
        for batch in (1, 8, 64):
            times = [truth.seconds(batch, each.share_milli) for each in mine]
            assert times == sorted(times, reverse=True)
        assert truth.seconds(64, 1000) > truth.seconds(1, 1000)
        assert truth.seconds(64, 1000) / 64 <= truth.seconds(1, 1000)


def test_the_best_is_found_by_looking_at_every_one() -> None:
    world = drawn(22)
    best = world.best()
    assert best is not None
    assert world.meets(best)
    cheaper = [each for each in world.candidates if world.cost(each) < world.cost(best)]
    assert not any(world.meets(each) for each in cheaper)
    sold = world.best_of_all_sold()
    assert sold is not None
    assert world.cost(sold) <= world.cost(best)


def test_the_chooser_sees_no_more_than_its_batches() -> None:
    for seed in range(20):
        world = drawn(seed)
        state, batches = measured(world, random.Random(seed))
        seen = sum(point.samples for each in state.profiles() for point in each.points)
        assert sum(batches) == seen
        assert max(batches) <= BATCHES


def outcomes(world: World, chosen: Candidate) -> Outcome:
    best = world.best()
    assert best is not None
    return Outcome(world, best, chosen, [1])


def contested() -> tuple[World, Candidate]:
    """One in which the cheapest doesn't do, and its best."""
    for seed in range(100):
        world = drawn(seed)
        best = world.best()
        if best is not None and not world.meets(min(world.candidates, key=world.cost)):
            return world, best
    raise AssertionError("no such world")


def test_what_counts_as_the_best_and_what_a_miss_costs() -> None:
    world, best = contested()
    assert outcomes(world, best).top1
    dearer = next(
        each
        for each in world.candidates
        if world.meets(each) and world.cost(each) > world.cost(best)
    )
    found = outcomes(world, dearer)
    assert not found.top1
    assert found.regret(dearer) == world.cost(dearer) / world.cost(best) - 1
    cheapest = min(world.admitted, key=world.cost)
    assert outcomes(world, cheapest).regret(cheapest) == 1.0


def test_an_equal_cost_counts_if_it_meets_the_slo() -> None:
    world, best = contested()
    twin = replace(best, runner=replace(best.runner, runtime="another"))
    truths = {**world.truths, twin.runner: world.truths[best.runner]}
    assert outcomes(replace(world, truths=truths), twin).top1


def test_a_few_worlds_give_all_figures() -> None:
    figures = measure(worlds=6, first=0)
    assert figures["auto_worlds"] <= 6
    assert 0 <= figures["auto_top1_percent"] <= 100
    assert figures["auto_batches_most"] <= BATCHES
    assert outcome_of(0) is not None


def test_what_is_missed_is_said() -> None:
    good = {"auto_top1_percent": 95.0, "auto_regret_percent": 3.0}
    assert missed(good) == []
    assert missed({**good, "auto_top1_percent": 94.9}) == ["auto_top1_percent is below 95"]
    assert missed({**good, "auto_regret_percent": 3.1}) == ["auto_regret_percent is above 3"]


def test_there_are_worlds_for_every_kind() -> None:
    best = [world.best() for world in map(drawn, range(120))]
    assert {each.runner.kind for each in best if each is not None} == set(DeviceKind)
