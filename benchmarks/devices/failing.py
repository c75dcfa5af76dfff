"""A device fails under threads that call without pause: it vanishes, hangs, or gives wrong bits.

Half of a simulated GPU, beside one that is whole; each fault has a pool of its own. `measure` gives
`faults`, for each of the three:

- calls: how many ended, of them lost: raised, and wrong: were answered otherwise;
- moved: whether the instance ended on the other device, which it was given once;
- marked: what the first device is said to be;
- worst_call_ms: the longest that a call took.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.context import context_of
from benchmarks.drain.callers import Callers
from benchmarks.drain.models import tiny
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_server.devices.sim import FAULTS_FILE
from tests.system.stack import Stack, embedded_pool, eventually, op

CONFIG: Final = '[listener]\ncpu_cores = 1\nsimulate = "gpu=2"\n'
FAULTS: Final = ("vanish", "hang", "garbage")
AFTER_RUNS: Final = 500
EACH: Final = 2
"""Threads that call."""
STAYS_S: Final = 2.0
SEEN_WITHIN_S: Final = 60.0


def measure() -> dict[str, Any]:
    """The figures; about a minute."""
    return {"faults": {fault: _failed(fault) for fault in FAULTS}}


def missed(figures: dict[str, Any]) -> list[str]:
    """What is missed of the limits, in sentences."""
    found = []
    for fault, seen in figures["faults"].items():
        if seen["lost"] or seen["wrong"]:
            found.append(f"{fault}: {seen['lost']} calls were lost, {seen['wrong']} wrong")
        if not seen["moved"] or seen["marked"] != "bad":
            found.append(f"{fault}: moved {seen['moved']}, its device is {seen['marked']}")
    return found


def _failed(fault: str) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_pool(Path(folder) / "pool", CONFIG) as stack,
        context_of(stack),
    ):
        file = stack.state / "listener" / FAULTS_FILE
        file.write_text(f"sim-gpu0 {fault} {AFTER_RUNS}\n")
        request = pool_pb2.AttachRequest(op_id=op(), type="gpu.1-2")
        instance = stack.ask(verbs.POOL_ATTACH, request).instance.id
        # From then on the device has it for whoever checks it, too.
        file.write_text(f"sim-gpu0 {fault} 0\n")
        return _called(stack, instance)


def _called(stack: Stack, instance: str) -> dict[str, Any]:
    session, ask = tiny([{"instance": instance}])
    with session, (callers := Callers([("tiny", ask)], EACH)):
        eventually(lambda: _is_there(stack, instance) or None, "it moves", SEEN_WITHIN_S)
        time.sleep(STAYS_S)
    took = [each for caller in callers.callers for each in caller.took_s]
    return {
        "calls": sum(caller.calls for caller in callers.callers),
        "lost": sum(sum(caller.lost.values()) for caller in callers.callers),
        "wrong": sum(caller.wrong for caller in callers.callers),
        "moved": [w.n for w in stack.instance(instance).workers if w.device == "sim-gpu1"] == [2],
        "marked": _health(stack),
        "worst_call_ms": round(max(took, default=0.0) * 1e3, 1),
    }


def _is_there(stack: Stack, instance: str) -> bool:
    workers = stack.instance(instance).workers
    return [(w.device, w.serving) for w in workers] == [("sim-gpu1", True)]


def _health(stack: Stack) -> str:
    return {each.device.id: each.health for each in stack.status().devices}["sim-gpu0"]
