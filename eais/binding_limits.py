"""How long a binding of an instance to a front-end lasts at most, what it may cost, how long it
may do nothing: whichever comes first ends it, as a detach would.
"""

from __future__ import annotations

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
        _check_time("ttl", ttl_s, LEAST_S)
        _check_time("idle_detach", idle_s, LEAST_IDLE_S)
        if budget and not 0 < budget <= MOST_BUDGET:
            text = f"budget is above 0 and at most {MOST_BUDGET:g}, not {budget:g}"
            raise UsageError("ARGUMENT", text)
        return cls(ttl_s, budget, idle_s)


NO_LIMITS: Final = BindingLimits()


def _check_time(name: str, seconds: float, least_s: float) -> None:
    if seconds and not least_s <= seconds <= MOST_S:
        most = f"{MOST_S / 86_400:g} days"
        text = f"{name} is from {least_s:g} s to {most}, not {seconds:g} s"
        raise UsageError("ARGUMENT", text)
