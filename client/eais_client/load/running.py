"""A load test from end to end: targets are opened, phases follow each other, all is recorded.

The processes that make the load are `Generators`; nothing here makes any, and nothing is printed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from eais_client.load.brain.capacity import Capacity, Search
from eais_client.load.brain.pairing import order
from eais_client.load.brain.plan import Driving, ModelLoad, Phase, Spacing
from eais_client.load.brain.schedule import schedule_verdict
from eais_client.load.brain.trials import Goal, Trial, phase_of, result_of
from eais_client.load.checking import Prepared, write_prepared
from eais_client.load.generator.processes import Generators, LiveCounts
from eais_client.load.inputs import InputSpec, check_names, inputs_of
from eais_client.load.record import PhaseRecord
from eais_client.load.reference import add_answers, given_answers
from eais_client.load.target import TargetSpec
from eais_client.signature import Signature

WARM_S: Final = 1.0
WARM_CALLS: Final = 3
"""Of each model and target, before anything is measured: the first ones compile and allocate."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for.

    Attributes:
        targets: side by side; more than one take turns in each round.
        phases: the loads, one after the other; none if only the capacity is sought.
        rounds: how often each load is put on each target.
        inputs: what the models are called with.
        checked: whether answers are compared with onnxruntime's on this machine.
        reference: a folder of right answers to the inputs' files, instead of onnxruntime's.
        tolerance: how far they may differ.
        slo_s: within which requests should be answered, seconds; None: unsaid.
        goal: of the search for the first target's capacity; None: it isn't sought.
        confirm_s: how long is measured at what was found.
        spacing, burst: of that search's arrivals.
    """

    targets: tuple[TargetSpec, ...]
    models: tuple[ModelLoad, ...]
    phases: tuple[Phase, ...]
    driving: Driving
    rounds: int = 1
    inputs: InputSpec = field(default_factory=InputSpec)
    checked: bool = True
    reference: Path | None = None
    tolerance: str = "fp32"
    slo_s: float | None = None
    goal: Goal | None = None
    confirm_s: float = 10.0
    spacing: Spacing = Spacing.POISSON
    burst: float = 1.0


class Watcher(Protocol):
    """Who is told how far a test is, from the thread that runs it."""

    def stage(self, text: str) -> None:
        """What is done now."""
        ...

    def counts(self, live: LiveCounts) -> None:
        """What a phase has come to, about once a second."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """A phase that was run on a target; `round` from 0 on."""

    round: int
    record: PhaseRecord


@dataclass(slots=True)
class Outcome:
    """What came of a test.

    Attributes:
        runs: in order.
        capacity: what the search found; None if there was none.
        abouts: target -> what it says of itself.
        signatures: model -> its inputs and outputs, as the first target says.
        interrupted: whether it was ended before its time.
    """

    runs: list[Run] = field(default_factory=list)
    capacity: Capacity | None = None
    abouts: dict[str, Mapping[str, str]] = field(default_factory=dict)
    signatures: Mapping[str, Signature] = field(default_factory=dict)
    interrupted: bool = False


class LoadTest:
    """One test."""

    def __init__(self, plan: Plan, watcher: Watcher, environ: Mapping[str, str] | None) -> None:
        self._plan = plan
        self._watcher = watcher
        self._environ = environ
        self._generators: Generators | None = None
        self.outcome = Outcome()

    @property
    def begun(self) -> bool:
        """Whether load is made: there may be something to tell."""
        return self._generators is not None

    def stop(self) -> None:
        """End it; what there is so far is its outcome. From anywhere, a signal's handler too."""
        self.outcome.interrupted = True
        if self._generators is not None:
            self._generators.stop()

    def run(self) -> Outcome:
        """Do it all.

        Raises what hinders a target or model from being opened, called once, or answered for.
        """
        plan = self._plan
        self._watcher.stage("opening")
        with (
            tempfile.TemporaryDirectory(prefix="eais-load-") as folder,
            Generators(plan.targets, plan.models, plan.driving, self._environ) as made,
        ):
            self._prepare(made, Path(folder))
            self._generators = made
            self._phases(made)
            self._search(made)
            self._generators = None
        return self.outcome

    def _prepare(self, made: Generators, folder: Path) -> None:
        plan, outcome = self._plan, self.outcome
        outcome.signatures = made.signatures[0]
        check_names(outcome.signatures, plan.inputs)
        folders = {}
        for number, model in enumerate(plan.models):
            folders[model.name] = folder / str(number)
            feeds = inputs_of(model.name, outcome.signatures[model.name], plan.inputs)
            right = self._given(model.name) if plan.checked else None
            write_prepared(folders[model.name], Prepared(tuple(feeds), right, plan.tolerance))
            if plan.checked and right is None and model.path:
                self._watcher.stage(f"running {model.name} in onnxruntime for right answers")
                add_answers(model.path, folders[model.name])
        made.prepare(folders)
        for number, target in enumerate(plan.targets):
            self._watcher.stage(f"warming up {target.name}")
            made.warm(number, WARM_CALLS)
        outcome.abouts = dict(zip((t.name for t in plan.targets), made.abouts, strict=True))

    def _given(self, model: str) -> tuple[tuple[Any, ...], ...] | None:
        """The right answers that files hold, if any do."""
        folder, inputs = self._plan.reference, self._plan.inputs.files
        if folder is None:
            return None
        return given_answers(folder, inputs, model, self.outcome.signatures[model])

    def _phases(self, made: Generators) -> None:
        plan, outcome = self._plan, self.outcome
        for phase in plan.phases:
            for number in range(plan.rounds):
                for target in order(len(plan.targets), number):
                    if outcome.interrupted:
                        return
                    record = made.run(target, phase, self._counts)
                    outcome.runs.append(Run(number, record))

    def _search(self, made: Generators) -> None:
        """Find the first target's capacity, and measure at the lower end of what was found."""
        plan, goal, outcome = self._plan, self._plan.goal, self.outcome
        if goal is None:
            return
        search = Search(goal)
        while not outcome.interrupted and (trial := search.next()) is not None:
            self._watcher.stage(f"trying {trial.rate_per_s:.4g}/s")
            record = made.run(0, phase_of(trial, plan.spacing, plan.burst), self._counts)
            if not outcome.interrupted:
                kept = schedule_verdict(record).kept
                search.told(result_of(trial, record, goal.slo_s, kept=kept))
        outcome.capacity = search.found()
        if outcome.capacity.low > 0 and not outcome.interrupted:
            last = Trial(outcome.capacity.low, plan.confirm_s, WARM_S)
            record = made.run(0, phase_of(last, plan.spacing, plan.burst), self._counts)
            outcome.runs.append(Run(0, record))

    def _counts(self, live: LiveCounts) -> None:
        self._watcher.counts(live)
        if self.outcome.interrupted and self._generators is not None:
            # It may have been ended while no phase was on, just before this one.
            self._generators.stop()
