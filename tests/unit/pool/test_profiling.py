from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from eais_pool.brain.events import DeviceReported, HostLost, ModelMeasured, SessionsChanged
from eais_pool.brain.host_records import DeviceRecord, ModelLoad
from eais_pool.brain.loads import LoadsReported
from eais_pool.brain.profiling import ASKED_MOST, KEPT_S, Profiling
from eais_pool.brain.records import LeaseKey
from eais_pool.brain.studies import Action, Keep, Model, Order, Rules, Stop, Study, demand_of
from eais_pool.policy.measuring_events import Limits
from eais_pool.policy.prices import Prices
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import Pool

SPEC = base64.b64encode(b"spec").decode()
MODEL = Model("acme", "ab" * 32, SPEC)
RULES = Rules(after_s=30.0, limits=Limits(batches=6, seconds=20.0))
REAL_GPU = replace(device("gpu0", "gpu", 1000), model="some GPU", simulated=False)
SIM_NPU = replace(device("npu0", "npu", 1000), model="some NPU")
TIMES = {"cpu0": 0.04, "gpu0": 0.002, "npu0": 0.01, "fpga0": 0.002}


def seconds(order: Order) -> float:
    return TIMES[order.device] * order.batch * 1000 / order.share_milli


class Lab:
    """A pool's profiling, and hosts that time what they are told."""

    def __init__(self, *devices: DeviceRecord, rules: Rules = RULES) -> None:
        cpu = replace(device(), granularity_milli=1000, model="some CPU", simulated=False)
        self.pool = Pool(FakeHost("h1", devices or (cpu, REAL_GPU, SIM_NPU)))
        self.brain = Profiling(Prices(), rules)
        self.now = 1000.0
        self.orders: list[Order] = []
        self.stops: list[Stop] = []
        self.kept: list[Study] = []

    def do(self, actions: list[Action]) -> list[Order]:
        for action in actions:
            match action:
                case Order():
                    self.orders.append(action)
                case Stop():
                    self.stops.append(action)
                case Keep(study):
                    self.kept.append(study)
                    self.pool.shell.feed(ModelMeasured(tuple(study.profiles(1.0))))
        return [each for each in actions if isinstance(each, Order)]

    def tick(self, later_s: float = 1.0) -> list[Order]:
        self.now += later_s
        return self.do(self.brain.on_tick(self.pool.shell.state, self.now))

    def answer(self, order: Order) -> list[Order]:
        took = [seconds(order)] * 2
        return self.do(self.brain.measured(order.study, order.number, took, self.now))

    def fail(self, order: Order, reason: str) -> list[Order]:
        found = self.brain.failed(order.study, order.number, reason, "so it is", self.now)
        return self.do(found)

    def finish(self, waiting: list[Order]) -> None:
        """Answer all that is asked for until nothing is."""
        while waiting:
            waiting += self.answer(waiting.pop(0))

    def ask(self, op_id: str = "op", model: Model = MODEL) -> Study:
        study = self.brain.ask(op_id, model, demand_of(""))
        assert study is not None
        return study

    def open(self) -> LeaseKey:
        """A session of the model on an instance that has one core."""
        made = self.pool.attached("cpu.1")
        key = LeaseKey("h1", made.id, 1)
        self.pool.shell.feed(SessionsChanged(*key, (MODEL.spec,), (MODEL.digest,)))
        self.brain.opened(MODEL, demand_of(""), self.now)
        return key


def test_a_model_is_measured_on_each_kind_of_device_that_is_idle() -> None:
    lab = Lab()
    study = lab.ask()
    first = lab.tick()
    assert {order.device for order in first} == {"cpu0", "gpu0"}
    assert {order.runtime for order in first} == {"onnxruntime/fp32"}
    assert len(study.busy()) == 2
    lab.finish(first)
    assert study.over
    assert lab.kept == [study]
    assert lab.stops == [Stop("h1", study.id)] * 2
    devices = [order.device for order in lab.orders]
    # A simulated device computes on the host's cores: those are measured first.
    assert set(devices[devices.index("npu0") :]) == {"npu0"}
    profiles = lab.pool.shell.state.profiles.of(MODEL.digest)
    shares = {(p.kind.value, p.key.share_milli) for p in profiles}
    # Real accelerators as a whole, CPUs by whole cores.
    assert {share for kind, share in shares if kind == "gpu"} == {1000}
    assert {share for kind, share in shares if kind == "cpu"} <= {1000, 2000, 4000}
    assert len({share for kind, share in shares if kind == "npu"}) > 1
    assert {p.simulated for p in profiles if p.kind.value == "npu"} == {True}
    assert all(each.points[0].samples >= 2 for each in profiles)
    lab.pool.end()


