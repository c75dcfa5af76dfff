"""The driver of NVIDIA's GPUs, on fakes of NVML and of onnxruntime: no GPU is needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eais.device_type import DeviceKind
from eais.errors import EaisError, make_error
from eais_server.devices.cuda import CUDA, TENSORRT, TENSORRT_BF16, VISIBLE, CudaDriver
from eais_server.devices.driver import (
    REFERENCE,
    Enforcement,
    ModelSource,
    Reservation,
    RuntimeSession,
    SessionSettings,
)
from eais_server.worker.canary import open_canary
from tests.unit.server.devices.fake_onnxruntime import FakeOnnxruntime, FakeOpener, ep_device

GIB = 1 << 30
ALL = ("cuda", "tensorrt", "shared")
BOTH = FakeOnnxruntime(("TensorrtExecutionProvider", "CUDAExecutionProvider"))


@dataclass
class FakeGpu:
    uuid: str
    memory: int = 16 * GIB
    capability: tuple[int, int] = (9, 0)
    bus: str = "00000000:3B:00.0"
    divided: bool | None = None
    utilisation: int = 0
    lost: bool = False


@dataclass
class FakeNvml:
    """pynvml as far as the driver asks it."""

    gpus: list[FakeGpu] = field(default_factory=list)
    no_library: bool = False

    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None:
        if self.no_library:
            raise self.NVMLError("NVML Shared Library Not Found")

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeGpu:
        return next(gpu for gpu in self.gpus if gpu.uuid == uuid)

    def nvmlDeviceGetUUID(self, gpu: FakeGpu) -> bytes:
        return gpu.uuid.encode()

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> str:
        if gpu.lost:
            raise self.NVMLError("GPU is lost")
        return "NVIDIA Something"

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu) -> Any:
        if gpu.lost:
            raise self.NVMLError("GPU is lost")
        return SimpleNamespace(total=gpu.memory, used=gpu.memory // 4)

    def nvmlDeviceGetCudaComputeCapability(self, gpu: FakeGpu) -> list[int]:
        return list(gpu.capability)

    def nvmlDeviceGetPciInfo(self, gpu: FakeGpu) -> Any:
        return SimpleNamespace(busId=gpu.bus)

    def nvmlDeviceGetMigMode(self, gpu: FakeGpu) -> list[int]:
        if gpu.divided is None:
            raise self.NVMLError("Not Supported")
        return [int(gpu.divided), 1]

    def nvmlDeviceGetUtilizationRates(self, gpu: FakeGpu) -> Any:
        return SimpleNamespace(gpu=gpu.utilisation)


def driver(
    *gpus: FakeGpu,
    libraries: tuple[str, ...] = ALL,
    ort: FakeOnnxruntime = BOTH,
    opener: FakeOpener | None = None,
    environ: MutableMapping[str, str] | None = None,
    clock: Callable[[], int] = lambda: 0,
) -> CudaDriver:
    return CudaDriver(
        nvml=lambda: FakeNvml(list(gpus)),
        libraries=lambda: libraries,
        ort=lambda: ort,
        opener=opener or FakeOpener(),
        environ={} if environ is None else environ,
        clock=clock,
    )


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(EaisError) as caught:
        act()
    return caught.value.reason


def model(folder: Path, size: int) -> ModelSource:
    """A model whose files have `size` bytes: the file itself is small."""
    path = folder / "model.onnx"
    path.write_bytes(b"m")
    return ModelSource(path, {"weights": size - 1})


def opened(
    gpus: CudaDriver, share: Reservation, source: ModelSource, runtime: Any = CUDA
) -> RuntimeSession:
    return gpus.open(share, source, SessionSettings(), runtime)


def nvml_missing() -> Any:
    raise ModuleNotFoundError("No module named 'pynvml'")


def test_gpus_are_numbered_by_their_uuids_whatever_their_order() -> None:
    a, b = FakeGpu("GPU-a", memory=8 * GIB), FakeGpu("GPU-b")
    assert driver(a, b).fingerprint() == driver(b, a).fingerprint()
    first, second = driver(b, a).fingerprint()
    assert (first.id, first.memory_bytes) == ("cuda0", 8 * GIB)
    assert (second.id, second.memory_bytes) == ("cuda1", 16 * GIB)
    assert first.kind is DeviceKind.GPU
    assert first.model == "NVIDIA Something"
    assert first.enforcement is Enforcement.COOPERATIVE
    assert "/dev/nvidiactl" in first.needs
    assert (first.capacity_milli, first.granularity_milli) == (1000, 125)
    assert not first.simulated


@pytest.mark.parametrize(
    ("libraries", "capability", "runtimes"),
    [
        (ALL, (8, 0), (CUDA, TENSORRT, TENSORRT_BF16)),
        (ALL, (7, 5), (CUDA, TENSORRT)),
        (("cuda", "shared"), (9, 0), (CUDA,)),
    ],
)
def test_runtimes_are_what_lies_beside_onnxruntime_and_the_gpu_can(
    libraries: tuple[str, ...], capability: tuple[int, int], runtimes: tuple[Any, ...]
) -> None:
    (info,) = driver(FakeGpu("GPU-a", capability=capability), libraries=libraries).fingerprint()
    assert info.runtimes == runtimes


def test_without_a_provider_or_nvml_or_its_library_there_is_nothing_and_only_debug_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert driver(FakeGpu("GPU-a"), libraries=("shared",)).fingerprint() == []
        assert CudaDriver(nvml=nvml_missing, libraries=lambda: ALL).fingerprint() == []
        none = FakeNvml(no_library=True)
        assert CudaDriver(nvml=lambda: none, libraries=lambda: ALL).fingerprint() == []
        assert CudaDriver(nvml=nvml_missing).stats() == []
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


def test_a_gpu_that_is_divided_or_lost_is_not_offered_and_the_others_keep_their_numbers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gpus = (
        FakeGpu("GPU-a", divided=True),
        FakeGpu("GPU-b", lost=True),
        FakeGpu("GPU-c", divided=False),
    )
    assert [info.id for info in driver(*gpus).fingerprint()] == ["cuda2"]
    assert "cuda0 isn't offered: it is divided" in caplog.text
    assert "cuda1 isn't offered: GPU is lost" in caplog.text


def test_an_operator_names_the_gpus_to_offer_and_they_keep_their_numbers() -> None:
    gpus = [FakeGpu(f"GPU-{letter}-1") for letter in "abc"]
    environ = {VISIBLE: "GPU-c,GPU-b-1"}
    assert [i.id for i in driver(*gpus, environ=environ).fingerprint()] == ["cuda1", "cuda2"]
    assert driver(*gpus, environ={VISIBLE: ""}).fingerprint() == []


def test_a_share_has_its_part_of_the_memory_and_says_which_gpu_it_is() -> None:
    gpus = driver(FakeGpu("GPU-a"), FakeGpu("GPU-b", bus="00000000:AF:00.0"))
    share = gpus.reserve("cuda1", 250)
    assert (share.milli, share.threads, share.memory_bytes) == (250, 1, 4 * GIB)
    assert share.words == {"uuid": "GPU-b", "pci_bus_id": "0000:af:00.0"}
    held = [gpus.reserve("cuda1", 750)]
    assert gpus.reserve("cuda1", 250, held) == share
    assert gpus.reserve("cuda0", 1000, held).milli == 1000
    assert refusal(lambda: gpus.reserve("cuda1", 375, held)) == "NO_DEVICE"


@pytest.mark.parametrize("milli", [-125, 0, 100, 126])
def test_a_share_that_is_no_eighths_is_refused(milli: int) -> None:
    assert refusal(lambda: driver(FakeGpu("GPU-a")).reserve("cuda0", milli)) == "ARGUMENT"


def test_a_share_with_too_little_memory_for_cuda_and_an_unknown_device_are_refused() -> None:
    gpus = driver(FakeGpu("GPU-a", memory=4 * GIB))
    assert refusal(lambda: gpus.reserve("cuda0", 125)) == "ARGUMENT"
    assert gpus.reserve("cuda0", 250).memory_bytes == GIB
    assert refusal(lambda: gpus.reserve("cuda1", 250)) == "NOT_FOUND"


def test_a_worker_sees_its_gpu_alone_in_single_precision_within_its_memory(tmp_path: Path) -> None:
    share = driver(FakeGpu("GPU-a")).reserve("cuda0", 250)
    environ: dict[str, str] = {}
    opener = FakeOpener()
    worker = driver(environ=environ, opener=opener)
    opened(worker, share, model(tmp_path, 100))
    (asked,) = opener.asked
    assert environ == {
        VISIBLE: "GPU-a",
        "NVIDIA_TF32_OVERRIDE": "0",
        "CUDA_CACHE_DISABLE": "1",
    }
    assert asked.name == "CUDAExecutionProvider"
    assert asked.options == {
        "device_id": "0",
        "gpu_mem_limit": str(4 * GIB - GIB // 2),
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }


def test_a_worker_opens_its_canary_on_its_gpu() -> None:
    share = driver(FakeGpu("GPU-a")).reserve("cuda0", 125)
    opener = FakeOpener()
    open_canary(driver(opener=opener), share)
    assert [each.name for each in opener.asked] == ["CUDAExecutionProvider"]


def test_the_surroundings_are_set_before_onnxruntime_is_imported(tmp_path: Path) -> None:
    seen: list[dict[str, str]] = []
    environ: dict[str, str] = {}

    def imported() -> Any:
        seen.append(dict(environ))
        return BOTH

    share = driver(FakeGpu("GPU-a")).reserve("cuda0", 250)
    worker = CudaDriver(ort=imported, opener=FakeOpener(), environ=environ)
    opened(worker, share, model(tmp_path, 1))
    assert [each[VISIBLE] for each in seen] == ["GPU-a"]


def test_what_sessions_hold_is_taken_from_what_the_next_may_have(tmp_path: Path) -> None:
    share = driver(FakeGpu("GPU-a")).reserve("cuda0", 125)
    opener = FakeOpener()
    worker = driver(opener=opener)
    one = opened(worker, share, model(tmp_path, GIB))
    assert refusal(lambda: opened(worker, share, model(tmp_path, GIB))) == "MODEL_MEMORY"
    half = model(tmp_path, GIB // 2)
    two = opened(worker, share, half)
    assert [p.options["gpu_mem_limit"] for p in opener.asked] == [str(3 * GIB // 2), str(GIB // 2)]
    assert refusal(lambda: opened(worker, share, model(tmp_path, 1))) == "MODEL_MEMORY"
    del one
    opened(worker, share, model(tmp_path, GIB))
    del two


def test_what_failed_to_load_holds_nothing(tmp_path: Path) -> None:
    share = driver(FakeGpu("GPU-a")).reserve("cuda0", 125)
    opener = FakeOpener(fails=make_error("MODEL_INVALID", "no"))
    worker = driver(opener=opener)
    for _ in range(3):
        assert refusal(lambda: opened(worker, share, model(tmp_path, GIB))) == "MODEL_INVALID"
    opener.fails = None
    opened(worker, share, model(tmp_path, GIB))


def test_tensorrt_has_cuda_behind_it_and_computes_in_bf16_only_where_asked(tmp_path: Path) -> None:
    share = driver(FakeGpu("GPU-a")).reserve("cuda0", 250)
    opener = FakeOpener()
    worker = driver(opener=opener)
    for runtime in (TENSORRT, TENSORRT_BF16):
        opened(worker, share, model(tmp_path, 1), runtime)
    plain, bf16 = opener.asked
    assert plain.name == bf16.name == "TensorrtExecutionProvider"
    assert plain.behind is not None
    assert plain.behind.name == "CUDAExecutionProvider"
    assert "trt_bf16_enable" not in plain.options
    assert bf16.options["trt_bf16_enable"] == "1"


def test_a_plug_in_on_this_gpu_is_taken_before_what_is_built_in(tmp_path: Path) -> None:
    share = driver(FakeGpu("GPU-a", bus="00010000:B1:00.0")).reserve("cuda0", 250)
    places = ("0000:b1:00.0", "10000:b1:00.0")
    devices = [ep_device("CUDAExecutionProvider", "GPU", pci_bus_id=bus) for bus in places]
    opener = FakeOpener()
    ort = FakeOnnxruntime(("CUDAExecutionProvider",), devices)
    opened(driver(opener=opener, ort=ort), share, model(tmp_path, 1))
    assert opener.asked[0].devices == (devices[1],)
    elsewhere = replace(share, words={**share.words, "pci_bus_id": "0000:b7:00.0"})
    opened(driver(opener=opener, ort=ort), elsewhere, model(tmp_path, 1))
    assert opener.asked[1].devices == ()


def test_what_a_worker_can_not_open_is_refused_by_name(tmp_path: Path) -> None:
    share = driver(FakeGpu("GPU-a")).reserve("cuda0", 250)
    source = model(tmp_path, 1)
    foreign = Reservation("cuda0", 250, 1)
    assert refusal(lambda: opened(driver(), share, source, REFERENCE)) == "ARGUMENT"
    assert refusal(lambda: opened(driver(), foreign, source)) == "ARGUMENT"
    other = driver(environ={VISIBLE: "GPU-b"})
    assert refusal(lambda: opened(other, share, source)) == "ARGUMENT"
    lacking = driver(ort=FakeOnnxruntime())
    assert refusal(lambda: opened(lacking, share, source)) == "RUNTIME_REFUSED"


def test_busy_time_is_utilisation_over_the_time_between_two_calls(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 5_000
    gpu = FakeGpu("GPU-a", utilisation=50)
    gpus = driver(gpu, clock=lambda: now)
    (at_first,) = gpus.stats()
    assert (at_first.busy_ns, at_first.memory_used_bytes) == (0, 4 * GIB)
    now += 1_000
    assert gpus.stats()[0].busy_ns == 500
    gpu.utilisation = 100
    now += 1_000
    assert gpus.stats()[0].busy_ns == 1_500
    gpu.lost = True
    now += 1_000
    (gone,) = gpus.stats()
    assert (gone.device, gone.busy_ns, gone.memory_used_bytes) == ("cuda0", 1_500, 0)
    assert "cuda0 doesn't say how busy it is: GPU is lost" in caplog.text
