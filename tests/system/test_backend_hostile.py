"""Bombs, options and calls that mean no good, on the real stack, by a client that checks nothing.

Each gets a clear word of `eais.errors`, never BUG, and no path, stack or process id in its
text. The same listener and worker serve on after all of them. Models and tensors are in
tests/fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from eais.errors import REASONS, EaisError
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2, value_pb2
from eais.testing.values import encode_value
from eais.value import Deferred
from tests.system.raw import open_session, refusal, run_once
from tests.system.stack import Stack, op
from tests.unit.server.runtime import models

X = np.ones((3, 2), np.float32)


def folded_bomb() -> bytes:
    """4 PiB, if the optimiser computes it while it loads."""
    n = helper.make_tensor("n", TensorProto.INT64, [1], [1 << 50])
    node = helper.make_node("ConstantOfShape", ["n"], ["big"])
    total = helper.make_node("ReduceSum", ["big"], ["y"], keepdims=0)
    return models.model(
        node, total, inputs=[], outputs=[models.info("y", dims=[])], initializers=(n,)
    )


@pytest.fixture(scope="module")
def instance(stack: Stack) -> Iterator[pool_pb2.Instance]:
    """One instance for all rows."""
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    yield made
    after = stack.instance(made.id)
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))
    assert after.workers[0].incarnation == made.workers[0].incarnation, "a row killed the worker"


@pytest.fixture(scope="module")
def session(stack: Stack, instance: pool_pb2.Instance) -> str:
    """A good session, for what is done to its inputs."""
    return open_session(stack, instance, models.dataset("mul_1"), {}).id


def no_more_than_it_should(stack: Stack, error: EaisError) -> None:
    """A known word, not a bug's, and nothing of this host in the text."""
    assert error.reason in REASONS, error
    assert error.reason != "BUG"
    said = " ".join([error.message, error.hint, *error.metadata.values()])
    assert len(said) <= 4096
    for secret in (str(stack.state), "/tmp/", "/home/", "workers/", "Traceback", '.py"'):
        assert secret not in said, said
    assert not re.search(r"\bpid\b", said)


def serves_on(stack: Stack, instance: pool_pb2.Instance, session: str) -> None:
    value = value_pb2.NamedValue(name="X", value=encode_value(X, Deferred()))
    assert run_once(stack, instance, session, [value]).outputs


def open_and_run(stack: Stack, instance: pool_pb2.Instance, model: bytes) -> None:
    run_once(stack, instance, open_session(stack, instance, model, {}).id, [])


def test_a_bomb_is_refused_at_the_load_or_at_the_run(
    stack: Stack, instance: pool_pb2.Instance, session: str
) -> None:
    error = refusal(open_and_run, stack, instance, folded_bomb())
    assert error.reason in {"MODEL_MEMORY", "RUN_MEMORY"}
    no_more_than_it_should(stack, error)
    serves_on(stack, instance, session)


OPTIONS: dict[str, dict[str, Any]] = {
    "a file to write": {"config_entries": {"session.optimized_model_filepath": "x"}},
    "a file to read": {"config_entries": {"session.node_partition_config_file": "x"}},
    "a path as value": {"config_entries": {"session.x": "/etc/passwd"}},
    "a key without end": {"config_entries": {"k" * 4096: "x"}},
    "a level that is none": {"graph_optimization_level": 42},
    "a mode that is none": {"execution_mode": -1},
}


@pytest.mark.parametrize("row", OPTIONS)
def test_a_hostile_option(
    stack: Stack, instance: pool_pb2.Instance, session: str, row: str
) -> None:
    error = refusal(open_session, stack, instance, models.relu(), {}, **OPTIONS[row])
    assert error.reason == "OPTION_REFUSED"
    no_more_than_it_should(stack, error)
    serves_on(stack, instance, session)


CALLS: dict[str, tuple[dict[str, Any], str]] = {
    "an output that isn't there": ({"outputs": ["/etc/passwd"]}, "OUTPUT_UNKNOWN"),
    "an option that names a file": (
        {"options": {"config_entries": {"run.profile_file": "x"}}},
        "OPTION_REFUSED",
    ),
    "a time that has passed": ({"timeout_us": 1}, "DEADLINE_EXCEEDED"),
}


@pytest.mark.parametrize("row", CALLS)
def test_a_hostile_call(stack: Stack, instance: pool_pb2.Instance, session: str, row: str) -> None:
    fields, reason = CALLS[row]
    looping = open_session(stack, instance, models.endless(), {}).id
    name, asked = ("x", looping) if reason == "DEADLINE_EXCEEDED" else ("X", session)
    feed = np.ones(2, np.float32) if asked == looping else X
    value = value_pb2.NamedValue(name=name, value=encode_value(feed, Deferred()))
    error = refusal(run_once, stack, instance, asked, [value], **fields)
    assert error.reason == reason
    no_more_than_it_should(stack, error)
    serves_on(stack, instance, session)
