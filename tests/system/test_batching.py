"""Calls of many threads that run as one on a real worker: the bits, and whose they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import eais
from eais.errors import UsageError
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.system.stack import Stack, op

CALLERS = 16
TIMEOUT_S = 60.0
WIDE = 600


@pytest.fixture(autouse=True)
def instance(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[pool_pb2.Instance]:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    yield made
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


def model(last: str) -> bytes:
    """y[N, 600] of x[N, 600]: products, long enough that callers wait, then `last`."""
    noise = np.random.default_rng(5)
    names = [f"w{layer}" for layer in range(4)]
    constants = [
        numpy_helper.from_array(noise.standard_normal((WIDE, WIDE), np.float32), name)
        for name in names
    ]
    nodes, before = [], "x"
    for name in names:
        nodes += [
            helper.make_node("MatMul", [before, name], [f"p{name}"]),
            helper.make_node("Tanh", [f"p{name}"], [f"t{name}"]),
        ]
        before = f"t{name}"
    if last == "centred":
        # By the mean of all rows: with one row alone, zeros.
        nodes.append(helper.make_node("ReduceMean", [before], ["m"], axes=[0], keepdims=1))
        nodes.append(helper.make_node("Sub", [before, "m"], ["y"]))
    else:
        nodes.append(helper.make_node("Identity", [before], ["y"]))
    dims: list[str | int | None] = ["N", WIDE]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, dims)
    graph = helper.make_graph(nodes, "g", [x], [y], initializer=constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made.SerializeToString()


def local(data: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class Callers:
    """Threads that call until enough was seen; each answer is compared with this process's."""

    def __init__(self, session: Any, oracle: Any, rounds: int) -> None:
        self.session, self.oracle, self.rounds = session, oracle, rounds
        self.sizes: set[int] = set()
        self.wrong: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        threads = [threading.Thread(target=self._call, args=(n,)) for n in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT_S)
        assert not any(thread.is_alive() for thread in threads)

    def _call(self, number: int) -> None:
        noise = np.random.default_rng(number)
        for _ in range(self.rounds):
            if self.enough.is_set():
                return
            x = noise.standard_normal((1, WIDE), np.float32)
            (got,) = self.session.run(None, {"x": x})
            (want,) = self.oracle.run(None, {"x": x})
            if got.tobytes() != want.tobytes():
                self.wrong.append(f"caller {number}: {np.abs(got - want).max()}")
            size = self.session.last_call.batch_size
            self.sizes.add(size)
            if size >= 4:
                self.enough.set()


def test_calls_of_many_threads_run_as_one_and_no_bit_changes() -> None:
    data = model("plain")
    with eais.InferenceSession(data) as session:
        callers = Callers(session, local(data), rounds=2000)
        callers.run()
        assert callers.wrong == []
        assert max(callers.sizes) >= 4


@pytest.mark.parametrize(("last", "batching"), [("plain", "off"), ("centred", None)])
def test_what_may_not_runs_alone(last: str, batching: str | None) -> None:
    data = model(last)
    with eais.InferenceSession(data, batching=batching) as session:
        callers = Callers(session, local(data), rounds=20)
        callers.run()
        assert callers.wrong == []
        assert callers.sizes == {1}


def test_a_callers_word_takes_the_place_of_the_proof_but_not_of_the_comparison() -> None:
    data = model("centred")
    with eais.InferenceSession(data, batching="on") as session:
        callers = Callers(session, local(data), rounds=20)
        callers.run()
        assert callers.wrong == []
        assert callers.sizes == {1}


def test_another_word_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match="batching is one of"):
        eais.InferenceSession(b"", batching="always")
