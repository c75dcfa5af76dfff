from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eais.device_type import DeviceKind, DeviceType, type_text
from eais.tolerance import Tolerance
from eais_pool.brain.codec import from_json, to_json
from eais_pool.policy.choosing import (
    Candidate,
    Choice,
    Image,
    Verdict,
    choose,
    shares_weighed,
)
from eais_pool.policy.curves import Curve
from eais_pool.policy.forecasting import Demand, knee, sizes
from eais_pool.policy.prices import DEFAULTS, Prices
from eais_pool.policy.profiles import Profile, ProfileKey
from eais_pool.policy.queueing import Service, p99
from tests.unit.pool.policy.known import (
    CANDIDATES,
    CPU,
    CPU_BF16,
    CPU_SHARES,
    CURVES,
    DIGEST,
    FPGA,
    GPU,
    Times,
    cpu_times,
    curve,
    gpu_times,
)

PRICES = Prices()


def chosen(choice: Choice) -> str:
    assert choice.chosen is not None, choice.why
    return choice.chosen.candidate.type


def verdicts(choice: Choice) -> dict[str, Verdict]:
    return {each.candidate.type: each.verdict for each in choice.considered}


def test_the_cheapest_that_meets_the_slo_and_what_the_next_kind_would_cost() -> None:
    choice = choose(Demand(slo_p99_s=0.05, rate_per_s=5), CANDIDATES, CURVES, PRICES)
    assert chosen(choice) == "cpu.2"
    assert choice.why == "cpu.2 meets 50 ms at 5/s at 0.04/h; gpu.1-8 would cost 0.312/h"
    assert verdicts(choice)["cpu.1"] is Verdict.TOO_SLOW
    assert verdicts(choice)["cpu.4"] is Verdict.DEARER
    assert not choice.best_effort
    assert choice.measure == ()


def test_a_rate_that_cores_cannot_answer_goes_to_the_accelerator() -> None:
    choice = choose(Demand(slo_p99_s=0.05, rate_per_s=300), CANDIDATES, CURVES, PRICES)
    assert chosen(choice) == "gpu.1-4"
    assert verdicts(choice)["cpu.4"] is Verdict.OVERLOADED
    assert "answers" in next(
        each.why for each in choice.considered if each.candidate.type == "cpu.4"
    )


def test_without_a_rate_one_caller_is_assumed() -> None:
    assert chosen(choose(Demand(slo_p99_s=0.06), CANDIDATES, CURVES, PRICES)) == "cpu.1"
    assert chosen(choose(Demand(slo_p99_s=0.03), CANDIDATES, CURVES, PRICES)) == "cpu.2"


def test_without_an_slo_what_keeps_up_is_enough() -> None:
    assert chosen(choose(Demand(), CANDIDATES, CURVES, PRICES)) == "cpu.1"
    choice = choose(Demand(rate_per_s=30), CANDIDATES, CURVES, PRICES)
    assert choice.why.startswith("cpu.2 keeps up at 30/s at 0.04/h")


def test_the_way_there_and_back_counts() -> None:
    demand = Demand(slo_p99_s=0.06, network_s=0.03)
    assert chosen(choose(demand, CANDIDATES, CURVES, PRICES)) == "cpu.2"
    beyond = choose(Demand(slo_p99_s=0.06, network_s=0.07), CANDIDATES, CURVES, PRICES)
    assert beyond.best_effort


def test_every_alternative_is_there_with_its_cost_and_its_reason() -> None:
    choice = choose(Demand(slo_p99_s=0.05, rate_per_s=5), CANDIDATES, CURVES, PRICES)
    assert len(choice.considered) == len(CANDIDATES)
    assert all(each.why for each in choice.considered)
    assert [each.cost_per_h for each in choice.considered] == sorted(
        PRICES.of(each.runner.kind, each.share_milli) for each in CANDIDATES
    )
    assert from_json(Choice, to_json(choice)) == choice


def test_nothing_meets_it_so_best_effort_is_named_as_such() -> None:
    choice = choose(Demand(slo_p99_s=0.001, rate_per_s=5), CANDIDATES, CURVES, PRICES)
    assert choice.best_effort
    assert chosen(choice) == "gpu.1"
    assert choice.why.startswith(
        "best effort: nothing meets 1 ms at 5/s; gpu.1 comes nearest: p99 "
    )


