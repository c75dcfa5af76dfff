"""NVIDIA GPUs, through onnxruntime's CUDA and TensorRT execution providers.

The listener asks NVML which GPUs are here (`nvidia-ml-py`), and looks which providers lie beside
the onnxruntime that is installed; it imports none of it. Without either there is nothing here.
A GPU is called by its UUID in all that a worker is told: its number, in the order of the UUIDs,
is for people.

A share is eighths of a GPU and as much of its memory. Nothing stops a worker that takes more of
either, so shares are "cooperative". onnxruntime's limit is one of each session's own arena: what
the sessions of a worker hold of weights is kept together here, and a session may use what the
share has left when it is loaded. CUDA's context, and what cuDNN and TensorRT allocate past the
arena, aren't in it: `_CONTEXT_BYTES` are set aside for them.

Single precision is that: TF32, which NVIDIA's libraries take for it by default, rounds to ten
bits, and is switched off for all of them.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.errors import UsageError, make_error
from eais.tolerance import Precision
from eais_server.devices.driver import (
    DeviceInfo,
    DeviceStats,
    Enforcement,
    ModelSource,
    Reservation,
    Runtime,
    RuntimeSession,
    SessionSettings,
)
from eais_server.devices.shares import check_share
from eais_server.runtime.opening import Opener, open_with
from eais_server.runtime.providers import Provider, built_in, find_provider

if TYPE_CHECKING:
    from eais_server.devices.driver import DeviceDriver

log = logging.getLogger(__name__)

CUDA: Final = Runtime("onnxruntime-cuda")
TENSORRT: Final = Runtime("tensorrt")
TENSORRT_BF16: Final = Runtime("tensorrt", Precision.BF16)
# What lies beside onnxruntime -> what it runs, of a GPU that can.
_RUNTIMES: Final[Mapping[str, tuple[Runtime, ...]]] = {
    "cuda": (CUDA,),
    "tensorrt": (TENSORRT, TENSORRT_BF16),
}
_BF16_SINCE: Final = (8, 0)
"""The compute capability from which tensor cores have bfloat16."""
_GRANULARITY_MILLI: Final = WHOLE_MILLI // 8
_CONTEXT_BYTES: Final = 512 << 20
"""Of a share, for CUDA's context and the libraries' code; an estimate from above."""
_NEEDS: Final = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia[0-9]*")
"""What NVIDIA's libraries open, map and make calls of their own on."""
_UUID: Final = "uuid"
_BUS: Final = "pci_bus_id"
VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
# Of the worker's process, before CUDA is initialised. The cache of compiled kernels would be in
# the home of whoever runs the listener, for all tenants.
_ENVIRONMENT: Final[Mapping[str, str]] = {"NVIDIA_TF32_OVERRIDE": "0", "CUDA_CACHE_DISABLE": "1"}


def _nvml() -> Any:
    return import_module("pynvml")


