"""The ratio of CPU to accelerator that an instance is to have, as it is said: `auto`, `4:0.25`.

`auto`: the pool decides, second by second. `CPU:ACCELERATOR`: so many CPU workers of one core,
and so much of accelerators, in devices; one of both may be 0: `4:0` is CPU alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from eais.device_type import AUTO, EIGHTH_MILLI, WHOLE_MILLI, DeviceKind, DeviceType
from eais.errors import UsageError

MOST_CPU_WORKERS: Final = 64
MOST_DEVICES: Final = 64
MOST_WORKERS: Final = 64
LATE_LEAST: Final = 0.00001
LATE_MOST: Final = 0.5
_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s*%")
_TEXT: Final = re.compile(r"(\d{1,4}):(\d{1,4}(?:\.\d{1,3})?)")
_RIGHT: Final = "auto, or CPU workers and accelerators in eighths such as 4:0.25, 4:0 or 0:1"


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio that stays as it is.

    Attributes:
        cpu_workers: of one core each.
        accelerator_milli: of accelerators, in milli-devices.
    """

    cpu_workers: int
    accelerator_milli: int

    @property
    def text(self) -> str:
        """As it is said."""
        return f"{self.cpu_workers}:{self.accelerator_milli / WHOLE_MILLI:g}"

    @classmethod
    def parse(cls, text: str) -> Ratio | None:
        """Read a ratio; None for `auto`; `UsageError` RATIO says what one looks like."""
        if text == AUTO:
            return None
        found = _TEXT.fullmatch(text)
        if found is None:
            raise _refused(text)
        cpu_workers, milli = int(found[1]), round(float(found[2]) * WHOLE_MILLI)
        in_eighths = milli % EIGHTH_MILLI == 0
        whole = milli <= WHOLE_MILLI or milli % WHOLE_MILLI == 0
        if not in_eighths or not whole or not (cpu_workers or milli):
            raise _refused(text)
        if cpu_workers > MOST_CPU_WORKERS or milli > MOST_DEVICES * WHOLE_MILLI:
            most = f"{MOST_CPU_WORKERS}:{MOST_DEVICES}"
            raise UsageError("RATIO", f"a ratio is at most {most}, not {text[:32]}")
        return cls(cpu_workers, milli)


@dataclass(frozen=True, slots=True)
class RatioPolicy:
    """What an owner says of an instance's ratio.

    Attributes:
        text: `auto`, or a ratio that stays; "": not said.
        least, most: workers; of `auto`. 0: down to none, and any number.
        kinds: of devices, that `auto` takes; (): all. One may be a type, which says of which size
            each share of that kind is: `cpu.1-8`.
        late_target: what part of calls `auto` may leave late; 0: as the pool has it.
    """

    text: str = ""
    least: int = 0
    most: int = 0
    kinds: tuple[str, ...] = ()
    late_target: float = 0.0

    @classmethod
    def checked(
        cls,
        text: str = "",
        least: int = 0,
        most: int = 0,
        kinds: Iterable[str] = (),
        late_target: float = 0.0,
    ) -> RatioPolicy:
        """What was said; `UsageError` RATIO for what can't be."""
        fixed = Ratio.parse(text) if text else None
        wanted = tuple(dict.fromkeys(kinds))
        if fixed is not None and (least or most or wanted or late_target):
            what = "min, max, kinds and late-target"
            raise UsageError("RATIO", f"{fixed.text} stays as it is: {what} are auto's")
        if late_target and not LATE_LEAST <= late_target <= LATE_MOST:
            raise _no_late_target(f"{late_target * 100:g}%")
        if not 0 <= least <= MOST_WORKERS or not 0 <= most <= MOST_WORKERS:
            raise UsageError("RATIO", f"min and max are numbers from 0 to {MOST_WORKERS}")
        if most and least > most:
            raise UsageError("RATIO", f"min, {least}, must not be above max, {most}")
        for word in wanted:
            _check_kind(word)
        return cls(fixed.text if fixed else text, least, most, wanted, late_target)

    @property
    def fixed(self) -> Ratio | None:
        """The ratio that stays as it is, if that was said."""
        return Ratio.parse(self.text) if self.text else None

    @property
    def sizes(self) -> Mapping[DeviceKind, frozenset[int]]:
        """The kinds that it takes, each with the sizes of its shares (milli); none: any."""
        if not self.kinds:
            return dict.fromkeys(DeviceKind, frozenset())
        found: dict[DeviceKind, frozenset[int]] = {}
        for word in self.kinds:
            kind = DeviceKind(word.partition(".")[0])
            size = {DeviceType.parse(word).milli} if word != kind.value else set()
            found[kind] = found.get(kind, frozenset()) | size
        return found


UNSAID: Final = RatioPolicy()


def _check_kind(word: str) -> None:
    known = ", ".join(sorted(kind.value for kind in DeviceKind))
    try:
        found = DeviceType.parse(word).kind
    except UsageError:
        found = None
    if found is None:
        text = f"kinds are of {known}, or types such as cpu.1-8, not {word[:32]!a}"
        raise UsageError("RATIO", text)


def late_part(text: str) -> float:
    """The part of calls that "0.1%" is, 0.001; `UsageError` RATIO for what may not be late."""
    found = _PERCENT.fullmatch(text.strip())
    part = float(found[1]) / 100 if found else 0.0
    if not LATE_LEAST <= part <= LATE_MOST:
        raise _no_late_target(text)
    return part


def _no_late_target(text: str) -> UsageError:
    right = f"a part of calls such as 0.1%, from {LATE_LEAST:.3%} to {LATE_MOST:.0%}"
    return UsageError("RATIO", f"late-target is {right}, not {text[:32]!a}")


def _refused(text: str) -> UsageError:
    return UsageError("RATIO", f"a ratio is {_RIGHT}, not {text[:32]!a}")
