"""Tests the driver that runs models with OpenVINO, on this machine's CPU and on fakes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from eais.device_type import DeviceKind
from eais.errors import EaisError, ModelRejected, UsageError
from eais_server.devices.cpu import CpuDriver
from eais_server.devices.driver import (
    PLAIN_RUN,
    ModelSource,
    Reservation,
    RunSettings,
    RuntimeSession,
    SessionSettings,
)
from eais_server.devices.openvino import BF16, FP32, OpenVinoDriver
from eais_server.testing.devices import check_device

pytest.importorskip("openvino")

SHARE = Reservation("cpu0", 1000, 1)
FLOAT, INT64 = int(TensorProto.FLOAT), int(TensorProto.INT64)


def fake_proc(folder: Path, flags: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpuinfo").write_text(f"model name : Some CPU\nflags : fpu {flags} sse\n")
    (folder / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 500 kB\n")
    (folder / "stat").write_text("cpu0 1 1 1 1 1 1 1 1\n")
    return folder


def saved(path: Path, nodes: list[Any], inputs: Any, outputs: Any, **more: Any) -> ModelSource:
    graph = helper.make_graph(nodes, "g", inputs, outputs, **more)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return ModelSource(path)


def one_op(path: Path, op: str, type_: int, dims: list[Any], **more: Any) -> ModelSource:
    inputs = [helper.make_tensor_value_info(n, type_, dims) for n in ("a", "b")]
    outputs = [helper.make_tensor_value_info("y", type_, dims)]
    return saved(path, [helper.make_node(op, ["a", "b"], ["y"])], inputs, outputs, **more)


@pytest.fixture
def added(tmp_path: Path) -> RuntimeSession:
    model = one_op(tmp_path / "m.onnx", "Add", FLOAT, ["N", 3])
    return OpenVinoDriver().open(SHARE, model, SessionSettings())


def ones(rows: int) -> dict[str, Any]:
    return {name: np.ones((rows, 3), np.float32) for name in ("a", "b")}


def test_it_is_a_device_driver_in_single_precision(tmp_path: Path) -> None:
    proc = fake_proc(tmp_path, "avx2")
    check_device(lambda: OpenVinoDriver(proc=proc, sys_=tmp_path), tolerance=1e-5)


def test_it_is_a_device_driver_in_bf16(tmp_path: Path) -> None:
    proc = fake_proc(tmp_path, "avx512_bf16")
    check_device(lambda: OpenVinoDriver(proc=proc, sys_=tmp_path), tolerance=0.05)


@pytest.mark.parametrize(
    ("flags", "runtimes"),
    [("avx512f", (FP32,)), ("avx512_bf16", (FP32, BF16)), ("amx_tile amx_bf16", (FP32, BF16))],
)
def test_bf16_is_offered_where_the_cpu_is_fast_at_it(
    tmp_path: Path, flags: str, runtimes: Any
) -> None:
    proc = fake_proc(tmp_path, flags)
    (found,) = OpenVinoDriver(proc=proc, sys_=tmp_path).fingerprint()
    assert (found.id, found.runtimes) == ("cpu0", runtimes)


def test_where_it_is_not_installed_there_is_nothing() -> None:
    driver = OpenVinoDriver(installed=lambda: False)
    assert driver.fingerprint() == []
    assert driver.stats() == []


def in_another_process(code: str) -> list[str]:
    """What it prints."""
    begin = "import sys; from eais_server.devices.openvino import OpenVinoDriver as D; "
    found = subprocess.run(
        [sys.executable, "-c", begin + code], capture_output=True, text=True, check=True
    )
    return found.stdout.split()


def test_looking_does_not_load_it() -> None:
    code = "print(len(D().fingerprint()), *(m for m in sys.modules if m.startswith('openvino')))"
    assert in_another_process(code) == ["1"]


def test_its_reports_home_are_never_loaded() -> None:
    code = (
        "from eais_server.devices.driver import *; from pathlib import Path; import onnxruntime; "
        "m = ModelSource(Path(onnxruntime.__file__).parent / 'datasets' / 'mul_1.onnx'); "
        "D().open(Reservation('cpu0', 1000, 1), m, SessionSettings()); "
        "print('openvino' in sys.modules, *(m for m in sys.modules if 'telemetry' in m))"
    )
    assert [m for m in in_another_process(code) if not m.startswith("eais.")] == ["True"]


def test_intels_accelerators_are_devices_of_their_own(tmp_path: Path) -> None:
    for where, vendor in (
        ("class/drm/renderD128", "0x8086"),
        ("class/drm/renderD129", "0x10de"),
        ("class/drm/renderD130", "0x8086"),
        ("class/accel/accel0", "0x8086"),
    ):
        (tmp_path / where / "device").mkdir(parents=True)
        (tmp_path / where / "device" / "vendor").write_text(vendor + "\n")
    driver = OpenVinoDriver(proc=fake_proc(tmp_path / "proc", ""), sys_=tmp_path)
    found = {info.id: (info.kind, info.runtimes) for info in driver.fingerprint()[1:]}
    assert found == {
        "intel-gpu0": (DeviceKind.GPU, (FP32,)),
        "intel-gpu1": (DeviceKind.GPU, (FP32,)),
        "intel-npu0": (DeviceKind.NPU, (BF16,)),
    }
    assert [stats.device for stats in driver.stats()] == ["cpu0", *found]
    share = driver.reserve("intel-gpu1", 1000)
    assert reason(lambda: driver.reserve("intel-gpu1", 1000, [share])) == "NO_DEVICE"
    assert reason(lambda: driver.reserve("intel-gpu1", 500)) == "ARGUMENT"
    assert reason(lambda: driver.reserve("intel-gpu7", 1000)) == "NOT_FOUND"


class FakeCore:
    """Compiles for no device, and tells for which it was to be."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.asked: list[tuple[str, str]] = []

    def read_model(self, path: Path) -> Any:
        return self._real.read_model(path)

    def compile_model(self, model: Any, device: str, config: dict[str, Any]) -> Any:
        self.asked.append((device, config["INFERENCE_PRECISION_HINT"]))
        return self._real.compile_model(model, "CPU", {})


