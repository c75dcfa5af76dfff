"""`eais loadtest scenario`: an instance's life, step by step, under load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eais_client.cli import load_options as o
from eais_client.cli.command import Call, Group

if TYPE_CHECKING:
    from eais_client.instances import Instance
    from eais_client.load.brain.conditions import Condition
    from eais_client.load.brain.scenario import Scenario
    from eais_client.load.inputs import InputSpec
    from eais_client.load.report.live import View
    from eais_client.load.result import LoadTestResult
    from eais_client.load.scenario_pool import PoolWorld
    from eais_client.load.scenario_run import Outcome
    from eais_client.load.scenario_traffic import InstanceTraffic
    from eais_client.pool_client import PoolClient


def add_to(group: Group) -> None:
    """Register the command."""
    group.command(
        "scenario",
        examples=[
            "eais loadtest scenario worker-dies.yaml --model resnet50.onnx",
            "eais loadtest scenario night.yaml --fail-if 'errors > 0' --report night.html",
        ],
    )(scenario)


def scenario(
    call: Call,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Its steps, in YAML.")],
    model: Annotated[
        str,
        typer.Option("--model", metavar="FILE", help="Else the file's own.", show_default=False),
    ] = "",
    shape: o.ShapeOption = None,
    range: o.RangeOption = None,
    inputs: o.InputsOption = None,
    variants: o.VariantsOption = 8,
    tolerance: o.LoadToleranceOption = "",
    fail_if: o.FailIfOption = None,
    report: o.ReportOption = None,
) -> int:
    """Go through an instance's life under load, and time each step.

    A file names the steps: attach, push, warm, load, ramp, hold, kill, drain,
    resize, stop, start, wait, detach. Load goes on while the others act. It ends
    with how many requests were lost, wrong and late, in each step and in all; 5
    if a step couldn't be done.
    """
    from eais_client.cli.load_ending import check_installed, check_report, ended_once, tell_result

    check_installed()
    from eais_client.cli.load_plan import input_spec, tolerance_of
    from eais_client.load.brain.conditions import Condition
    from eais_client.load.report.live import live_view
    from eais_client.load.scenario_file import model_of, read_scenario
    from eais_client.load.scenario_run import ScenarioRun

    read = read_scenario(file)
    path = model_of(read, file, model) if read.calls else Path()
    # The file's own, or that nothing may be lost or wrong, unless the command line says otherwise.
    conditions = [Condition.parse(text) for text in fail_if or ()] or list(read.conditions)
    check_report(report)
    spec = input_spec(shape, range, inputs, variants, read.driving.seed)
    when = datetime.now(UTC)
    environ = call.environ()
    with call.pool() as pool, live_view(call.outside.stderr, environ) as view:
        course = _Course(call, read, path, spec, tolerance_of(tolerance), view)
        world = course.world(pool)
        with ended_once(world.end, lambda: True):
            outcome = ScenarioRun(read, world, course).run()
    result = _result(read, path, outcome, conditions, when)
    code = tell_result(call, result, report)
    for text in outcome.left:
        call.printer.note(text)
    if outcome.error is not None:
        raise outcome.error
    return code


class _Course:
    """One scenario: what it acts on, and who is told how far it is."""

    def __init__(
        self,
        call: Call,
        scenario: Scenario,
        model: Path,
        inputs: InputSpec,
        tolerance: str,
        view: View,
    ) -> None:
        self._call = call
        self._scenario = scenario
        self._model = model
        self._inputs = inputs
        self._tolerance = tolerance
        self._view = view

    def world(self, pool: PoolClient) -> PoolWorld:
        """The pool, and the model's way there."""
        from eais_client.load.scenario_pool import PoolWorld

        return PoolWorld(
            pool,
            self._call.operator,
            lambda at, sent: self._call.bring_model(at, str(self._model), sent),
            self._traffic,
            self.stage,
        )

    def stage(self, text: str) -> None:
        """What is done now."""
        self._view.stage(text)

    def step(self, number: int, of: int, title: str, seconds: float, said: str) -> None:
        """A step is done."""
        told = f": {said}" if said else ""
        self._view.note(f"{number}/{of} {title}, {seconds:.3g} s{told}")

    def _traffic(self, instance: Instance) -> InstanceTraffic:
        from eais_client.load.scenario_traffic import InstanceTraffic

        return InstanceTraffic(
            self._scenario,
            instance,
            self._model,
            self._inputs,
            self._tolerance,
            self._call.environ(),
            self.stage,
            self._view.counts,
        )


def _result(
    scenario: Scenario,
    model: Path,
    outcome: Outcome,
    conditions: Sequence[Condition],
    when: datetime,
) -> LoadTestResult:
    from eais import __version__
    from eais_client.cli.load_result import model_data, run_figures
    from eais_client.cli.load_running import typed
    from eais_client.load.brain.conditions import missed
    from eais_client.load.brain.plan import ModelLoad
    from eais_client.load.result import LoadTestResult, machine_data

    runs = [run_figures(each, scenario.slo_s) for each in outcome.records]
    models = [ModelLoad(model.stem, str(model))] if scenario.calls else []
    steps = [each.data() for each in outcome.steps]
    slo_ms = None if scenario.slo_s is None else scenario.slo_s * 1e3
    return LoadTestResult(
        eais=__version__,
        when=when.isoformat(timespec="milliseconds"),
        command=typed(),
        runs=runs,
        machine=machine_data(),
        settings={**asdict(scenario.driving), "scenario": scenario.name, "slo_ms": slo_ms},
        models=[model_data(each, None) for each in models],
        targets=[{"name": outcome.instance, "kind": "instance", "place": outcome.instance}],
        steps=[*steps, {"step": "all", **outcome.total.data()}],
        missed=missed(conditions, [each.data() for each in runs]),
        interrupted=outcome.interrupted,
    )
