"""What the ratio controller decides."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eais.device_type import DeviceKind
from eais_pool.policy.forecasting import Demand
from eais_pool.policy.prices import Prices
from eais_pool.policy.ratio.control import (
    Amount,
    Bounds,
    Decision,
    RatioController,
    Seen,
    replayed,
)
from eais_pool.policy.ratio.offers import Offer, offers_of
from eais_pool.policy.ratio.recurrence import BLOCK_S, Recurrence
from eais_pool.policy.ratio.scaling import Cause, Economy, Hold, Scaler
from tests.unit.pool.policy.known import CANDIDATES, CURVES

GPU = Offer(DeviceKind.GPU, 125, 10.0, price_per_h=0.3125)
CPU = Offer(DeviceKind.CPU, 1000, 1.0, price_per_h=0.02)


def fed(controller: RatioController, arrivals: list[int]) -> list[Decision]:
    """All decisions, if what is asked for serves from the next second on, and calls wait for it."""
    found: list[Decision] = []
    observed = Amount()
    waiting = 0.0
    rates = {offer.kind: offer.unit_per_s for offer in controller.offers}
    for arrived in arrivals:
        serves = observed.units * rates[observed.kind] if observed.kind else 0.0
        waiting = max(0.0, waiting + arrived - serves)
        found.append(controller.see(Seen(arrived, waiting, observed)))
        observed = found[-1].requested
    return found


def noisy(rate: float, seconds: int, seed: int = 1) -> list[int]:
    chance = random.Random(seed)
    return [sum(chance.random() < rate / 400 for _ in range(400)) for _ in range(seconds)]


@pytest.mark.parametrize(
    ("has", "needed", "seconds"), [(2, 1, 30), (4, 1, 10), (11, 1, 3), (31, 1, 1)]
)
def test_what_is_in_excess_goes_when_its_rent_has_reached_what_a_change_costs(
    has: int, needed: int, seconds: int
) -> None:
    hold = Hold(change_cost_s=30.0)
    assert [hold.lower(has, needed) for _ in range(seconds)] == [has] * (seconds - 1) + [needed]


def test_what_is_needed_again_is_held_from_the_beginning() -> None:
    hold = Hold(change_cost_s=30.0)
    for _ in range(29):
        hold.lower(2, 1)
    hold.again()
    assert [hold.lower(2, 1) for _ in range(30)] == [2] * 29 + [1]


def test_it_goes_down_to_the_most_that_was_needed_meanwhile() -> None:
    hold = Hold(change_cost_s=10.0)
    assert hold.lower(6, 3) == 6
    assert hold.lower(6, 1) == 6
    assert hold.lower(6, 2) == 3


def test_a_steady_demand_is_served_without_changes() -> None:
    after = fed(RatioController([GPU]), [53] * 900)[300:]
    assert {each.requested.units for each in after} == {6}


def test_calls_that_would_wait_too_long_get_more_at_once() -> None:
    controller = RatioController([GPU])
    observed = fed(controller, [50] * 300)[-1].requested
    decision = controller.see(Seen(150, 90, observed))
    assert decision.cause in (Cause.WAITING, Cause.SURGE)
    assert decision.requested.units > observed.units


def test_nothing_is_had_without_calls_and_again_with_the_first() -> None:
    controller = RatioController([GPU])
    decisions = fed(controller, [20] * 200 + [0] * 200)
    assert decisions[-1].requested == Amount()
    assert decisions[-1].cause is Cause.IDLE
    assert decisions[-1].cost_per_h == 0
    assert controller.see(Seen(1, 1)).requested.units >= 1


def test_what_served_stays_through_a_pause_and_not_for_ever() -> None:
    decisions = fed(RatioController([GPU]), [20] * 400 + [0] * 6000)[400:]
    assert decisions[10].cause is Cause.PAUSE
    assert decisions[10].requested.units >= 2
    assert not decisions[-1].requested.units


@pytest.mark.parametrize(
    ("bounds", "units", "said"),
    [
        (Bounds(most_units=4), 4, "bounds allow 4"),
        (Bounds(least_units=9), 9, "kept warm"),
        (Bounds(price_cap_per_h=1.0), 3, "bounds allow 3"),
    ],
)
def test_it_stays_within_bounds_and_says_so(bounds: Bounds, units: int, said: str) -> None:
    last = fed(RatioController([GPU], bounds=bounds), [55] * 400)[-1]
    assert last.requested.units == units
    assert last.target.units > 5
    assert said in last.why


def test_a_warm_reserve_stays_without_calls() -> None:
    controller = RatioController([GPU], bounds=Bounds(least_units=2))
    assert fed(controller, [0] * 300)[-1].requested.units == 2


def test_the_dear_kind_stays_until_the_cheap_one_would_have_paid_for_getting_it_again() -> None:
    bounds = Bounds(most_units=20)
    controller = RatioController([CPU, GPU], Economy(late_target=0.01), bounds)
    burst = fed(controller, [2] * 400 + [100] * 60)
    assert burst[-1].requested.kind is DeviceKind.GPU
    has, kinds = burst[-1].requested, []
    for _ in range(400):
        has = controller.see(Seen(2, 0, has)).requested
        kinds.append(has.kind)
    assert set(kinds[:25]) == {DeviceKind.GPU}
    assert kinds[-1] is DeviceKind.CPU


def test_where_nothing_serves_enough_it_stays_with_what_serves_nearly_as_much() -> None:
    half, whole = replace(GPU, most_units=2), replace(GPU, unit_milli=1000, most_units=1)
    alike = replace(whole, unit_per_s=2.1 * half.unit_per_s, price_per_h=3 * half.price_per_h)
    sizes = {each.requested.unit_milli for each in fed(RatioController([half, alike]), [500] * 90)}
    assert len(sizes - {0}) == 1
    better = replace(alike, unit_per_s=3 * half.unit_per_s)
    last = fed(RatioController([half, better]), [500] * 90)[-1]
    assert last.requested.unit_milli == 1000


def test_few_calls_go_to_the_cheap_kind_and_many_to_the_quick_one() -> None:
    controller = RatioController([CPU, GPU])
    few = fed(controller, [2] * 400)
    assert {each.requested.kind for each in few} == {DeviceKind.CPU}
    capped = RatioController([CPU, GPU], bounds=Bounds(most_units=20))
    assert fed(capped, [100] * 600)[-1].requested.kind is DeviceKind.GPU


def test_another_kind_is_taken_when_it_would_have_paid() -> None:
    dear = replace(CPU, price_per_h=0.5, unit_per_s=100.0)
    controller = RatioController([GPU, dear])
    fed(controller, [5] * 300)
    decisions = fed(controller, [60] * 600)
    kinds = [each.requested.kind for each in decisions]
    assert kinds[0] is DeviceKind.GPU
    assert kinds[-1] is DeviceKind.CPU
    at = kinds.index(DeviceKind.CPU)
    assert at > 10
    assert "the cheapest kind" in decisions[at].why
    assert kinds[at:] == [DeviceKind.CPU] * len(kinds[at:])


def changes_of_kind(decisions: list[Decision]) -> list[int]:
    kinds = [each.requested.kind for each in decisions]
    return [n for n, (one, next_) in enumerate(itertools.pairwise(kinds)) if one is not next_]


def test_the_cheap_kind_waits_until_coming_back_late_would_have_cost_less_than_staying() -> None:
    offers = [replace(CPU, attach_s=3.0, most_units=8), replace(GPU, attach_s=5.0)]
    controller = RatioController(offers, Economy(late_target=0.01))
    fed(controller, noisy(2, 300))
    bursts = fed(controller, (noisy(40, 60) + noisy(2, 120)) * 8)
    assert bursts[-1].requested.kind is DeviceKind.GPU
    assert len(changes_of_kind(bursts)) <= 1, "it goes back and forth with each burst"
    calm = fed(controller, [2] * 1500)
    assert calm[changes_of_kind(calm)[0] + 1].requested.kind is DeviceKind.CPU
    assert changes_of_kind(calm)[0] > 120


def test_a_kind_that_was_never_needed_for_more_is_left_sooner() -> None:
    """Nobody would be late for it: the cheap kind can do all that came."""
    offers = [replace(CPU, attach_s=3.0, most_units=8), replace(GPU, attach_s=5.0)]
    after = []
    for most in (4, 40):
        controller = RatioController(offers, Economy(late_target=0.01))
        few = Amount(DeviceKind.GPU, most // 4, 125)
        controller.see(Seen(most, observed=few))
        fed(controller, noisy(most, 300))
        calm = fed(controller, noisy(2, 900))
        kinds = [each.requested.kind for each in calm]
        after.append(kinds.index(DeviceKind.CPU))
    assert after[0] < after[1]


def test_what_cannot_be_served_by_anything_gets_what_serves_most() -> None:
    controller = RatioController([CPU, GPU], bounds=Bounds(most_units=3))
    last = fed(controller, [200] * 300)[-1]
    assert (last.requested.kind, last.requested.units) == (DeviceKind.GPU, 3)
    assert "serves 30/s at most in bounds" in {each.why for each in last.alternatives}


def test_cpu_workers_follow_the_accelerator_in_the_ratio_of_their_work() -> None:
    offer = replace(GPU, cpu_s_per_call=0.1)
    for decision in fed(RatioController([offer]), noisy(80, 600)):
        assert decision.requested.cpu_workers >= decision.requested.units
        if not decision.requested.units:
            assert decision.requested.cpu_workers == 0


def test_cores_that_the_front_end_can_spare_are_not_rented() -> None:
    offer = replace(GPU, cpu_s_per_call=0.1)
    seen = Seen(50, 0, Amount(), front_end_load=0.25, front_end_cores=4)
    decisions = replayed(RatioController([offer]), [seen] * 5)
    assert decisions[-1].requested.cpu_workers == decisions[-1].requested.units - 3


def test_a_busy_front_end_is_named() -> None:
    seen = Seen(50, 0, Amount(), front_end_load=1.0, front_end_cores=4)
    assert "front-end's own CPU is busy" in RatioController([GPU]).see(seen).why


def test_target_requested_and_observed_are_three_things() -> None:
    controller = RatioController([GPU])
    observed = fed(controller, [95] * 300)[-1].requested
    decisions = [controller.see(Seen(10, 0, observed)) for _ in range(30)]
    found = next(each for each in decisions if each.cause is Cause.HELD)
    assert found.target.units < found.requested.units == observed.units
    assert decisions[-1].target.units < decisions[-1].requested.units < observed.units


def test_offers_come_from_measured_profiles() -> None:
    found = offers_of(Demand(slo_p99_s=0.05), CANDIDATES, CURVES, Prices())
    assert DeviceKind.GPU in {each.kind for each in found}
    assert all(each.unit_per_s > 0 for each in found)
    assert offers_of(Demand(slo_p99_s=1e-6), CANDIDATES, CURVES, Prices()) == []


def test_surges_that_come_back_are_expected_where_they_came() -> None:
    recurrence = Recurrence()
    for block in range(3 * 86400 // BLOCK_S):
        if block * BLOCK_S % 1800 == 120:
            recurrence.surged(block * BLOCK_S, 100.0)
        recurrence.passed(block * BLOCK_S)
    now = 3 * 86400
    assert recurrence.per_s(now + 120) > 50 * recurrence.per_s(now + 750)
    assert recurrence.reserve(now + 105, now + 135, 1e-3) == pytest.approx(100.0)
    assert recurrence.reserve(now + 750, now + 780, 1e-3) == 0


def test_what_was_never_seen_is_not_expected() -> None:
    assert Recurrence().reserve(0, 60, 1e-9) == 0


def test_a_surge_that_recurs_finds_capacity_before_it_begins() -> None:
    scaler = Scaler(Economy(attach_s=15), 10.0)
    before: list[int] = []
    units = 0
    for second in range(12 * 1800):
        rate = 200 if second % 1800 in range(900, 1000) else 50
        units = scaler.see(rate, 0.0, units, units)
        if second % 1800 == 899:
            before.append(units)
    assert before[1] < 10
    assert before[-1] >= 20


arrivals = st.lists(st.integers(0, 400), min_size=1, max_size=150)


@settings(max_examples=40, deadline=None)
@given(arrivals, st.integers(0, 5), st.integers(5, 12))
def test_the_same_inputs_give_the_same_decisions_within_bounds(
    calls: list[int], least: int, most: int
) -> None:
    def decisions() -> list[Decision]:
        return fed(RatioController([CPU, GPU], bounds=Bounds(least, most)), calls)

    found = decisions()
    assert decisions() == found
    again = replayed(
        RatioController([CPU, GPU], bounds=Bounds(least, most)), [each.seen for each in found]
    )
    assert again == found
    assert all(least <= each.requested.units <= most for each in found)


@settings(max_examples=40, deadline=None)
@given(arrivals, st.data())
def test_nothing_later_is_seen(calls: list[int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(calls)))
    whole = fed(RatioController([GPU], Economy(attach_s=15)), calls)
    assert fed(RatioController([GPU], Economy(attach_s=15)), calls[:cut]) == whole[:cut]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Economy(late_target=0),
        lambda: Economy(attach_s=-1),
        lambda: Economy(change_cost_s=0),
        lambda: Bounds(3, 2),
        lambda: Bounds(price_cap_per_h=0),
        lambda: replace(GPU, unit_per_s=0),
        lambda: replace(GPU, attach_s=-1),
        lambda: RatioController([]),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=r"must|offers"):
        wrong()
