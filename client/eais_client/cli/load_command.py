"""`eais loadtest`: what a pool, or any server, carries, and how it answers while it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eais_client.cli import load_compare, load_scenario
from eais_client.cli import load_options as o
from eais_client.cli.command import Call, Group

if TYPE_CHECKING:
    pass

EXIT_MISSED = 1
"""A condition of `--fail-if` was met."""


def add_to(group: Group) -> None:
    """Register `eais loadtest` and its commands."""
    load = Group("loadtest", "")
    load.itself(
        csv=True,
        examples=[
            "eais loadtest --model m.onnx --concurrency 8",
            "eais loadtest --model m.onnx --attach cpu.2 --arrivals poisson --rate 500 "
            "--slo-p99 50ms --report out.html",
            "eais loadtest --model m.onnx --attach cpu.1 --attach gpu.1-8 --onnxruntime --rounds 5",
            "eais loadtest --model m.onnx --instance ei-7f3a --find-capacity --slo-p99 50ms",
            "eais loadtest --model m.onnx --server grpc://127.0.0.1:8001 --concurrency 1:8",
            "eais loadtest --model a.onnx --model b.onnx --mix 3:1 --rate 20..200 --duration 1m",
            "eais loadtest --model m.onnx --rate 50 --fail-if 'p99 > 50ms' --fail-if 'errors > 0'",
        ],
    )(loadtest)
    load_scenario.add_to(load)
    load_compare.add_to(load)
    group.add(load)


def loadtest(
    call: Call,
    model: o.ModelOption = None,
    mix: o.MixOption = "",
    instance: o.InstanceOption = None,
    attach: o.AttachOption = None,
    vnic: o.AttachVnicOption = "",
    onnxruntime: o.LocalOption = False,
    server: o.ServerOption = None,
    python: o.PythonOption = None,
    setting: o.SettingOption = None,
    concurrency: o.ConcurrencyOption = "",
    arrivals: o.ArrivalsOption = "",
    rate: o.RateOption = "",
    burst: o.BurstOption = None,
    trace: o.TraceOption = None,
    trace_of: o.TraceOfOption = "",
    trace_column: o.TraceColumnOption = "",
    trace_from: o.TraceFromOption = "",
    trace_scale: o.TraceScaleOption = 1.0,
    duration: o.DurationOption = "",
    warmup: o.WarmupOption = "",
    driver: o.DriverOption = "threads",
    processes: o.ProcessesOption = 1,
    max_in_flight: o.InFlightOption = 256,
    timeout: o.TimeoutOption = "30s",
    seed: o.SeedOption = 1,
    rounds: o.RoundsOption = None,
    shape: o.ShapeOption = None,
    range: o.RangeOption = None,
    inputs: o.InputsOption = None,
    variants: o.VariantsOption = 8,
    check: o.CheckOption = "",
    reference: o.ReferenceOption = "",
    tolerance: o.LoadToleranceOption = "",
    slo_p99: o.GoalOption = "",
    find_capacity: o.CapacityOption = False,
    fail_if: o.FailIfOption = None,
    report: o.ReportOption = None,
) -> int:
    """Put load on a model, and say how it was answered.

    A target is called with a model's inputs, by callers that wait for their
    answers (closed loop), or at moments that no answer has an influence on (open
    loop: --rate, --arrivals, --trace). Latency counts from when a request was
    due, and a failed or wrong answer has none: it ranks behind all others.
    Without a target it is the instance that is attached here. Several targets
    take turns, so that they meet the same machine.
    """
    from eais_client.cli.load_ending import check_installed

    check_installed()
    from eais_client.cli.load_plan import LoadOptions
    from eais_client.cli.load_running import run_load_test

    given = {name: value for name, value in locals().items() if name in LoadOptions.names()}
    return run_load_test(call, LoadOptions(**given))
