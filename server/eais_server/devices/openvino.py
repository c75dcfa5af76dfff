"""Intel's OpenVINO: on the CPU's cores beside onnxruntime, and on Intel's GPUs and NPUs.

It is an extra of the installation: without it there is nothing here. What a model must not do
is settled before OpenVINO sees a byte of it, as for onnxruntime, which also says what the model
takes and gives: a model that onnxruntime refuses is refused here. Of OpenVINO's readers the one
for ONNX must know the model for its own, so that those of other formats are never asked.

Models that it would run in other types than theirs are refused here (RUNTIME_REFUSED), and so
are those with strings, sequences and maps: then another runtime has them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eais.cpu_flags import is_fast_at_bf16
from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.errors import EaisError, UsageError, make_error
from eais.tolerance import Precision
from eais_server.devices.cpu import DEVICE_ID, CpuDriver
from eais_server.devices.driver import (
    DeviceInfo,
    DeviceStats,
    Enforcement,
    ModelSource,
    Reservation,
    Runtime,
    RuntimeSession,
    SessionSettings,
    SessionSignature,
)
from eais_server.devices.shares import check_share

if TYPE_CHECKING:
    from eais_server.devices.driver import DeviceDriver

log = logging.getLogger(__name__)

NAME: Final = "openvino"
FP32: Final = Runtime(NAME)
BF16: Final = Runtime(NAME, Precision.BF16)
_INTEL: Final = "0x8086"
_HINTS: Final[Mapping[Precision, str]] = {Precision.FP32: "f32", Precision.BF16: "bf16"}
# onnxruntime's word -> OpenVINO's. It computes doubles in single precision: they aren't here.
_TYPES: Final[Mapping[str, str]] = {
    "tensor(float)": "f32",
    "tensor(float16)": "f16",
    "tensor(bool)": "boolean",
    **{f"tensor({u}int{b})": f"{u[:1] or 'i'}{b}" for u in ("", "u") for b in (8, 16, 32, 64)},
}
# What an accelerator of Intel's is called: our id, its kind, OpenVINO's name, where the kernel
# lists it, and what it computes in. NPUs compute in half precision, which is nearer than bf16.
_ACCELERATORS: Final = (
    ("intel-gpu", DeviceKind.GPU, "GPU", "class/drm/renderD*", FP32),
    ("intel-npu", DeviceKind.NPU, "NPU", "class/accel/accel*", BF16),
)
_NEEDS: Final = {
    DeviceKind.GPU: ("/dev/dri/renderD*",),
    DeviceKind.NPU: ("/dev/accel/accel*",),
}


def _is_installed() -> bool:
    return find_spec(NAME) is not None


def _core() -> Any:
    from eais_server.runtime.openvino import new_core

    return new_core()


class OpenVinoDriver:
    """What OpenVINO can run models on here.

    Args:
        cpu: whose cores they are.
        installed: whether OpenVINO is here; asked for each fingerprint, and it isn't imported.
        core: makes its core, in `open` alone.
        proc, sys_: where the kernel tells of itself.
    """

    def __init__(
        self,
        cpu: CpuDriver | None = None,
        *,
        installed: Callable[[], bool] = _is_installed,
        core: Callable[[], Any] = _core,
        proc: Path = Path("/proc"),
        sys_: Path = Path("/sys"),
    ) -> None:
        self._cpu = cpu or CpuDriver(proc=proc)
        self._installed = installed
        self._make_core = core
        self._proc = proc
        self._sys = sys_
        self._core: Any = None

    def fingerprint(self) -> list[DeviceInfo]:
        """The CPU's device with the runtimes of this driver, and accelerators of Intel's."""
        if not self._installed():
            log.info("no OpenVINO here; pip install 'eais[openvino]' adds it")
            return []
        cpu = self._cpu.fingerprint()[0]
        fast = is_fast_at_bf16(self._proc / "cpuinfo")
        runtimes = (FP32, BF16) if fast else (FP32,)
        found = [replace(cpu, runtimes=runtimes)]
        for name, kind, _, where, runtime in _ACCELERATORS:
            for i in range(len(self._intel(where))):
                found.append(_accelerator(f"{name}{i}", kind, cpu.memory_bytes, runtime))
        return found

    def _intel(self, where: str) -> list[Path]:
        nodes = sorted(self._sys.glob(where))
        return [node for node in nodes if _text(node / "device" / "vendor") == _INTEL]

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        """Cores as `CpuDriver`; accelerators as a whole; see `DeviceDriver`."""
        if device == DEVICE_ID:
            return self._cpu.reserve(device, milli, held)
        check_share(self.fingerprint(), device, milli, held)
        return Reservation(device, milli, threads=1)

    def open(
        self,
        share: Reservation,
        model: ModelSource,
        settings: SessionSettings,
        runtime: Runtime = FP32,
    ) -> RuntimeSession:
        """A model compiled for the share.

        Raises:
            ModelRejected: what onnxruntime refuses; RUNTIME_REFUSED for what this can't run.
        """
        from eais_server.runtime.openvino import OpenVinoSession, words_of
        from eais_server.runtime.session import open_session

        if runtime not in (FP32, BF16):
            raise UsageError("ARGUMENT", f"OpenVINO's driver has no runtime {runtime}")
        # 0: no optimisations. It checks the model and the options, and is let go.
        plain = replace(settings, graph_optimization_level=0)
        signature = open_session(model, plain, threads=1).signature
        _check_signature(signature, settings)
        self._core = self._core or self._make_core()
        try:
            compiled = self._compile(share, model, signature, runtime)
        except EaisError:
            raise
        except Exception as error:  # noqa: BLE001 - OpenVINO's errors are RuntimeErrors, mostly
            raise _refused(words_of(error)) from None
        told = replace(signature, providers=(f"OpenVINO {runtime}",))
        return OpenVinoSession(compiled, told, lambda: open_session(model, settings, share.threads))

    def _compile(
        self, share: Reservation, model: ModelSource, signature: SessionSignature, runtime: Runtime
    ) -> Any:
        read = self._core.read_model(_only_onnx(model.path))
        _check_ports("input", read.inputs, [(s.name, s.type) for s in signature.inputs])
        _check_ports("output", read.outputs, [(s.name, s.type) for s in signature.outputs])
        if settled := _settled_dims(signature, read.inputs):
            read.reshape(settled)
        if share.device != DEVICE_ID:
            place = _place(share.device)
            # A GPU would choose half precision by itself, and an NPU has no other.
            hint = {"INFERENCE_PRECISION_HINT": "f16" if place == "NPU" else "f32"}
            return self._core.compile_model(read, place, hint)
        config = {
            "INFERENCE_NUM_THREADS": share.threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": _HINTS[runtime.precision],
            # The process is on its cores already.
            "ENABLE_CPU_PINNING": False,
            # Else weights of eight bits would have the other operand quantised, too.
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        }
        return self._core.compile_model(read, "CPU", config)

    def stats(self) -> list[DeviceStats]:
        """The CPU's as `CpuDriver`'s; accelerators say nothing of themselves."""
        found = {stats.device: stats for stats in self._cpu.stats()}
        return [found.get(i.id) or DeviceStats(i.id, 0, 0) for i in self.fingerprint()]


def _accelerator(id_: str, kind: DeviceKind, memory: int, runtime: Runtime) -> DeviceInfo:
    return DeviceInfo(
        id=id_,
        kind=kind,
        model=f"Intel {kind.upper()}",
        memory_bytes=memory,
        capacity_milli=WHOLE_MILLI,
        granularity_milli=WHOLE_MILLI,
        share_limit_milli=WHOLE_MILLI,
        enforcement=Enforcement.COOPERATIVE,
        runtimes=(runtime,),
        needs=_NEEDS[kind],
    )


def _place(device: str) -> str:
    """ "intel-gpu1" -> "GPU.1", as OpenVINO counts; it has one NPU."""
    for name, _, place, *_rest in _ACCELERATORS:
        if device.startswith(name):
            return place if place == "NPU" else f"{place}.{device.removeprefix(name)}"
    raise UsageError("NOT_FOUND", "no such device")


def _only_onnx(path: Path) -> Path:
    """`path`, of which OpenVINO's reader for ONNX says that it is one of its models.

    Raises:
        ModelRejected: RUNTIME_REFUSED.
    """
    from openvino.frontend import FrontEndManager

    # Of a file that is named so this reader is the first to be asked.
    reader = FrontEndManager().load_by_framework("onnx")
    if path.suffix != ".onnx" or not reader.supported(str(path)):
        raise _refused("it isn't ONNX for OpenVINO")
    return path


def _check_signature(signature: SessionSignature, settings: SessionSettings) -> None:
    for spec in (*signature.inputs, *signature.outputs):
        if spec.type not in _TYPES:
            raise _refused(f"{spec.name[:64]!a} is a {spec.type[:64]}")
    if settings.deterministic_compute:
        raise _refused("deterministic compute was asked for")


def _check_ports(what: str, ports: Sequence[Any], declared: Sequence[tuple[str, str]]) -> None:
    """The model is the same to OpenVINO: names in the same order, of the same types."""
    if len(ports) != len(declared):
        raise _refused(f"{len(declared)} {what}s of it are {len(ports)} for OpenVINO")
    for port, (name, type_) in zip(ports, declared, strict=True):
        if name not in port.get_names():
            raise _refused(f"{what} {name[:64]!a} is lost")
        if (found := port.get_element_type().get_type_name()) != _TYPES[type_]:
            raise _refused(f"{what} {name[:64]!a} is {found} for OpenVINO, not {_TYPES[type_]}")


def _settled_dims(signature: SessionSignature, ports: Sequence[Any]) -> dict[int, list[int]]:
    """Input to its dims, -1 for what is open, where the caller's options settled some."""
    found = {}
    for i, (spec, port) in enumerate(zip(signature.inputs, ports, strict=True)):
        dims = [dim if isinstance(dim, int) else -1 for dim in spec.dims]
        shape = port.get_partial_shape()
        if shape.rank.is_static and any(
            dim >= 0 and own.is_dynamic for dim, own in zip(dims, shape, strict=True)
        ):
            found[i] = dims
    return found


def _refused(why: str) -> EaisError:
    return make_error("RUNTIME_REFUSED", f"OpenVINO doesn't run this model: {why}")


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


if TYPE_CHECKING:
    _checked: type[DeviceDriver] = OpenVinoDriver
