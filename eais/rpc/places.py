"""How many calls a server has at once, of all callers and of each. (Brain)

A call holds memory from its first byte, so that it is counted before it is parsed. Nobody
takes all places: each caller, which is a front-end with all of its processes, has a share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from eais.errors import make_error

# Of all callers, and of one: calls that end, and streams that stay.
MAX_CALLS: Final = (512, 128)
MAX_STREAMS: Final = (16_384, 256)
PUSH_BACK_MS: Final = 500


@dataclass(slots=True)
class Places:
    """The calls that a server has in progress: at most `limit`, and `each` of one caller."""

    limit: int
    each: int
    held: Counter[Hashable] = field(default_factory=Counter)
    total: int = 0

    @contextmanager
    def one(self, caller: Hashable) -> Iterator[None]:
        """A place, as long as the block lasts; raises as `take`."""
        self.take(caller)
        try:
            yield
        finally:
            self.give(caller)

    def take(self, caller: Hashable) -> None:
        """Hold a place until `give`.

        Raises:
            Unavailable: BUSY with push_back_ms.
        """
        self._check("this server has {} calls in progress", self.limit, self.total)
        self._check("this caller has {} calls in progress", self.each, self.held[caller])
        self.held[caller] += 1
        self.total += 1

    def give(self, caller: Hashable) -> None:
        """Give a place back that was taken."""
        self.total -= 1
        self.held[caller] -= 1
        if not self.held[caller]:
            del self.held[caller]

    def _check(self, text: str, limit: int, held: int) -> None:
        if held >= limit:
            about = {"push_back_ms": str(PUSH_BACK_MS), "limit": str(limit)}
            raise make_error("BUSY", text.format(held), metadata=about)