def test_accelerators_are_named_as_openvino_names_them(tmp_path: Path) -> None:
    import openvino

    core = FakeCore(openvino.Core())
    driver = OpenVinoDriver(core=lambda: core)
    model = one_op(tmp_path / "m.onnx", "Add", FLOAT, [2])
    for device, runtime in (("intel-gpu1", FP32), ("intel-npu0", BF16), ("cpu0", FP32)):
        driver.open(Reservation(device, 1000, 1), model, SessionSettings(), runtime)
    assert core.asked == [("GPU.1", "f32"), ("NPU", "f16"), ("CPU", "f32")]


def reason(work: Callable[[], Any]) -> str:
    with pytest.raises(EaisError) as caught:
        work()
    return caught.value.reason


@pytest.mark.parametrize(
    ("type_", "op"),
    [(TensorProto.DOUBLE, "Add"), (TensorProto.BFLOAT16, "Add"), (TensorProto.STRING, "Equal")],
)
def test_types_that_it_lacks_are_left_to_another_runtime(
    tmp_path: Path, type_: int, op: str
) -> None:
    inputs = [helper.make_tensor_value_info(n, int(type_), [2]) for n in ("a", "b")]
    out = TensorProto.BOOL if op == "Equal" else type_
    outputs = [helper.make_tensor_value_info("y", int(out), [2])]
    node = helper.make_node(op, ["a", "b"], ["y"])
    graph = helper.make_graph([node], "g", inputs, outputs)
    opset = helper.make_opsetid("", 19)
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), str(path))
    driver, model = OpenVinoDriver(), ModelSource(path)
    refused = reason(lambda: driver.open(SHARE, model, SessionSettings()))
    assert refused in ("RUNTIME_REFUSED", "OP_REFUSED")  # onnxruntime adds no bfloat16


def test_sequences_and_maps_are_left_to_another_runtime() -> None:
    path = Path(ort.__file__).parent / "datasets" / "logreg_iris.onnx"
    driver = OpenVinoDriver()
    assert reason(lambda: driver.open(SHARE, ModelSource(path), SessionSettings())) == (
        "RUNTIME_REFUSED"
    )