def test_where_all_are_overrun_the_most_throughput_is_the_best_effort() -> None:
    choice = choose(Demand(slo_p99_s=0.05, rate_per_s=1e6), CANDIDATES, CURVES, PRICES)
    assert (chosen(choice), choice.best_effort) == ("gpu.1", True)
    assert set(verdicts(choice).values()) == {Verdict.CHOSEN, Verdict.OVERLOADED}


def test_a_cap_below_what_would_do_leaves_best_effort_within_it() -> None:
    demand = Demand(slo_p99_s=0.01, rate_per_s=5, price_cap_per_h=0.1)
    choice = choose(demand, CANDIDATES, CURVES, PRICES)
    assert (chosen(choice), choice.best_effort) == ("cpu.4", True)
    assert "nothing meets 10 ms at 5/s within 0.1/h" in choice.why
    assert verdicts(choice)["gpu.1-8"] is Verdict.ABOVE_CAP


def test_a_cap_below_everything_is_refused() -> None:
    choice = choose(Demand(price_cap_per_h=0.001), CANDIDATES, CURVES, PRICES)
    assert choice.chosen is None
    assert choice.refusal is not None
    assert choice.refusal.reason == "ARGUMENT"
    assert choice.why == "nothing may serve: cpu.1 would cost 0.02/h, the cap is 0.001/h"
    assert all(each.why for each in choice.considered)


@pytest.mark.parametrize("none", [(), (replace(CANDIDATES[0], room=False),)], ids=["empty", "full"])
def test_no_device_now_may_be_one_later(none: tuple[Candidate, ...]) -> None:
    choice = choose(Demand(), none, CURVES, PRICES)
    assert choice.refusal is not None
    assert choice.refusal.reason == "NO_DEVICE"


def test_what_has_no_room_is_passed_over() -> None:
    full = tuple(replace(each, room=each.runner is GPU) for each in CANDIDATES)
    choice = choose(Demand(slo_p99_s=0.05, rate_per_s=5), full, CURVES, PRICES)
    assert chosen(choice) == "gpu.1-8"
    assert verdicts(choice)["cpu.2"] is Verdict.NO_ROOM


def test_an_image_that_loads_for_long_is_paid_for_and_may_be_too_late() -> None:
    slow = Candidate(FPGA, 1000, setup_s=1800.0)
    curves = {FPGA: curve(FPGA, gpu_times, (1000,))}
    choice = choose(Demand(hold_h=1.0), [slow], curves, PRICES)
    assert choice.chosen is not None
    assert math.isclose(choice.chosen.cost_per_h, 1.5 * 1.5)
    late = choose(Demand(ready_within_s=60), [slow], curves, PRICES)
    assert late.why == "nothing may serve: fpga.1 takes 1800 s to attach, asked for within 60 s"


def test_when_it_is_ready_is_said_of_what_takes_time() -> None:
    curves = {FPGA: curve(FPGA, gpu_times, (1000,))}

    def why(**given: Any) -> str:
        return choose(Demand(), [Candidate(FPGA, 1000, **given)], curves, PRICES).why

    assert why() == "fpga.1 keeps up at 1.5/h"
    assert why(setup_s=3.0, image=Image.TO_LOAD) == "fpga.1 keeps up at 1.5/h, ready in 3 s"
    loaded = "fpga.1 keeps up at 1.5/h, the model's image is loaded there"
    assert why(image=Image.LOADED) == loaded
    slow = choose(Demand(), [Candidate(FPGA, 1000, setup_s=3.0)], {}, PRICES).why
    assert slow.endswith("until something is measured, ready in 3 s")
    few = Demand(slo_p99_s=1e-6)
    nearest = choose(few, [Candidate(FPGA, 1000, setup_s=3.0)], curves, PRICES)
    assert nearest.best_effort
    assert nearest.why.endswith(", ready in 3 s")


def test_what_has_no_image_of_the_model_cannot_run_it() -> None:
    curves = {FPGA: curve(FPGA, gpu_times, (1000,))}
    lacking = Candidate(FPGA, 1000, image=Image.MISSING)
    refused = choose(Demand(), [lacking], curves, PRICES)
    assert refused.why == "nothing may serve: fpga.1 has no image of this model"
    core = choose(Demand(), [lacking, *CANDIDATES], CURVES, PRICES)
    assert verdicts(core)["fpga.1"] is Verdict.CANNOT_RUN
    assert FPGA not in core.measure


