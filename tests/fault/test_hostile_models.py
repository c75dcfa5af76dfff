"""Models that are none, that carry code, or that say what isn't so."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from onnx import TensorProto, helper

import eais
from eais.rpc import client, verbs
from eais.rpc.v1 import listener_pb2, pool_pb2
from tests.fault.hostile_models import (
    branched,
    graph_of,
    lying,
    refused,
    refused_here,
    with_function,
)
from tests.system.raw import refusal, spec_of
from tests.system.stack import Stack
from tests.unit.server.runtime import models

Make = Callable[[], bytes]
RESNET = models.LIGHT / "light_resnet50.onnx"


def refused_alike(
    stack: Stack, at: pool_pb2.Instance, model: bytes, reason: str, folder: Path
) -> dict[str, str]:
    """On the wire by its reason; by the drop-in in onnxruntime's words. The error's metadata."""
    error = refused(stack, at, model, reason)
    refused_here(model, folder)
    return error.metadata


EMPTY: dict[str, Make] = {
    "no bytes": lambda: b"",
    "a version alone": lambda: b"\x08\x08",
    "an opset alone": lambda: models.field(8, helper.make_opsetid("", 17).SerializeToString()),
}


@pytest.mark.hostile("model-empty")
@pytest.mark.parametrize("case", EMPTY)
def test_an_empty_model(
    stack: Stack, instance: pool_pb2.Instance, client_home: Path, tmp_path: Path, case: str
) -> None:
    refused_alike(stack, instance, EMPTY[case](), "MODEL_PARSE", tmp_path)


GARBAGE: dict[str, Make] = {
    "text": lambda: b"not a model at all",
    "html": lambda: b"<html><body>404</body></html>",
    "zip": lambda: b"PK\x03\x04" + bytes(64),
    "pickle": lambda: b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x07builtins\x94.",
    "ones": lambda: b"\xff" * 4096,
    "noise": lambda: random.Random(1).randbytes(4096),
    "nul": lambda: bytes(4096),
}


@pytest.mark.hostile("model-garbage")
@pytest.mark.parametrize("case", GARBAGE)
def test_garbage(
    stack: Stack, instance: pool_pb2.Instance, client_home: Path, tmp_path: Path, case: str
) -> None:
    refused_alike(stack, instance, GARBAGE[case](), "MODEL_PARSE", tmp_path)


def test_protobuf_groups_are_no_model_either(stack: Stack, instance: pool_pb2.Instance) -> None:
    """ONNX has none. onnxruntime skips them; here they'd be a place to hide a reference in."""
    refused(stack, instance, b"\x3b\x3c" + models.relu(), "MODEL_PARSE")


TRUNCATED: dict[str, Make] = {
    "the end": lambda: models.dataset("mul_1")[:-9],
    "half": lambda: models.dataset("mul_1")[:60],
    "first bytes": lambda: models.dataset("logreg_iris")[:40],
    "a large one": lambda: RESNET.read_bytes()[:5000],
    "a byte": lambda: RESNET.read_bytes()[:1],
}


@pytest.mark.hostile("model-truncated")
@pytest.mark.parametrize("case", TRUNCATED)
def test_a_truncated_model(
    stack: Stack, instance: pool_pb2.Instance, client_home: Path, tmp_path: Path, case: str
) -> None:
    refused_alike(stack, instance, TRUNCATED[case](), "MODEL_PARSE", tmp_path)


def in_branch(op: str, domain: str) -> bytes:
    return branched(helper.make_node(op, ["x"], ["z"], domain=domain), [])


def in_own_function(op: str, domain: str) -> bytes:
    return with_function(helper.make_node(op, ["x"], ["y"], domain=domain))


OPS: dict[str, tuple[str, str]] = {
    "unknown domain": ("Relu", "evil"),
    "unknown op": ("Nonsense", ""),
    "unknown op of onnxruntime's": ("Nonsense", "com.microsoft"),
    "training": ("Adam", "ai.onnx.preview.training"),
    "torch": ("ATen", "org.pytorch.aten"),
    "extensions": ("BpeTokenizer", "ai.onnx.contrib"),
}