def test_initializers_may_be_overridden_as_onnxruntime_has_it(tmp_path: Path) -> None:
    default = helper.make_tensor("b", FLOAT, [2], [1, 1])
    model = one_op(tmp_path / "m.onnx", "Add", FLOAT, [2], initializer=[default])
    session = OpenVinoDriver().open(SHARE, model, SessionSettings())
    a, b = np.array([1, 2], np.float32), np.array([10, 10], np.float32)
    run = session.prepare(PLAIN_RUN)
    assert run.execute([], {"a": a})[0].tolist() == [2, 3]
    assert run.execute([], {"a": a, "b": b})[0].tolist() == [11, 12]
    assert run.execute([], {"a": a})[0].tolist() == [2, 3]
    run.terminate()
    assert reason(lambda: run.execute([], {"a": a, "b": b})) == "RUN_FAILED"


def test_what_onnxruntime_refuses_it_never_sees(tmp_path: Path) -> None:
    def never() -> Any:
        raise AssertionError("OpenVINO was asked")

    driver = OpenVinoDriver(core=never)
    evil = saved(
        tmp_path / "m.onnx",
        [helper.make_node("PyOp", ["a"], ["y"], domain="com.microsoft")],
        [helper.make_tensor_value_info("a", FLOAT, [2])],
        [helper.make_tensor_value_info("y", FLOAT, [2])],
    )
    assert reason(lambda: driver.open(SHARE, evil, SessionSettings())) == "OP_REFUSED"
    (tmp_path / "x.onnx").write_bytes(b"<?xml version='1.0'?><net name='x' version='11'></net>")
    xml = ModelSource(tmp_path / "x.onnx")
    assert reason(lambda: driver.open(SHARE, xml, SessionSettings())) == "MODEL_PARSE"
    fine = one_op(tmp_path / "f.onnx", "Add", FLOAT, [2])
    entry = SessionSettings(config_entries={"session.custom_op_library": "x"})
    assert reason(lambda: driver.open(SHARE, fine, entry)) == "OP_REFUSED"


def test_a_file_of_another_name_is_not_tried_on_other_readers(tmp_path: Path) -> None:
    model = one_op(tmp_path / "m.onnx", "Add", FLOAT, [2])
    model.path.rename(tmp_path / "m.xml")
    other = ModelSource(tmp_path / "m.xml")
    driver = OpenVinoDriver()
    assert reason(lambda: driver.open(SHARE, other, SessionSettings())) == "RUNTIME_REFUSED"


def test_an_unknown_runtime_is_refused(tmp_path: Path) -> None:
    from eais_server.devices.driver import REFERENCE

    model = one_op(tmp_path / "m.onnx", "Add", FLOAT, [2])
    with pytest.raises(UsageError, match="no runtime onnxruntime/fp32"):
        OpenVinoDriver().open(SHARE, model, SessionSettings(), REFERENCE)


def test_the_signature_is_onnxruntimes(added: RuntimeSession) -> None:
    signature = added.signature
    assert [(s.name, s.type, s.dims) for s in signature.inputs] == [
        ("a", "tensor(float)", ("N", 3)),
        ("b", "tensor(float)", ("N", 3)),
    ]
    assert signature.providers == ("OpenVINO openvino/fp32",)


@pytest.mark.parametrize("rows", [1, 5, 0])
def test_open_sizes_are_the_calls(added: RuntimeSession, rows: int) -> None:
    (found,) = added.prepare(PLAIN_RUN).execute([], ones(rows))
    assert found.shape == (rows, 3)
    assert (found == 2).all()


def test_sizes_that_the_caller_settled_hold(tmp_path: Path) -> None:
    model = one_op(tmp_path / "m.onnx", "Add", FLOAT, ["N", 3])
    settled = SessionSettings(free_dimensions_by_name={"N": 4})
    session = OpenVinoDriver().open(SHARE, model, settled)
    assert session.prepare(PLAIN_RUN).execute([], ones(4))[0].shape == (4, 3)
    assert reason(lambda: session.prepare(PLAIN_RUN).execute([], ones(5))) == "INPUT_SHAPE"


def test_inputs_may_lie_anywhere_and_stay_as_they_are(added: RuntimeSession) -> None:
    raw = bytearray(1 + 4 * 6)
    odd = np.frombuffer(memoryview(raw)[1:], np.float32).reshape(2, 3)
    turned = np.ones((3, 2), np.float32).T
    turned.setflags(write=False)
    (found,) = added.prepare(PLAIN_RUN).execute(["y"], {"a": turned, "b": odd})
    assert (found == 1).all()
    found[:] = 7
    assert (turned == 1).all()