def test_a_device_that_somebody_uses_is_left_alone() -> None:
    lab = Lab()
    lab.pool.attached("gpu.1-8")
    lab.pool.attached("cpu.3")
    study = lab.ask()
    orders = lab.tick()
    assert {order.device for order in orders} == {"cpu0"}
    assert all(order.share_milli == 1000 for order in orders if order.device == "cpu0")
    assert study.unmeasured == {("gpu", "some GPU"): "it isn't idle"}


def test_a_bad_device_is_said_to_be_bad() -> None:
    lab = Lab()
    lab.pool.shell.feed(DeviceReported("h1", "gpu0", "bad", "41, not 42"))
    study = lab.ask()
    lab.tick()
    assert study.unmeasured == {("gpu", "some GPU"): "it is bad: 41, not 42"}


def test_what_needs_an_image_is_measured_once_it_has_one() -> None:
    board = replace(device("fpga0", "fpga", 1000), model="a board", simulated=False, loads=())
    cpu = replace(device(), granularity_milli=1000, model="some CPU", simulated=False)
    lab = Lab(cpu, board)
    study = lab.ask()
    lab.finish(lab.tick())
    assert study.unmeasured == {("fpga", "a board"): "it has no image of this model"}
    load = ModelLoad(MODEL.digest, 800)
    lab.pool.shell.feed(LoadsReported("h1", "fpga0", (load,)))
    lab.ask("again")
    assert {order.device for order in lab.tick()} == {"cpu0", "fpga0"}


def test_no_image_after_all_is_no_part_of_a_profile() -> None:
    lab = Lab()
    study = lab.ask()
    [*waiting] = lab.tick()
    gpu = next(order for order in waiting if order.device == "gpu0")
    waiting.remove(gpu)
    lab.fail(gpu, "IMAGE_MISSING")
    lab.finish(waiting)
    assert study.unmeasured[("gpu", "some GPU")] == "IMAGE_MISSING: so it is"
    kinds = {each.kind.value for each in lab.pool.shell.state.profiles.of(MODEL.digest)}
    assert kinds == {"cpu", "npu"}


def test_measuring_ends_on_a_device_that_is_wanted() -> None:
    lab = Lab()
    study = lab.ask()
    waiting = lab.tick()
    lab.pool.attached("gpu.1-2")
    lab.tick()
    assert lab.stops == [Stop("h1", study.id, "gpu0")]
    assert study.unmeasured[("gpu", "some GPU")] == "it was wanted meanwhile"
    lab.finish([order for order in waiting if order.device != "gpu0"])
    assert study.over
    kinds = {each.kind.value for each in lab.pool.shell.state.profiles.of(MODEL.digest)}
    assert kinds == {"cpu", "npu"}


def test_what_a_host_says_too_late_counts_for_nothing() -> None:
    lab = Lab()
    lab.ask()
    waiting = lab.tick()
    waiting += lab.tick(RULES.limits.seconds)
    assert lab.tick(RULES.limits.seconds) == []
    assert [study.over for study in lab.kept] == ["the time is spent"]
    assert [lab.answer(order) for order in waiting] == [[], [], []]
    assert not lab.pool.shell.state.profiles.profiles


def test_a_lost_host_is_measured_no_more() -> None:
    lab = Lab()
    study = lab.ask()
    lab.tick()
    lab.pool.shell.feed(HostLost("h1"))
    lab.do(lab.brain.host_gone("h1", lab.now))
    assert study.over
    assert set(study.unmeasured.values()) == {"its host can't be reached"}


@pytest.mark.parametrize("reason", ["NO_DEVICE", "DEVICE_LOST", "PROCESS_FAILED", "MODEL_LOST"])
def test_what_is_not_the_models_doing_is_not_kept_against_it(reason: str) -> None:
    lab = Lab(REAL_GPU)
    study = lab.ask()
    (order,) = lab.tick()
    lab.fail(order, reason)
    assert study.over
    assert study.unmeasured == {("gpu", "some GPU"): f"{reason}: so it is"}
    assert not lab.pool.shell.state.profiles.profiles


