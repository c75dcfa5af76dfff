"""How often something ended in a row, and how long to wait for its next start. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eais.backoff import RESTART

# Shorter than a program's: a spare serves in a tenth of that, and each end costs its callers.
SETTLED_AFTER_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class RestartCount:
    """Ends in a row: the first is followed at once, later ones by `RESTART`'s waits."""

    failures: int = 0

    def after(self, lived_s: float) -> RestartCount:
        """The count after an end; that of one that had settled counts as the first."""
        return RestartCount(1 if lived_s >= SETTLED_AFTER_S else self.failures + 1)

    @property
    def wait_s(self) -> float:
        """Seconds to wait now."""
        return RESTART.wait_s(self.failures - 1)
