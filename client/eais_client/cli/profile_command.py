"""`eais profile`: what a model takes on the pool's devices, measured."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from eais_client.cli.command import Call, Group
from eais_client.cli.instance_commands import instance_ids
from eais_client.cli.policy_options import ToleranceOption
from eais_client.cli.progress import Progress

if TYPE_CHECKING:
    from eais.rpc.v1 import listener_pb2
    from eais_client.model_profile import ProfileReport
    from eais_client.pool_client import PoolClient

LOOK_EVERY_S = 0.5
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


def add_to(group: Group) -> None:
    """Register the command."""
    group.command(
        "profile",
        examples=[
            "eais profile resnet50.onnx",
            "eais profile resnet50.onnx --tolerance bf16 -o wide",
            "eais profile resnet50.onnx --instance ei-7f3a -o json",
        ],
    )(profile)


def profile(
    call: Call,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="An .onnx file, or the SHA-256 of a model that an instance of yours has open.",
        ),
    ],
    instance: Annotated[
        str,
        typer.Option(
            "--instance",
            metavar="EI",
            help="Send the file by this instance; else by one that is made for it and deleted.",
            autocompletion=instance_ids,
            show_default=False,
        ),
    ] = "",
    tolerance: ToleranceOption = "",
) -> None:
    """Measure a model on each kind of device.

    Batches of made-up inputs are timed on devices that nobody uses, for half a
    minute at most, and never in anybody's way; where that couldn't be done is
    said. The pool keeps the times: `eais attach --type auto` chooses by them.
    With --tolerance, also runtimes that compute in bf16 or int8 are measured.
    """
    from eais_client.cli.profile_view import profile_data, profile_lines
    from eais_client.manager_client import new_op_id

    found, op_id = _DIGEST.fullmatch(model), new_op_id()
    digest = found[1] if found else ""
    with call.pool() as pool, call.progress(f"profiling {model}") as progress:
        spec = None if digest else _brought(call, pool, model, instance, progress)
        report = pool.measure(op_id, spec=spec, digest=digest, tolerance=tolerance)
        while not report.over:
            progress.step(_doing(report))
            call.outside.sleep(LOOK_EVERY_S)
            report = pool.measure(op_id, spec=spec, digest=digest, tolerance=tolerance)
    call.printer.answer(profile_data(report), profile_lines(report, call.printer))


def _doing(report: ProfileReport) -> str:
    where = ", ".join(report.busy) or "waiting until others are measured"
    return f"{report.batches} batches so far; now: {where}"


def _brought(
    call: Call, pool: PoolClient, model: str, instance: str, progress: Progress
) -> listener_pb2.SessionSpec:
    """Have the model's files at a host of the pool; what they are opened with."""

    def sent(done: int, total: int) -> None:
        progress.step(f"sending {model}", done, total)

    if instance:
        return call.bring_model(pool.describe(instance), model, sent)
    made = pool.attach(type="auto")
    try:
        return call.bring_model(made, model, sent)
    finally:
        pool.detach(made.id)
