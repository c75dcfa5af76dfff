"""How long it takes from nothing attached to the first answer."""

from __future__ import annotations

import time
from pathlib import Path

import eais
from benchmarks.context import context_of
from benchmarks.dataplane.models import feed
from benchmarks.faults.__main__ import quantile
from benchmarks.faults.processes import titled
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.system.stack import Stack, embedded_pool, eventually, op

TIMES = 30
_SPARE = "eais-worker (spare)"


def attached(stack: Stack) -> str:
    """Attach one core; the instance that is in use."""
    asked = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    return str(stack.ask(verbs.POOL_ATTACH, asked).instance.id)


def attach_p99_ms(root: Path) -> dict[str, float]:
    """The p99 of `TIMES` attachments with a worker that waits (warm), and with none (cold)."""
    return {
        "warm": _p99_ms(root, "warm", 1),
        "cold": _p99_ms(root, "cold", 0),
    }


def _p99_ms(root: Path, name: str, spares: int) -> float:
    folder = root / name
    folder.mkdir()
    config = f"[listener]\ncpu_cores = 1\nspares = {spares}\n"
    with embedded_pool(folder, config) as stack, context_of(stack):
        took = [_once(stack, root / "tiny.onnx", spares) for _ in range(TIMES)]
    return round(quantile(took[1:], 0.99) * 1e3, 1)


def _once(stack: Stack, model: Path, spares: int) -> float:
    if spares:
        eventually(lambda: titled(stack.supervisor.pid, _SPARE), "a spare")
    x = {"x": feed("tiny")}
    began = time.perf_counter()
    instance = attached(stack)
    with eais.InferenceSession(str(model), provider_options={"instance": instance}) as session:
        session.run(None, x)
        took = time.perf_counter() - began
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=instance))
    return took