@pytest.mark.hostile("op-domain")
@pytest.mark.parametrize("case", OPS)
def test_an_operator_that_isnt_run_here(
    stack: Stack, instance: pool_pb2.Instance, client_home: Path, tmp_path: Path, case: str
) -> None:
    op, domain = OPS[case]
    about = refused_alike(stack, instance, models.one_op(op, domain), "OP_REFUSED", tmp_path)
    assert about["op"] == op
    for hidden in (in_branch(op, domain), in_own_function(op, domain)):
        assert refused(stack, instance, hidden, "OP_REFUSED").metadata["op"] == op


def test_kernels_of_onnxruntimes_own_making_are_refused(
    stack: Stack, instance: pool_pb2.Instance
) -> None:
    """onnxruntime would run these: it trusts them to be its optimiser's."""
    model = models.one_op("ReorderInput", "com.microsoft.nchwc")
    error = refused(stack, instance, model, "OP_REFUSED")
    assert error.metadata["op"] == "ReorderInput"


@pytest.mark.hostile("op-pyop")
@pytest.mark.parametrize("domain", ["pyopmulti_1", "com.microsoft", "", "ai.onnx.contrib"])
def test_python_code(
    stack: Stack, instance: pool_pb2.Instance, client_home: Path, tmp_path: Path, domain: str
) -> None:
    attributes = {"module": "os", "class_name": "system", "compute": "x"}
    model = models.one_op("PyOp", domain, **attributes)
    for hidden in (model, in_branch("PyOp", domain), in_own_function("PyOp", domain)):
        assert refused(stack, instance, hidden, "OP_REFUSED").metadata["op"] == "PyOp"
    if domain:
        refused_here(model, tmp_path, words=False)


@pytest.mark.hostile("op-epcontext")
@pytest.mark.parametrize("embed_mode", [0, 1], ids=["file", "blob"])
@pytest.mark.parametrize("provider", ["OpenVINOExecutionProvider", "TensorrtExecutionProvider", ""])
def test_another_programs_blob(
    stack: Stack,
    instance: pool_pb2.Instance,
    client_home: Path,
    tmp_path: Path,
    provider: str,
    embed_mode: int,
) -> None:
    node = {"source": provider, "embed_mode": embed_mode, "ep_cache_context": "/etc/passwd"}
    model = models.one_op("EPContext", "com.microsoft", **node)
    for hidden in (model, in_branch("EPContext", "com.microsoft")):
        assert refused(stack, instance, hidden, "OP_REFUSED").metadata["op"] == "EPContext"
    refused_here(model, tmp_path, words=False)


