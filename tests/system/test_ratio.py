"""A real pool changes an instance's ratio of CPU to accelerator as calls come, and stay away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import eais
from eais.rpc import verbs
from eais.rpc.v1 import listener_pb2, pool_pb2, profiles_pb2
from tests.system.stack import Stack, embedded_pool, eventually, op

CONFIG = """\
[listener]
cpu_cores = 1
simulate = "gpu=3"
[manager]
ratio_change_s = 3.0
ratio_awake_s = 3.0
"""
WIDTH, LAYERS = 768, 12
LONG_S = 240.0
SLO_US = 500_000


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    with embedded_pool(tmp_path, CONFIG) as stack:
        monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
        yield stack


def model_of_some_ms(path: Path) -> Path:
    """A chain of products that takes a core a few milliseconds."""
    rng = np.random.default_rng(7)
    nodes, weights = [], []
    for n in range(LAYERS):
        scale = np.float32(1 / WIDTH**0.5)
        weight = rng.standard_normal((WIDTH, WIDTH)).astype(np.float32) * scale
        weights.append(numpy_helper.from_array(weight, f"w{n}"))
        nodes.append(helper.make_node("MatMul", [f"x{n}", f"w{n}"], [f"x{n + 1}"]))
    shape: list[str | int] = ["batch", 16, WIDTH]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name in ("x0", f"x{LAYERS}")
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    onnx.save(made, path)
    return path


def attached(stack: Stack, type_: str, **policy: object) -> pool_pb2.Instance:
    request = pool_pb2.AttachRequest(op_id=op(), type=type_)
    if policy:
        request.policy.CopyFrom(pool_pb2.InstancePolicy(**policy))  # type: ignore[arg-type]
    reply: pool_pb2.InstanceReply = stack.ask(verbs.POOL_ATTACH, request)
    return reply.instance


def detach(stack: Stack, instance: str) -> None:
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=instance))


def measured(stack: Stack, model: Path) -> float:
    """Have the model measured on all devices; a call's seconds on a core."""
    made = attached(stack, "cpu.1")
    with eais.InferenceSession(str(model), provider_options=[{"instance": made.id}]):
        pass
    detach(stack, made.id)
    data = model.read_bytes()
    file = listener_pb2.ModelFile(sha256=sha256(data).digest(), size=len(data))
    request = profiles_pb2.MeasureRequest(op_id=op(), spec=listener_pb2.SessionSpec(files=[file]))

    def over() -> profiles_pb2.MeasureReply | None:
        reply: profiles_pb2.MeasureReply = stack.ask(verbs.PROFILES_MEASURE, request)
        return reply if reply.over else None

    reply = eventually(over, "it is measured", LONG_S)
    on_cpu = next(each for each in reply.profiles if each.kind == "cpu" and each.points)
    return min(point.p50_s / point.batch for point in on_cpu.points)


class Load:
    """Calls at a rate, whatever becomes of them, each of which must be answered right."""

    def __init__(self, session: eais.InferenceSession, model: Path) -> None:
        self._session = session
        rng = np.random.default_rng(3)
        self._feeds: list[NDArray[np.float32]] = [
            rng.standard_normal((1, 16, WIDTH)).astype(np.float32) for _ in range(4)
        ]
        local = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        self._right = [np.asarray(local.run(None, {"x0": feed})[0]) for feed in self._feeds]
        self._pause = threading.Event()
        self._lock = threading.Lock()
        self.sent = self.answered = self.lost = self.wrong = 0
        self.errors: set[str] = set()

    def go_on(self, per_s: float, within_s: float, until: object, most_waiting: int = 400) -> bool:
        """Send calls until `until()` holds; False if it didn't in time."""
        begun, sent, looked = time.monotonic(), 0, 0.0
        while (now := time.monotonic()) - begun < within_s:
            if now - looked > 0.5:
                looked = now
                if until():  # type: ignore[operator]
                    return True
            if (
                sent < (now - begun) * per_s
                and self.sent - self.answered - self.lost < most_waiting
            ):
                sent += 1
                self.call()
            else:
                self._pause.wait(0.002)
        return False

    def call(self) -> None:
        which = self.sent % len(self._feeds)
        self.sent += 1
        self._session.run_async(None, {"x0": self._feeds[which]}, self._heard, which)

    def _heard(self, results: list[NDArray[np.float32]], which: int, error: str) -> None:
        with self._lock:
            if error:
                self.lost += 1
                self.errors.add(error)
            else:
                self.answered += 1
                close = np.allclose(results[0], self._right[which], rtol=1e-3, atol=1e-4)
                self.wrong += not close

    def all_heard(self) -> bool | None:
        return True if self.sent == self.answered + self.lost else None


@pytest.mark.slow
def test_load_brings_an_accelerator_and_silence_none_and_a_call_wakes_it(
    pool: Stack, tmp_path: Path
) -> None:
    model = model_of_some_ms(tmp_path / "chain.onnx")
    call_s = measured(pool, model)
    made = attached(pool, "auto", slo_p99_us=SLO_US, ratio=pool_pb2.RatioPolicy(ratio="auto"))

    def kinds() -> set[str]:
        return {worker.kind for worker in pool.instance(made.id).workers if worker.serving}

    assert kinds() == {"cpu"}
    with eais.InferenceSession(str(model), provider_options=[{"instance": made.id}]) as session:
        load = Load(session, model)
        grown = load.go_on(2 / call_s, LONG_S, lambda: kinds() == {"gpu"})
        assert grown, (pool.instance(made.id), pool.logs())
        eventually(load.all_heard, "all calls are answered", LONG_S)

        def asleep() -> bool | None:
            shown = pool.instance(made.id)
            return True if shown.ratio.asleep and not shown.workers else None

        eventually(asleep, "it has no worker", LONG_S)
        shown = pool.instance(made.id)
        assert shown.state == pool_pb2.IN_USE

        def free() -> bool | None:
            return None if any(device.shares for device in pool.status().devices) else True

        eventually(free, "its shares are free", LONG_S)
        load.call()
        eventually(load.all_heard, "the call that woke it is answered", LONG_S)
        assert (load.lost, load.wrong) == (0, 0), load.errors
        decisions = pool.instance(made.id).ratio.decisions
        assert any("gpu" in each.requested for each in decisions)
        assert all(each.why for each in decisions)
    detach(pool, made.id)
