"""A store that is full, by its limit and by a real file system: said clearly, and served on."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import eais
from eais.errors import RemoteError
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.system.stack import Stack, embedded_pool, op

MUL = Path(onnxruntime.__file__).parent / "datasets" / "mul_1.onnx"
MIB = 1 << 20


def model_of(megabytes: int, seed: int = 0) -> bytes:
    """y = x + w with `megabytes` of weights that don't compress or repeat."""
    count = megabytes * MIB // 4
    weights = np.random.default_rng(seed).standard_normal(count, dtype=np.float32)
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [count], weights.tobytes(), raw=True)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [count])],
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def attach(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> pool_pb2.Instance:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made: pool_pb2.Instance = stack.ask(verbs.POOL_ATTACH, request).instance
    return made


def check_full_then_served(state: Path) -> None:
    """A model that doesn't fit is refused without a path; the next one runs."""
    with pytest.raises(RemoteError) as caught:
        eais.InferenceSession(model_of(24))
    assert caught.value.reason == "STORE_FULL"
    assert str(state) not in str(caught.value)
    with eais.InferenceSession(MUL) as session:
        ones = np.ones((3, 2), np.float32)
        assert len(session.run(None, {"X": ones})) == 1
    with eais.InferenceSession(model_of(4)) as session:
        assert len(session.run(None, {"x": np.ones(1, np.float32)})[0]) == MIB


def test_the_stores_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = f"[listener]\ncpu_cores = 1\nstore_limit_bytes = {16 * MIB}\n"
    with embedded_pool(tmp_path, config) as stack:
        attach(stack, monkeypatch)
        check_full_then_served(stack.state)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The listener's directory on a file system of 20 MiB of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    target = tmp_path / "state" / "listener"
    target.mkdir(parents=True, mode=0o700)
    target.parent.chmod(0o700)
    if libc.mount(b"tmpfs", bytes(target), b"tmpfs", 0, b"size=20m,mode=700") != 0:
        pytest.skip(f"mounting needs root: {os.strerror(ctypes.get_errno())}")
    yield target
    assert libc.umount2(bytes(target), 2) == 0


def test_a_full_disk(small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded_pool(tmp_path, "[listener]\ncpu_cores = 1\n") as stack:
        attach(stack, monkeypatch)
        check_full_then_served(stack.state)
