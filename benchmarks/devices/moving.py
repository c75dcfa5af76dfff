"""An instance moves from kind to kind while threads call it without pause.

From a CPU core to half of a simulated GPU, to a simulated FPGA, and back. Two models are called, a
tiny one and a real one of the magika wheel; every answer is compared with what it must be.
`measure` gives

- move_calls: how many ended, of them move_lost: raised, and move_wrong: were answered otherwise;
- move_kinds: what the instance was on, in order, as its workers say;
- move_worst_call_ms: the longest that a call took, and move_call_p50_ms: the median;
- move_longest_ms: of a move, from the verb to its answer;
- move_lost_for: what calls were lost for.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.context import context_of
from benchmarks.drain.callers import Ask, Caller, Callers
from benchmarks.drain.models import real, tiny
from eais.deadline import deadline
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.system.stack import Stack, embedded_pool, eventually, op

CONFIG: Final = '[listener]\ncpu_cores = 1\nsimulate = "gpu=1,fpga=1"\n'
FIRST: Final = "cpu"
MOVES: Final = ("gpu.1-2", "fpga", "cpu")
EACH: Final = 2
"""Threads that call each model."""
STAYS_S: Final = 2.0
CALL_TIMEOUT_S: Final = 30.0
SEEN_WITHIN_S: Final = 10.0


def measure() -> dict[str, Any]:
    """The figures; some twenty seconds."""
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_pool(Path(folder) / "pool", CONFIG) as stack,
        context_of(stack),
    ):
        policy = pool_pb2.InstancePolicy(tolerance="fp32")
        request = pool_pb2.AttachRequest(op_id=op(), type=FIRST, policy=policy)
        return _measured(stack, stack.ask(verbs.POOL_ATTACH, request).instance.id)


def missed(figures: dict[str, Any]) -> list[str]:
    """What is missed of the limits, in sentences."""
    lost = [] if not figures["move_lost"] else [f"calls were lost: {figures['move_lost_for']}"]
    wrong = ["answers were wrong"] if figures["move_wrong"] else []
    kinds = [FIRST, *(name.partition(".")[0] for name in MOVES)]
    moved = figures["move_kinds"] == kinds
    return [*lost, *wrong, *([] if moved else [f"it was on {figures['move_kinds']}"])]


def _measured(stack: Stack, instance: str) -> dict[str, Any]:
    options = [{"instance": instance}]
    (small, ask_small), (large, ask_large) = tiny(options), real(options)
    with small, large:
        callers = Callers([("tiny", _bounded(ask_small)), ("real", _bounded(ask_large))], EACH)
        with callers:
            kinds, took_s = _move_on(stack, instance, callers)
    return _figures(callers.callers, kinds, took_s)


def _bounded(ask: Ask) -> Ask:
    """A deadline is of the thread that sets it."""

    def bounded(number: int) -> bool:
        with deadline(CALL_TIMEOUT_S):
            return ask(number)

    return bounded


def _move_on(stack: Stack, instance: str, callers: Callers) -> tuple[list[str], list[float]]:
    """The kinds that the instance was on, and how long each move took."""
    kinds, took_s = [_kind(stack, instance)], list[float]()
    _stay(callers)
    for wanted in MOVES:
        begun = time.monotonic()
        stack.ask(
            verbs.POOL_RESIZE,
            pool_pb2.ResizeRequest(op_id=op(), instance=instance, type=wanted),
        )
        took_s.append(time.monotonic() - begun)
        alone = eventually(
            lambda: _kind(stack, instance) or None, f"it is on {wanted} alone", SEEN_WITHIN_S
        )
        kinds.append(alone)
        _stay(callers)
    return kinds, took_s


def _kind(stack: Stack, instance: str) -> str:
    """The kind of the instance's workers; "" while they are of several."""
    kinds = {worker.kind for worker in stack.instance(instance).workers}
    return kinds.pop() if len(kinds) == 1 else ""


def _stay(callers: Callers) -> None:
    """Some seconds of calls, and an answer to each thread."""
    moment = time.monotonic()
    time.sleep(STAYS_S)
    answered = callers.all_answered_since
    eventually(lambda: answered(moment) or None, "all are answered", SEEN_WITHIN_S)


def _figures(callers: list[Caller], kinds: list[str], took_s: list[float]) -> dict[str, Any]:
    took = [each for caller in callers for each in caller.took_s]
    lost = sum((caller.lost for caller in callers), Counter[str]())
    return {
        "move_calls": sum(caller.calls for caller in callers),
        "move_lost": sum(lost.values()),
        "move_wrong": sum(caller.wrong for caller in callers),
        "move_kinds": kinds,
        "move_worst_call_ms": round(max(took, default=0.0) * 1e3, 1),
        "move_call_p50_ms": round(median(took or [0.0]) * 1e3, 2),
        "move_longest_ms": round(max(took_s) * 1e3),
        "move_lost_for": dict(lost.most_common(5)),
    }
