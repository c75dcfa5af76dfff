"""The options of `eais loadtest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from eais_client.cli.instance_commands import instance_ids
from eais_client.cli.vnic_options import vnic_drivers


def _option(names: str | tuple[str, ...], metavar: str, help: str, **more: Any) -> Any:
    given = (names,) if isinstance(names, str) else names
    return typer.Option(*given, metavar=metavar, help=help, show_default=False, **more)


ModelOption = Annotated[
    list[str] | None,
    _option("--model", "FILE", "What is called; again for a mix. With --server alone: its name."),
]
MixOption = Annotated[str, _option("--mix", "3:1", "How often each --model is called; else alike.")]

InstanceOption = Annotated[
    list[str] | None,
    _option("--instance", "EI", "An instance of yours.", autocompletion=instance_ids),
]
AttachOption = Annotated[
    list[str] | None,
    _option("--attach", "TYPE", "An instance of this type, made for the test, then detached."),
]
AttachVnicOption = Annotated[
    str,
    _option(
        "--vnic",
        "DRIVER",
        "Of --attach: the driver of its virtual NIC, as `eais attach` takes it.",
        autocompletion=vnic_drivers,
    ),
]
LocalOption = Annotated[
    bool, typer.Option("--onnxruntime", help="onnxruntime on this machine.", show_default=False)
]
ServerOption = Annotated[
    list[str] | None,
    _option(
        "--server",
        "URL",
        "A server of the open inference protocol, by gRPC: grpc://HOST:PORT, or grpcs://.",
    ),
]
PythonOption = Annotated[
    list[str] | None,
    _option("--python", "MODULE:NAME", "A target of your own, in Python."),
]
SettingOption = Annotated[
    list[str] | None,
    _option(
        "--set",
        "KEY=VALUE",
        "For the targets: transport=h2, threads=1, tls_ca=FILE, ...; TARGET:KEY=VALUE for one.",
    ),
]

ConcurrencyOption = Annotated[
    str,
    _option("--concurrency", "N", "Closed loop: so many callers; 1,2,4 or 1:8:2 one by one."),
]
ArrivalsOption = Annotated[
    str,
    _option(
        "--arrivals",
        "constant|poisson|gamma",
        "Open loop: how far apart requests are due.",
        autocompletion=lambda: ["constant", "poisson", "gamma"],
    ),
]
RateOption = Annotated[
    str,
    _option("--rate", "R", "Requests a second; 10..100 rises over the time, 10,20,40 in steps."),
]
BurstOption = Annotated[
    float | None, _option("--burst", "B", "Of gamma: variance of the gaps ÷ their mean squared.")
]
TraceOption = Annotated[
    Path | None,
    _option("--trace", "FILE", "Open loop: a count for each second, or a moment for each request."),
]
TraceOfOption = Annotated[
    str, _option("--trace-of", "counts|timestamps", "What the lines are; else told by their looks.")
]
TraceColumnOption = Annotated[str, _option("--trace-column", "NAME", "The column of a CSV file.")]
TraceFromOption = Annotated[str, _option("--trace-from", "TIME", "Begin so far into the trace.")]
TraceScaleOption = Annotated[
    float, _option("--trace-scale", "X", "So many times the trace's requests.")
]
DurationOption = Annotated[
    str, _option("--duration", "TIME", "How long each load is measured; 10s without it.")
]
WarmupOption = Annotated[
    str, _option("--warmup", "TIME", "How long each load is on before it is measured; else 1s.")
]

DriverOption = Annotated[
    str,
    _option(
        "--driver",
        "threads|tasks",
        "What calls: threads, or the tasks of an event loop.",
        autocompletion=lambda: ["threads", "tasks"],
    ),
]
ProcessesOption = Annotated[
    int, typer.Option("--processes", metavar="N", help="Processes that share the load.", min=1)
]
InFlightOption = Annotated[
    int,
    typer.Option(
        "--max-in-flight", metavar="N", help="Open loop: requests under way at once.", min=1
    ),
]
TimeoutOption = Annotated[
    str, _option("--timeout", "TIME", "After which a request has failed; 30s without it.")
]
SeedOption = Annotated[
    int, typer.Option("--seed", metavar="N", help="Of gaps, mix, inputs and checks.")
]
RoundsOption = Annotated[
    int | None,
    _option("--rounds", "N", "Times that the targets take turns; 3 of several, else 1.", min=1),
]

ShapeOption = Annotated[
    list[str] | None, _option("--shape", "NAME=1,3,224,224", "Of an input whose shape isn't fixed.")
]
RangeOption = Annotated[
    list[str] | None, _option("--range", "NAME=LO..HI", "Of an input's values.")
]
InputsOption = Annotated[
    Path | None, _option("--inputs", "FILE|FOLDER", "Real inputs: .npz with arrays by name.")
]
VariantsOption = Annotated[
    int, typer.Option("--variants", metavar="N", help="Inputs that are made up.", min=1)
]
CheckOption = Annotated[
    str,
    _option(
        "--check",
        "SHARE",
        "Of the answers that are checked, beside the first 16; 5% without it, 0 for none.",
    ),
]
ReferenceOption = Annotated[
    str,
    _option(
        "--reference",
        "onnxruntime|FOLDER",
        "What is right: as onnxruntime answers on this machine, or .npz by the inputs' names.",
    ),
]
LoadToleranceOption = Annotated[
    str,
    _option(
        "--tolerance",
        "exact|fp32|bf16|int8",
        "How far an answer may differ; else fp32.",
        autocompletion=lambda: ["exact", "fp32", "bf16", "int8"],
    ),
]

GoalOption = Annotated[
    str, _option("--slo-p99", "TIME", "99 of 100 should be answered within: 50ms.")
]
CapacityOption = Annotated[
    bool,
    typer.Option(
        "--find-capacity", help="Search the highest rate within --slo-p99.", show_default=False
    ),
]
FailIfOption = Annotated[
    list[str] | None,
    _option("--fail-if", "CONDITION", "End with 1 if so: 'p99 > 50ms', 'errors > 0'."),
]
ReportOption = Annotated[Path | None, _option("--report", "FILE.html", "Write a page with plots.")]
