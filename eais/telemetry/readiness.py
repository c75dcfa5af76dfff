"""Whether calls should be sent to a process now, and if not, why, in words.

`grpc.health.v1` and /readyz say the same: both ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Check = Callable[[], str]
"""Why not; "" if it is no reason."""


@dataclass(slots=True)
class Readiness:
    """All that keeps a process from being ready."""

    checks: list[Check] = field(default_factory=list)

    def require(self, *checks: Check) -> None:
        """Ask these too."""
        self.checks.extend(checks)

    def why_not(self) -> Sequence[str]:
        """The reasons; none: it is ready."""
        return [why for check in self.checks if (why := check())]

    def is_ready(self) -> bool:
        """Whether there is no reason."""
        return not self.why_not()