# What isn't known


def test_nothing_known_takes_the_cheapest_for_now_and_asks() -> None:
    choice = choose(Demand(slo_p99_s=0.05), CANDIDATES, {}, PRICES)
    assert (chosen(choice), choice.provisional) == ("cpu.1", True)
    assert choice.why == "cpu.1 at 0.02/h, the cheapest, until something is measured"
    assert choice.measure == (CPU, GPU)


def test_what_is_not_known_is_asked_for_only_where_it_could_be_cheaper() -> None:
    only_gpu, only_cpu = {GPU: CURVES[GPU]}, {CPU: CURVES[CPU]}
    choice = choose(Demand(slo_p99_s=0.05, rate_per_s=5), CANDIDATES, only_gpu, PRICES)
    assert (chosen(choice), choice.measure) == ("gpu.1-8", (CPU,))
    assert verdicts(choice)["cpu.1"] is Verdict.UNMEASURED
    choice = choose(Demand(slo_p99_s=0.05, rate_per_s=5), CANDIDATES, only_cpu, PRICES)
    assert (chosen(choice), choice.measure) == ("cpu.2", ())
    choice = choose(Demand(slo_p99_s=0.001), CANDIDATES, only_cpu, PRICES)
    assert (choice.best_effort, choice.measure) == (True, (GPU,))


def test_a_curve_of_nothing_is_as_none() -> None:
    choice = choose(Demand(), CANDIDATES, {CPU: Curve()}, PRICES)
    assert (choice.provisional, choice.measure) == (True, (CPU, GPU))


# What it never does

demands = st.builds(
    Demand,
    slo_p99_s=st.none() | st.floats(0.0005, 2.0),
    rate_per_s=st.none() | st.floats(0.1, 5000),
    tolerance=st.sampled_from(Tolerance),
    batch_most=st.sampled_from([1, 8, 64]),
    price_cap_per_h=st.none() | st.floats(0.01, 4.0),
)
prices = st.builds(
    Prices,
    st.fixed_dictionaries({kind: st.floats(0.0, 5.0) for kind in DeviceKind}),
)
ALL = (*CANDIDATES, *(Candidate(CPU_BF16, share) for share in CPU_SHARES))
ALL_CURVES = {
    **CURVES,
    CPU_BF16: curve(CPU_BF16, lambda batch, share: cpu_times(batch, share) / 2, CPU_SHARES),
}


@settings(max_examples=60, deadline=None)
@given(demands, prices)
def test_neither_a_precision_beyond_the_tolerance_nor_a_price_above_the_cap(
    demand: Demand, each: Prices
) -> None:
    choice = choose(demand, ALL, ALL_CURVES, each)
    if choice.chosen is None:
        assert choice.refusal is not None
        return
    assert demand.tolerance.admits(choice.chosen.candidate.runner.precision)
    assert demand.price_cap_per_h is None or choice.chosen.cost_per_h <= demand.price_cap_per_h


def test_bf16_is_taken_where_it_is_tolerated_and_cheaper() -> None:
    demand = Demand(slo_p99_s=0.03, tolerance=Tolerance.BF16)
    choice = choose(demand, ALL, ALL_CURVES, PRICES)
    assert choice.chosen is not None
    assert choice.chosen.candidate == Candidate(CPU_BF16, 1000)
    exact = choose(replace(demand, tolerance=Tolerance.EXACT), ALL, ALL_CURVES, PRICES)
    assert exact.chosen is not None
    assert exact.chosen.candidate == Candidate(CPU, 2000)


@settings(max_examples=60, deadline=None)
@given(demands, prices, st.sampled_from(DeviceKind), st.floats(1.0, 10.0))
def test_a_higher_price_never_makes_a_loser_win(
    demand: Demand, before: Prices, kind: DeviceKind, factor: float
) -> None:
    was = choose(demand, ALL, ALL_CURVES, before).chosen
    dearer = Prices({**before.per_h, kind: before.per_h[kind] * factor})
    now = choose(demand, ALL, ALL_CURVES, dearer).chosen
    if now is not None and was is not None and was.candidate.runner.kind is not kind:
        assert now.candidate == was.candidate


