"""Token buckets for what a peer may do, but not without end. (Brain.)"""

from __future__ import annotations

from eais.transport.h2.limits import Rate


class Allowance:
    """How often the peer may still do one thing; it grows again with time."""

    __slots__ = ("_at_s", "_left", "_rate")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._left = float(rate.burst)
        self._at_s: float | None = None

    def spend(self, now_s: float, cost: float = 1.0) -> bool:
        """Take `cost` at `now_s`; False if that is more than is left."""
        since_s = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        self._at_s = now_s
        self._left = min(self._left + since_s * self._rate.per_s, float(self._rate.burst)) - cost
        return self._left >= 0.0
