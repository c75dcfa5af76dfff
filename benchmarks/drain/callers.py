"""Threads that call without pause, check each answer, and note when it came."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Ask = Callable[[int], bool]
"""Makes the call of that number, and says whether its answer is right; raises what it raises."""


@dataclass
class Caller:
    """What one thread saw.

    Attributes:
        name: of the model that it calls.
        answered_s: when each right answer came, seconds, monotonic, in order.
        took_s: how long each call with a right answer took.
    """

    name: str
    answered_s: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    wrong: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    @property
    def calls(self) -> int:
        """How many ended."""
        return len(self.answered_s) + self.wrong + sum(self.lost.values())

    def longest_gap_s(self, begin_s: float, end_s: float) -> float:
        """The longest time without an answer that touches those moments."""
        around = [-1.0, *self.answered_s]
        gaps = itertools.pairwise(around)
        within = [b - a for a, b in gaps if a >= 0 and b >= begin_s and a <= end_s]
        return max(within, default=0.0)


class Callers:
    """Threads, `each` of them for each model, that call until the block ends."""

    def __init__(self, models: Sequence[tuple[str, Ask]], each: int) -> None:
        self.callers = [Caller(name) for name, _ in models for _ in range(each)]
        asks = [ask for _, ask in models for _ in range(each)]
        self._stop = threading.Event()
        self._numbers = itertools.count(1)
        self._threads = [
            threading.Thread(target=self._call_on, args=pair)
            for pair in zip(self.callers, asks, strict=True)
        ]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def all_answered_since(self, moment_s: float) -> bool:
        """Whether each has had an answer after that moment."""
        return all(
            caller.answered_s and caller.answered_s[-1] > moment_s for caller in self.callers
        )

    def _call_on(self, caller: Caller, ask: Ask) -> None:
        while not self._stop.is_set():
            number, began_s = next(self._numbers), time.monotonic()
            try:
                right = ask(number)
            except Exception as error:  # noqa: BLE001 - any exception is a lost call, and counted
                reason = getattr(error, "reason", type(error).__name__)
                caller.lost[f"{reason}: {error}"[:200]] += 1
                continue
            ended_s = time.monotonic()
            if right:
                caller.answered_s.append(ended_s)
                caller.took_s.append(ended_s - began_s)
            else:
                caller.wrong += 1
