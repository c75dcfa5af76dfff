"""Rings on the real stack: sessions get them, and whoever dies in the middle loses no answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import eais
from eais.errors import UsageError
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais.transport.ring.memory import KEEPS_ORDER
from tests.system.stack import Stack, op

pytestmark = pytest.mark.skipif(not KEEPS_ORDER, reason="no rings on this kind of processor")

WAIT_S = 60.0
LARGE = np.arange(4 << 20, dtype=np.float32).reshape(4, -1)


def identity() -> bytes:
    """A model that gives back its input."""
    value = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["r", "c"]) for name in ("x", "y")
    ]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "identity", value[:1], value[1:]
    )
    opsets = [helper.make_opsetid("", 17)]
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return data


@pytest.fixture(params=["auto", "off"])
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def instance(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, policy: str
) -> Iterator[pool_pb2.Instance]:
    """An attached cpu.1 of that policy, and an environment in which sessions find it."""
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    monkeypatch.delenv("EAIS_TRANSPORT", raising=False)
    request = pool_pb2.AttachRequest(
        op_id=op(), type="cpu.1", policy=pool_pb2.InstancePolicy(ring=policy)
    )
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    monkeypatch.setenv("EAIS_INSTANCE", made.id)
    yield made
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


def until(condition: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.02)


def worker_of(instance: pool_pb2.Instance) -> int:
    """The process that serves the instance; 0 for none."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].decode(errors="replace") == f"eais-worker {instance.id}":
            return int(path.parent.name)
    return 0


def on_ring(session: eais.InferenceSession) -> bool:
    return session.stats().transport == "ring"


@pytest.mark.parametrize("policy", ["auto"], indirect=True)
def test_calls_outlive_the_worker_that_is_killed_amid_them(instance: pool_pb2.Instance) -> None:
    with eais.InferenceSession(identity(), transport="ring") as session:
        small = np.ones((1, 3), np.float32)
        session.run(None, {"x": small})
        assert on_ring(session)
        assert "ring" in repr(session)
        first = worker_of(instance)
        for k in range(200):
            feed = LARGE + k if k % 10 == 0 else small + k
            if k == 55:
                os.kill(first, signal.SIGKILL)
            (got,) = session.run(None, {"x": feed})
            assert got.tobytes() == feed.tobytes()
        assert worker_of(instance) not in (0, first)
        assert on_ring(session)


CLIENT = """
import sys
import numpy as np
import eais
session = eais.InferenceSession(sys.argv[1], transport="ring")
x = np.ones((1, 1 << 20), np.float32)
session.run(None, {"x": x})
print("runs", flush=True)
while True:
    session.run(None, {"x": x})
"""


def rings_of(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}/maps").read_text().count("memfd:eais-ring")
    except PermissionError:
        pytest.skip("a worker is seen by root alone")


@pytest.mark.parametrize("policy", ["auto"], indirect=True)
def test_a_client_that_is_killed_amid_its_calls_leaves_nothing(
    instance: pool_pb2.Instance, tmp_path: Path
) -> None:
    model = tmp_path / "identity.onnx"
    model.write_bytes(identity())
    worker = worker_of(instance)
    before = rings_of(worker)
    for _ in range(2):
        program = [sys.executable, "-c", CLIENT, str(model)]
        with subprocess.Popen(program, stdout=subprocess.PIPE) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == b"runs\n"
            assert rings_of(worker) == before + 2
            client.kill()
        until(lambda: rings_of(worker) == before, "the ring of a client that died is there still")
    with eais.InferenceSession(model, transport="ring") as session:
        x = np.ones((2, 2), np.float32)
        assert session.run(None, {"x": x})[0].tolist() == x.tolist()
    assert worker_of(instance) == worker


@pytest.mark.parametrize("policy", ["off"], indirect=True)
def test_an_instance_without_rings_says_so_to_who_insists(instance: pool_pb2.Instance) -> None:
    x = {"x": np.ones((2, 2), np.float32)}
    with eais.InferenceSession(identity()) as session:
        assert session.run(None, x)[0].tolist() == x["x"].tolist()
        assert session.stats().transport == "h2"
    with eais.InferenceSession(identity(), transport="ring") as session:
        with pytest.raises(UsageError) as caught:
            session.run(None, x)
        assert caught.value.reason == "RING_UNAVAILABLE"
