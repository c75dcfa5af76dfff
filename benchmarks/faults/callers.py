"""Threads that call without pause, and what became of their calls."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.faults.model import BIG, SMALL, Question

THREADS = 8
BIG_EVERY = 64

Run = Callable[[dict[str, Any]], list[Any]]


@dataclass
class Tally:
    """What happened so far; changed under `lock` alone.

    Attributes:
        calls: begun and ended.
        lost: raised, or answered later than the caller's deadline.
        errors: reasons of the lost ones.
        slowest_s: of all calls.
    """

    calls: int = 0
    lost: int = 0
    wrong: int = 0
    slowest_s: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    right: threading.Condition = field(init=False)
    #: When the newest right answer's call began, and when it ended; seconds, monotonic.
    began_s: float = 0.0
    ended_s: float = 0.0

    def __post_init__(self) -> None:
        self.right = threading.Condition(self.lock)

    def took(self, began_s: float, ended_s: float, error: str, right: bool) -> None:
        """Count one call."""
        with self.right:
            self.calls += 1
            self.slowest_s = max(self.slowest_s, ended_s - began_s)
            if error:
                self.lost += 1
                self.errors[error] += 1
            elif not right:
                self.wrong += 1
            elif began_s > self.began_s:
                self.began_s, self.ended_s = began_s, ended_s
                self.right.notify_all()

    def answered_since(self, moment_s: float, within_s: float) -> float | None:
        """When a call that began after `moment_s` was rightly answered; None: not in time.

        Whoever died at `moment_s` can't have given that answer.
        """
        with self.right:
            found = self.right.wait_for(lambda: self.began_s > moment_s, within_s)
            return self.ended_s if found else None


class Callers:
    """`THREADS` threads that call `run` until they're told to stop.

    Args:
        timeout_s: the calls' deadline; an answer after it counts as lost.
    """

    def __init__(self, run: Run, timeout_s: float) -> None:
        self.tally = Tally()
        self._run = run
        self._timeout_s = timeout_s
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call_on) for _ in range(THREADS)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Begin no more calls, and wait for the ends of those under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call_on(self) -> None:
        while not self._stop.is_set():
            number = next(self._numbers)
            self._call(Question(number * BIG, SMALL if number % BIG_EVERY else BIG))

    def _call(self, question: Question) -> None:
        feeds, error, right = question.feeds, "", False
        began_s = time.monotonic()
        try:
            outputs = self._run(feeds)
        except Exception as raised:  # noqa: BLE001 - any exception is a lost call, and counted
            error = _said(raised)
            outputs = []
        ended_s = time.monotonic()
        if not error and ended_s - began_s > self._timeout_s + 0.1:
            error = "answered past its deadline"
        right = not error and question.answers(outputs)
        self.tally.took(began_s, ended_s, error, right)


def _said(error: Exception) -> str:
    return f"{getattr(error, 'reason', type(error).__name__)}: {error}"[:200]
