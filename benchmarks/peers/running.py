"""A case put on targets, by the load generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.peers.cases import Case
from benchmarks.peers.stand import Stand, on_core
from eais_client.load.brain.plan import ModelLoad
from eais_client.load.brain.run_figures import figures
from eais_client.load.generator.processes import LiveCounts
from eais_client.load.inputs import InputSpec
from eais_client.load.running import LoadTest, Plan
from eais_client.load.target import TargetKind, TargetSpec

VARIANTS: Final = 2
"""Different inputs of a case, in turn."""
_NULL: Final = TargetSpec(TargetKind.PYTHON, "generator", "eais_client.load.testing.null:Null")


class Quiet:
    """A watcher to whom nothing is worth saying."""

    def stage(self, text: str) -> None:
        """Nothing."""

    def counts(self, live: LiveCounts) -> None:
        """Nothing."""


def runs_of(
    at: Stand, case: Case, rounds: int, seconds: float, only: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """A case on all targets, or those named, in turns; the runs as a result document has them."""
    plan = Plan(
        targets=tuple(each for each in at.targets if not only or each.name in only),
        models=(ModelLoad(case.model, str(at.folder / f"{case.model}.onnx")),),
        phases=(case.phase(seconds),),
        driving=case.driving(),
        rounds=rounds,
        inputs=InputSpec(shapes=case.shapes, variants=VARIANTS),
        tolerance=case.tolerance,
    )
    return _done(at, plan)


def generator_per_s(at: Stand, case: Case, seconds: float) -> float:
    """What the generator does if nothing is to be waited for, a second."""
    plan = Plan((_NULL,), (ModelLoad("null", ""),), (case.phase(seconds),), case.driving())
    [run] = _done(at, plan)
    return round(float(run["done_per_s"]), 1)


def _done(at: Stand, plan: Plan) -> list[dict[str, Any]]:
    with on_core(at.core):
        outcome = LoadTest(plan, Quiet(), at.environ).run()
    return [figures(run.record, round_number=run.round + 1).data() for run in outcome.runs]
