"""The result of a load test, made of what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from eais import __version__
from eais_client.load.brain.conditions import Condition, missed
from eais_client.load.brain.pairing import ratios
from eais_client.load.brain.plan import ModelLoad
from eais_client.load.brain.run_figures import RunFigures, figures
from eais_client.load.brain.schedule import schedule_verdict
from eais_client.load.record import PhaseRecord
from eais_client.load.result import LoadTestResult, machine_data
from eais_client.load.running import Outcome, Plan
from eais_client.load.target import TargetSpec
from eais_client.load.targets.attaching import Attached
from eais_client.signature import Signature


def result_of(
    plan: Plan,
    outcome: Outcome,
    conditions: Sequence[Condition],
    known: Sequence[Attached],
    when: datetime,
    command: str,
) -> LoadTestResult:
    """The document of what came of `plan`.

    `known`: the instances among its targets; those that were made for it are gone now.
    """
    runs = [run_figures(each.record, plan.slo_s, each.round) for each in outcome.runs]
    data = [each.data() for each in runs]
    found, goal = outcome.capacity, plan.goal
    capacity = None if found is None or goal is None else found.data(goal)
    abouts = {each.instance.id: _about(each) for each in known}
    return LoadTestResult(
        eais=__version__,
        when=when.isoformat(timespec="seconds"),
        command=command,
        runs=runs,
        machine=machine_data(),
        settings=_settings(plan),
        models=[model_data(each, outcome.signatures.get(each.name)) for each in plan.models],
        targets=[_target(each, outcome, abouts.get(each.name, {})) for each in plan.targets],
        ratios=ratios(data) if len(plan.targets) > 1 else (),
        capacity=capacity,
        missed=missed(conditions, data),
        interrupted=outcome.interrupted,
    )


def run_figures(record: PhaseRecord, slo_s: float | None, round: int = 0) -> RunFigures:
    """A run's figures, with what is to be said of its schedule; `round` from 0 on."""
    verdict = schedule_verdict(record)
    return figures(record, slo_s, round_number=round + 1, kept=verdict.kept, said=verdict.said)


def _settings(plan: Plan) -> dict[str, Any]:
    slo_ms = None if plan.slo_s is None else plan.slo_s * 1e3
    inputs = plan.inputs
    return {
        **asdict(plan.driving),
        "rounds": plan.rounds,
        "slo_ms": slo_ms,
        "checked": plan.checked,
        "tolerance": plan.tolerance,
        "shapes": {name: list(shape) for name, shape in inputs.shapes.items()},
        "ranges": {name: list(bounds) for name, bounds in inputs.ranges.items()},
        "inputs": "" if inputs.files is None else inputs.files.name,
        "variants": inputs.variants,
    }


def model_data(model: ModelLoad, signature: Signature | None) -> dict[str, Any]:
    """What a document says of a model."""
    content = Path(model.path).read_bytes() if model.path else b""
    return {
        "name": model.name,
        "sha256": hashlib.sha256(content).hexdigest() if content else "",
        "bytes": len(content),
        "weight": model.weight,
        "inputs": [asdict(each) for each in signature.inputs] if signature else [],
    }


def _target(spec: TargetSpec, outcome: Outcome, about: Mapping[str, str]) -> dict[str, Any]:
    said = {**about, **outcome.abouts.get(spec.name, {})}
    settings = {f"set {key}": value for key, value in spec.settings.items()}
    return {
        "name": spec.name,
        "kind": spec.kind.value,
        "place": spec.place,
        "about": {**said, **settings},
    }


def _about(made: Attached) -> dict[str, str]:
    instance = made.instance
    workers = len(instance.workers)
    about = {"type": instance.type, "tolerance": instance.tolerance, "workers": str(workers)}
    if made.attach_s is not None:
        about["attach_ms"] = f"{made.attach_s * 1e3:.1f}"
    if made.detach_s is not None:
        about["detach_ms"] = f"{made.detach_s * 1e3:.1f}"
    return about
