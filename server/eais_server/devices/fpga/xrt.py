"""Real boards, as AMD's runtime (XRT) shows them, where its Python package `pyxrt` is installed.

This driver finds boards and says what they are; it loads nothing onto them, and refuses to open
sessions. It was never run on a board.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, Final

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.errors import make_error
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
from eais_server.devices.fpga.driver import ROLE
from eais_server.devices.shares import check_share

if TYPE_CHECKING:
    from eais_server.devices.driver import DeviceDriver

log = logging.getLogger(__name__)

_MODULE: Final = "pyxrt"


def installed() -> Any | None:
    """The module `pyxrt`; None where it isn't installed, or can't be loaded."""
    if importlib.util.find_spec(_MODULE) is None:
        return None
    try:
        return importlib.import_module(_MODULE)
    except ImportError as error:
        log.warning("AMD's runtime is installed, but can't be loaded: %s", error)
        return None


class XrtDriver:
    """Real boards, whole ones alone: what keeps two tenants of one board apart is its shell's.

    Args:
        runtime: gives the module `pyxrt`, or None; asked once, when it is first needed.
    """

    def __init__(self, runtime: Callable[[], Any | None] = installed) -> None:
        self._runtime = runtime
        self._found: list[DeviceInfo] | None = None

    def fingerprint(self) -> list[DeviceInfo]:
        """Each board that isn't offline; none where AMD's runtime isn't installed."""
        if self._found is None:
            runtime = self._runtime()
            self._found = [] if runtime is None else list(_boards(runtime))
        return list(self._found)

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        """A whole board; see `DeviceDriver`."""
        check_share(self.fingerprint(), device, milli, held)
        return Reservation(device, milli, threads=1)

    def open(
        self,
        share: Reservation,
        model: ModelSource,
        settings: SessionSettings,
        runtime: Runtime = ROLE,
    ) -> RuntimeSession:
        """Refused.

        Raises:
            ModelRejected: IMAGE_MISSING.
        """
        raise make_error(
            "IMAGE_MISSING",
            f"EAIS finds {share.device}, but loads no roles onto real boards yet",
            hint="simulated boards run roles",
        )

    def stats(self) -> list[DeviceStats]:
        """Nothing runs there."""
        return [DeviceStats(info.id, 0, 0) for info in self.fingerprint()]


def _boards(runtime: Any) -> Iterator[DeviceInfo]:
    what = runtime.xrt_info_device
    for index in range(runtime.enumerate_devices()):
        try:
            board = runtime.device(index)
            bdf, name = str(board.get_info(what.bdf)), str(board.get_info(what.name))
            if str(board.get_info(what.offline)).lower() in ("true", "1"):
                log.warning("the board at %s is offline", bdf)
                continue
            memory = _memory_bytes(str(board.get_info(what.memory)))
        except RuntimeError as error:
            log.warning("board %d can't be looked at: %s", index, error)
            continue
        yield DeviceInfo(
            id=f"fpga-{bdf}",
            kind=DeviceKind.FPGA,
            model=name,
            memory_bytes=memory,
            capacity_milli=WHOLE_MILLI,
            granularity_milli=WHOLE_MILLI,
            share_limit_milli=WHOLE_MILLI,
            enforcement=Enforcement.FORCED,
            runtimes=(ROLE,),
        )


def _memory_bytes(report: str) -> int:
    """All banks that are enabled, as XRT's JSON says; 0 if it doesn't."""
    try:
        banks = list(_banks(json.loads(report)))
        return sum(int(str(b["range_bytes"]), 0) for b in banks if str(b.get("enabled")) == "true")
    except (ValueError, TypeError):
        return 0


def _banks(node: Any) -> Iterator[dict[str, Any]]:
    """Wherever they stand: versions of XRT nest them differently."""
    if isinstance(node, dict):
        if "range_bytes" in node:
            yield node
        for below in node.values():
            yield from _banks(below)
    elif isinstance(node, list):
        for below in node:
            yield from _banks(below)


if TYPE_CHECKING:
    _checked: type[DeviceDriver] = XrtDriver
