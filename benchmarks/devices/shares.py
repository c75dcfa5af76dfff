"""Instances that share a device, on the workers of a real embedded pool, through the client API.

The pool has one core and one simulated GPU; each instance is called by `CALLERS` threads, so that
always one waits. A core's use is the CPU time of the workers' processes, as seen from here; that of
the simulated device the runs that it answered, which all take as long. `measure` gives

- share_error_points: instances with 1/4 and 3/4 of the core, both saturating it, for `SECONDS`: how
  far each is off, in points, at most; share_percent: that of the one with 1/4. The other one's
  batches take `HEAVY` times as long, or as long, or the other way round;
- simulated_share_error_points: the same on the simulated GPU;
- third_moves_s: beside 1/8 and 3/8 one with 1/2 comes, and goes: from its first call, and its last,
  until the shares are within `CLOSE_POINTS` of what they should be, looked at over `WINDOW_S`, the
  longer of both;
- idle_cost_percent: so many fewer runs of a busy one beside an idle one than alone, in the time in
  which no other process had its core, the median of `ROUNDS` pairs;
- wrong_answers.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import eais
from benchmarks.context import context_of
from benchmarks.faults.processes import titled
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_server.listener.cpu_waits import thread_look
from eais_server.turns.meter import CpuMeter
from tests.system.stack import Stack, embedded_pool, eventually, op

CALLERS: Final = 3
SECONDS: Final = 6.0
SETTLE_S: Final = 1.0
WINDOW_S: Final = 0.2
WATCHED_S: Final = 4.0
CLOSE_POINTS: Final = 6.0
ROUNDS: Final = 5
ROUND_S: Final = 1.0
HEAVY: Final = 4
WIDE: Final = 512
ROWS: Final = 32

ERROR_POINTS: Final = 2.0
MOVES_S: Final = 1.0
IDLE_PERCENT: Final = 2.0

_CONFIG: Final = '[listener]\ncpu_cores = 1\nsimulate = "gpu=1"\n'


class Tenant:
    """An instance with a share, its worker, and what calls it."""

    def __init__(self, stack: Stack, kind: str, layers: int) -> None:
        request = pool_pb2.AttachRequest(op_id=op(), type=kind)
        self.instance: str = stack.ask(verbs.POOL_ATTACH, request).instance.id
        self._stack = stack
        options = [{"instance": self.instance, "timeout_s": 60.0}]
        self._session = eais.InferenceSession(_model(layers), provider_options=options)
        self._feed = {"x": np.ones((ROWS, WIDE), np.float32)}
        self._want = self._session.run(None, self._feed)[0]
        title, root = f"eais-worker {self.instance}", stack.supervisor.pid
        self.pid = eventually(lambda: titled(root, title), "its worker").pid
        self._meter = CpuMeter(self.pid)
        self._counts = [0] * CALLERS
        self._wanted = threading.Event()
        self._over = threading.Event()
        self.wrong = 0
        self._threads = [
            threading.Thread(target=self._call, args=(n,), daemon=True) for n in range(CALLERS)
        ]
        for thread in self._threads:
            thread.start()

    def _call(self, number: int) -> None:
        while self._wanted.wait() and not self._over.is_set():
            (got,) = self._session.run(None, self._feed)
            self.wrong += not np.array_equal(got, self._want)
            self._counts[number] += 1

    def call(self, *, on: bool = True) -> None:
        """Saturate its share, or leave it."""
        if on:
            self._wanted.set()
        else:
            self._wanted.clear()

    def used_ns(self) -> int:
        """CPU time of its worker."""
        return self._meter()

    def runs(self) -> int:
        """How many were answered."""
        return sum(self._counts)

    def had_ns(self) -> int:
        """Time, but for what its worker's threads waited for a core."""
        looks = map(thread_look, Path(f"/proc/{self.pid}/task").iterdir())
        return time.monotonic_ns() - max(look.waited_ns for look in looks if look)

    def leave(self) -> None:
        """End the calls, then the instance."""
        self._over.set()
        self._wanted.set()
        for thread in self._threads:
            thread.join()
        self._session.close()
        gone = pool_pb2.InstanceRequest(op_id=op(), instance=self.instance)
        self._stack.ask(verbs.POOL_DETACH, gone)


