"""ResNet-50 where bf16 is allowed, against onnxruntime in this process on the same cores.

`measure` gives

- auto_over_local: the median time of a call to a cpu instance of all cores with tolerance bf16,
  through the whole of EAIS, over that of onnxruntime's run here, in turns; None where the CPU
  isn't fast at bf16, or OpenVINO isn't installed;
- auto_ms, local_ms: what they are a ratio of;
- auto_runtime: what the worker chose, as its log says;
- auto_error: the largest difference of a probability, over the largest probability;
- auto_why_not: what the parity guard has against that answer; "": nothing;
- auto_same_class: whether both have the same class first;
- exact_same_bits: whether the same instance type with its default tolerance answers bit for bit,
  and its worker tried nothing but onnxruntime.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import onnxruntime

import eais
from benchmarks.context import context_of
from benchmarks.dataplane.models import feed
from eais.parity.verdict import difference
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais.tolerance import Precision, Tolerance
from eais_client.demo.resnet import write_resnet50
from eais_server.devices.openvino import OpenVinoDriver
from tests.system.stack import Stack, embedded_pool, eventually, op

ROUNDS: Final = 8
CALLS: Final = 5
PAUSE_S: Final = 0.2
"""Between the two sides: onnxruntime's threads look for more work by spinning for a while after
a run, on the cores of the other side."""
AUTO_OVER_LOCAL: Final = 0.65

Run = Callable[[], Any]


def measure() -> dict[str, Any]:
    """The figures; half a minute."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "resnet50.onnx"
        write_resnet50(model)
        local = _local(model)
        with embedded_pool(Path(folder) / "pool") as stack, context_of(stack):
            found |= _exact(stack, model, local)
            found |= _auto(stack, model, local) if _is_fast() else {"auto_over_local": None}
    return found


def missed(figures: dict[str, Any]) -> list[str]:
    """What is missed of the limits, in sentences."""
    said = [] if figures["exact_same_bits"] else ["exact answers aren't onnxruntime's, bit for bit"]
    ratio = figures["auto_over_local"]
    if ratio is not None and ratio > AUTO_OVER_LOCAL:
        said.append(f"auto_over_local = {ratio} > {AUTO_OVER_LOCAL}")
    if ratio is not None and figures["auto_why_not"]:
        said.append(f"bf16's answers: {figures['auto_why_not']}")
    return said


def _is_fast() -> bool:
    offered = [runtime for info in OpenVinoDriver().fingerprint() for runtime in info.runtimes]
    return any(runtime.precision is Precision.BF16 for runtime in offered)


def _local(model: Path) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.log_severity_level = 3  # It has a word on each of the model's initializers.
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: feed("resnet50")}
    return lambda: session.run(None, inputs)[0]


@contextmanager
def _attached(stack: Stack, tolerance: str) -> Iterator[str]:
    kind = f"cpu.{len(os.sched_getaffinity(0))}"
    policy = pool_pb2.InstancePolicy(tolerance=tolerance)
    request = pool_pb2.AttachRequest(op_id=op(), type=kind, policy=policy)
    instance: str = stack.ask(verbs.POOL_ATTACH, request).instance.id
    try:
        yield instance
    finally:
        stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=instance))


def _exact(stack: Stack, model: Path, local: Run) -> dict[str, Any]:
    with _attached(stack, "") as instance, eais.InferenceSession(model) as there:
        (got,) = there.run(None, {there.get_inputs()[0].name: feed("resnet50")})
        same = got.tobytes() == local().tobytes()
        return {"exact_same_bits": same and not _said(stack, instance)}


def _auto(stack: Stack, model: Path, local: Run) -> dict[str, Any]:
    with (
        _attached(stack, "bf16") as instance,
        eais.InferenceSession(model) as there,
    ):
        chosen = eventually(lambda: _said(stack, instance), "a runtime is chosen", 120)
        inputs = {there.get_inputs()[0].name: feed("resnet50")}

        def remote() -> Any:
            return there.run(None, inputs)[0]

        want, got = local(), remote()
        times = _in_turns(remote, local)
    return {
        "auto_over_local": round(times[0] / times[1], 3),
        "auto_ms": round(times[0] * 1e3, 2),
        "local_ms": round(times[1] * 1e3, 2),
        "auto_runtime": chosen,
        "auto_error": round(float(np.abs(got - want).max() / want.max()), 5),
        "auto_same_class": bool(got.argmax() == want.argmax()),
        "auto_why_not": difference([want], [got], ["probabilities"], Tolerance.BF16),
    }


def _in_turns(*runs: Run) -> list[float]:
    """The median seconds of each, some calls of one after some of the other."""
    took: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS):
        for run, times in zip(runs, took, strict=True):
            time.sleep(PAUSE_S)
            for _ in range(CALLS):
                begun = time.perf_counter()
                run()
                times.append(time.perf_counter() - begun)
    return [median(times) for times in took]


def _said(stack: Stack, instance: str) -> str | None:
    """What its worker chose, as its log says; None: it hasn't, or had no choice."""
    words = "the model runs on "
    lines = (line for log in stack.state.glob("*.log") for line in log.read_text().splitlines())
    found = [
        line.split(words)[1].split()[0] for line in lines if instance in line and words in line
    ]
    return found[-1] if found else None
