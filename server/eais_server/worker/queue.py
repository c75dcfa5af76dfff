"""Calls that wait for a run thread: bounded, one turn a stream in order. (Brain)

A stream whose client doesn't read its answers gets no turn, so that no answers
pile up for it; the others' calls go on.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class RunQueue(Generic[K, T]):
    """First come first served within a stream (`K`), streams in turn.

    Args:
        limit: of all waiting calls together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: OrderedDict[K, deque[T]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def offer(self, key: K, item: T) -> bool:
        """Put an item at the end of its stream's line; False if the queue is full."""
        if self._count >= self._limit:
            return False
        self._waiting.setdefault(key, deque()).append(item)
        self._count += 1
        return True

    def take(self, may_run: Callable[[K], bool]) -> T | None:
        """The next item of the next stream that may run; None if there is none."""
        key = next((key for key in self._waiting if may_run(key)), None)
        if key is None:
            return None
        line = self._waiting.pop(key)
        item = line.popleft()
        self._count -= 1
        if line:
            self._waiting[key] = line
        return item

    def discard(self, key: K, item: T) -> bool:
        """Take an item out of the line; whether it was there."""
        line = self._waiting.get(key)
        if line is None or item not in line:
            return False
        line.remove(item)
        self._count -= 1
        if not line:
            del self._waiting[key]
        return True