class World:
    """The pool, and the instances that came."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.wrong = 0

    @contextmanager
    def tenants(self, *shares: tuple[str, int]) -> Iterator[list[Tenant]]:
        """Instances of these types; their models have so many layers."""
        with ExitStack() as undo:
            made = []
            for kind, layers in shares:
                made.append(Tenant(self._stack, kind, layers))
                undo.callback(made[-1].leave)
            yield made
            self.wrong += sum(each.wrong for each in made)


def measure() -> dict[str, Any]:
    """The figures; takes about a minute and a half."""
    with tempfile.TemporaryDirectory() as root, embedded_pool(Path(root), _CONFIG) as stack:
        cores = os.sched_getaffinity(0)
        with context_of(stack):
            # Calls are made on other cores than the one that is shared, if there are any.
            os.sched_setaffinity(0, cores - {min(cores)} or cores)
            try:
                world = World(stack)
                found = {**_quarters(world), **_simulated(world), **_third(world), **_idle(world)}
                return {**found, "wrong_answers": world.wrong}
            finally:
                os.sched_setaffinity(0, cores)


def missed(figures: dict[str, Any]) -> list[str]:
    """What is missed of the limits, in sentences."""
    limits = {
        "share_error_points": ERROR_POINTS,
        "simulated_share_error_points": ERROR_POINTS,
        "third_moves_s": MOVES_S,
        "idle_cost_percent": IDLE_PERCENT,
        "wrong_answers": 0,
    }
    over = {name: limit for name, limit in limits.items() if figures[name] > limit}
    return [f"{name} = {figures[name]} > {limit:g}" for name, limit in over.items()]


def _quarters(world: World) -> dict[str, Any]:
    quarter = []
    for light, heavy in ((1, 1), (1, HEAVY), (HEAVY, 1)):
        with world.tenants(("cpu.1-4", light), ("cpu.3-4", heavy)) as tenants:
            quarter.append(shares_of(tenants, SECONDS, Tenant.used_ns)[0])
    return {
        "share_error_points": round(max(abs(part - 25) for part in quarter), 2),
        "share_percent": [round(part, 2) for part in quarter],
    }


def _simulated(world: World) -> dict[str, Any]:
    with world.tenants(("gpu.1-4", 1), ("gpu.3-4", 1)) as tenants:
        part = shares_of(tenants, SECONDS, Tenant.runs)[0]
    return {"simulated_share_error_points": round(abs(part - 25), 2)}


def shares_of(
    tenants: Sequence[Tenant], seconds: float, used: Callable[[Tenant], int]
) -> list[float]:
    """Saturate them; of what all of them used in that time, in percent."""
    for tenant in tenants:
        tenant.call()
    time.sleep(SETTLE_S)
    return _window(tenants, seconds, used)


def _window(
    tenants: Sequence[Tenant], seconds: float, used: Callable[[Tenant], int]
) -> list[float]:
    before = [used(tenant) for tenant in tenants]
    time.sleep(seconds)
    took = [used(tenant) - was for tenant, was in zip(tenants, before, strict=True)]
    return [100 * each / max(1, sum(took)) for each in took]


def _third(world: World) -> dict[str, Any]:
    with world.tenants(("cpu.1-8", 1), ("cpu.3-8", 4), ("cpu.1-2", 2)) as tenants:
        *two, third = tenants
        shares_of(two, SETTLE_S, Tenant.used_ns)
        third.call()
        came = _moves_s(tenants, [12.5, 37.5, 50])
        third.call(on=False)
        gone = _moves_s(tenants, [25, 75, 0])
    return {"third_moves_s": round(max(came, gone), 2)}


def _moves_s(tenants: Sequence[Tenant], wanted: Sequence[float]) -> float:
    """When the shares have come to be as wanted: the end of the first of two such windows."""
    began, good = time.monotonic(), 0
    while good < 2 and time.monotonic() - began < WATCHED_S:
        found = _window(tenants, WINDOW_S, Tenant.used_ns)
        close = all(abs(a - b) <= CLOSE_POINTS for a, b in zip(found, wanted, strict=True))
        good = good + 1 if close else 0
    return time.monotonic() - began - (WINDOW_S if good == 2 else 0)


def _idle(world: World) -> dict[str, Any]:
    ratios = []
    with world.tenants(("cpu.1-2", 2)) as (busy,):
        busy.call()
        time.sleep(SETTLE_S)
        for _ in range(ROUNDS):
            alone = _runs_per_s(busy)
            with world.tenants(("cpu.1-2", 2)):
                time.sleep(SETTLE_S)
                ratios.append(_runs_per_s(busy) / alone)
    return {"idle_cost_percent": round(100 * (1 - median(ratios)), 2)}


def _runs_per_s(busy: Tenant) -> float:
    began, before = busy.had_ns(), busy.runs()
    time.sleep(ROUND_S)
    return 1e9 * (busy.runs() - before) / (busy.had_ns() - began)


def _model(layers: int) -> bytes:
    """Y of x, [ROWS, WIDE], by products: some milliseconds a layer, so that callers wait."""
    noise = np.random.default_rng(7).standard_normal((WIDE, WIDE), np.float32)
    nodes, before = [], "x"
    for layer in range(32 * layers):
        nodes.append(helper.make_node("MatMul", [before, "w"], [f"p{layer}"]))
        nodes.append(helper.make_node("Tanh", [f"p{layer}"], [f"t{layer}"]))
        before = f"t{layer}"
    nodes.append(helper.make_node("Identity", [before], ["y"]))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [ROWS, WIDE]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(noise, "w")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())
