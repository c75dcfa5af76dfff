"""Threads that call in every way there is, without pause, and count what became of it."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import eais
from benchmarks.soak.models import BIG, SMALL, Question
from eais.errors import DeadlineExceeded, EaisError, Unavailable, UsageError

CALL_TIMEOUT_S = 60.0
SHORT_S = 0.001
LATE_S = 0.25
_HURRIED = {"DEADLINE_EXCEEDED": "deadline", "BUSY": "turned away"}


@dataclass
class Tally:
    """What happened; changed under `lock` alone.

    Attributes:
        calls: begun and ended, in whichever way.
        lost: raised what they should not have, or answered past their deadline.
        wrong: answered with something else than the one right answer.
        ways: how many ended in each way: "answered", "deadline", "turned away"
            (the deadline could not be met), "cancelled", "refused".
        errors: texts of the lost ones.
    """

    calls: int = 0
    lost: int = 0
    wrong: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ended(self, way: str) -> None:
        """A call ended as it may."""
        with self.lock:
            self.calls += 1
            self.ways[way] += 1
            self.wrong += way == "wrong"

    def failed(self, error: str) -> None:
        """A call was lost."""
        with self.lock:
            self.calls += 1
            self.lost += 1
            self.errors[error[:200]] += 1

    def add(self, other: dict[str, Any]) -> None:
        """What another process counted."""
        with self.lock:
            self.calls += other["calls"]
            self.lost += other["lost"]
            self.wrong += other["wrong"]
            self.ways.update(other["ways"])
            self.errors.update(other["errors"])

    def data(self) -> dict[str, Any]:
        """As JSON takes it."""
        with self.lock:
            return {
                "calls": self.calls,
                "lost": self.lost,
                "wrong": self.wrong,
                "ways": dict(self.ways),
                "errors": dict(self.errors),
            }


Way = Callable[[eais.InferenceSession, Question], str]


def plainly(session: eais.InferenceSession, question: Question) -> str:
    """Call and wait."""
    began = time.monotonic()
    outputs = session.run(None, question.feeds)
    if time.monotonic() - began > CALL_TIMEOUT_S + LATE_S:
        raise DeadlineExceeded("DEADLINE_EXCEEDED", "answered past its deadline")
    return "answered" if question.answered_by(outputs) else "wrong"


def called_back(session: eais.InferenceSession, question: Question) -> str:
    """run_async, and wait for the callback."""
    done = threading.Event()
    said: list[Any] = []

    def hear(results: list[Any], user_data: Any, error: str) -> None:
        said.extend((results, user_data, error))
        done.set()

    session.run_async(None, question.feeds, hear, question.nonce)
    if not done.wait(CALL_TIMEOUT_S + 5):
        raise DeadlineExceeded("DEADLINE_EXCEEDED", "no callback came")
    results, user_data, error = said
    if error:
        raise RuntimeError(f"called back with {error}")
    right = user_data == question.nonce and question.answered_by(results)
    return "answered" if right else "wrong"


def in_a_hurry(session: eais.InferenceSession, question: Question) -> str:
    """With a deadline that may pass, or can't be met: then the call ends so, and soon."""
    began = time.monotonic()
    try:
        with eais.deadline(SHORT_S):
            outputs = session.run(None, question.feeds)
    except (DeadlineExceeded, Unavailable) as error:
        if time.monotonic() - began > SHORT_S + 5.0 or error.reason not in _HURRIED:
            raise
        return _HURRIED[error.reason]
    return "answered" if question.answered_by(outputs) else "wrong"


def ended_amid(session: eais.InferenceSession, question: Question) -> str:
    """Terminated from another thread: it is answered, or says that it was ended."""
    options = eais.RunOptions()
    asking = threading.Timer(SHORT_S, setattr, (options, "terminate", True))
    asking.start()
    try:
        outputs = session.run(None, question.feeds, options)
    except EaisError as error:
        if error.reason != "CANCELLED":
            raise
        return "cancelled"
    finally:
        asking.join()
    return "answered" if question.answered_by(outputs) else "wrong"


def mistaken(session: eais.InferenceSession, question: Question) -> str:
    """Inputs of another dtype, refused."""
    try:
        session.run(None, {"x": question.feeds["x"].astype(np.float32)})
    except UsageError:
        return "refused"
    return "wrong"


#: Of 64 calls in a row: which are not plain small ones.
_WAYS: dict[int, tuple[Way, int]] = {
    1: (plainly, BIG),
    9: (called_back, SMALL),
    17: (in_a_hurry, SMALL),
    25: (mistaken, SMALL),
    33: (called_back, BIG),
    41: (in_a_hurry, BIG),
    49: (ended_amid, BIG),
    57: (called_back, SMALL),
}


@contextmanager
def callers(
    sessions: Sequence[tuple[eais.InferenceSession, int]], tally: Tally, first: int
) -> Iterator[None]:
    """A thread for each (session, term) that calls until the block ends.

    `first`: of the nonces, so that no two processes ask the same.
    """
    stop, numbers = threading.Event(), itertools.count(first)

    def call_on(session: eais.InferenceSession, term: int) -> None:
        for n in itertools.count():
            if stop.is_set():
                return
            way, size = _WAYS.get(n % 64, (plainly, SMALL))
            question = Question(next(numbers) * BIG, size, term)
            try:
                tally.ended(way(session, question))
            except Exception as error:  # noqa: BLE001 - any exception is a lost call, and counted
                tally.failed(f"{way.__name__}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=call_on, args=pair) for pair in sessions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
