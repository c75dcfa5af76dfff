from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eais.device_type import DeviceKind
from eais_pool.policy.choosing import Candidate, Runner, choose
from eais_pool.policy.forecasting import Demand
from eais_pool.policy.measuring import OPENING, Measuring, on_event
from eais_pool.policy.measuring_events import (
    Action,
    BatchFailed,
    Began,
    Device,
    DeviceGone,
    Event,
    Finished,
    GiveUp,
    Limits,
    Measured,
    RunBatch,
    Ticked,
)
from eais_pool.policy.prices import Prices
from eais_pool.policy.profiles import Failure
from tests.unit.pool.policy.known import (
    CPU,
    CPU_SHARES,
    DIGEST,
    FPGA,
    GPU,
    GPU_SHARES,
    Times,
    cpu_times,
    gpu_times,
    profile,
)

CPU_DEVICE = Device("h1/cpu0", tuple(Candidate(CPU, share) for share in CPU_SHARES))
GPU_DEVICE = Device("h2/gpu0", tuple(Candidate(GPU, share) for share in GPU_SHARES))
TIMES: dict[Runner, Times] = {CPU: cpu_times, GPU: gpu_times}
DEMAND = Demand(slo_p99_s=0.05, rate_per_s=5)
Answer = Callable[[RunBatch], Event]


class Bench:
    """Devices that run what is asked, a clock that goes on meanwhile, and what was said."""

    def __init__(self, state: Measuring, answer: Answer | None = None) -> None:
        self.state, self.now = state, 100.0
        self.answer = answer or self.exactly
        self.asked: list[RunBatch] = []
        self.said: list[Action] = []

    @staticmethod
    def exactly(asked: RunBatch) -> Event:
        return Measured(asked, TIMES[asked.runner](asked.batch, asked.share_milli))

    def feed(self, event: Event) -> list[Action]:
        found = on_event(self.state, event, self.now)
        self.said += found
        self.asked += [each for each in found if isinstance(each, RunBatch)]
        return found

    def run(self) -> str:
        """To the end; why it ended."""
        waiting = self.feed(Began())
        while True:
            assert waiting, "nothing runs, and it isn't over"
            first = waiting.pop(0)
            if isinstance(first, Finished):
                assert not waiting
                return first.why
            assert isinstance(first, RunBatch)
            event = self.answer(first)
            self.now += event.seconds if isinstance(event, Measured) else 0.1
            waiting += self.feed(event)

    def batches(self) -> Counter[str]:
        return Counter(each.device for each in self.asked)


def bench(
    *devices: Device,
    demand: Demand | None = DEMAND,
    limits: Limits | None = None,
    answer: Answer | None = None,
    **more: object,
) -> Bench:
    limits = limits or Limits(seconds=1000)
    state = Measuring(DIGEST, devices, Prices(), demand=demand, limits=limits, **more)  # type: ignore[arg-type]
    return Bench(state, answer)


def noisy(seed: int) -> Answer:
    chance = random.Random(seed)

    def answer(asked: RunBatch) -> Event:
        took = TIMES[asked.runner](asked.batch, asked.share_milli)
        return Measured(asked, took * max(0.3, chance.gauss(1.0, 0.1)))

    return answer


def test_devices_begin_at_the_same_time_with_a_batch_of_one() -> None:
    made = bench(CPU_DEVICE, GPU_DEVICE)
    assert made.feed(Began()) == [
        RunBatch("h1/cpu0", CPU, 4000, 1),
        RunBatch("h2/gpu0", GPU, 500, 1),
    ]


def test_what_was_measured_leads_to_the_right_choice() -> None:
    for seed in range(5):
        made = bench(CPU_DEVICE, GPU_DEVICE, answer=noisy(seed))
        made.run()
        candidates = [*CPU_DEVICE.candidates, *GPU_DEVICE.candidates]
        choice = choose(DEMAND, candidates, made.state.curves(), Prices())
        assert choice.chosen is not None
        assert choice.chosen.candidate.type == "cpu.2"


def test_a_device_that_cannot_win_is_dropped_early() -> None:
    made = bench(CPU_DEVICE, GPU_DEVICE)
    assert made.run() == "all is known that matters"
    # An eighth of the GPU costs more than the two cores that do.
    assert made.batches()["h2/gpu0"] == len(OPENING)


def test_it_measures_where_the_decision_is_not_where_it_is_easy() -> None:
    made = bench(CPU_DEVICE, demand=Demand(slo_p99_s=0.0502))
    made.run()
    # On one core, a call takes 0.0401 s and a tenth of jitter: just about what is asked.
    assert Counter((each.share_milli, each.batch) for each in made.asked)[1000, 1] >= 10