@cache
def _onnxruntime() -> Any:
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        # CUDA's libraries may lie in packages of their own; no variable says so to a worker.
        onnxruntime.preload_dlls(msvc=False)
    return onnxruntime


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as NVML tells of it."""

    info: DeviceInfo
    uuid: str
    bus: str


class CudaDriver:
    """The NVIDIA GPUs of this host, and what onnxruntime runs on them.

    Args:
        nvml: imports NVML's module; ImportError where there is none.
        libraries: which providers lie beside onnxruntime.
        ort: imports onnxruntime, in `open` alone, and CUDA's libraries.
        opener: checks a model and loads it, in `open` alone.
        environ: the process's. In the listener's, CUDA_VISIBLE_DEVICES may name, by UUIDs, the
            GPUs to offer; others keep their numbers. In a worker's, `open` sets it.
        clock: nanoseconds, monotonic.
    """

    def __init__(
        self,
        *,
        nvml: Callable[[], Any] = _nvml,
        libraries: Callable[[], Collection[str]] = built_in,
        ort: Callable[[], Any] = _onnxruntime,
        opener: Opener = open_with,
        environ: MutableMapping[str, str] = os.environ,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._import_nvml = nvml
        self._libraries = libraries
        self._ort = ort
        self._opener = opener
        self._environ = environ
        self._clock = clock
        self._nvml: Any = None
        self._gpus: dict[str, Gpu] | None = None
        self._lock = threading.Lock()
        self._weights: WeakKeyDictionary[RuntimeSession, int] = WeakKeyDictionary()
        self._loading: list[int] = []
        self._busy_ns: dict[str, int] = {}
        self._asked_ns = 0

    def fingerprint(self) -> list[DeviceInfo]:
        """Devices such as "cuda0", of 1000 milli-devices in eighths."""
        return [gpu.info for gpu in self._found().values()]

    def _found(self) -> dict[str, Gpu]:
        """As they were at the first call: a GPU that is plugged in is found by a new listener."""
        if self._gpus is None:
            self._gpus = self._find()
        return self._gpus

    def _find(self) -> dict[str, Gpu]:
        libraries = self._libraries()
        runtimes = tuple(r for name, has in _RUNTIMES.items() if name in libraries for r in has)
        if not runtimes:
            log.debug("no NVIDIA GPUs: this onnxruntime has no provider for them")
            return {}
        try:
            self._nvml = nvml = self._import_nvml()
        except ImportError:
            log.debug("no NVIDIA GPUs: nvidia-ml-py isn't installed")
            return {}
        try:
            nvml.nvmlInit()
            handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError as error:
            log.debug("no NVIDIA GPUs: %s", error)
            return {}
        by_uuid = sorted({_text(nvml.nvmlDeviceGetUUID(each)): each for each in handles}.items())
        found = (
            self._gpu(f"cuda{n}", uuid, handle, runtimes)
            for n, (uuid, handle) in enumerate(by_uuid)
            if self._is_offered(uuid)
        )
        return {gpu.info.id: gpu for gpu in found if gpu is not None}

    def _is_offered(self, uuid: str) -> bool:
        named = self._environ.get(VISIBLE)
        if named is None:
            return True
        return any(each and uuid.startswith(each) for each in named.split(","))

    def _gpu(self, id_: str, uuid: str, handle: Any, runtimes: tuple[Runtime, ...]) -> Gpu | None:
        nvml = self._nvml
        try:
            if self._is_divided(handle):
                log.error("%s isn't offered: it is divided into MIG instances", id_)
                return None
            memory = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
            has_bf16 = tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle)) >= _BF16_SINCE
            info = DeviceInfo(
                id=id_,
                kind=DeviceKind.GPU,
                model=_text(nvml.nvmlDeviceGetName(handle)),
                memory_bytes=memory,
                capacity_milli=WHOLE_MILLI,
                granularity_milli=_GRANULARITY_MILLI,
                share_limit_milli=WHOLE_MILLI,
                enforcement=Enforcement.COOPERATIVE,
                needs=_NEEDS,
                runtimes=tuple(r for r in runtimes if has_bf16 or r.precision != Precision.BF16),
            )
            return Gpu(info, uuid, _bus(_text(nvml.nvmlDeviceGetPciInfo(handle).busId)))
        except nvml.NVMLError as error:
            log.error("%s isn't offered: %s", id_, error)
            return None

    def _is_divided(self, handle: Any) -> bool:
        try:
            return bool(self._nvml.nvmlDeviceGetMigMode(handle)[0])
        except self._nvml.NVMLError:  # Most models can't be divided, and say so.
            return False

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        """A share on one thread, with its part of the memory; see `DeviceDriver`.

        Raises:
            UsageError: ARGUMENT too for a share whose memory CUDA's context alone would fill.
        """
        gpus = self._found()
        check_share([gpu.info for gpu in gpus.values()], device, milli, held)
        gpu = gpus[device]
        memory = gpu.info.memory_bytes * milli // WHOLE_MILLI
        if memory <= _CONTEXT_BYTES:
            text = f"{milli} milli-devices of {device} have {memory} bytes: too few for CUDA itself"
            raise UsageError("ARGUMENT", text)
        words = {_UUID: gpu.uuid, _BUS: gpu.bus}
        turns = device if milli < WHOLE_MILLI else ""
        return Reservation(device, milli, 1, memory_bytes=memory, words=words, turns=turns)

    def open(
        self,
        share: Reservation,
        model: ModelSource,
        settings: SessionSettings,
        runtime: Runtime = CUDA,
    ) -> RuntimeSession:
        """An onnxruntime session on the share's GPU; nodes that it lacks run on the CPU.

        Raises:
            UsageError: ARGUMENT, also where this process is on another GPU.
            ModelRejected: MODEL_MEMORY, its files are larger than what the share has left;
                RUNTIME_REFUSED for what the provider can't run, or where it can't start.
        """
        if runtime not in (CUDA, TENSORRT, TENSORRT_BF16):
            raise UsageError("ARGUMENT", f"the driver of NVIDIA's GPUs has no runtime {runtime}")
        if not (uuid := share.words.get(_UUID)):
            raise UsageError("ARGUMENT", f"{share.device} isn't a share of an NVIDIA GPU")
        size = model.path.stat().st_size + sum(model.manifest.values())
        left = self._claim(share, uuid, size)
        try:
            provider = self._provider(runtime, left, {_BUS: share.words.get(_BUS, "")})
            session = self._opener(model, settings, share.threads, provider)
            with self._lock:
                self._weights[session] = size
        finally:
            with self._lock:
                self._loading.remove(size)
        return session

    def _claim(self, share: Reservation, uuid: str, size: int) -> int:
        """Count a model that is about to be loaded; the memory that it may use."""
        with self._lock:
            self._prepare(uuid)
            taken = _CONTEXT_BYTES + sum(self._weights.values()) + sum(self._loading)
            left = max(0, share.memory_bytes - taken)
            if size > left:
                text = f"the model has {size} bytes; {left} are left of its share of a GPU"
                raise make_error("MODEL_MEMORY", text)
            self._loading.append(size)
            return left

    def _prepare(self, uuid: str) -> None:
        """This process's surroundings, as CUDA finds them when it starts."""
        if self._environ.get(VISIBLE, uuid) != uuid:
            raise UsageError("ARGUMENT", f"this process is on the GPU {self._environ[VISIBLE]}")
        self._environ.update({VISIBLE: uuid, **_ENVIRONMENT})

    def _provider(self, runtime: Runtime, memory: int, place: Mapping[str, str]) -> Provider:
        ort = self._ort()
        cuda = Provider("CUDAExecutionProvider", _cuda_options(memory))
        if runtime == CUDA:
            return find_provider(ort, cuda, "GPU", place)
        options = _tensorrt_options(memory, runtime.precision)
        rest = find_provider(ort, cuda, "GPU", place)
        wanted = Provider("TensorrtExecutionProvider", options, behind=rest)
        return find_provider(ort, wanted, "GPU", place)

    def stats(self) -> list[DeviceStats]:
        """Utilisation, over the time since the last call, added up; memory as NVML tells it.

        An estimate: NVML's utilisation is the part of its last period, of a second at most, in
        which some kernel ran, whoever's it was. A GPU that doesn't answer has what it had.
        """
        now = self._clock()
        since, self._asked_ns = now - (self._asked_ns or now), now
        return [self._stats(gpu, since) for gpu in self._found().values()]

    def _stats(self, gpu: Gpu, since_ns: int) -> DeviceStats:
        nvml, id_ = self._nvml, gpu.info.id
        used = 0
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)
            used = int(nvml.nvmlDeviceGetMemoryInfo(handle).used)
            busy = int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) * since_ns // 100
            self._busy_ns[id_] = self._busy_ns.get(id_, 0) + busy
        except nvml.NVMLError as error:
            log.warning("%s doesn't say how busy it is: %s", id_, error)
        return DeviceStats(id_, self._busy_ns.get(id_, 0), used)


def _cuda_options(memory: int) -> dict[str, str]:
    return {
        # The only one that the process sees.
        "device_id": "0",
        "gpu_mem_limit": str(memory),
        # Else an arena of half of the share's memory could grow to all of it, or not at all.
        "arena_extend_strategy": "kSameAsRequested",
        # An exhaustive search times kernels while other tenants use the GPU: its choice would be
        # by chance, and so would the answers' last bits.
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }


def _tensorrt_options(memory: int, precision: Precision) -> dict[str, str]:
    # Nothing is written: no cache of engines, for all tenants, nor of timings.
    options = {"device_id": "0", "trt_max_workspace_size": str(memory // 4)}
    if precision is Precision.BF16:
        options["trt_bf16_enable"] = "1"
    return options


def _bus(told: str) -> str:
    """ "00000000:3B:00.0" -> "0000:3b:00.0", as the kernel writes it, and onnxruntime after it."""
    domain, _, rest = told.lower().partition(":")
    return f"{int(domain, 16):04x}:{rest}"


def _text(value: str | bytes) -> str:
    """Older versions of NVML's module answer in bytes."""
    return value.decode() if isinstance(value, bytes) else value


if TYPE_CHECKING:
    _checked: type[DeviceDriver] = CudaDriver