def test_answers_are_the_callers_own(added: RuntimeSession) -> None:
    run = added.prepare(PLAIN_RUN)
    (first,) = run.execute([], ones(2))
    (second,) = run.execute([], {name: 4 * value for name, value in ones(2).items()})
    assert (first == 2).all()
    assert (second == 8).all()


_MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "INPUT_MISSING": ({"a": np.ones((1, 3), np.float32)}, []),
    "INPUT_UNKNOWN": ({**ones(1), "c": np.ones(1)}, []),
    "INPUT_DTYPE": ({**ones(1), "a": np.ones((1, 3))}, []),
    "INPUT_RANK": ({**ones(1), "a": np.ones(3, np.float32)}, []),
    "INPUT_SHAPE": ({**ones(1), "a": np.ones((1, 4), np.float32)}, []),
    "OUTPUT_UNKNOWN": (ones(1), ["z"]),
}


@pytest.mark.parametrize("expected", _MISTAKES)
def test_mistakes_are_told_as_onnxruntime_does(tmp_path: Path, expected: str) -> None:
    model = one_op(tmp_path / "m.onnx", "Add", FLOAT, ["N", 3])
    feed, outputs = _MISTAKES[expected]
    told = []
    for driver in (CpuDriver(), OpenVinoDriver()):
        session = driver.open(SHARE, model, SessionSettings())
        with pytest.raises(EaisError) as caught:
            session.prepare(PLAIN_RUN).execute(outputs, feed)
        told.append((caught.value.reason, caught.value.message, caught.value.metadata))
    assert told[0] == told[1]
    assert told[1][0] == expected


def test_options_of_a_run_are_checked(added: RuntimeSession) -> None:
    with pytest.raises(ModelRejected):
        added.prepare(RunSettings(config_entries={"a.file": "x"}))
    added.prepare(RunSettings(config_entries={"memory.enable_memory_arena_shrinkage": "cpu:0"}))


def long_run(folder: Path) -> tuple[RuntimeSession, dict[str, Any]]:
    """Seconds of matrix products, one after the other."""
    x = helper.make_tensor_value_info("x", FLOAT, [1024, 1024])
    y = helper.make_tensor_value_info("y", FLOAT, [1024, 1024])
    names = ["x", *(f"t{i}" for i in range(199)), "y"]
    nodes = [helper.make_node("MatMul", [one, "x"], [other]) for one, other in pairwise(names)]
    session = OpenVinoDriver().open(
        SHARE, saved(folder / "l.onnx", nodes, [x], [y]), SessionSettings()
    )
    return session, {"x": np.zeros((1024, 1024), np.float32)}


def test_a_run_that_is_ended_says_what_onnxruntime_says(tmp_path: Path) -> None:
    session, feed = long_run(tmp_path)
    run = session.prepare(PLAIN_RUN)
    run.terminate()
    with pytest.raises(EaisError, match="Exiting due to terminate flag") as caught:
        run.execute([], feed)
    assert (caught.value.reason, run.terminated) == ("RUN_FAILED", True)
    run.terminate()


def test_a_run_is_ended_by_another_thread(tmp_path: Path) -> None:
    session, feed = long_run(tmp_path)
    run = session.prepare(PLAIN_RUN)
    ended: list[str] = []

    def work() -> None:
        ended.append(reason(lambda: run.execute([], feed)))

    thread = threading.Thread(target=work)
    thread.start()
    run.terminate()
    thread.join(30)
    assert ended == ["RUN_FAILED"]


def test_calls_run_on_several_threads(added: RuntimeSession) -> None:
    wrong: list[Any] = []

    def work(number: int) -> None:
        run = added.prepare(PLAIN_RUN)
        for i in range(50):
            feed = {name: (number + i) * value for name, value in ones(1 + i % 3).items()}
            (found,) = run.execute([], feed)
            if found.shape != (1 + i % 3, 3) or (found != 2 * (number + i)).any():
                wrong.append((number, i))

    threads = [threading.Thread(target=work, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_its_threads_are_the_shares(tmp_path: Path) -> None:
    session, _ = long_run(tmp_path)
    assert session._compiled.get_property("INFERENCE_NUM_THREADS") == 1  # type: ignore[attr-defined]
    assert os.environ.get("OV_CACHE_DIR") is None
