"""What the words in a scenario's file mean: times, rates, counts, settings. (Brain)

Each function takes what stood there, text, or dicts and lists of it, and raises `UsageError`
ARGUMENT that says what it isn't.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from eais.device_type import AUTO, DeviceType
from eais.errors import UsageError
from eais.instance_policy import InstancePolicy, slo_us
from eais.neighbours import Neighbours
from eais.net.plan import DRIVERS
from eais.ratio import RatioPolicy, late_part

T = TypeVar("T")
Read = Callable[[object], Any]

_TIME: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(us|ms|s|m|h)?")
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_RATE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(?:/\s*s)?")
_NUMBER: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_DIGITS: Final = 9
MOST_S: Final = 86_400.0
MOST_PER_S: Final = 10_000.0
"""Of each request of a scenario is told."""


def seconds(value: object) -> float:
    """Of "500ms", "10s", "2m", or a number of seconds."""
    found = _TIME.fullmatch(_text(value))
    made = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
    if not 0 < made <= MOST_S:
        raise _refused(value, "a time such as 500ms, 10s or 2m, a day at most")
    return made


def rate(value: object) -> float:
    """Requests a second: 20, or "20/s"."""
    found = _RATE.fullmatch(_text(value))
    made = float(found[1]) if found else 0.0
    if not 0 < made <= MOST_PER_S:
        raise _refused(value, "requests a second, such as 20")
    return made


def rate_or_nothing(value: object) -> float:
    """As `rate`, or 0."""
    return 0.0 if _text(value) == "0" else rate(value)


def count(value: object) -> int:
    """A whole number above 0."""
    said = _text(value)
    if not (said.isascii() and said.isdigit() and len(said) <= _DIGITS and int(said)):
        raise _refused(value, "a whole number above 0")
    return int(said)


def share(value: object) -> float:
    """A part, "5%" or 0.05."""
    said = _text(value)
    found = _NUMBER.fullmatch(said.removesuffix("%"))
    made = float(found[0]) / (100 if said.endswith("%") else 1) if found else -1.0
    if not 0 <= made <= 1:
        raise _refused(value, "a part such as 5% or 0.05")
    return made


def amount(value: object) -> float:
    """A number, 0 or more."""
    found = _NUMBER.fullmatch(_text(value))
    if not found:
        raise _refused(value, "a number, 0 or more")
    return float(found[0])


def flag(value: object) -> bool:
    """Yes or no."""
    said = _text(value).lower()
    if said not in ("true", "false", "yes", "no"):
        raise _refused(value, "true or false")
    return said in ("true", "yes")


def text(value: object) -> str:
    """Words."""
    said = _text(value)
    if not said:
        raise _refused(value, "a word")
    return said


def device_type(value: object) -> str:
    """An instance's type, such as cpu.1."""
    said = text(value)
    if said != AUTO:
        DeviceType.parse(said)
    return said


def one_of(known: Collection[str]) -> Callable[[object], str]:
    """Reads one of these words."""

    def read(value: object) -> str:
        said = text(value)
        if said not in known:
            raise UsageError("ARGUMENT", f"{said!r} {unknown(said, known)}")
        return said

    return read


def unknown(word: str, known: Collection[str]) -> str:
    """What to say of a word that isn't among these."""
    near = difflib.get_close_matches(word, known, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"isn't known: {meant}there {'is' if len(known) == 1 else 'are'} {', '.join(known)}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings by name, each read by what it takes.

    Attributes:
        readers: name -> what reads its value.
        needed: those that must be there.
    """

    readers: Mapping[str, Read]
    needed: tuple[str, ...] = ()

    def read(self, value: object) -> dict[str, Any]:
        """What was said, by name; of those that weren't nothing."""
        if not isinstance(value, dict):
            raise _refused(value, f"settings: {', '.join(self.readers)}")
        made = {str(name): self._one(str(name), each) for name, each in value.items()}
        for name in self.needed:
            if name not in made:
                raise UsageError("ARGUMENT", f"{name} is missing")
        return made

    def _one(self, name: str, value: object) -> Any:
        if name not in self.readers:
            raise UsageError("ARGUMENT", f"{name!r} {unknown(name, self.readers)}")
        try:
            return self.readers[name](value)
        except UsageError as error:
            raise UsageError("ARGUMENT", f"{name}: {error.message}", hint=error.hint) from None


ATTACH: Final = Settings(
    {
        "type": device_type,
        "instance": text,
        "slo-p99": text,
        "tolerance": text,
        "rate": rate,
        "price-cap": amount,
        "ratio": text,
        "min": count,
        "max": count,
        "kinds": text,
        "late-target": text,
        "ring": text,
        "spread": text,
        "near": text,
        "strict": flag,
        "vnic": one_of(DRIVERS),
        "wait": seconds,
    }
)
"""As the options of `eais attach`."""


def policy(said: Mapping[str, Any]) -> InstancePolicy:
    """What `ATTACH` says of an instance that is made."""
    late = late_part(said["late-target"]) if "late-target" in said else 0.0
    kinds = [word.strip() for word in said.get("kinds", "").split(",") if word.strip()]
    ratio = said.get("ratio", "")
    wanted = RatioPolicy.checked(ratio, said.get("min", 0), said.get("max", 0), kinds, late)
    beside = Neighbours.checked(
        said.get("spread", ""), said.get("near", ""), said.get("strict", False)
    )
    return InstancePolicy.checked(
        said.get("ring", ""),
        slo_us(said["slo-p99"]) if "slo-p99" in said else 0,
        said.get("tolerance", ""),
        said.get("rate", 0.0),
        said.get("price-cap", 0.0),
        wanted,
        beside,
    )


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _refused(value: object, right: str) -> UsageError:
    shown = "nothing" if value in (None, "") else repr(value)[:60]
    return UsageError("ARGUMENT", f"{shown} is not {right}")
