"""How often join tokens may be guessed: by one address, and by all. (Brain)

Two buckets of guesses are emptied by each wrong one and fill again with time: that of the address
it came from, and everybody's. Who shows a wrong one and finds a bucket empty is told when to ask
again, and nothing else of it. Right tokens empty nothing, and find nothing empty.

A secret has 160 bits, so that no rate would find one: what is bounded is what is said and logged.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from eais.errors import make_error

ADDRESSES_KEPT: Final = 4_096
"""Of how many addresses guesses are remembered, the newest."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and one more each `every_s` seconds."""

    at_once: int
    every_s: float


OF_ONE: Final = Rate(10, 6.0)
OF_ALL: Final = Rate(500, 0.05)


@dataclass(slots=True)
class _Bucket:
    """`spent` of `rate` at the time `at`."""

    rate: Rate
    spent: float = 0.0
    at: float = 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until one more fits; 0: now."""
        self._fill(now)
        return max(0.0, (self.spent + 1 - self.rate.at_once) * self.rate.every_s)

    def spend(self, now: float) -> None:
        self._fill(now)
        self.spent += 1

    def _fill(self, now: float) -> None:
        self.spent = max(0.0, self.spent - (now - self.at) / self.rate.every_s)
        self.at = now


@dataclass(slots=True)
class Guesses:
    """The wrong tokens of late. Times are in seconds of any clock that only goes on."""

    of_one: Rate = OF_ONE
    of_all: Rate = OF_ALL
    _all: _Bucket = field(init=False)
    _each: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._all = _Bucket(self.of_all)

    def check(self, address: str, now: float) -> None:
        """Whether `address` may be told now that a token is wrong.

        Raises:
            Unavailable: BUSY with push_back_ms.
        """
        bucket = self._each.get(address)
        wait_s = max(bucket.wait_s(now) if bucket else 0.0, self._all.wait_s(now))
        if wait_s > 0:
            push_back = {"push_back_ms": str(ceil(wait_s * 1000))}
            raise make_error("BUSY", "too many wrong join tokens were shown", metadata=push_back)

    def wrong(self, address: str, now: float) -> None:
        """A token from `address` was wrong."""
        bucket = self._each.setdefault(address, _Bucket(self.of_one))
        self._each.move_to_end(address)
        bucket.spend(now)
        self._all.spend(now)
        while len(self._each) > ADDRESSES_KEPT:
            self._each.popitem(last=False)
