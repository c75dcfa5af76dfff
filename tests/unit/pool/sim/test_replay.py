"""Recorded demand, replayed by other policies, against what can be reckoned by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eais.device_type import DeviceKind
from eais.errors import UsageError
from eais_pool.brain.ratio_records import Basis, DemandSeen, Seconds
from eais_pool.policy.ratio.control import Amount, Bounds
from eais_pool.policy.ratio.offers import Offer
from eais_pool.policy.ratio.scaling import Economy
from eais_pool.sim.replay import AS_IT_WAS, ORACLE, Asked, Outcome, replayed, summed
from tests.unit.pool.test_ratios import Live

CPU = Offer(DeviceKind.CPU, 1000, 10.0, price_per_h=0.36, attach_s=2, most_units=8)
GPU = Offer(DeviceKind.GPU, 250, 100.0, price_per_h=1.8, attach_s=2, most_units=4)
BASIS = Basis((CPU, GPU), Economy(late_target=0.01), Bounds(cpu_price_per_h=0.36, awake_s=30))
ONE_CPU, ONE_GPU = Amount(DeviceKind.CPU, 1, 1000), Amount(DeviceKind.GPU, 1, 250)
CPU_S, GPU_S = 0.36 / 3600, 1.8 / 3600
END = 10_000.0


def row(
    arrived: list[float],
    waiting: list[float] | None = None,
    observed: tuple[tuple[int, Amount], ...] = ((0, ONE_CPU),),
    ended: float = END,
    **changes: object,
) -> DemandSeen:
    zeros = (0.0,) * len(arrived)
    seconds = Seconds(tuple(arrived), tuple(waiting or zeros), zeros, 0, observed)
    fact = DemandSeen("ei-1", ended, BASIS, seconds, True, (), ended, "t1")
    return replace(fact, **changes)  # type: ignore[arg-type]


def by_name(
    facts: list[DemandSeen], *policies: str, since: float = 0.0, until: float = END
) -> dict[str, Outcome]:
    return {each.policy: each for each in replayed(facts, Asked(since, until, END, policies))}


def test_as_it_was_is_what_was_recorded() -> None:
    observed = ((0, ONE_CPU), (2, Amount()), (3, replace(ONE_GPU, cpu_workers=2)))
    found = by_name([row([5, 5, 20, 0, 0], [0, 0, 20, 20, 0], observed)])[AS_IT_WAS]
    assert found.cost == pytest.approx(2 * CPU_S + 2 * (GPU_S + 2 * CPU_S))
    assert (found.calls, found.late, found.switches, found.seconds) == (30, 20, 2, 5)


def test_the_oracle_has_what_is_cheapest_in_each_ten_seconds() -> None:
    found = by_name([row([8.0] * 10 + [95.0] * 10 + [0.0] * 10)])[ORACLE]
    assert found.cost == pytest.approx(10 * CPU_S + 10 * GPU_S)
    assert (found.late, found.switches) == (0, 2)


def test_a_fixed_ratio_costs_its_rent_and_was_always_there() -> None:
    found = by_name([row([8.0] * 60)], "fixed:2:0", "fixed:1:0.25")
    assert found["fixed:2:0"].cost == pytest.approx(2 * CPU_S * 60)
    assert found["fixed:1:0.25"].cost == pytest.approx((CPU_S + GPU_S) * 60)
    assert (found["fixed:2:0"].switches, found["fixed:2:0"].late) == (0, 0)


def test_what_is_asked_for_serves_when_attaching_is_over() -> None:
    """Of 15 a second one core serves 10: a second is asked for at once, and there 2 s later."""
    found = by_name([row([15.0] * 100)], "hpa:0.9,kinds=cpu", "hpa:0.9,kinds=cpu,attach_s=20")
    slow, quick = found["hpa:0.9,kinds=cpu,attach_s=20"], found["hpa:0.9,kinds=cpu"]
    # It looks every 15 s; what isn't there yet isn't charged for.
    assert quick.cost == pytest.approx((15 + 2 + 83 * 2) * CPU_S)
    assert slow.cost == pytest.approx((15 + 20 + 65 * 2) * CPU_S)
    assert slow.late > quick.late > 0


def test_what_is_learned_before_the_time_is_not_counted() -> None:
    facts = [row([8.0] * 60, ended=END - 60), row([8.0] * 60, fresh=False)]
    found = by_name(facts, "fixed:1:0", since=END - 60)
    assert found["fixed:1:0"].cost == pytest.approx(60 * CPU_S)
    assert (found["fixed:1:0"].calls, found["fixed:1:0"].seconds) == (480, 60)
    assert found[AS_IT_WAS].seconds == 60
    assert by_name(facts, since=END - 200, until=END - 150) == {}


def test_the_controller_alone_follows_the_demand_and_its_settings() -> None:
    facts = [row([5.0] * 120 + [200.0] * 60 + [0.0] * 300)]
    found = by_name(facts, "auto", "max=1", "kinds=gpu", "ratio_awake_s=250", "attach_s=30")
    assert found["auto"].cost < found["ratio_awake_s=250"].cost
    assert found["auto"].late < found["max=1"].late
    assert found["kinds=gpu"].cost > found["auto"].cost
    assert found["attach_s=30"].late > found["auto"].late
    assert found[ORACLE].cost < found["auto"].cost


@pytest.mark.parametrize("policy", ["knative:0.7", "hpa:0.7", "ray", "knative:0.9,kinds=cpu,max=2"])
def test_autoscalers_serve_a_steady_demand(policy: str) -> None:
    found = by_name([row([15.0] * 600)], policy)[policy]
    assert found.late < 0.2 * found.calls
    assert 500 * CPU_S < found.cost <= 600 * GPU.most_units * GPU_S


def test_a_bound_holds_for_an_autoscaler() -> None:
    found = by_name([row([60.0] * 300)], "knative:0.7,kinds=cpu,max=2")
    assert found["knative:0.7,kinds=cpu,max=2"].cost <= 2 * CPU_S * 300


def test_a_policy_that_needs_what_was_not_there_says_what_was() -> None:
    for policy in ("fixed:0:1", "kinds=npu", "knative,kinds=fpga"):
        with pytest.raises(UsageError, match=r"ARGUMENT: .*cpu\.1, gpu\.1-4"):
            by_name([row([8.0] * 10)], policy)
    with pytest.raises(UsageError, match="least_units"):
        by_name([row([8.0] * 10)], "min=3,max=2")


def test_all_instances_together_are_the_sum() -> None:
    one = replayed([row([8.0] * 30)], Asked(0, END, END, ("fixed:1:0",)))
    other = replayed([row([9.0] * 30, instance="ei-2")], Asked(0, END, END, ("fixed:1:0",)))
    found = summed([*one, *other])
    assert [each.policy for each in found] == [AS_IT_WAS, ORACLE, "fixed:1:0"]
    assert {each.instance for each in found} == {""}
    assert found[2].calls == 510
    assert found[2].cost == pytest.approx(one[2].cost + other[2].cost)


def test_the_same_seconds_are_decided_as_live() -> None:
    """Where the model serves as the pool did, the replay has what the pool had."""
    live = Live()
    live.go_by(100, calls=5)
    live.go_by(60)
    for event in live.ratios.on_stop(live.shell.state, live.shell.now):
        live.seen += event.seen
    now = live.shell.state.ledger_time(live.shell.now)
    found = {e.policy: e for e in replayed(live.seen, Asked(now - 500, now, now, ("auto",)))}
    was, would = found[AS_IT_WAS], found["auto"]
    assert (would.calls, would.seconds) == (was.calls, was.seconds)
    assert would.cost == pytest.approx(was.cost)
    assert would.switches == was.switches == 1
