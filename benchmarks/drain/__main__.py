"""Drain two hosts on one machine, back and forth, while callers call all the time.

An instance with two sessions, a tiny model and a real one of the magika wheel, is moved by
`PoolAdmin.Drain` as often as is asked for. `--json` prints one object on one line:

calls, lost (raised), wrong (another answer than onnxruntime's in this process), moves,
pause_p50_ms and pause_p99_ms (of each move and caller, the longest time without an answer that
touches the move), call_p50_ms (of a call between moves), pause_ratio (pause_p50_ms : call_p50_ms),
move_p50_ms (from the verb to the host's being empty). The exit status is 1 if a call was lost
or wrong, or a move didn't come about.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

from benchmarks.context import context_of
from benchmarks.drain.callers import Callers
from benchmarks.drain.models import real, tiny
from eais.identity import Identity
from eais.rpc import client, verbs
from eais.rpc.v1 import hosts_pb2, pool_pb2
from tests.system.stack import Stack, embedded_pool, eventually, further_host, op

CONFIG = "[listener]\ncpu_cores = 2\n[manager]\ntick_s = 0.25\n"
HOSTS = ("local", "h2")
MOVED_WITHIN_S = 60.0
CALL_TIMEOUT_S = 30.0


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all don't exceed; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


class Drains:
    """Moves an instance from the host that it is on to the other one."""

    def __init__(self, stack: Stack, instance: str) -> None:
        self._stack = stack
        self._instance = instance
        self.spans: list[tuple[float, float]] = []

    def once(self) -> None:
        """Drain the host that the instance is on, until nothing is left there."""
        at = self._stack.instance(self._instance).host
        for host in HOSTS:
            if host != at:
                request = hosts_pb2.CordonRequest(op_id=op(), host=host)
                self._operate(verbs.POOL_ADMIN_CORDON, request)
        began_s = time.monotonic()
        drain = hosts_pb2.DrainRequest(op_id=op(), host=at)
        self._operate(verbs.POOL_ADMIN_DRAIN, drain)
        eventually(lambda: self._is_empty(at), f"{at} is empty", MOVED_WITHIN_S)
        self.spans.append((began_s, time.monotonic()))

    def _is_empty(self, host: str) -> bool | None:
        uses = self._stack.status().hosts
        return True if all(use.host != host or not use.instances for use in uses) else None

    def _operate(self, verb: Any, request: Any) -> None:
        operator = self._stack.bundle(Identity.operator(self._stack.pool, "bench"))
        with self._stack.dial(self._stack.endpoint("management"), operator) as line:
            client.call(line, verb, request, timeout_s=30, unreachable="POOL_UNREACHABLE")


def report(callers: Callers, drains: Drains) -> dict[str, Any]:
    """The figures by name."""
    seen, spans = callers.callers, drains.spans
    pauses = [each.longest_gap_s(*span) * 1000 for span in spans for each in seen]
    calls = [took * 1000 for each in seen for took in each.took_s]
    lost = sum((each.lost for each in seen), Counter[str]())
    pause, call = quantile(pauses, 0.5), quantile(calls, 0.5)
    return {
        "benchmark": "drain",
        "calls": sum(each.calls for each in seen),
        "lost": sum(lost.values()),
        "wrong": sum(each.wrong for each in seen),
        "moves": len(spans),
        "pause_p50_ms": round(pause, 1),
        "pause_p99_ms": round(quantile(pauses, 0.99), 1),
        "call_p50_ms": round(call, 2),
        "pause_ratio": round(pause / call, 1) if call else 0.0,
        "move_p50_ms": round(quantile([(b - a) * 1000 for a, b in spans], 0.5)),
        "errors": dict(lost),
    }


def measure(moves: int, each: int, root: Path) -> dict[str, Any]:
    """Move an instance that often on a pool below `root`, `each` callers calling each model."""
    with (
        embedded_pool(root, CONFIG) as stack,
        further_host(stack, root, "h2", "127.0.0.2"),
        context_of(stack),
    ):
        request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
        instance = stack.ask(verbs.POOL_ATTACH, request).instance.id
        options = [{"instance": instance, "timeout_s": CALL_TIMEOUT_S}]
        (small, ask_small), (large, ask_large) = tiny(options), real(options)
        drains = Drains(stack, instance)
        with small, large, Callers([("tiny", ask_small), ("real", ask_large)], each) as callers:
            for number in range(moves):
                _await_answers(callers)
                drains.once()
                print(f"move {number + 1} of {moves}", file=sys.stderr)
            _await_answers(callers)
        return report(callers, drains)


def _await_answers(callers: Callers) -> None:
    """Let all call as usual for a second."""
    Event().wait(1.0)
    now = time.monotonic()
    eventually(lambda: callers.all_answered_since(now) or None, "answers", MOVED_WITHIN_S)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--moves", type=int, default=20, metavar="N")
    parser.add_argument("--callers", type=int, default=2, metavar="N", help="of each model")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave logs and state there")
    args = parser.parse_args()
    if args.keep:
        found = measure(args.moves, args.callers, args.keep)
    else:
        with tempfile.TemporaryDirectory(prefix="eais-drain-") as folder:
            found = measure(args.moves, args.callers, Path(folder))
    if args.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:16} {value}")
    good = not found["lost"] and not found["wrong"] and found["moves"] == args.moves
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