def test_the_profiles_are_by_share_and_say_what_was_seen() -> None:
    made = bench(GPU_DEVICE, answer=noisy(1))
    made.run()
    found = made.state.profiles(measured_unix_s=1e9)
    assert {(each.key.digest, Runner.of(each)) for each in found} == {(DIGEST, GPU)}
    assert len({each.key.share_milli for each in found}) == len(found)
    samples = sum(point.samples for each in found for point in each.points)
    assert samples == len(made.asked)
    assert all(each.kind is DeviceKind.GPU and each.measured_unix_s == 1e9 for each in found)


def test_a_simulated_devices_profiles_say_so() -> None:
    made = bench(Device("h1/gpu0", GPU_DEVICE.candidates, simulated=True))
    made.run()
    assert all(each.simulated for each in made.state.profiles())


# Limits


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 20), st.booleans())
def test_no_device_runs_more_than_its_batches(seed: int, most: int, aimed: bool) -> None:
    demand = Demand(slo_p99_s=0.042, rate_per_s=20) if aimed else None
    limits = Limits(batches=most, seconds=1e6)
    made = bench(CPU_DEVICE, GPU_DEVICE, demand=demand, limits=limits, answer=noisy(seed))
    made.run()
    assert max(made.batches().values()) <= most
    assert made.state.over


def test_when_the_time_is_spent_what_runs_is_given_up() -> None:
    made = bench(CPU_DEVICE, GPU_DEVICE, limits=Limits(seconds=5))
    running = made.feed(Began())
    made.now += 4.9
    assert made.feed(Ticked()) == []
    made.now += 0.1
    assert made.feed(Ticked()) == [*map(GiveUp, running), Finished("the time is spent")]  # type: ignore[arg-type]
    assert made.feed(Ticked()) == []
    assert made.state.profiles() == []


def test_an_answer_after_the_end_changes_nothing() -> None:
    made = bench(CPU_DEVICE, limits=Limits(seconds=5))
    (running,) = made.feed(Began())
    made.now += 6
    made.feed(Ticked())
    assert isinstance(running, RunBatch)
    assert made.feed(Measured(running, 0.1)) == []
    assert made.state.profiles() == []


def test_the_last_answer_in_time_counts_though_no_more_is_run() -> None:
    made = bench(CPU_DEVICE, limits=Limits(seconds=5))
    (running,) = made.feed(Began())
    made.now += 6
    assert isinstance(running, RunBatch)
    assert made.feed(Measured(running, 0.1)) == [Finished("the time is spent")]
    assert len(made.state.profiles()) == 1


def test_a_batch_that_would_not_end_in_time_is_not_begun() -> None:
    slow: Times = lambda batch, share: 2.0 * batch  # noqa: E731
    made = bench(
        CPU_DEVICE,
        demand=None,
        limits=Limits(seconds=10),
        answer=lambda asked: Measured(asked, slow(asked.batch, asked.share_milli)),
    )
    made.run()
    assert max(each.batch for each in made.asked) <= 8


def test_what_takes_longer_than_what_is_asked_is_not_run() -> None:
    made = bench(CPU_DEVICE, demand=Demand(slo_p99_s=0.05))
    made.run()
    assert all(cpu_times(each.batch, each.share_milli) < 0.05 * 2.5 for each in made.asked)


# What goes wrong


def test_a_size_that_failed_is_not_tried_again_nor_larger_or_on_less() -> None:
    def answer(asked: RunBatch) -> Event:
        if asked.batch * 1000 > asked.share_milli * 8:
            return BatchFailed(asked, "RUN_MEMORY")
        return Bench.exactly(asked)

    made = bench(GPU_DEVICE, demand=None, answer=answer)
    made.run()
    failed: list[RunBatch] = []
    for each in made.asked:
        for other in failed:
            assert each.batch < other.batch or each.share_milli > other.share_milli
        if isinstance(answer(each), BatchFailed):
            failed.append(each)
    assert failed
    said = {(p.key.share_milli, f) for p in made.state.profiles() for f in p.failed}
    assert said == {(each.share_milli, Failure(each.batch, "RUN_MEMORY")) for each in failed}


def test_a_device_on_which_all_fails_is_left_alone() -> None:
    def answer(asked: RunBatch) -> Event:
        if asked.runner is GPU:
            return BatchFailed(asked, "RUN_FAILED")
        return Bench.exactly(asked)

    made = bench(CPU_DEVICE, GPU_DEVICE, answer=answer)
    made.run()
    assert made.batches()["h2/gpu0"] <= len(GPU_SHARES)
    assert GPU not in made.state.curves()


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 0.0, -1.0, 1e9])
def test_a_time_that_cannot_be_is_a_failure(seconds: float) -> None:
    made = bench(GPU_DEVICE, answer=lambda asked: Measured(asked, seconds))
    made.run()
    found = made.state.profiles()
    assert all(not each.points for each in found)
    assert {f.reason for each in found for f in each.failed} == {"MALFORMED_MESSAGE"}


