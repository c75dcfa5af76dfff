"""The driver of NPUs, on a fake onnxruntime and a made-up host: no NPU is needed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eais.device_type import DeviceKind
from eais.errors import EaisError
from eais.tolerance import Precision
from eais_server.devices.driver import (
    REFERENCE,
    ModelSource,
    Reservation,
    Runtime,
    SessionSettings,
)
from eais_server.devices.npu import NpuDriver
from eais_server.worker.canary import open_canary
from tests.unit.server.devices.fake_onnxruntime import FakeOnnxruntime, FakeOpener, ep_device

CANN = Runtime("onnxruntime-cann")
CANN_HALF = Runtime("onnxruntime-cann", Precision.BF16)
QNN = Runtime("onnxruntime-qnn", Precision.BF16)
VITISAI = Runtime("onnxruntime-vitisai", Precision.BF16)


class Host:
    """A machine with the device files that a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "proc").mkdir()
        (folder / "proc" / "meminfo").write_text("MemFree: 1 kB\nMemTotal: 2048 kB\n")

    def has(self, *nodes: str, vendor: str = "") -> Host:
        for node in nodes:
            path = self.folder / "dev" / node
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            if vendor:
                told = self.folder / "sys" / "class" / node / "device"
                told.mkdir(parents=True)
                (told / "vendor").write_text(f"{vendor}\n")
        return self

    def driver(self, *libraries: str, **more: Any) -> NpuDriver:
        more = {"installed": lambda _package: False, **more}
        return NpuDriver(
            libraries=lambda: libraries,
            dev=self.folder / "dev",
            sys_=self.folder / "sys",
            proc=self.folder / "proc",
            **more,
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> ModelSource:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"m")
    return ModelSource(path)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(EaisError) as caught:
        act()
    return caught.value.reason


def test_nothing_is_here_without_both_a_provider_and_a_device(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert host.driver("cann", "qnn", "vitisai").fingerprint() == []
        host.has("davinci0", "fastrpc-cdsp").has("accel/accel0", vendor="0x1022")
        assert host.driver("cuda").fingerprint() == []
        assert host.driver().stats() == []
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


@pytest.mark.parametrize(
    ("library", "nodes", "vendor", "found"),
    [
        (
            "cann",
            ("davinci0", "davinci1", "davinci_manager"),
            "",
            {"ascend-npu0": (CANN, CANN_HALF), "ascend-npu1": (CANN, CANN_HALF)},
        ),
        ("qnn", ("fastrpc-cdsp", "fastrpc-adsp"), "", {"qualcomm-npu0": (QNN,)}),
        ("vitisai", ("accel/accel0",), "0x1022", {"amd-npu0": (VITISAI,)}),
        ("vitisai", ("accel/accel0",), "0x8086", {}),
    ],
)
def test_a_provider_and_its_devices_are_found(
    host: Host, library: str, nodes: tuple[str, ...], vendor: str, found: dict[str, Any]
) -> None:
    infos = host.has(*nodes, vendor=vendor).driver(library).fingerprint()
    assert {info.id: info.runtimes for info in infos} == found
    assert all(info.kind is DeviceKind.NPU for info in infos)
    assert all(info.memory_bytes == 2 << 20 for info in infos)
    assert all(path.startswith("/dev/") for info in infos for path in info.needs)
    assert all(info.needs for info in infos)
    assert all(info.granularity_milli == 1000 for info in infos)


def test_an_npu_is_given_as_a_whole(host: Host) -> None:
    npus = host.has("davinci0", "davinci1").driver("cann")
    share = npus.reserve("ascend-npu1", 1000)
    assert share == Reservation("ascend-npu1", 1000, 1)
    assert npus.reserve("ascend-npu0", 1000, [share]).device == "ascend-npu0"
    assert refusal(lambda: npus.reserve("ascend-npu1", 1000, [share])) == "NO_DEVICE"
    assert refusal(lambda: npus.reserve("ascend-npu1", 500)) == "ARGUMENT"
    assert refusal(lambda: npus.reserve("ascend-npu2", 1000)) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("device", "runtime", "provider", "options"),
    [
        (
            "ascend-npu1",
            CANN,
            "CANNExecutionProvider",
            {"device_id": "1", "precision_mode": "force_fp32"},
        ),
        (
            "ascend-npu0",
            CANN_HALF,
            "CANNExecutionProvider",
            {"device_id": "0", "precision_mode": "force_fp16"},
        ),
        (
            "qualcomm-npu0",
            QNN,
            "QNNExecutionProvider",
            {"backend_type": "htp", "enable_htp_fp16_precision": "1"},
        ),
        ("amd-npu0", VITISAI, "VitisAIExecutionProvider", {}),
    ],
)
def test_each_provider_is_told_its_own_options(
    host: Host,
    source: ModelSource,
    device: str,
    runtime: Runtime,
    provider: str,
    options: dict[str, str],
) -> None:
    opener = FakeOpener()
    worker = host.driver(ort=lambda: FakeOnnxruntime((provider,)), opener=opener)
    worker.open(Reservation(device, 1000, 1), source, SessionSettings(), runtime)
    assert [(each.name, each.options) for each in opener.asked] == [(provider, options)]


