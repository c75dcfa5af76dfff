"""How long to wait before trying again: full jitter, doubling, bounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Uniform in [0, 1), such as `random.random`.
Rng = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays uniform in [0, min(cap, first * 2**n)), so that callers don't come in step."""

    first_s: float = 0.025
    cap_s: float = 1.0

    def delay_s(self, failures: int, rng: Rng) -> float:
        """Seconds before the next try after `failures` (>= 1) failures in a row."""
        # The exponent is bounded because 2.0 ** 1100 overflows.
        return rng() * min(self.cap_s, self.first_s * 2.0 ** min(failures - 1, 32))
