"""Calls of a real model at the moments that were drawn, whatever becomes of those before."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import eais
from benchmarks.drain.models import ATOL, RTOL
from eais_client.demo.file_types import INPUT, model_file

INPUTS: Final = 16
_LONG: Final = 2048
_BYTES: Final = 257
_BATCH: Final = 4


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of time, in seconds, with so many calls a second on average."""

    name: str
    seconds: float
    per_s: float


@dataclass(slots=True)
class Sent:
    """A call: when it was due, was sent, and its answer came; boot clock, seconds."""

    due: float
    sent: float = 0.0
    answered: float = 0.0
    right: bool = False
    error: str = ""


def due_at(phases: Sequence[Phase], seed: int) -> list[float]:
    """When calls are due, seconds from the start: a Poisson process in each phase."""
    chance, found, begin = random.Random(seed), list[float](), 0.0
    for phase in phases:
        at = begin + chance.expovariate(phase.per_s) if phase.per_s else begin + phase.seconds
        while at < begin + phase.seconds:
            found.append(at)
            at += chance.expovariate(phase.per_s)
        begin += phase.seconds
    return found


def boot_clock() -> float:
    """The clock that a pool's journal tells of."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _questions() -> tuple[list[NDArray[np.int32]], list[NDArray[np.float32]]]:
    """Inputs, and what onnxruntime answers to them in this process."""
    rng = np.random.default_rng(7)
    feeds = [rng.integers(0, _BYTES, (1, _LONG), dtype=np.int32) for _ in range(INPUTS)]
    here = onnxruntime.InferenceSession(str(model_file()), providers=["CPUExecutionProvider"])
    return feeds, [np.asarray(here.run(None, {INPUT: feed})[0]) for feed in feeds]


class Neighbour:
    """Who calls without pause, in batches, from a thread of its own, until the block ends."""

    def __init__(self, session: eais.InferenceSession) -> None:
        self._session = session
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._call_on, name="neighbour")
        self.lost: Counter[str] = Counter()
        self.wrong = 0

    def __enter__(self) -> Neighbour:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _call_on(self) -> None:
        feeds, right = (np.concatenate(each[:_BATCH]) for each in _questions())
        while not self._stop.is_set():
            try:
                found = np.asarray(self._session.run(None, {INPUT: feeds})[0])
            except Exception as error:  # noqa: BLE001 - any exception is a lost call, and counted
                self.lost[str(error)[:200]] += 1
            else:
                self.wrong += not np.allclose(found, right, rtol=RTOL, atol=ATOL)


class Calls:
    """Makes calls of magika's model, and judges each answer by onnxruntime's in this process."""

    def __init__(self, session: eais.InferenceSession) -> None:
        self._session = session
        self._feeds, self._right = _questions()
        self._pause = threading.Event()
        self.sent: list[Sent] = []

    @property
    def waiting(self) -> int:
        """Calls that nothing was heard of yet."""
        return sum(not each.answered for each in self.sent)

    @property
    def lost(self) -> Counter[str]:
        """What calls were lost for."""
        return Counter(each.error for each in self.sent if each.error)

    @property
    def wrong(self) -> int:
        """Calls that were answered otherwise."""
        return sum(bool(each.answered) and not (each.right or each.error) for each in self.sent)

    def make(self, due: Sequence[float], begin: float) -> None:
        """Make a call at each of these moments, seconds after `begin`."""
        for at in due:
            left = begin + at - boot_clock()
            if left > 0:
                self._pause.wait(left)
            self.call(begin + at)

    def call(self, due: float) -> None:
        """Make one now, which was due then."""
        which, call = len(self.sent) % INPUTS, Sent(due, boot_clock())
        self.sent.append(call)
        self._session.run_async(None, {INPUT: self._feeds[which]}, self._heard(call, which), None)

    def _heard(self, call: Sent, which: int) -> Callable[..., None]:
        def heard(results: list[NDArray[np.float32]], _data: Any, error: str) -> None:
            call.error = error[:200]
            if not error:
                close = np.allclose(results[0], self._right[which], rtol=RTOL, atol=ATOL)
                call.right = bool(close)
            call.answered = boot_clock()

        return heard
