"""Which ends of vNICs lead to an instance, and which aren't needed any more. (Brain)"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from eais_client.vnic_end import VnicEnd


@dataclass(frozen=True, slots=True)
class Ways:
    """The ends of an instance's vNICs on this host.

    Attributes:
        here: to where it is; None: its driver needs none.
        coming: to where it is about to move; perhaps it never does.
        left: to where it was, while there may be calls.
    """

    here: VnicEnd | None = None
    coming: VnicEnd | None = None
    left: tuple[VnicEnd, ...] = ()

    def now(self, end: VnicEnd | None) -> Ways:
        """The instance is where `end` leads."""
        coming = None if end is not None and _same(self.coming, end) else self.coming
        left = tuple(each for each in self.left if not _same(each, end))
        if self.here is not None and not _same(self.here, end):
            left = (*left, self.here)
        return Ways(end, coming, left)

    def about_to(self, end: VnicEnd) -> Ways:
        """The instance is about to be where `end` leads; where it was to be before, it won't."""
        given_up = self.coming
        if given_up is None or _same(given_up, end) or _same(given_up, self.here):
            return replace(self, coming=end)
        return replace(self, coming=end, left=(*self.left, given_up))

    def without(
        self, in_use: Collection[str], *, for_good: bool
    ) -> tuple[tuple[VnicEnd, ...], Ways]:
        """Those that aren't needed any more, and what is left.

        Args:
            in_use: addresses that streams lead to.
            for_good: the instance isn't this front-end's any more.
        """
        if for_good:
            ends = (self.here, self.coming, *self.left)
            return tuple(each for each in ends if each is not None), Ways()
        over = tuple(each for each in self.left if each.peer not in in_use)
        return over, replace(self, left=tuple(each for each in self.left if each not in over))


def _same(end: VnicEnd | None, other: VnicEnd | None) -> bool:
    """Whether they are plans of one end."""
    return end is not None and other is not None and end.key == other.key
