"""What the options of `eais loadtest` ask for."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final

from eais.errors import ConfigError, UsageError
from eais_client.cli.load_ending import check_report
from eais_client.cli.vnic_options import driver_of
from eais_client.load.brain import asked
from eais_client.load.brain.asked import LoadAsked, phases_of, seconds_of, share_of, spacing_of
from eais_client.load.brain.conditions import Condition
from eais_client.load.brain.plan import Driver, Driving, ModelLoad, Open
from eais_client.load.brain.trials import Goal
from eais_client.load.inputs import InputSpec, files_in
from eais_client.load.running import Plan
from eais_client.load.target import TargetKind, TargetSpec
from eais_client.load.trace import TraceSpec, read_trace

TOLERANCES: Final = ("exact", "fp32", "bf16", "int8")
_CHECKED: Final = "5%"
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """The options, as they were given; see `eais loadtest --help`."""

    model: Sequence[str] | None = None
    mix: str = ""
    instance: Sequence[str] | None = None
    attach: Sequence[str] | None = None
    vnic: str = ""
    onnxruntime: bool = False
    server: Sequence[str] | None = None
    python: Sequence[str] | None = None
    setting: Sequence[str] | None = None
    concurrency: str = ""
    arrivals: str = ""
    rate: str = ""
    burst: float | None = None
    trace: Path | None = None
    trace_of: str = ""
    trace_column: str = ""
    trace_from: str = ""
    trace_scale: float = 1.0
    duration: str = ""
    warmup: str = ""
    driver: str = "threads"
    processes: int = 1
    max_in_flight: int = 256
    timeout: str = "30s"
    seed: int = 1
    rounds: int | None = None
    shape: Sequence[str] | None = None
    range: Sequence[str] | None = None
    inputs: Path | None = None
    variants: int = 8
    check: str = ""
    reference: str = ""
    tolerance: str = ""
    slo_p99: str = ""
    find_capacity: bool = False
    fail_if: Sequence[str] | None = None
    report: Path | None = None

    @classmethod
    def names(cls) -> frozenset[str]:
        """Of the options."""
        return frozenset(each.name for each in fields(cls))


@dataclass(frozen=True, slots=True)
class Asked:
    """All that can be read of the options before a pool, or a target, is asked.

    Attributes:
        plan: its targets are those that need nothing to be made.
        attach: types of instances to be made for the test; targets, too.
        vnic: the driver of their vNICs; "" for the pool's choice.
        conditions: under which it has failed.
        notes: what isn't done, for people.
    """

    plan: Plan
    attach: tuple[str, ...]
    conditions: tuple[Condition, ...]
    notes: tuple[str, ...] = field(default=())
    vnic: str = ""


def read_options(options: LoadOptions) -> Asked:
    """What they say; `UsageError` for what makes no sense, before anything is begun.

    NOT_INSTALLED if answers can't be checked though that was asked for.
    """
    models = _models(options)
    slo_s = seconds_of("--slo-p99", options.slo_p99) if options.slo_p99 else None
    goal = _goal(options, slo_s)
    reference = _reference(options)
    checked, notes = _checked(options, models, reference)
    share = share_of("--check", options.check or _CHECKED) if checked else 0.0
    targets = _targets(options)
    several = len(targets) + len(options.attach or ()) > 1
    if goal is not None and several:
        raise UsageError("ARGUMENT", "--find-capacity is of one target: name one")
    plan = Plan(
        targets=targets,
        models=models,
        phases=() if goal is not None else phases_of(_load(options)),
        driving=_driving(options, share),
        rounds=options.rounds or (_ROUNDS if several else 1),
        inputs=input_spec(
            options.shape, options.range, options.inputs, options.variants, options.seed
        ),
        checked=checked,
        reference=reference,
        tolerance=tolerance_of(options.tolerance),
        slo_s=slo_s,
        goal=goal,
        confirm_s=seconds_of("--duration", options.duration or "10s"),
        spacing=spacing_of(options.arrivals),
        burst=asked.burst_of(options.burst),
    )
    conditions = tuple(map(Condition.parse, options.fail_if or ()))
    check_report(options.report)
    attach = tuple(options.attach or ())
    return Asked(plan, attach, conditions, tuple(notes), _vnic(options))


def _vnic(options: LoadOptions) -> str:
    if options.vnic and not options.attach:
        hint = "--attach TYPE makes one"
        raise UsageError("ARGUMENT", "--vnic is of an instance made for the test", hint=hint)
    return driver_of(options.vnic)


def with_targets(plan: Plan, made: Sequence[TargetSpec]) -> Plan:
    """With targets that were made for the test before the others, all of them named once."""
    targets = (*made, *plan.targets)
    names = [each.name for each in targets]
    for name in names:
        if names.count(name) > 1:
            raise UsageError("ARGUMENT", f"{name} is named twice as a target")
    return replace(plan, targets=targets)


def _models(options: LoadOptions) -> tuple[ModelLoad, ...]:
    given = list(options.model or ())
    if not given:
        hint = "--model FILE.onnx; `eais loadtest --help` shows examples"
        raise UsageError("ARGUMENT", "no model is named", hint=hint)
    weights = asked.weights_of(options.mix, len(given))
    servers_only = options.server and not (
        options.instance or options.attach or options.onnxruntime or options.python
    )
    made = list[ModelLoad]()
    for text, weight in zip(given, weights, strict=True):
        path = Path(text)
        if path.is_file():
            made.append(ModelLoad(_unused(path.stem, made), str(path), weight))
        elif servers_only and "/" not in text and path.suffix != ".onnx":
            made.append(ModelLoad(text, "", weight))
        else:
            raise UsageError("NOT_FOUND", f"--model {text}: there is no such file")
    return tuple(made)


def _unused(name: str, made: Sequence[ModelLoad]) -> str:
    names, number, unused = {each.name for each in made}, 2, name
    while unused in names:
        unused, number = f"{name}-{number}", number + 1
    return unused


def _goal(options: LoadOptions, slo_s: float | None) -> Goal | None:
    if not options.find_capacity:
        return None
    if slo_s is None:
        text = "--find-capacity seeks the highest rate within an SLO: say it"
        raise UsageError("ARGUMENT", text, hint="such as --slo-p99 50ms")
    if options.concurrency or options.trace or options.rate:
        text = "--find-capacity makes loads of its own: leave out --rate, --concurrency and --trace"
        raise UsageError("ARGUMENT", text)
    return Goal(slo_s)


def _load(options: LoadOptions) -> LoadAsked:
    return LoadAsked(
        concurrency=options.concurrency,
        arrivals=options.arrivals,
        rate=options.rate,
        burst=options.burst,
        trace=_trace(options),
        duration=options.duration,
        warmup=options.warmup,
    )


def _trace(options: LoadOptions) -> Open | None:
    if options.trace is None:
        return None
    seconds = seconds_of("--duration", options.duration) if options.duration else None
    from_s = seconds_of("--trace-from", options.trace_from) if options.trace_from else 0.0
    spec = TraceSpec(
        file=options.trace,
        of=options.trace_of,
        column=options.trace_column,
        from_s=from_s,
        seconds=seconds,
        scale=options.trace_scale,
        spacing=spacing_of(options.arrivals),
        burst=asked.burst_of(options.burst),
        seed=options.seed,
    )
    return read_trace(spec)[0]


def _driving(options: LoadOptions, share: float) -> Driving:
    try:
        driver = Driver(options.driver)
    except ValueError:
        text = f"--driver {options.driver}: there are {', '.join(Driver)}"
        raise UsageError("ARGUMENT", text) from None
    timeout_s = seconds_of("--timeout", options.timeout)
    return Driving(driver, options.processes, options.max_in_flight, timeout_s, share, options.seed)


def input_spec(
    shapes: Sequence[str] | None,
    ranges: Sequence[str] | None,
    files: Path | None,
    variants: int,
    seed: int,
) -> InputSpec:
    """What `--shape`, `--range`, `--inputs` and `--variants` say of inputs."""
    if files is not None:
        files_in(files)
    said = dict(map(asked.shape_of, shapes or ())), dict(map(asked.range_of, ranges or ()))
    return InputSpec(*said, files, variants, seed)


def _reference(options: LoadOptions) -> Path | None:
    """The folder of right answers; None if they are onnxruntime's."""
    if options.reference in ("", "onnxruntime"):
        return None
    folder = Path(options.reference)
    if not folder.is_dir():
        text = f"--reference {options.reference}: neither onnxruntime nor a folder"
        raise UsageError("NOT_FOUND", text)
    if options.inputs is None:
        text = (
            f"--reference {options.reference}: right answers to which inputs? --inputs names them"
        )
        raise UsageError("ARGUMENT", text)
    return folder