def truly_meets(demand: Demand, candidate: Candidate, times: Times, slack: float) -> bool:
    batches = sizes(demand.batch_most)
    seconds = [times(batch, candidate.share_milli) for batch in batches]
    found = p99(Service(batches, seconds, 0.0), demand.rate_per_s or 0.0)
    return found is not None and found.p99_s <= demand.target_s * slack


@settings(max_examples=60, deadline=None)
@given(demands, prices)
def test_the_slo_is_met_whenever_something_clearly_meets_it(demand: Demand, each: Prices) -> None:
    demand = replace(demand, price_cap_per_h=None)
    truth = {CPU: cpu_times, GPU: gpu_times}
    choice = choose(demand, CANDIDATES, CURVES, each)
    assert choice.chosen is not None
    if any(truly_meets(demand, c, truth[c.runner], 0.5) for c in CANDIDATES):
        assert not choice.best_effort
        best = choice.chosen.candidate
        assert truly_meets(demand, best, truth[best.runner], 1.3)


@given(st.permutations(ALL), demands, prices)
@settings(max_examples=30, deadline=None)
def test_the_order_of_candidates_changes_nothing(
    mixed: list[Candidate], demand: Demand, each: Prices
) -> None:
    assert choose(demand, mixed, ALL_CURVES, each) == choose(demand, ALL, ALL_CURVES, each)


def test_of_equal_cost_the_surer_then_the_first_by_name() -> None:
    free = Prices(dict.fromkeys(DEFAULTS, 0.0))
    assert chosen(choose(Demand(slo_p99_s=0.05), CANDIDATES, CURVES, free)) == "gpu.1"
    twin = replace(GPU, device_model="another GPU")
    both = [Candidate(GPU, 125), Candidate(twin, 125)]
    choice = choose(Demand(), both, {GPU: CURVES[GPU], twin: CURVES[GPU]}, PRICES)
    assert choice.chosen is not None
    assert choice.chosen.candidate.runner is twin


def test_what_cannot_run_even_one_item_is_not_chosen() -> None:
    key = ProfileKey(DIGEST, CPU.device_model, 8000, CPU.runtime, CPU.precision)
    nothing = Curve([Profile.of(key, CPU.kind, {}, failed={1: "RUN_MEMORY"})])
    choice = choose(Demand(), CANDIDATES[:4], {CPU: nothing}, PRICES)
    assert choice.chosen is None
    assert {each.verdict for each in choice.considered} == {Verdict.CANNOT_RUN}


# Types


@pytest.mark.parametrize(
    ("milli", "text"),
    [(125, "gpu.1-8"), (250, "gpu.1-4"), (500, "gpu.1-2"), (750, "gpu.3-4"), (3000, "gpu.3")],
)
def test_shares_have_types(milli: int, text: str) -> None:
    assert type_text(DeviceKind.GPU, milli) == text
    assert DeviceType.parse(text).milli == milli


@pytest.mark.parametrize("milli", [0, -125, 100, 1125, 1500])
def test_what_is_not_sold_has_no_type(milli: int) -> None:
    with pytest.raises(ValueError, match="eighths"):
        type_text(DeviceKind.GPU, milli)


@pytest.mark.parametrize(
    ("grain", "most", "shares"),
    [
        (125, 1000, [125, 250, 500, 1000]),
        (1000, 8000, [1000, 2000, 4000, 8000]),
        (1000, 6000, [1000, 2000, 4000]),
        (500, 1000, [500, 1000]),
        (3000, 1000, []),
    ],
)
def test_shares_double(grain: int, most: int, shares: list[int]) -> None:
    assert shares_weighed(grain, most) == shares


def test_the_knee_is_where_larger_batches_gain_little() -> None:
    assert knee(CURVES[CPU], 1000, Demand()) == 1
    assert knee(CURVES[GPU], 1000, Demand()) == 64


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slo_p99_s", 0.0),
        ("slo_p99_s", math.nan),
        ("rate_per_s", -1.0),
        ("rate_per_s", math.inf),
        ("price_cap_per_h", 0.0),
        ("network_s", -0.1),
        ("batch_most", 0),
    ],
)
def test_a_demand_that_makes_no_sense_is_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        replace(Demand(), **{field: value})  # type: ignore[arg-type]
