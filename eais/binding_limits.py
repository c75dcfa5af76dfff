"""How long a binding of an instance to a front-end lasts at most, what it may cost, how long it
may do nothing: whichever comes first ends it, as a detach would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from eais.errors import UsageError

MOST_S: Final = 400 * 86_400.0
LEAST_S: Final = 1.0
LEAST_IDLE_S: Final = 5.0
"""Calls are heard of once a second or so, and later from a machine that is busy."""
MOST_BUDGET: Final = 1e9


@dataclass(frozen=True, slots=True)
class BindingLimits:
    """What an owner says when an instance is attached; 0: no limit.

    Attributes:
        ttl_s: seconds from when the binding was granted.
        budget: what may be charged for it, in the unit of the pool's prices.
        idle_s: seconds without a call.
    """

    ttl_s: float = 0.0
    budget: float = 0.0
    idle_s: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.ttl_s or self.budget or self.idle_s)

    @classmethod
    def checked(cls, ttl_s: float = 0.0, budget: float = 0.0, idle_s: float = 0.0) -> BindingLimits:
        """What was said; `UsageError` ARGUMENT for what can't be."""
        _check("ttl", ttl_s, LEAST_S, MOST_S, " s")
        _check("budget", budget, 0.0, MOST_BUDGET, "")
        _check("idle_detach", idle_s, LEAST_IDLE_S, MOST_S, " s")
        return cls(ttl_s, budget, idle_s)


NO_LIMITS: Final = BindingLimits()


def _check(name: str, value: float, least: float, most: float, unit: str) -> None:
    if value and not (math.isfinite(value) and least <= value <= most and value > 0):
        text = f"{name} is from {least:g}{unit} to {most:g}{unit}, not {value:g}{unit}"
        raise UsageError("ARGUMENT", text)
