"""Instance types: what a tenant asks for, in devices and eighths.

`KIND` is one whole device (cpu: one core), `KIND.N` N devices or cores,
`KIND.N-8` N eighths (`1-4`, `1-2`, `3-4` are the same said shorter), `auto` the
pool's choice. Inside, capacity is counted in integer milli-devices.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from eais.errors import UsageError


class DeviceKind(StrEnum):
    """The kinds of device that a pool holds."""

    CPU = "cpu"
    GPU = "gpu"
    FPGA = "fpga"
    NPU = "npu"


AUTO = "auto"
"""The type whose kind and share the pool chooses."""
WHOLE_MILLI = 1000
EIGHTH_MILLI = WHOLE_MILLI // 8
_TYPE = re.compile(
    r"(?P<kind>cpu|gpu|fpga|npu)(?:\.(?P<count>[1-9]\d{0,3})(?:-(?P<parts>2|4|8))?)?"
)
_EXAMPLES = "for example cpu, cpu.2, gpu.1-8, npu, fpga.3-4 or auto"


@dataclass(frozen=True, slots=True)
class DeviceType:
    """A parsed type; `kind` is None for `auto`.

    `milli` is the whole ask in milli-devices, `WHOLE_MILLI` for `auto`.
    """

    text: str
    kind: DeviceKind | None
    milli: int

    @classmethod
    def parse(cls, text: str) -> DeviceType:
        """Read a type; `UsageError` TYPE_UNKNOWN says what a type looks like."""
        if text == AUTO:
            return cls(text, None, WHOLE_MILLI)
        match = _TYPE.fullmatch(text)
        if match is None:
            raise UsageError("TYPE_UNKNOWN", f"{text[:64]!r} is not an instance type; {_EXAMPLES}")
        count, parts = int(match["count"] or 1), int(match["parts"] or 1)
        if parts > 1 and count >= parts:
            raise UsageError(
                "TYPE_UNKNOWN", f"{text!r} is not below one device; write whole devices as KIND.N"
            )
        return cls(text, DeviceKind(match["kind"]), count * WHOLE_MILLI // parts)

    @property
    def default_tolerance(self) -> str:
        """`exact` for cpu types, `fp32` for `auto` and every other kind."""
        return "exact" if self.kind is DeviceKind.CPU else "fp32"


def type_text(kind: DeviceKind, milli: int) -> str:
    """A share as an instance type, "gpu.1-8"; ValueError for one that isn't sold."""
    whole, parts = milli // WHOLE_MILLI, milli // EIGHTH_MILLI
    if milli > 0 and milli % WHOLE_MILLI == 0:
        return f"{kind.value}.{whole}"
    if whole or milli <= 0 or milli % EIGHTH_MILLI:
        raise ValueError(f"{milli} milli-devices are neither whole devices nor eighths of one")
    shared = math.gcd(parts, 8)
    return f"{kind.value}.{parts // shared}-{8 // shared}"


def devices_text(milli: int) -> str:
    """Milli-devices as wholes and eighths, as types say them: "2", "3/8", "1 1/2"."""
    if milli % (WHOLE_MILLI // 8):
        return f"{milli / WHOLE_MILLI:g}"
    wholes, rest = divmod(milli, WHOLE_MILLI)
    if not rest:
        return str(wholes)
    unit = math.gcd(rest, WHOLE_MILLI)
    part = f"{rest // unit}/{WHOLE_MILLI // unit}"
    return f"{wholes} {part}" if wholes else part