def ort_format(folder: Path) -> bytes:
    """A good model as onnxruntime itself writes it in its own format."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "m.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(models.relu(), options, providers=["CPUExecutionProvider"])
    return (folder / "m.ort").read_bytes()


@pytest.mark.hostile("model-ort")
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "head"])
def test_onnxruntimes_own_format(
    stack: Stack, instance: pool_pb2.Instance, client_home: Path, tmp_path: Path, whole: bool
) -> None:
    model = ort_format(tmp_path) if whole else b"\x24\0\0\0ORTM" + bytes(64)
    error = refused(stack, instance, model, "OP_REFUSED")
    assert error.metadata["op"] == "ORT format"
    (tmp_path / "m.ort").write_bytes(model)
    for source in (model, tmp_path / "m.ort"):
        assert refusal(eais.InferenceSession, source).reason == "OP_REFUSED"


@pytest.mark.hostile("custom-op-library")
@pytest.mark.parametrize("key", ["session.custom_ops_library", "ep.x.library_path", "CustomOps"])
def test_a_library_of_operators(
    stack: Stack, instance: pool_pb2.Instance, client_home: Path, key: str
) -> None:
    error = refused(stack, instance, models.relu(), "OP_REFUSED", config_entries={key: "x.so"})
    assert error.metadata["op"] == "custom-op library"
    options = eais.SessionOptions()
    options.add_session_config_entry(key, "x.so")
    assert refusal(eais.InferenceSession, models.relu(), options).reason == "OP_REFUSED"
    registered = refusal(options.register_custom_ops_library, "/x.so")
    assert (registered.reason, type(registered).__name__) == ("OP_REFUSED", "Fail")


def recursive_function() -> bytes:
    return with_function(helper.make_node("f", ["x"], ["y"], domain="mine"))


def cyclic() -> bytes:
    return graph_of(
        helper.make_node("Add", ["x", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
    )


def same_name_twice() -> bytes:
    return graph_of(helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"]))


INVALID: dict[str, Make] = {
    "nesting 60": lambda: models.nested(60),
    "nesting 300": lambda: models.nested(300),
    "recursive function": recursive_function,
    "cycle": cyclic,
    "a name twice": same_name_twice,
    "an input from nowhere": lambda: graph_of(helper.make_node("Relu", ["z"], ["y"])),
    "an attribute of nobody's": lambda: models.one_op("Relu", nonsense=1),
    "no opset": lambda: b"\x08\x08" + models.field(7, models.identity_graph("y")),
}


@pytest.mark.hostile("model-invalid")
@pytest.mark.parametrize("case", INVALID)
def test_a_model_that_cant_be(
    stack: Stack, instance: pool_pb2.Instance, client_home: Path, tmp_path: Path, case: str
) -> None:
    refused_alike(stack, instance, INVALID[case](), "MODEL_INVALID", tmp_path)


def alone(tensor: TensorProto) -> bytes:
    """y = w, so that nothing but the initializer itself is wrong."""
    node = helper.make_node("Identity", ["w"], ["y"])
    y = models.info("y", dims=None)
    return models.model(node, inputs=[], outputs=[y], initializers=(tensor,))


def tensor(**fields: Any) -> TensorProto:
    return TensorProto(name="w", data_type=TensorProto.FLOAT, **fields)


LIES: dict[str, Make] = {
    "too few bytes": lambda: lying(dims=[3]),
    "too many bytes": lambda: lying(dims=[1]),
    "too few floats": lambda: alone(tensor(dims=[3], float_data=[1, 2])),
    "too many floats": lambda: alone(tensor(dims=[1], float_data=[1, 2])),
    "dims overflow": lambda: lying(dims=[1 << 32, 1 << 32, 4]),
    "dims overflow, alone": lambda: alone(tensor(dims=[1 << 62, 4], raw_data=bytes(8))),
    "dims to zero": lambda: alone(tensor(dims=[1 << 32, 1 << 32], raw_data=bytes(8))),
    "negative": lambda: lying(dims=[-2]),
    "type 999": lambda: lying(data_type=999),
    "no type": lambda: lying(data_type=0),
    "other field": lambda: alone(tensor(dims=[1], int64_data=[1])),
}


@pytest.mark.hostile("initializer-mismatch")
@pytest.mark.parametrize("case", LIES)
def test_an_initializer_that_lies(
    stack: Stack, instance: pool_pb2.Instance, client_home: Path, tmp_path: Path, case: str
) -> None:
    refused_alike(stack, instance, LIES[case](), "MODEL_INVALID", tmp_path)


def importing(domain: str, version: int) -> bytes:
    relu = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph([relu], "g", [models.info("x")], [models.info("y")])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(domain, version)]
    made = helper.make_model(graph, opset_imports=imports)
    made.ir_version = 8
    return bytes(made.SerializeToString())


FUTURE: dict[str, Make] = {
    "opset": lambda: models.relu(opset=9999),
    "ir": lambda: models.relu(ir=9999),
    "opset of ai.onnx.ml": lambda: importing("ai.onnx.ml", 9999),
}


@pytest.mark.hostile("opset-future")
@pytest.mark.parametrize("case", FUTURE)
def test_a_model_of_the_future(
    stack: Stack, instance: pool_pb2.Instance, client_home: Path, tmp_path: Path, case: str
) -> None:
    about = refused_alike(stack, instance, FUTURE[case](), "OPSET_UNSUPPORTED", tmp_path)
    assert 0 < int(about["max"]) < 9999


LIMIT = 33554432  # model_max_bytes of conftest.CONFIG


def declared(size: int, model: bytes = b"x") -> listener_pb2.SessionSpec:
    spec = spec_of(model, {})
    spec.files[0].size = size
    return spec


def opening(stack: Stack, at: pool_pb2.Instance, spec: listener_pb2.SessionSpec) -> Any:
    request = listener_pb2.OpenRequest(instance=at.id, epoch=at.epoch, spec=spec)
    with stack.dial(at.listener, stack.frontend()) as line:
        return client.call(line, verbs.LISTENER_OPEN, request, timeout_s=60, unreachable="X")


def pushing(stack: Stack, at: pool_pb2.Instance, size: int, digest: bytes, data: bytes) -> None:
    chunk = listener_pb2.PushChunk(
        instance=at.id, epoch=at.epoch, sha256=digest, size=size, data=data
    )
    with stack.dial(at.listener, stack.frontend()) as line:
        client.upload(line, verbs.LISTENER_PUSH, [chunk], timeout_s=60, unreachable="X")


def two_files(stack: Stack, at: pool_pb2.Instance) -> None:
    half = LIMIT // 2 + 1
    spec = spec_of(b"a", {"w": b"b"})
    for file in spec.files:
        file.size = half
    opening(stack, at, spec)


D = bytes(32)
SIZES: dict[str, tuple[Callable[[Stack, pool_pb2.Instance], Any], str]] = {
    "above the limit": (lambda s, at: opening(s, at, declared(LIMIT + 1)), "MODEL_TOO_LARGE"),
    "above 2 GiB": (lambda s, at: opening(s, at, declared(3 << 30)), "MODEL_TOO_LARGE"),
    "2^64 - 1": (lambda s, at: opening(s, at, declared((1 << 64) - 1)), "MODEL_TOO_LARGE"),
    "two together": (two_files, "MODEL_TOO_LARGE"),
    "pushed: above": (lambda s, at: pushing(s, at, LIMIT + 1, D, b""), "MODEL_TOO_LARGE"),
    "pushed: more than named": (lambda s, at: pushing(s, at, 4, D, bytes(8)), "MODEL_TOO_LARGE"),
    "digest lies": (lambda s, at: pushing(s, at, 8, D, bytes(8)), "DIGEST_MISMATCH"),
    "digest of nothing lies": (lambda s, at: pushing(s, at, 0, D, b""), "DIGEST_MISMATCH"),
}


@pytest.mark.hostile("model-size-or-digest")
@pytest.mark.parametrize("case", SIZES)
def test_a_size_or_digest_that_wont_do(
    stack: Stack, instance: pool_pb2.Instance, client_home: Path, tmp_path: Path, case: str
) -> None:
    work, reason = SIZES[case]
    error = refusal(work, stack, instance)
    assert error.reason == reason
    if reason == "MODEL_TOO_LARGE":
        assert int(error.metadata["limit"]) <= LIMIT
        with (tmp_path / "large.onnx").open("wb") as file:
            file.truncate(LIMIT + 1)
        here = refusal(eais.InferenceSession, tmp_path / "large.onnx")
        assert here.reason == reason


def test_what_is_in_order_is_opened(
    stack: Stack, instance: pool_pb2.Instance, client_home: Path
) -> None:
    """So that the rows above are refused for what they say."""
    for model in (models.relu(), alone(tensor(dims=[2], float_data=[1, 2])), models.nested(20)):
        with eais.InferenceSession(model) as session:
            assert session.get_outputs()
