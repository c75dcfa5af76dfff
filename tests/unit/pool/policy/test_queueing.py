"""The forecast of a p99, against a simulation of the queue that it is of."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais_pool.policy.queueing import NORMAL_P99, Latency, Service, most_per_s, p99

Times = Callable[[int], float]

MODELS: dict[str, Times] = {
    "linear": lambda batch: 0.002 + 0.001 * batch,
    "roofline": lambda batch: (0.005**4 + (0.0005 * batch) ** 4) ** 0.25,
    "overhead": lambda batch: 0.0015 + 0.0001 * batch,
    "no gain": lambda batch: 0.0002 + 0.004 * batch,
}


def service(times: Times, most: int = 64, jitter: float = 0.1) -> Service:
    batches = [1 << n for n in range(most.bit_length())]
    return Service(batches, [times(batch) for batch in batches], jitter)


def simulated_p99(times: Times, rate: float, most: int, calls: int = 20_000) -> float:
    """Calls at random, and a server that takes all that wait, up to `most`."""
    chance = random.Random(1)
    now, arrivals = 0.0, []
    for _ in range(calls):
        now += chance.expovariate(rate)
        arrivals.append(now)
    took, first, now = [], 0, 0.0
    while first < calls:
        now = max(now, arrivals[first])
        last = first
        while last < calls and last - first < most and arrivals[last] <= now:
            last += 1
        now += times(last - first) * max(0.3, chance.gauss(1.0, 0.1))
        took += [now - arrival for arrival in arrivals[first:last]]
        first = last
    return sorted(took)[int(0.99 * calls)]


@pytest.mark.parametrize("load", [0.02, 0.3, 0.7, 0.9])
@pytest.mark.parametrize("most", [1, 8, 64])
@pytest.mark.parametrize("model", MODELS)
def test_it_is_near_what_a_simulation_gives(model: str, most: int, load: float) -> None:
    served = service(MODELS[model], most)
    rate = load * most_per_s(served)[0]
    found = p99(served, rate)
    assert found is not None
    assert 0.75 <= found.p99_s / simulated_p99(MODELS[model], rate, most) <= 1.7


def test_one_caller_waits_for_a_batch_of_one_alone() -> None:
    assert p99(service(MODELS["linear"]), 0.0) == Latency(0.003 * (1 + NORMAL_P99 * 0.1), 1)


def test_more_than_can_be_answered_has_no_p99() -> None:
    served = service(MODELS["linear"])
    most, batch = most_per_s(served)
    assert (round(most), batch) == (970, 64)
    assert p99(served, most) is None
    assert p99(served, most, scale=0.5) is not None


@given(
    st.sampled_from(list(MODELS.values())),
    st.floats(0.001, 0.98),
    st.floats(1.0, 1.5),
    st.sampled_from([1, 4, 64]),
)
def test_it_grows_with_the_rate_and_with_the_time(
    times: Times, load: float, more: float, most: int
) -> None:
    served = service(times, most)
    rate = load * most_per_s(served)[0]
    here, faster, slower = p99(served, rate), p99(served, rate * more), p99(served, rate, more)
    assert here is not None
    for other in (faster, slower):
        assert other is None or other.p99_s >= here.p99_s * (1 - 1e-6)


@given(st.floats(0.0001, 0.02))
def test_it_has_no_step_where_calls_begin_to_meet(load: float) -> None:
    served = service(MODELS["no gain"], 1)
    rate = load * most_per_s(served)[0]
    here, there = p99(served, rate), p99(served, rate * 1.001)
    assert here is not None
    assert there is not None
    assert math.isclose(here.p99_s, there.p99_s, rel_tol=0.01)
