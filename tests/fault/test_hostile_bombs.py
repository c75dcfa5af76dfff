"""Models that ask for more memory than there is, or for more time than their callers have."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from onnx import TensorProto, helper

import eais
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2, value_pb2
from eais.testing.values import encode_value
from eais.value import Deferred
from tests.fault.bystander import Bystander
from tests.fault.conftest import CONFIG
from tests.fault.hostile_models import compared_with_each
from tests.system.raw import open_session, refusal, run_once
from tests.system.stack import Stack, eventually, op
from tests.unit.server.runtime import models

GIB = 1 << 30
ROOM = GIB
DEADLINE_US = 500_000


@pytest.fixture(scope="module")
def pool_config() -> str:
    """Of this module: a share has a gigabyte of memory."""
    return CONFIG.replace("[listener]\n", f"[listener]\nworker_memory_bytes = {ROOM}\n")


def folded(count: int, op_type: str = "") -> bytes:
    """`count` floats, all of them constant: made by the optimiser, or else by each run."""
    n = helper.make_tensor("n", TensorProto.INT64, [1], [1 if op_type else count])
    many = helper.make_tensor("many", TensorProto.INT64, [1], [count])
    pads = helper.make_tensor("pads", TensorProto.INT64, [2], [0, count])
    other = pads if op_type == "Pad" else many
    nodes = [helper.make_node("ConstantOfShape", ["n"], ["few"])]
    if op_type:
        nodes.append(helper.make_node(op_type, ["few", other.name], ["big"]))
    last = nodes[-1].output[0]
    nodes.append(helper.make_node("ReduceSum", [last], ["y"], keepdims=0))
    return models.model(
        *nodes,
        inputs=[],
        outputs=[models.info("y", dims=[])],
        initializers=(n, other) if op_type else (n,),
    )


def asked(count: int) -> tuple[bytes, int]:
    """As many as the call says."""
    return models.bomb(), count


BOMBS: dict[str, tuple[bytes, int | None]] = {
    "4 TiB, folded": (folded(1 << 40), None),
    "4 GiB, folded": (folded(1 << 30), None),
    "4 TiB, by a call": asked(1 << 40),
    "4 GiB, by a call": asked(1 << 30),
    "Tile": (folded(1 << 30, "Tile"), None),
    "Expand": (folded(1 << 30, "Expand"), None),
    "Pad": (folded(1 << 30, "Pad"), None),
}


def opened_and_run(stack: Stack, at: pool_pb2.Instance, model: bytes, count: int | None) -> None:
    inputs = []
    if count is not None:
        value = encode_value(np.array([count], np.int64), Deferred())
        inputs.append(value_pb2.NamedValue(name="n", value=value))
    run_once(stack, at, open_session(stack, at, model, {}).id, inputs)


@pytest.mark.hostile("memory-bomb")
@pytest.mark.parametrize("case", BOMBS)
def test_more_memory_than_the_share_has(
    stack: Stack, instance: pool_pb2.Instance, client_home: object, case: str
) -> None:
    model, count = BOMBS[case]
    x = np.ones((3, 2), np.float32)
    with eais.InferenceSession(models.dataset("mul_1")) as innocent:
        before = stack.instance(instance.id).workers[0].incarnation
        error = refusal(opened_and_run, stack, instance, model, count)
        assert error.reason in {"MODEL_MEMORY", "RUN_MEMORY"}
        assert int(error.metadata["limit"]) == ROOM
        assert innocent.run(None, {"X": x})[0].shape == (3, 2)
        assert stack.instance(instance.id).workers[0].incarnation == before


@pytest.fixture
def busy(stack: Stack) -> Iterator[pool_pb2.Instance]:
    """An instance for one call that would take its worker for long."""
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    yield made
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


def runs_late(stack: Stack, at: pool_pb2.Instance, model: bytes, **feed: np.ndarray) -> None:
    inputs = [
        value_pb2.NamedValue(name=name, value=encode_value(value, Deferred()))
        for name, value in feed.items()
    ]
    session = open_session(stack, at, model, {}).id
    error = refusal(run_once, stack, at, session, inputs, timeout_us=DEADLINE_US)
    assert error.reason == "DEADLINE_EXCEEDED"


def serves(stack: Stack, at: pool_pb2.Instance) -> None:
    value = encode_value(np.ones((3, 2), np.float32), Deferred())
    session = open_session(stack, at, models.dataset("mul_1"), {}).id
    inputs = [value_pb2.NamedValue(name="X", value=value)]
    assert run_once(stack, stack.instance(at.id), session, inputs).outputs


@pytest.mark.hostile("loop-endless")
def test_a_loop_without_an_end(stack: Stack, busy: pool_pb2.Instance, bystander: Bystander) -> None:
    """It is stopped between two of its nodes, and the worker has lost nothing."""
    runs_late(stack, busy, models.endless(), x=np.ones(2, np.float32))
    bystander.check()
    serves(stack, busy)
    assert stack.instance(busy.id).workers[0].incarnation == busy.workers[0].incarnation


@pytest.mark.hostile("kernel-endless")
def test_an_operator_that_computes_for_long(
    stack: Stack, busy: pool_pb2.Instance, bystander: Bystander
) -> None:
    """Nothing stops it but the worker's end: the caller was told before, others are served."""

    def again() -> bool | None:
        worker = stack.instance(busy.id).workers[0]
        return (worker.serving and worker.incarnation > busy.workers[0].incarnation) or None

    runs_late(stack, busy, compared_with_each(), n=np.array(1 << 20))
    bystander.check()
    eventually(again, "its worker was replaced")
    serves(stack, busy)
