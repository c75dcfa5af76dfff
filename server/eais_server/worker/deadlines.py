"""When calls have to be answered, however many there are: a heap, and no timer of each. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_SPARE: Final = 64


@dataclass(eq=False, slots=True)
class Deadline(Generic[T]):
    """An item's; `item` is None once it doesn't count any more."""

    at_s: float
    item: T | None

    def __lt__(self, other: Deadline[T]) -> bool:
        return self.at_s < other.at_s


class Deadlines(Generic[T]):
    """Items by the time at which they are late.

    Most are given up before: they stay in the heap until they are more than half of it, so that
    each costs the same however many there are.
    """

    def __init__(self) -> None:
        self._heap: list[Deadline[T]] = []
        self._given_up = 0

    def __len__(self) -> int:
        return len(self._heap) - self._given_up

    @property
    def next_s(self) -> float | None:
        """When something may be due; None for never."""
        return self._heap[0].at_s if self._heap else None

    def add(self, at_s: float, item: T) -> Deadline[T]:
        """The item is late at `at_s`, unless it is given up before."""
        made = Deadline(at_s, item)
        heappush(self._heap, made)
        return made

    def give_up(self, deadline: Deadline[T]) -> None:
        """It doesn't count any more; nothing if it didn't before."""
        if deadline.item is None:
            return
        deadline.item = None
        self._given_up += 1
        if self._given_up > len(self._heap) // 2 + _SPARE:
            self._heap = [kept for kept in self._heap if kept.item is not None]
            heapify(self._heap)
            self._given_up = 0

    def due(self, now_s: float) -> list[T]:
        """Take out what is late, the earliest first."""
        found: list[T] = []
        while self._heap and self._heap[0].at_s <= now_s:
            first = heappop(self._heap)
            if first.item is None:
                self._given_up -= 1
                continue
            found.append(first.item)
            first.item = None
        return found