@pytest.mark.parametrize("reason", ["MODEL_CRASHED", "PARITY_REFUSED", "NO_SUCH_REASON"])
def test_a_model_that_cannot_be_run_there_has_a_profile_that_says_so(reason: str) -> None:
    lab = Lab(REAL_GPU)
    study = lab.ask()
    (order,) = lab.tick()
    lab.fail(order, reason)
    assert study.over
    (profile,) = lab.pool.shell.state.profiles.of(MODEL.digest)
    word = "RUN_FAILED" if reason == "NO_SUCH_REASON" else reason
    assert [(each.batch, each.reason) for each in profile.failed] == [(1, word)]


def test_a_model_that_takes_no_batches_is_measured_one_by_one() -> None:
    lab = Lab(REAL_GPU)
    lab.ask()
    waiting = lab.tick()
    while waiting:
        order = waiting.pop(0)
        waiting += lab.answer(order) if order.batch == 1 else lab.fail(order, "INPUT_SHAPE")
    (profile,) = lab.pool.shell.state.profiles.of(MODEL.digest)
    assert [point.batch for point in profile.points] == [1]
    assert [(f.batch, f.reason) for f in profile.failed] == [(2, "INPUT_SHAPE")]
    assert sum(order.batch > 1 for order in lab.orders) == 1


def test_a_session_that_stays_open_has_its_model_measured_once() -> None:
    lab = Lab()
    lab.open()
    assert lab.tick() == []
    first = lab.tick(RULES.after_s)
    assert {order.device for order in first} == {"cpu0", "gpu0"}
    lab.finish(first)
    assert lab.pool.shell.state.profiles.of(MODEL.digest)
    lab.brain.opened(MODEL, demand_of(""), lab.now)
    assert lab.tick(3600.0) == []


def test_a_session_that_was_closed_before_is_not_measured() -> None:
    lab = Lab()
    key = lab.open()
    lab.pool.shell.feed(SessionsChanged(*key, (), ()))
    assert lab.tick(RULES.after_s) == []


def test_what_was_not_idle_is_measured_later() -> None:
    lab = Lab()
    made = lab.pool.attached("gpu.1")
    lab.open()
    lab.finish(lab.tick(RULES.after_s))
    assert lab.pool.shell.state.profiles.of(MODEL.digest)
    assert lab.tick(3600.0) == []
    lab.pool.ask("detach", made.id)
    lab.pool.deliver()
    lab.pool.answer()
    assert {order.device for order in lab.tick(3600.0)} == {"gpu0"}


def test_nothing_is_measured_unasked_where_that_is_off() -> None:
    lab = Lab(rules=replace(RULES, after_s=0.0))
    lab.open()
    assert lab.tick(3600.0) == []


def test_who_asks_goes_before_what_is_measured_unasked_and_waits_for_one_under_way() -> None:
    lab = Lab(REAL_GPU)
    first = lab.ask("one")
    waiting = lab.tick()
    second = lab.ask("two", Model("acme", "cd" * 32, "other"))
    assert lab.tick() == []
    assert (first.over, second.over, second.busy()) == ("", "", [])
    lab.finish(waiting)
    (order,) = lab.tick()
    assert order.model is second.model


def test_what_was_asked_for_is_remembered_for_a_while_and_is_bounded() -> None:
    lab = Lab(REAL_GPU)
    study = lab.ask()
    assert lab.ask() is study
    assert lab.brain.asked_for("another", "op") is None
    for n in range(ASKED_MOST - 1):
        lab.ask(f"op{n}")
    assert lab.brain.ask("one more", MODEL, demand_of("")) is None
    lab.finish(lab.tick())
    assert study.over
    lab.tick(KEPT_S)
    assert lab.brain.asked_for("acme", "op") is None


def test_nothing_to_measure_on_is_said() -> None:
    lab = Lab(REAL_GPU)
    lab.pool.attached("gpu.1")
    study = lab.ask()
    assert lab.tick() == []
    assert study.over == "there is nothing that could be measured now"
    assert study.unmeasured


def test_what_the_tolerance_does_not_admit_is_not_measured() -> None:
    runtimes = ("onnxruntime/fp32", "quick/bf16")
    cpu = replace(device("cpu0", "cpu", 1000), model="some CPU", simulated=False)
    lab = Lab(replace(REAL_GPU, runtimes=runtimes), cpu)
    lab.open()
    lab.finish(lab.tick(RULES.after_s))
    assert {order.runtime for order in lab.orders} == {"onnxruntime/fp32"}
    assert lab.tick(3600.0) == []
    assert len(lab.kept) == 1
    study = lab.brain.ask("op", MODEL, demand_of("bf16"))
    assert study is not None
    lab.finish(lab.tick())
    assert {order.runtime for order in lab.orders} == set(runtimes)
