"""How long to wait before what failed is tried again: doubling, bounded. (Brain)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: Uniform in [0, 1).
Rng = Callable[[], float]

#: A program that lived this long (seconds) is settled: its next end counts as the first.
SETTLED_AFTER_S: Final = 2.0
# 2.0 ** 1100 overflows.
_MAX_EXPONENT: Final = 32


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits of `first_s` * 2**n seconds, at most `cap_s`."""

    first_s: float
    cap_s: float

    def wait_s(self, failures: int) -> float:
        """Seconds before the next try after `failures` in a row; 0 after none."""
        if failures < 1:
            return 0.0
        return min(self.cap_s, self.first_s * 2.0 ** min(failures - 1, _MAX_EXPONENT))

    def delay_s(self, failures: int, rng: Rng) -> float:
        """`wait_s` with full jitter, so that callers don't come in step."""
        return rng() * self.wait_s(failures)


#: Programs, workers and links that ended.
RESTART: Final = Backoff(0.05, 5.0)
#: Calls that nobody answered.
RETRY: Final = Backoff(0.025, 1.0)