def test_an_answer_that_nobody_asked_for_is_not_taken() -> None:
    made = bench(CPU_DEVICE)
    (running,) = made.feed(Began())
    assert isinstance(running, RunBatch)
    stranger = RunBatch("nowhere", CPU, 1000, 1)
    other = RunBatch(running.device, CPU, running.share_milli, 64)
    assert made.feed(Measured(stranger, 0.1)) == []
    assert made.feed(Measured(other, 0.1)) == []
    assert made.feed(BatchFailed(other, "RUN_FAILED")) == []
    assert made.state.profiles() == []
    assert made.feed(Measured(running, 0.01)) != []
    assert made.feed(Measured(running, 0.01)) == []


def test_a_device_that_goes_does_not_keep_the_others() -> None:
    made = bench(CPU_DEVICE, GPU_DEVICE)
    first, second = made.feed(Began())
    assert isinstance(first, RunBatch)
    assert isinstance(second, RunBatch)
    made.feed(DeviceGone("h1/cpu0"))
    made.feed(DeviceGone("nowhere"))
    assert made.feed(Measured(first, 0.01)) == []
    made.asked.clear()
    assert made.feed(Bench.exactly(second)) != []
    assert {each.device for each in made.asked} == {"h2/gpu0"}


def test_a_device_that_never_answers_keeps_the_others_for_a_while_only() -> None:
    demand = Demand(slo_p99_s=0.006, rate_per_s=100)
    made = bench(CPU_DEVICE, GPU_DEVICE, demand=demand, limits=Limits(seconds=10))
    _, waiting = made.feed(Began())

    def answered(asked: Action) -> None:
        while isinstance(asked, RunBatch):
            asked = next(iter(made.feed(Bench.exactly(asked))), Finished(""))

    answered(waiting)
    assert made.batches() == {"h1/cpu0": 1, "h2/gpu0": len(OPENING)}
    made.now += 2.1
    (asked,) = made.feed(Ticked())
    answered(asked)
    assert made.batches()["h2/gpu0"] > len(OPENING)
    assert not made.state.over


def test_when_the_last_device_goes_it_is_over() -> None:
    made = bench(CPU_DEVICE)
    made.feed(Began())
    assert made.feed(DeviceGone("h1/cpu0")) == [Finished("the batches are spent")]


# What needn't be measured


def test_without_a_device_there_is_nothing_to_do() -> None:
    assert bench().run() == "the batches are spent"


def test_what_was_known_before_is_not_measured_again() -> None:
    known = [profile(CPU, share, cpu_times) for share in CPU_SHARES]
    made = bench(CPU_DEVICE, known=known)
    assert made.feed(Began()) == [Finished("all is known that matters")]


def test_what_may_not_serve_is_not_measured() -> None:
    late = Device("h3/fpga0", (Candidate(FPGA, 1000, setup_s=600.0),))
    made = bench(CPU_DEVICE, late, demand=Demand(slo_p99_s=0.05, ready_within_s=5))
    made.run()
    assert set(made.batches()) == {"h1/cpu0"}


def test_until_a_device_can_serve_is_no_part_of_what_measuring_may_take() -> None:
    slow = Device("h3/fpga0", (Candidate(FPGA, 1000, setup_s=600.0),))
    made = bench(slow, limits=Limits(seconds=30))
    made.feed(Began())
    made.now += 600.0
    assert made.feed(Ticked()) == []
    made.now += 30.0
    assert made.feed(Ticked())[-1] == Finished("the time is spent")


def test_a_model_that_cannot_be_batched_runs_one_item_at_a_time() -> None:
    made = bench(CPU_DEVICE, GPU_DEVICE, demand=Demand(batch_most=1, slo_p99_s=0.05))
    made.run()
    assert {each.batch for each in made.asked} == {1}


# Without a demand


def test_unaimed_it_ends_when_the_sizes_up_to_the_knee_are_known() -> None:
    made = bench(GPU_DEVICE, demand=None, limits=Limits(batches=64, seconds=1000))
    assert made.run() == "all is known that matters"
    curve = made.state.curves()[GPU]
    for batch in (1, 8, 64):
        for share in (125, 1000):
            found = curve.estimate(batch, share)
            assert abs(found.seconds / gpu_times(batch, share) - 1) < 0.1
            assert found.sd < 0.07


def test_beyond_the_knee_little_is_run() -> None:
    made = bench(CPU_DEVICE, demand=None)
    made.run()
    # A core gains nothing from batches, which a batch or two above tell.
    assert sum(each.batch > 8 for each in made.asked) <= 4
    assert len(made.asked) > 8


def test_limits_that_make_no_sense_are_named() -> None:
    with pytest.raises(ValueError, match="batches"):
        Limits(batches=0)
    with pytest.raises(ValueError, match="seconds"):
        Limits(seconds=float("nan"))
