"""What a vNIC has carried, as its instance sees it. (Brain)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of IP packets, packets, and packets that were dropped."""

    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0
    dropped_in: int = 0
    dropped_out: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return self._with(other, int.__add__)

    def since(self, other: Traffic) -> Traffic:
        """What came since `other`; 0 where that is larger."""
        return self._with(other, lambda now, before: max(0, now - before))

    def at_least(self, other: Traffic) -> Traffic:
        """Each counter, or that of `other` if it is larger."""
        return self._with(other, max)

    def turned(self) -> Traffic:
        """As the other end counts it."""
        return Traffic(
            self.bytes_out,
            self.bytes_in,
            self.packets_out,
            self.packets_in,
            self.dropped_out,
            self.dropped_in,
        )

    def _with(self, other: Traffic, of: Callable[[int, int], int]) -> Traffic:
        return Traffic(*map(of, astuple(self), astuple(other)))


NO_TRAFFIC: Final = Traffic()
