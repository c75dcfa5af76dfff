"""onnxruntime behind the driver: the same answers, and the same words for the same mistakes."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from eais.errors import EaisError, RemoteError
from eais.value import RawTensor
from eais_server.devices.driver import ModelSource, RunSettings, SessionSettings
from eais_server.runtime.session import OrtSession, open_session
from tests.unit.server.runtime import models

CPU = ["CPUExecutionProvider"]


def opened(folder: Path, data: bytes, *, from_path: bool = False, **settings: Any) -> OrtSession:
    (folder / "model.onnx").write_bytes(data)
    sizes = {f.name: f.stat().st_size for f in folder.iterdir() if f.name != "model.onnx"}
    source = ModelSource(folder / "model.onnx", sizes, from_path)
    return open_session(source, SessionSettings(**settings), threads=1)


def refusal(folder: Path, data: bytes, **options: Any) -> EaisError:
    with pytest.raises(EaisError) as caught:
        opened(folder, data, **options)
    assert str(folder) not in str(caught.value)
    return caught.value


def in_process(data: bytes | str) -> Exception:
    """What onnxruntime raises here."""
    try:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        ort.InferenceSession(data, options, providers=CPU)
    except Exception as error:  # noqa: BLE001 - onnxruntime's classes have no base of their own
        return error
    raise AssertionError("it was loaded")


NO_PROTOBUF = {
    "garbage": b"garbage bytes" * 10,
    "truncated": models.dataset("mul_1")[:-20],
    "cut early": models.dataset("logreg_iris")[:40],
    "empty": b"",
    "text": b"<html></html>",
    "nested": models.nested(50),
}


@pytest.mark.parametrize("from_path", [True, False], ids=["path", "bytes"])
@pytest.mark.parametrize("name", NO_PROTOBUF)
def test_what_is_no_model_gets_onnxruntimes_words(
    tmp_path: Path, name: str, from_path: bool
) -> None:
    data = NO_PROTOBUF[name]
    error = refusal(tmp_path, data, from_path=from_path)
    path = str(tmp_path / "model.onnx")
    want = in_process(path if from_path else data)
    assert error.reason == ("MODEL_INVALID" if name == "nested" else "MODEL_PARSE")
    assert error.message.replace("{model}", path) == str(want)
    assert error.metadata["onnxruntime_class"] == type(want).__name__


BAD_MODELS = {
    "unknown domain": (models.one_op("Nope", "foo.bar"), "OP_REFUSED"),
    "unknown op": (models.one_op("Nope"), "OP_REFUSED"),
    "future opset": (models.relu(opset=99), "OPSET_UNSUPPORTED"),
    "future IR": (models.relu(ir=99), "OPSET_UNSUPPORTED"),
    "wrong attribute": (models.one_op("Relu", nonsense=1), "MODEL_INVALID"),
}


@pytest.mark.parametrize("from_path", [True, False], ids=["path", "bytes"])
@pytest.mark.parametrize("name", BAD_MODELS)
def test_models_that_onnxruntime_refuses(tmp_path: Path, name: str, from_path: bool) -> None:
    data, reason = BAD_MODELS[name]
    error = refusal(tmp_path, data, from_path=from_path)
    path = str(tmp_path / "model.onnx")
    want = in_process(path if from_path else data)
    assert error.reason == reason
    assert error.message.replace("{model}", path) == str(want)
    assert error.metadata["onnxruntime_class"] == type(want).__name__


@pytest.mark.parametrize(
    ("op", "domain"), [("EPContext", "com.microsoft"), ("PyOp", "com.microsoft"), ("PyOp", "x")]
)
def test_ops_that_carry_code_never_reach_onnxruntime(tmp_path: Path, op: str, domain: str) -> None:
    data = models.one_op(op, domain)
    error = refusal(tmp_path, data)
    assert (error.reason, error.metadata["op"]) == ("OP_REFUSED", op)
    assert error.metadata["onnxruntime_class"] == type(in_process(data)).__name__


def test_onnxruntimes_own_format_is_refused(tmp_path: Path) -> None:
    data = b"\x18\x00\x00\x00ORTM" + bytes(100)
    assert refusal(tmp_path, data).reason == "OP_REFUSED"


def test_whatever_nests_as_deep_as_onnxruntime_reads_is_read(tmp_path: Path) -> None:
    session = opened(tmp_path, models.nested(31))
    feed = {"x": np.ones(2, np.float32), "on": np.array(True)}
    assert session.prepare(RunSettings()).execute([], feed)[0].tolist() == [1, 1]
    assert type(in_process(models.nested(32))).__name__ == "InvalidProtobuf"


def test_external_data_of_the_manifest_is_read_for_paths_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(np.array([1, 2], np.float32).tobytes())
    for from_path in (True, False):
        session = opened(tmp_path, models.external("w.bin"), from_path=from_path)
        (y,) = session.prepare(RunSettings()).execute([], {"x": np.zeros(2, np.float32)})
        assert y.tolist() == [1, 2]


@pytest.mark.parametrize("from_path", [True, False], ids=["path", "bytes"])
@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("../secret.bin", "EXTERNAL_DATA_REFUSED"),
        ("/etc/passwd", "EXTERNAL_DATA_REFUSED"),
        ("/proc/self/environ", "EXTERNAL_DATA_REFUSED"),
        ("secret.bin", "EXTERNAL_DATA_REFUSED"),
        ("*/_ORT_MEM_ADDR_/*", "EXTERNAL_DATA_REFUSED"),
        ("*/_ORT_NATIVE_ENDIAN_MEM_ADDR_/*", "EXTERNAL_DATA_REFUSED"),
    ],
)
def test_other_files_are_refused_before_onnxruntime_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str, reason: str, from_path: bool
) -> None:
    """Also one in the current directory, which onnxruntime would read for a model of bytes."""
    here, elsewhere = tmp_path / "here", tmp_path / "cwd"
    here.mkdir()
    elsewhere.mkdir()
    for folder in (elsewhere, tmp_path):
        (folder / "secret.bin").write_bytes(b"12345678")
    monkeypatch.chdir(elsewhere)
    assert refusal(here, models.external(location), from_path=from_path).reason == reason


@pytest.mark.parametrize("entry", [{"offset": "4"}, {"length": "9"}, {"offset": "-1"}, {"x": "1"}])
def test_ranges_outside_the_file_are_refused(tmp_path: Path, entry: dict[str, str]) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    entries = {"length": "8"} | entry
    assert refusal(tmp_path, models.external("w.bin", **entries)).reason == "EXTERNAL_DATA_BOUNDS"


def test_refused_options_are_refused_at_load(tmp_path: Path) -> None:
    entries = {"session.optimized_model_filepath": "x"}
    assert refusal(tmp_path, models.relu(), config_entries=entries).reason == "OPTION_REFUSED"


def mul(folder: Path) -> tuple[OrtSession, ort.InferenceSession]:
    data = models.dataset("mul_1")
    return opened(folder, data), ort.InferenceSession(data, providers=CPU)


X = np.ones((3, 2), np.float32)
BAD_FEEDS: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "dtype": ({"X": X.astype(np.float64)}, [], "INPUT_DTYPE"),
    "string": ({"X": np.array(["a"], object)}, [], "INPUT_DTYPE"),
    "complex": ({"X": X.astype(np.complex64)}, [], "INPUT_DTYPE"),
    "rank": ({"X": X[0]}, [], "INPUT_RANK"),
    "shape": ({"X": X.T.copy()}, [], "INPUT_SHAPE"),
    "unknown": ({"X": X, "Z": X}, [], "INPUT_UNKNOWN"),
    "missing": ({}, [], "INPUT_MISSING"),
    "none": ({"X": None}, [], "INPUT_MISSING"),
    "output": ({"X": X}, ["q"], "OUTPUT_UNKNOWN"),
    "map": ({"X": {1: 2.0}}, [], "INPUT_DTYPE"),
}


@pytest.mark.parametrize("name", BAD_FEEDS)
def test_a_callers_mistakes_get_onnxruntimes_words(tmp_path: Path, name: str) -> None:
    feed, outputs, reason = BAD_FEEDS[name]
    session, local = mul(tmp_path)
    with pytest.raises(EaisError) as caught:
        session.prepare(RunSettings()).execute(outputs, feed)
    with pytest.raises(Exception) as want:  # noqa: PT011 - whatever onnxruntime raises
        local.run(outputs or None, feed)
    assert caught.value.reason == reason
    assert caught.value.message == str(want.value)
    about = dict(caught.value.metadata)
    assert about.pop("onnxruntime_class") == want.type.__name__
    assert set(about) == ({"input", "got", "want"} if reason.startswith("INPUT") else set())


def test_a_real_network_is_bit_exact(tmp_path: Path) -> None:
    data = (models.LIGHT / "light_resnet50.onnx").read_bytes()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    local = ort.InferenceSession(data, options, providers=CPU)
    x = np.random.default_rng(1).standard_normal((1, 3, 224, 224), np.float32)
    feed = {local.get_inputs()[0].name: x}
    (got,) = opened(tmp_path, data).prepare(RunSettings()).execute([], feed)
    assert got.tobytes() == np.asarray(local.run(None, feed)[0]).tobytes()


def test_the_signature_is_onnxruntimes(tmp_path: Path) -> None:
    data = models.dataset("logreg_iris")
    session, local = opened(tmp_path, data), ort.InferenceSession(data, providers=CPU)
    found = session.signature
    for mine, theirs in (
        (found.inputs, local.get_inputs()),
        (found.outputs, local.get_outputs()),
        (found.overridable_initializers, local.get_overridable_initializers()),
    ):
        assert [(m.name, m.type, list(m.dims)) for m in mine] == [
            (t.name, t.type, t.shape) for t in theirs
        ]
    meta = local.get_modelmeta()
    assert found.model.producer_name == meta.producer_name
    assert found.model.custom_metadata == meta.custom_metadata_map
    assert list(found.providers) == local.get_providers()


def test_a_terminated_run_ends_and_others_go_on(tmp_path: Path) -> None:
    session = opened(tmp_path, models.endless())
    feed = {"x": np.ones(2, np.float32)}
    run, failures = session.prepare(RunSettings()), list[EaisError]()

    def work() -> None:
        with pytest.raises(EaisError) as caught:
            run.execute([], feed)
        failures.append(caught.value)

    thread = threading.Thread(target=work)
    thread.start()
    run.terminate()
    thread.join(30)
    assert not thread.is_alive()
    assert [f.reason for f in failures] == ["RUN_FAILED"]
    assert "terminate" in failures[0].message


def test_memory_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    session = opened(tmp_path, models.bomb())
    with pytest.raises(RemoteError) as caught:
        session.prepare(RunSettings()).execute([], {"n": np.array([1 << 50])})
    assert caught.value.reason == "RUN_MEMORY"


def test_types_that_numpy_lacks_go_through_as_bits(tmp_path: Path) -> None:
    kind = TensorProto.BFLOAT16
    data = models.model(
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["f"], ["z"], to=kind),
        inputs=[models.info("x", kind)],
        outputs=[models.info("z", kind), models.info("f")],
    )
    session = opened(tmp_path, data)
    bits = np.array([0x3F80, 0xC000], np.uint16)
    z, f = session.prepare(RunSettings()).execute([], {"x": RawTensor(kind, bits)})
    assert (z.element_type, z.bits.tolist()) == (kind, bits.tolist())
    assert f.tolist() == [1, -2]
    (alone,) = session.prepare(RunSettings()).execute(["f"], {"x": RawTensor(kind, bits)})
    assert alone.tolist() == [1, -2]


def test_free_dimensions_are_fixed_by_name(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    data = models.model(
        node, inputs=[models.info("x", dims=["n"])], outputs=[models.info("y", dims=["n"])]
    )
    session = opened(tmp_path, data, free_dimensions_by_name={"n": 3})
    assert session.signature.inputs[0].dims == (3,)


def test_a_loaded_model_outlives_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "w.bin").write_bytes(np.array([1, 2], np.float32).tobytes())
    session = opened(folder, models.external("w.bin"), from_path=True)
    shutil.rmtree(folder)
    (y,) = session.prepare(RunSettings()).execute([], {"x": np.zeros(2, np.float32)})
    assert y.tolist() == [1, 2]
