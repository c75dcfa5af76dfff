"""The main job on the real stack: attach, run real models, be refused, restart, detach."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import eais
from eais.errors import AttachmentLost, Detached, EaisError, ModelRejected
from eais.identity import Identity
from eais.rpc import client, verbs
from eais.rpc.hello import hello
from eais.rpc.status import error_of_message
from eais.rpc.v1 import listener_pb2, pool_pb2, worker_pb2
from tests.system.stack import Stack, eventually, op

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
OWN = Path(onnxruntime.__file__).parent / "datasets"


@pytest.fixture
def instance(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[pool_pb2.Instance]:
    """An attached cpu.1, and an environment in which sessions find it."""
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    yield made
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


def local(model: Path | bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def feeds_of(session: Any, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes = {
        i.name: [d if isinstance(d, int) else 2 for d in i.shape] for i in session.get_inputs()
    }
    return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def same(left: Any, right: Any) -> None:
    if isinstance(right, np.ndarray):
        assert (left.dtype, left.shape) == (right.dtype, right.shape)
        assert left.tobytes() == right.tobytes()
    else:
        assert left == right


MODELS = [
    LIGHT / "light_resnet50.onnx",
    LIGHT / "light_squeezenet.onnx",
    OWN / "mul_1.onnx",
    OWN / "sigmoid.onnx",
    OWN / "logreg_iris.onnx",
]


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_answers_are_bit_exact(instance: pool_pb2.Instance, model: Path) -> None:
    here = local(model)
    with eais.InferenceSession(model) as there:
        for ours, theirs in [
            (there.get_inputs(), here.get_inputs()),
            (there.get_outputs(), here.get_outputs()),
        ]:
            assert [(v.name, v.type, v.shape) for v in ours] == [
                (v.name, v.type, v.shape) for v in theirs
            ]
        for seed in range(2):
            feeds = feeds_of(here, seed)
            for got, want in zip(there.run(None, feeds), here.run(None, feeds), strict=True):
                same(got, want)


def test_a_model_with_external_data(instance: pool_pb2.Instance, tmp_path: Path) -> None:
    weights = np.arange(400_000, dtype=np.float32)
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [400_000], weights.tobytes(), raw=True)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [400_000])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [400_000])],
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    x = np.ones(400_000, dtype=np.float32)
    with eais.InferenceSession(path) as session:
        np.testing.assert_array_equal(session.run(["y"], {"x": x})[0], weights + 1)


def test_a_model_whose_branches_have_external_data(
    instance: pool_pb2.Instance, tmp_path: Path
) -> None:
    """A worker's files have a second name in the store, which onnx's check of branches refuses."""
    size = 100_000
    weights = {name: np.arange(size, dtype=np.float32) * k for name, k in (("p", 1), ("q", -1))}
    branches = []
    for name, values in weights.items():
        tensor = helper.make_tensor(name, TensorProto.FLOAT, [size], values.tobytes(), raw=True)
        node = helper.make_node("Add", ["x", name], ["z"])
        out = helper.make_tensor_value_info("z", TensorProto.FLOAT, [size])
        branches.append(helper.make_graph([node], "b", [], [out], [tensor]))
    graph = helper.make_graph(
        [helper.make_node("If", ["on"], ["y"], then_branch=branches[0], else_branch=branches[1])],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [size]),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [size])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (tmp_path / "w.bin").stat().st_size >= 8 * size
    here = local(path)
    with eais.InferenceSession(path) as session:
        for on in (True, False):
            feeds = {"x": np.ones(size, np.float32), "on": np.array(on)}
            same(session.run(None, feeds)[0], here.run(None, feeds)[0])


def refused(make: Any) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is compared
        make()
    return caught.value


def worker_pids(ident: str) -> list[int]:
    title = f"eais-worker {ident}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if line.startswith(title):
                found.append(int(entry.name))
    return found


def test_a_worker_that_dies_is_replaced(stack: Stack, instance: pool_pb2.Instance) -> None:
    with eais.InferenceSession(OWN / "mul_1.onnx") as session:
        feeds = {"X": np.ones((3, 2), np.float32)}
        want = session.run(None, feeds)
        (pid,) = worker_pids(instance.id)
        os.kill(pid, signal.SIGKILL)
        same(session.run(None, feeds)[0], want[0])
        (again,) = worker_pids(instance.id)
        assert again != pid
    after = stack.instance(instance.id)
    assert after.epoch == instance.epoch
    assert after.workers[0].endpoint == instance.workers[0].endpoint


def test_two_tenants_never_share_a_process(stack: Stack, instance: pool_pb2.Instance) -> None:
    other = stack.frontend("other", "f2")
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    theirs = stack.ask(verbs.POOL_ATTACH, request, other).instance
    try:
        ours = worker_pids(instance.id)
        assert len(ours) == len(worker_pids(theirs.id)) == 1
        assert ours != worker_pids(theirs.id)
        assert theirs.workers[0].endpoint.address != instance.workers[0].endpoint.address
        listed = stack.ask(verbs.POOL_LIST, pool_pb2.ListRequest()).instances
        assert theirs.id not in {one.id for one in listed}
    finally:
        end = pool_pb2.InstanceRequest(op_id=op(), instance=theirs.id)
        stack.ask(verbs.POOL_DETACH, end, other)


def one_run(stack: Stack, at: pool_pb2.Instance, epoch: int) -> EaisError:
    messages = [
        worker_pb2.ToWorker(hello=hello("eais-test")),
        worker_pb2.ToWorker(
            runs=[worker_pb2.Run(call_id=1, instance=at.id, epoch=epoch, session="none")]
        ),
    ]
    with stack.dial(at.workers[0].endpoint, stack.frontend()) as made:
        replies = client.stream(made, verbs.WORKER_STREAM, messages)
        assert next(replies).HasField("hello")
        return error_of_message(next(replies).answers[0].error)


def test_an_older_epoch_is_refused(stack: Stack, instance: pool_pb2.Instance) -> None:
    for verb in (verbs.POOL_STOP, verbs.POOL_START):
        stack.ask(verb, pool_pb2.InstanceRequest(op_id=op(), instance=instance.id))
    now = stack.instance(instance.id)
    assert now.epoch > instance.epoch
    assert one_run(stack, now, instance.epoch).reason == "STALE_EPOCH"
    assert one_run(stack, now, now.epoch).reason == "SESSION_UNKNOWN"
    request = listener_pb2.LocateRequest(instance=now.id, epoch=instance.epoch)
    with (
        stack.dial(now.listener, stack.frontend()) as made,
        pytest.raises(AttachmentLost) as caught,
    ):
        client.call(made, verbs.LISTENER_LOCATE, request, timeout_s=10, unreachable="X")
    assert caught.value.reason == "STALE_EPOCH"


def test_a_stopped_instance_says_so_at_once(stack: Stack, instance: pool_pb2.Instance) -> None:
    def answer() -> object:
        try:
            return session.run(None, feeds)
        except Detached:  # the news that it is started are on their way
            return None

    with eais.InferenceSession(OWN / "mul_1.onnx") as session:
        feeds = {"X": np.ones((3, 2), np.float32)}
        session.run(None, feeds)
        stack.ask(verbs.POOL_STOP, pool_pb2.InstanceRequest(op_id=op(), instance=instance.id))
        with pytest.raises(EaisError) as caught:
            session.run(None, feeds)
        assert caught.value.reason == "INSTANCE_STOPPED"
        stack.ask(verbs.POOL_START, pool_pb2.InstanceRequest(op_id=op(), instance=instance.id))
        eventually(answer, "an answer after the start")


def test_manifest_above_two_gib_is_refused_before_a_byte_is_sent(
    stack: Stack, instance: pool_pb2.Instance
) -> None:
    files = [
        listener_pb2.ModelFile(sha256=bytes(32), size=1000),
        listener_pb2.ModelFile(location="w.bin", sha256=bytes(range(32)), size=(2 << 30) + 1),
    ]
    spec = listener_pb2.SessionSpec(files=files)
    request = listener_pb2.OpenRequest(instance=instance.id, epoch=instance.epoch, spec=spec)
    with (
        stack.dial(instance.listener, stack.frontend()) as made,
        pytest.raises(ModelRejected) as caught,
    ):
        client.call(made, verbs.LISTENER_OPEN, request, timeout_s=10, unreachable="X")
    assert caught.value.reason == "MODEL_TOO_LARGE"


def test_none_or_several_instances_are_named(
    stack: Stack, instance: pool_pb2.Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = stack.ask(verbs.POOL_ATTACH, pool_pb2.AttachRequest(op_id=op(), type="cpu.1")).instance
    try:
        with pytest.raises(EaisError) as caught:
            eais.InferenceSession(OWN / "mul_1.onnx")
        assert caught.value.reason == "INSTANCE_AMBIGUOUS"
        assert instance.id in str(caught.value)
        assert second.id in str(caught.value)
        monkeypatch.setenv("EAIS_INSTANCE", second.id)
        with eais.InferenceSession(OWN / "mul_1.onnx") as session:
            assert session.get_providers() == ["CPUExecutionProvider"]
    finally:
        end = pool_pb2.InstanceRequest(op_id=op(), instance=second.id)
        stack.ask(verbs.POOL_DETACH, end)


def test_nothing_attached_says_how_to(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    with pytest.raises(EaisError) as caught:
        eais.InferenceSession(OWN / "mul_1.onnx")
    assert caught.value.reason == "NOT_ATTACHED"


def test_detach_leaves_no_worker(stack: Stack) -> None:
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    assert len(worker_pids(made.id)) == 1
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))
    eventually(lambda: True if not worker_pids(made.id) else None, "the worker is gone")
    with pytest.raises(EaisError) as caught:
        stack.instance(made.id)
    assert caught.value.reason == "NOT_FOUND"


def test_worker_certificates_name_their_instance(stack: Stack, instance: pool_pb2.Instance) -> None:
    expected = Identity.worker(stack.pool, instance.id, 1).dns_name
    assert instance.workers[0].endpoint.server_name == expected
