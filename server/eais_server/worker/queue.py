"""Calls that wait for a run thread: bounded, and fair between those who call. (Brain)

Start-time fair queueing (Goyal, Vin and Cheng 1996): each stream has a virtual time; the
smallest goes next, and goes on by what its call costs. So run threads are shared by the time
that calls take, and nobody gains by sending more calls or dearer ones. A front-end (by its
certificate) gains nothing by more streams either: costs count as often as it has streams
waiting. A stream's calls keep their order.

A stream whose client doesn't read its answers gets no turn, so that no answers pile up for it;
the others' calls go on.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

LEAST_COST_S: Final = 2e-5
"""What a call counts at least: queueing and answering it."""
LOOKED: Final = 256
"""Items that are looked at for those that are like another."""


@dataclass(frozen=True, eq=False, slots=True)
class _Entry(Generic[T]):
    item: T
    cost_s: float
    came_s: float


@dataclass(eq=False, slots=True)
class _Line(Generic[T]):
    """The waiting calls of one stream; `begins`: its virtual time."""

    frontend: Hashable
    begins: float
    items: deque[_Entry[T]] = field(default_factory=deque)
    work_s: float = 0.0


class RunQueue(Generic[K, T]):
    """Items in turn, a line for each stream (`K`).

    Args:
        limit: of all waiting calls together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines: dict[K, _Line[T]] = {}
        # Lines in which something waits, by front-end.
        self._active: Counter[Hashable] = Counter()
        self._virtual = 0.0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return (entry.item for line in self._lines.values() for entry in line.items)

    def offer(
        self, key: K, frontend: Hashable, item: T, cost_s: float = 0.0, now_s: float = 0.0
    ) -> bool:
        """Put an item at the end of its stream's line; False if the queue is full.

        Args:
            cost_s: how long it is expected to run.
            now_s: for `overdue`.
        """
        if self._count >= self._limit:
            return False
        line = self._lines.setdefault(key, _Line(frontend, self._virtual))
        if not line.items:
            line.begins = max(line.begins, self._virtual)
            self._active[frontend] += 1
        cost_s = max(cost_s, LEAST_COST_S)
        line.items.append(_Entry(item, cost_s, now_s))
        line.work_s += cost_s
        self._count += 1
        return True

    def make_room(self, key: K) -> T | None:
        """Take out the newest item of the longest line, for one of the stream `key`.

        None if no line is longer than that stream's own would be.
        """
        longest = max(self._lines, key=self.waiting, default=key)
        if self.waiting(longest) <= self.waiting(key) + 1:
            return None
        entry = self._lines[longest].items.pop()
        self._taken(longest, entry.cost_s)
        return entry.item

    def overdue(self, since_s: float) -> list[T]:
        """Take out what has waited since before `since_s`, but for the last of each stream.

        Estimates said that it would run sooner: the worker became slower meanwhile.
        """
        found = []
        for key, line in self._lines.items():
            while len(line.items) > 1 and line.items[0].came_s < since_s:
                entry = line.items.popleft()
                self._taken(key, entry.cost_s)
                found.append(entry.item)
        return found

    def take(self, may_run: Callable[[K], bool]) -> T | None:
        """The next item of the stream whose turn it is, of those that may run; None: none."""
        ready = (key for key, line in self._lines.items() if line.items and may_run(key))
        key = min(ready, key=lambda key: self._lines[key].begins, default=None)
        if key is None:
            return None
        line = self._lines[key]
        entry = line.items.popleft()
        self._virtual = line.begins
        line.begins += entry.cost_s * self._active[line.frontend]
        self._taken(key, entry.cost_s)
        return entry.item

    def like(self, wanted: Callable[[T], bool], most: int, may_run: Callable[[K], bool]) -> list[T]:
        """Items that `wanted` says yes to, at most so many, of streams that may run.

        Those of the streams come first whose turns do. Not all of a long queue is looked at.
        """
        found: list[T] = []
        looked = 0
        ready = [(line.begins, key) for key, line in self._lines.items() if may_run(key)]
        for _, key in sorted(ready, key=lambda pair: pair[0]):
            for entry in self._lines[key].items:
                looked += 1
                if len(found) >= most or looked > LOOKED:
                    return found
                if wanted(entry.item):
                    found.append(entry.item)
        return found

    def take_out(self, key: K, item: T) -> None:
        """Take an item out before its turn, for it runs with another's: it costs the same."""
        line = self._lines[key]
        entry = next(entry for entry in line.items if entry.item is item)
        line.items.remove(entry)
        line.begins += entry.cost_s * self._active[line.frontend]
        self._taken(key, entry.cost_s)

    def discard(self, key: K, item: T) -> bool:
        """Take an item out of the line; whether it was there."""
        line = self._lines.get(key)
        entry = next((entry for entry in line.items if entry.item is item), None) if line else None
        if line is None or entry is None:
            return False
        line.items.remove(entry)
        self._taken(key, entry.cost_s)
        return True

    def forget(self, key: K) -> None:
        """The stream is gone, and nothing of it waits."""
        if key in self._lines and not self._lines[key].items:
            del self._lines[key]

    def waiting(self, key: K) -> int:
        """How many items of the stream wait."""
        line = self._lines.get(key)
        return len(line.items) if line else 0

    def ahead_s(self, key: K, frontend: Hashable, cost_s: float) -> float:
        """Run time before a new item of the stream, as it stands: its own, and others' turns.

        While a stream is served for so long, another gets as much, times its weight, if so
        much of it waits.
        """
        own = self._lines.get(key)
        mine_s = own.work_s if own else 0.0
        new = 0 if own and own.items else 1
        turns_s = (mine_s + max(cost_s, LEAST_COST_S)) * (self._active[frontend] + new)
        return mine_s + sum(
            min(line.work_s, turns_s / self._active[line.frontend])
            for line in self._lines.values()
            if line.items and line is not own
        )

    def _taken(self, key: K, cost_s: float) -> None:
        line = self._lines[key]
        line.work_s -= cost_s
        self._count -= 1
        if line.items:
            return
        line.work_s = 0.0
        self._active[line.frontend] -= 1
        if not self._active[line.frontend]:
            del self._active[line.frontend]
        if not self._count:
            # Nobody waits, so nobody is owed anything.
            self._lines.clear()
            self._virtual = 0.0
