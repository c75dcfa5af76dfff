"""What policies are called: `auto`, `fixed:4:0.25`, `knative:0.7,max=4`, `min=1`. (Brain)

The first word is the policy's, `auto` if there is none; what follows says what is otherwise than it
was, key by key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from eais.device_type import DeviceKind
from eais.errors import UsageError
from eais.ratio import Ratio
from eais_pool.brain.ratio_records import Basis

AUTO: Final = "auto"
FIXED: Final = "fixed"
NAMES: Final[Mapping[str, tuple[str, tuple[float, ...]]]] = {
    AUTO: ("auto", ()),
    FIXED: ("fixed:4:0.25", ()),
    "knative": ("knative:0.7", (0.7,)),
    "hpa": ("hpa:0.7", (0.7,)),
    "ray": ("ray:2:600", (2.0, 600.0)),
}
"""Of each an example, and what its numbers are unless they are said."""
MOST: Final = 8
_MOST_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class Changes:
    """What is otherwise than it was; None: nothing.

    Attributes:
        late_target: part of calls that may be late.
        ratio_change_s, ratio_awake_s: as in the manager's settings.
        min, max: workers.
        kinds: of devices that may be taken, joined by +.
        price_cap: an hour.
        attach_s: how long attaching takes.
    """

    late_target: float | None = None
    ratio_change_s: float | None = None
    ratio_awake_s: float | None = None
    min: int | None = None
    max: int | None = None
    kinds: tuple[DeviceKind, ...] | None = None
    price_cap: float | None = None
    attach_s: float | None = None

    def of(self, basis: Basis) -> Basis:
        """A basis with these changes; without offers where none is of the kinds; ValueError."""
        offers = basis.offers
        if self.kinds is not None:
            offers = tuple(each for each in offers if each.kind in self.kinds)
        if self.attach_s is not None:
            offers = tuple(replace(each, attach_s=self.attach_s) for each in offers)
        economy = _replaced(
            basis.economy, late_target=self.late_target, change_cost_s=self.ratio_change_s
        )
        bounds = _replaced(
            basis.bounds,
            least_units=self.min,
            most_units=self.max,
            price_cap_per_h=self.price_cap,
            awake_s=self.ratio_awake_s,
        )
        return Basis(offers, economy, bounds)


@dataclass(frozen=True, slots=True)
class PolicyName:
    """One policy, as it was said.

    Attributes:
        numbers: knative's and hpa's utilisation; ray's target and its seconds until less.
        ratio: fixed's.
    """

    text: str
    name: str
    numbers: tuple[float, ...] = ()
    ratio: Ratio | None = None
    changes: Changes = field(default_factory=Changes)

    @classmethod
    def parse(cls, text: str) -> PolicyName:
        """Read one; `UsageError` ARGUMENT or RATIO says what it may be."""
        if len(text) > _MOST_TEXT:
            raise UsageError("ARGUMENT", f"a policy is at most {_MOST_TEXT} characters")
        words = [word.strip() for word in text.split(",")]
        first = words.pop(0) if "=" not in words[0] else AUTO
        name, _, rest = first.partition(":")
        if name not in NAMES:
            known = ", ".join(example for example, _ in NAMES.values())
            raise UsageError(
                "ARGUMENT", f"{name[:32]!a} is no policy; there are {known}, and KEY=VALUE of auto"
            )
        changes = _changes(words, name)
        if name == FIXED:
            ratio = Ratio.parse(rest)
            if ratio is None:
                raise UsageError("RATIO", "fixed is a ratio such as fixed:4:0.25; auto is a policy")
            return cls(text, name, (), ratio, changes)
        return cls(text, name, _numbers(name, rest), None, changes)


def _numbers(name: str, text: str) -> tuple[float, ...]:
    example, defaults = NAMES[name]
    said = text.split(":") if text else []
    wrong = UsageError("ARGUMENT", f"{name}:{text[:32]!a}: such as {example}")
    try:
        numbers = (*map(float, said), *defaults[len(said) :])
    except ValueError:
        raise wrong from None
    in_range = all(0 < each < math.inf for each in numbers)
    if (
        len(numbers) != len(defaults)
        or not in_range
        or (name != "ray" and max(numbers, default=0) > 1)
    ):
        raise wrong
    return numbers


def _kinds(text: str) -> tuple[DeviceKind, ...]:
    return tuple(map(DeviceKind, text.split("+")))


_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    **{each.name: float for each in fields(Changes)},
    "min": int,
    "max": int,
    "kinds": _kinds,
}
_OF_OTHERS: Final = ("min", "max", "kinds", "attach_s")


def _changes(words: list[str], name: str) -> Changes:
    allowed = () if name == FIXED else tuple(_READ) if name == AUTO else _OF_OTHERS
    found: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key not in allowed:
            right = f"such as {', '.join(allowed)}" if allowed else "nothing: it stays as it is"
            raise UsageError("ARGUMENT", f"{key[:32]!a} is nothing to change of {name}; {right}")
        try:
            found[key] = _READ[key](value)
            if isinstance(found[key], float) and not 0 <= found[key] < math.inf:
                raise ValueError
        except ValueError:
            kinds = "+".join(DeviceKind)
            right = f"kinds such as {kinds}" if key == "kinds" else "a number"
            raise UsageError("ARGUMENT", f"{key}={value[:32]!a} is no {right}") from None
    return Changes(**found)


def _replaced(record: Any, **changes: Any) -> Any:
    said = {key: value for key, value in changes.items() if value is not None}
    return replace(record, **said) if said else record
