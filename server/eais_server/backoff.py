"""How long to wait before something that fails is tried again. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST_S: Final = 0.05
LAST_S: Final = 5.0
SETTLED_AFTER_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failures in a row: the first is followed at once, then 50 ms, doubling up to 5 s."""

    failures: int = 0

    def after(self, lived_s: float) -> Backoff:
        """The back-off after an end; one that lived for 2 s counts as the first."""
        return Backoff(1 if lived_s >= SETTLED_AFTER_S else self.failures + 1)

    @property
    def wait_s(self) -> float:
        """Seconds to wait now."""
        if self.failures <= 1:
            return 0.0
        return min(LAST_S, FIRST_S * 2.0 ** min(self.failures - 2, 20))
