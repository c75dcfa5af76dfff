"""Life-cycle scenarios on a real pool: the examples, and what is said when one can't be done."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.faults.processes import descendants
from eais.errors import UsageError
from eais_client import bringing
from eais_client.context import ContextStore
from eais_client.demo.resnet import light_resnet50
from eais_client.instances import Instance
from eais_client.load.brain.plan import Open
from eais_client.load.brain.scenario import Victim
from eais_client.load.inputs import InputSpec
from eais_client.load.scenario_file import read_scenario
from eais_client.load.scenario_pool import PoolWorld
from eais_client.load.scenario_run import Outcome, ScenarioRun
from eais_client.load.scenario_traffic import InstanceTraffic
from eais_client.load.victims import kill, victim_of
from eais_client.operator_client import OperatorClient
from eais_client.pool_client import PoolClient
from tests.system.stack import Host, Stack, embedded_pool, eventually, further_host

EXAMPLES = Path(__file__).parents[2] / "examples/scenarios"


@dataclass
class Told:
    """What a watcher is told."""

    stages: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def step(self, number: int, of: int, title: str, seconds: float, said: str) -> None:
        self.steps.append(f"{number}/{of} {title}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    config = "[listener]\ncpu_cores = 2\n[manager]\ntick_s = 0.25\n"
    with embedded_pool(tmp_path_factory.mktemp("pool"), config) as made:
        before = os.environ.get("EAIS_CONFIG_DIR")
        os.environ["EAIS_CONFIG_DIR"] = str(made.config)
        yield made
        os.environ.pop("EAIS_CONFIG_DIR")
        if before is not None:
            os.environ["EAIS_CONFIG_DIR"] = before


@pytest.fixture
def second(stack: Stack, tmp_path: Path) -> Iterator[Host]:
    with further_host(stack, tmp_path, "h2", "127.0.0.2") as made:
        yield made


@contextmanager
def run_of(stack: Stack, file: Path) -> Iterator[tuple[ScenarioRun, PoolWorld, Told]]:
    """A run of a scenario, about to begin."""
    scenario, told = read_scenario(file), Told()
    store = ContextStore(stack.config)
    context = store.current({})
    model = light_resnet50()

    def traffic(instance: Instance) -> InstanceTraffic:
        return InstanceTraffic(
            scenario,
            instance,
            model,
            InputSpec(variants=2),
            "fp32",
            os.environ,
            told.stage,
            lambda _: None,
        )

    with PoolClient.of_context(store, context) as pool:
        world = PoolWorld(
            pool,
            lambda: OperatorClient.of_context(store, context),
            lambda at, sent: bringing.bring_model(store, context, at, str(model), sent),
            traffic,
            told.stage,
        )
        yield ScenarioRun(scenario, world, told), world, told


def done(stack: Stack, file: Path) -> tuple[Outcome, Told]:
    with run_of(stack, file) as (run, _, told):
        return run.run(), told


def instances_of(stack: Stack) -> tuple[Instance, ...]:
    store = ContextStore(stack.config)
    with PoolClient.of_context(store, store.current({})) as pool:
        return pool.list()


def test_a_worker_dies_under_load_and_nothing_is_lost(stack: Stack) -> None:
    outcome, told = done(stack, EXAMPLES / "worker-dies.yaml")
    assert outcome.error is None
    assert (outcome.total.lost, outcome.total.wrong) == (0, 0), outcome.total
    assert outcome.clean
    titles = [step.title for step in outcome.steps]
    assert titles == [
        "attach cpu.1",
        "push",
        "warm",
        "load 4/s",
        "hold 2 s",
        "ramp 4 to 10/s",
        "kill worker",
        "hold 3 s",
        "detach",
    ]
    assert len(told.steps) == len(titles)
    by_title = {step.title: step for step in outcome.steps}
    assert "MB" in by_title["push"].said
    assert " in its place; rightly answered again " in by_title["kill worker"].said
    (record,) = outcome.records
    assert sum(step.requests.requests for step in outcome.steps) == outcome.total.requests
    (tally,) = record.models.values()
    assert tally.due == tally.answered == outcome.total.requests > 10
    assert tally.checked == tally.answered
    assert by_title["attach cpu.1"].requests.requests == 0
    assert instances_of(stack) == ()


def test_a_host_is_drained_under_load_and_nothing_is_lost(stack: Stack, second: Host) -> None:
    outcome, _ = done(stack, EXAMPLES / "host-drained.yaml")
    assert outcome.error is None
    assert (outcome.total.lost, outcome.total.wrong) == (0, 0), outcome.total
    by_title = {step.title: step for step in outcome.steps}
    drained = by_title["drain its host"]
    assert f", {outcome.instance} moved to " in drained.said
    assert drained.requests.requests > 0
    assert outcome.clean
    # Hosts are as they were before.
    assert [use.cordoned for use in stack.status().hosts] == [False, False]


def scenario(tmp_path: Path, *steps: str) -> Path:
    file = tmp_path / "s.yaml"
    file.write_text("slo-p99: 1ms\nsteps:\n" + "".join(f"  - {step}\n" for step in steps))
    return file


def test_a_drain_that_has_nowhere_to_go_is_said_before_the_first_step(
    stack: Stack, tmp_path: Path
) -> None:
    file = scenario(tmp_path, "attach: cpu.1", "drain")
    with pytest.raises(UsageError) as raised:
        done(stack, file)
    said = f"{file}:4: step 2 (drain): a drain needs another host that takes instances: there "
    assert raised.value.message.startswith(said)


def test_a_step_that_fails_ends_it_and_what_was_attached_is_detached(
    stack: Stack, tmp_path: Path
) -> None:
    file = scenario(tmp_path, "attach: cpu.1", "load: 4", "resize: cpu.64", "hold: 1m")
    outcome, _ = done(stack, file)
    assert outcome.error is not None
    assert outcome.error.message.startswith(f"{file}:5: step 3 (resize): ")
    assert not outcome.clean
    assert [(step.title, step.failed) for step in outcome.steps] == [
        ("attach cpu.1", False),
        ("load 4/s", False),
        ("resize cpu.64", True),
    ]
    assert len(outcome.records) == 1
    assert instances_of(stack) == ()


def test_what_is_lost_and_late_is_told_by_step(stack: Stack, tmp_path: Path) -> None:
    file = scenario(
        tmp_path, "attach: cpu.1", "load: 10", "wait: 1s", "stop", "wait: 1s", "start", "wait: 1s"
    )
    outcome, _ = done(stack, file)
    assert outcome.error is None
    by_place = [step.requests for step in outcome.steps]
    before = by_place[2]
    # What was under way when it was stopped may have failed, too.
    assert before.late is not None
    assert before.late + before.lost == before.requests > 0
    assert by_place[4].reasons == {"INSTANCE_STOPPED": by_place[4].requests}
    assert by_place[6].lost == 0
    assert not outcome.clean


def test_who_ends_it_has_what_there_is(stack: Stack, tmp_path: Path) -> None:
    file = scenario(tmp_path, "attach: cpu.1", "load: 10", "hold: 10m")
    with run_of(stack, file) as (run, world, told):
        thread = threading.Thread(target=run.run)
        thread.start()
        eventually(lambda: "hold 600 s" in told.stages or None, "the load is on")
        thread.join(0.5)
        world.end()
        thread.join(30)
    assert run.outcome.interrupted
    assert run.outcome.total.requests > 0
    titles = [step.title for step in run.outcome.steps]
    assert titles == ["attach cpu.1", "load 10/s", "hold 600 s"]
    assert instances_of(stack) == ()


def test_nobody_elses_process_is_killed(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no worker of ei-0123456789abcdef, which is on h9, is a"):
        victim_of("ei-0123456789abcdef", "h9", Victim.WORKER)
    with pytest.raises(UsageError, match="had ended before it could be killed"):
        kill(os.getpid(), "eais-worker ei-0123456789abcdef", Victim.WORKER)


def test_a_listener_that_is_killed_comes_back_with_its_workers(
    stack: Stack, tmp_path: Path
) -> None:
    file = scenario(tmp_path, "attach: cpu.1", "kill: listener", "load: 5", "kill: listener")
    outcome, _ = done(stack, file)
    assert outcome.error is None
    _, first, _, second = outcome.steps
    assert "a call made then was answered " in first.said
    assert "rightly answered again " in second.said
    assert (outcome.total.lost, outcome.total.wrong) == (0, 0), outcome.total


def test_load_goes_off_and_on_by_tasks_of_two_processes(stack: Stack, tmp_path: Path) -> None:
    file = scenario(
        tmp_path,
        "attach: cpu.1",
        "push",
        "push",
        "warm: 2",
        "load: {rate: 8, for: 1s}",
        "ramp: {to: 0, for: 1s}",
        "wait: 500ms",
        "load: off",
        "wait: 500ms",
        "ramp: {from: 0, to: 12, for: 1s}",
        "load: off",
    )
    file.write_text("driver: tasks\nprocesses: 2\narrivals: constant\n" + file.read_text())
    outcome, _ = done(stack, file)
    assert outcome.error is None
    assert outcome.clean, outcome.total
    counts = [step.requests.requests for step in outcome.steps]
    # 8 in the first second, then half of that, then half of 12.
    assert counts[4] + counts[5] == pytest.approx(12, abs=1)
    assert counts[6:9] == [0, 0, 0]
    assert counts[9] + counts[10] == pytest.approx(6, abs=1)
    assert "nothing was sent" in outcome.steps[2].said
    assert len(outcome.records) == 2
    asked = [record.phase.load for record in outcome.records]
    assert [
        [each.to_per_s for each in load.stretches] for load in asked if isinstance(load, Open)
    ] == [
        [8.0, 0.0, 0.0],
        [12.0, 12.0],
    ]


def test_load_whose_process_dies_ends_it_and_is_said(stack: Stack, tmp_path: Path) -> None:
    file = scenario(tmp_path, "attach: cpu.1", "load: 10", "hold: 10m")

    def kill_generator() -> None:
        eventually(lambda: "hold 600 s" in told.stages or None, "the load is on")
        for each in descendants(os.getpid()):
            if "eais_client.load.generator" in each.title:
                each.send(signal.SIGKILL).close()

    with run_of(stack, file) as (run, _, told):
        killer = threading.Thread(target=kill_generator)
        killer.start()
        outcome = run.run()
        killer.join()
    assert outcome.error is not None
    assert outcome.error.reason == "PROCESS_FAILED"
    assert f"{file}:5: step 3 (hold): the load ended by itself: " in outcome.error.message
    assert "was ended by signal 9" in outcome.error.message
    assert instances_of(stack) == ()