@pytest.mark.parametrize(
    ("device", "provider"),
    [
        ("ascend-npu0", "CANNExecutionProvider"),
        ("qualcomm-npu0", "QNNExecutionProvider"),
        ("amd-npu0", "VitisAIExecutionProvider"),
    ],
)
def test_a_worker_opens_its_canary_with_the_devices_own_runtime(
    host: Host, device: str, provider: str
) -> None:
    opener = FakeOpener()
    worker = host.driver(ort=lambda: FakeOnnxruntime((provider,)), opener=opener)
    open_canary(worker, Reservation(device, 1000, 1))
    assert [each.name for each in opener.asked] == [provider]


def test_a_plug_in_is_registered_once_and_its_device_taken(host: Host, source: ModelSource) -> None:
    name, path = "QNNExecutionProvider", "/somewhere/libqnn.so"
    devices = [ep_device(name, hardware) for hardware in ("CPU", "GPU", "NPU")]
    ort = FakeOnnxruntime((name,), plug_ins={path: devices})
    loaded: list[str] = []

    def load(package: str) -> Any:
        loaded.append(package)
        return SimpleNamespace(get_library_path=lambda: path)

    def is_installed(package: str) -> bool:
        return package == "onnxruntime_qnn"

    here = host.has("fastrpc-cdsp").driver(installed=is_installed)
    assert [info.id for info in here.fingerprint()] == ["qualcomm-npu0"]
    opener = FakeOpener()
    worker = host.driver(installed=is_installed, ort=lambda: ort, load=load, opener=opener)
    for _ in range(2):
        share = here.reserve("qualcomm-npu0", 1000)
        worker.open(share, source, SessionSettings(), QNN)
    assert loaded == ["onnxruntime_qnn"]
    assert ort.registered == [(name, path)]
    assert [each.devices for each in opener.asked] == [(devices[2],)] * 2


@pytest.mark.parametrize(
    ("device", "runtime", "reason"),
    [
        ("ascend-npu0", REFERENCE, "ARGUMENT"),
        ("ascend-npu0", QNN, "ARGUMENT"),
        ("ascend-npu", CANN, "ARGUMENT"),
        ("cpu0", CANN, "ARGUMENT"),
        ("ascend-npu0", CANN, "RUNTIME_REFUSED"),
    ],
)
def test_what_a_worker_can_not_open_is_refused_by_name(
    host: Host, source: ModelSource, device: str, runtime: Runtime, reason: str
) -> None:
    worker = host.driver(ort=FakeOnnxruntime, opener=FakeOpener())
    share = Reservation(device, 1000, 1)
    assert refusal(lambda: worker.open(share, source, SessionSettings(), runtime)) == reason