def _checked(
    options: LoadOptions, models: Sequence[ModelLoad], reference: Path | None
) -> tuple[bool, list[str]]:
    """Whether answers are checked; what is to be said of it."""
    if options.check and not share_of("--check", options.check):
        return False, []
    if reference is not None:
        return True, []
    if not any(model.path for model in models):
        return False, ["answers aren't checked: there is no model file to run for right ones"]
    if importlib.util.find_spec("onnxruntime") is not None:
        return True, []
    if options.check:
        text = "--check compares answers with onnxruntime's, which isn't in this environment"
        raise ConfigError("NOT_INSTALLED", text, hint="pip install onnxruntime")
    return False, ["answers aren't checked: onnxruntime isn't in this environment"]


def tolerance_of(text: str) -> str:
    """The tolerance that `--tolerance` names; fp32 if nothing is said."""
    if text and text not in TOLERANCES:
        raise UsageError("ARGUMENT", f"--tolerance {text}: there are {', '.join(TOLERANCES)}")
    return text or "fp32"


def _targets(options: LoadOptions) -> tuple[TargetSpec, ...]:
    made = [
        *(TargetSpec(TargetKind.INSTANCE, name, name) for name in options.instance or ()),
        *([TargetSpec(TargetKind.ONNXRUNTIME, "onnxruntime")] if options.onnxruntime else ()),
        *(TargetSpec(TargetKind.SERVER, _address(url), url) for url in options.server or ()),
        *(TargetSpec(TargetKind.PYTHON, place, place) for place in options.python or ()),
    ]
    return tuple(made)


def _address(url: str) -> str:
    return url.rpartition("://")[2].rstrip("/")
