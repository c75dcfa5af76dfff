"""NPUs of Huawei, Qualcomm and AMD, through onnxruntime's providers for them.

The listener looks for a provider beside the onnxruntime that is installed, or its plug-in's
package, and for the device that the kernel lists; it imports neither. Without both there is
nothing here. A worker asks onnxruntime's list of devices first, then what was built into it.

An NPU is lent as a whole: nothing here divides one. Its memory is told as the host's, with which
most share it. None of these was ever tried on real hardware.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.errors import UsageError
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


@dataclass(frozen=True, slots=True)
class Family:
    """NPUs that one provider runs models on.

    Attributes:
        id: of its devices, before their number.
        provider: onnxruntime's word.
        library: as it lies beside onnxruntime.
        package: of a plug-in, with onnxruntime's `get_library_path()`; "" for none.
        nodes: of devices, below /dev.
        vendor: of the PCI devices at `nodes`, as the kernel tells it; "": nobody else's are there.
        options: of the provider, by what it is to compute in; half precision, which is nearer
            than bf16, counts as that.
        numbered: whether the option `device_id` says which.
    """

    id: str
    model: str
    provider: str
    library: str
    nodes: str
    options: Mapping[Precision, Mapping[str, str]]
    package: str = ""
    vendor: str = ""
    numbered: bool = False

    @property
    def runtimes(self) -> tuple[Runtime, ...]:
        """One a precision."""
        return tuple(Runtime(f"onnxruntime-{self.library}", each) for each in self.options)


FAMILIES: Final = (
    Family(
        "ascend-npu",
        "Huawei Ascend",
        "CANNExecutionProvider",
        "cann",
        nodes="davinci[0-9]*",
        options={
            Precision.FP32: {"precision_mode": "force_fp32"},
            Precision.BF16: {"precision_mode": "force_fp16"},
        },
        numbered=True,
    ),
    Family(
        "qualcomm-npu",
        "Qualcomm Hexagon",
        "QNNExecutionProvider",
        "qnn",
        nodes="fastrpc-cdsp",
        # Hexagon computes floats in half precision, or not at all.
        options={Precision.BF16: {"backend_type": "htp", "enable_htp_fp16_precision": "1"}},
        package="onnxruntime_qnn",
    ),
    Family(
        "amd-npu",
        "AMD XDNA",
        "VitisAIExecutionProvider",
        "vitisai",
        nodes="accel/accel*",
        # Its compiler makes bfloat16 of floats, and leaves quantised models as they are.
        options={Precision.BF16: {}},
        vendor="0x1022",
    ),
)


def _is_installed(package: str) -> bool:
    return find_spec(package) is not None


def _onnxruntime() -> Any:
    import onnxruntime

    return onnxruntime


class NpuDriver:
    """The NPUs of this host that onnxruntime has a provider for.

    Args:
        libraries: which providers lie beside onnxruntime.
        installed: whether there is a package of that name; it isn't imported.
        ort: imports onnxruntime, in `open` alone.
        load: imports a plug-in's package, in `open` alone.
        opener: checks a model and loads it, in `open` alone.
        dev, sys_, proc: where the kernel tells of itself.
    """

    def __init__(
        self,
        *,
        libraries: Callable[[], Collection[str]] = built_in,
        installed: Callable[[str], bool] = _is_installed,
        ort: Callable[[], Any] = _onnxruntime,
        load: Callable[[str], Any] = import_module,
        opener: Opener = open_with,
        dev: Path = Path("/dev"),
        sys_: Path = Path("/sys"),
        proc: Path = Path("/proc"),
    ) -> None:
        self._libraries = libraries
        self._installed = installed
        self._ort = ort
        self._load = load
        self._opener = opener
        self._dev = dev
        self._sys = sys_
        self._proc = proc
        self._registered: set[str] = set()

    def fingerprint(self) -> list[DeviceInfo]:
        """Devices such as "ascend-npu0", given as a whole."""
        libraries = self._libraries()
        found = []
        for family in FAMILIES:
            plugged = bool(family.package) and self._installed(family.package)
            if family.library in libraries or plugged:
                for n in range(len(self._nodes(family))):
                    found.append(self._info(family, n))
        if not found:
            log.debug("no NPUs: no provider for one, or no device")
        return found

    def _nodes(self, family: Family) -> list[Path]:
        nodes = sorted(self._dev.glob(family.nodes))
        return [node for node in nodes if not family.vendor or self._vendor(node) == family.vendor]

    def _vendor(self, node: Path) -> str:
        try:
            told = self._sys / "class" / node.relative_to(self._dev) / "device" / "vendor"
            return told.read_text().strip()
        except OSError:
            return ""

    def _info(self, family: Family, n: int) -> DeviceInfo:
        return DeviceInfo(
            id=f"{family.id}{n}",
            kind=DeviceKind.NPU,
            model=family.model,
            memory_bytes=_total_memory(self._proc / "meminfo"),
            capacity_milli=WHOLE_MILLI,
            granularity_milli=WHOLE_MILLI,
            share_limit_milli=WHOLE_MILLI,
            enforcement=Enforcement.COOPERATIVE,
            runtimes=family.runtimes,
            needs=(f"/dev/{family.nodes}",),
        )

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        """The whole device; see `DeviceDriver`."""
        check_share(self.fingerprint(), device, milli, held)
        return Reservation(device, milli, threads=1)

    def open(
        self,
        share: Reservation,
        model: ModelSource,
        settings: SessionSettings,
        runtime: Runtime | None = None,
    ) -> RuntimeSession:
        """An onnxruntime session on the NPU; nodes that it lacks run on the CPU.

        Without `runtime` it is the first that the device has.

        Raises:
            ModelRejected: RUNTIME_REFUSED for what the provider can't run, or where it can't start.
        """
        family, n = _family(share.device)
        runtime = runtime or family.runtimes[0]
        if runtime not in family.runtimes:
            raise UsageError("ARGUMENT", f"{share.device} has no runtime {runtime}")
        options = dict(family.options[runtime.precision])
        if family.numbered:
            options["device_id"] = str(n)
        ort = self._ort()
        self._register(ort, family)
        provider = find_provider(ort, Provider(family.provider, options), "NPU")
        return self._opener(model, settings, share.threads, provider)

    def _register(self, ort: Any, family: Family) -> None:
        """Make a plug-in known to onnxruntime, once in a process."""
        if not family.package or family.package in self._registered:
            return
        if self._installed(family.package):
            path = self._load(family.package).get_library_path()
            ort.register_execution_provider_library(family.provider, path)
            self._registered.add(family.package)

    def stats(self) -> list[DeviceStats]:
        """No counters: the providers have none."""
        return [DeviceStats(info.id, 0, 0) for info in self.fingerprint()]


def _family(device: str) -> tuple[Family, int]:
    """Of an id such as "ascend-npu1", and which of the family it is."""
    for family in FAMILIES:
        number = device.removeprefix(family.id)
        if number != device and number.isdecimal():
            return family, int(number)
    raise UsageError("ARGUMENT", f"{device} isn't a share of an NPU")


def _total_memory(meminfo: Path) -> int:
    for line in meminfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"{meminfo} says nothing of MemTotal")


if TYPE_CHECKING:
    _checked: type[DeviceDriver] = NpuDriver
