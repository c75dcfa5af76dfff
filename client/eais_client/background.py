"""Threads that work for an attachment: an alarm, jobs that block, callers' callbacks.

All are daemons: a program that ends doesn't wait for them.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

from eais.backoff import Rng
from eais.errors import EaisError, make_error

log = logging.getLogger(__name__)

#: The thread that waits for callbacks for as long as the process is.
CALLBACKS_NAME = "eais-callbacks"
#: Calls with a callback, of one process, from their start to the callback's end.
MAX_ASYNC_CALLS = 256


def spawn_thread(name: str, job: Callable[[], Any]) -> None:
    """Run `job` on a thread of its own; RuntimeError if there is none to be had."""
    threading.Thread(target=job, name=name, daemon=True).start()


def no_thread() -> EaisError:
    """The error of what needs a thread and found none: RuntimeError to Python."""
    return make_error("HOST_UNREACHABLE", "this process can't start another thread now")


def failed_here(error: Exception) -> EaisError:
    """What work of this process failed with: what it lacks, for people, if it isn't an `EaisError`.

    It may lack descriptors, memory or threads, and have them again later.
    """
    if isinstance(error, EaisError):
        return error
    why = error.strerror if isinstance(error, OSError) else None
    if why is None:
        log.warning("work in the background failed", exc_info=error)
    text = "this process lacks what it takes to connect now"
    return make_error("HOST_UNREACHABLE", f"{text}: {why}" if why else text)


class Alarm(Protocol):
    """Calls back at a time."""

    def start(self) -> None:
        """See to it now that `wake_at` won't lack a thread; `no_thread` if there is none."""
        ...

    def wake_at(self, at: float) -> None:
        """Call back at `at` (seconds, monotonic), or before; raises as `start`."""
        ...

    def close(self) -> None:
        """Never call back again."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What an attachment works with, given from outside."""

    spawn: Callable[[str, Callable[[], Any]], None]
    alarm: Callable[[Callable[[], None]], Alarm]
    rng: Rng
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    control_timeout_s: float = 10.0


class ThreadAlarm:
    """An `Alarm` with a thread of its own, started when it is first needed."""

    def __init__(self, clock: Callable[[], float], ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._changed = threading.Condition()
        self._at = inf
        self._started = self._closed = False

    def start(self) -> None:
        """See `Alarm`."""
        with self._changed:
            if not self._started and not self._closed:
                try:
                    spawn_thread("eais-alarm", self._watch)
                except RuntimeError:
                    raise no_thread() from None
                self._started = True

    def wake_at(self, at: float) -> None:
        """See `Alarm`."""
        with self._changed:
            self._at = min(self._at, at)
            self.start()
            self._changed.notify()

    def close(self) -> None:
        """See `Alarm`."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _watch(self) -> None:
        try:
            while self._wait():
                self._ring()
        finally:
            # What was rung for may raise, and ends this thread, as in any program; not the alarm.
            with self._changed:
                self._started = False
                self.start()

    def _wait(self) -> bool:
        """Wait until it is time; False when closed."""
        with self._changed:
            while not self._closed:
                left_s = self._at - self._clock()
                if left_s <= 0:
                    self._at = inf
                    return True
                self._changed.wait(None if left_s == inf else min(left_s, threading.TIMEOUT_MAX))
            return False


class Callbacks:
    """Runs callers' callbacks one after the other, on a thread that reads no stream.

    Args:
        limit: of `reserve`.
    """

    def __init__(self, limit: int = MAX_ASYNC_CALLS) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self._room = threading.Semaphore(limit)
        self._thread = 0
        self._started = False

    def start(self) -> None:
        """Start the thread, unless that was done; RuntimeError if this process has none."""
        if not self._started:
            spawn_thread(CALLBACKS_NAME, self._work)
            self._started = True

    def reserve(self, timeout_s: float | None) -> Callable[[], None] | None:
        """Wait for room for one more call whose callback is to run here; what gives it back.

        None if there was none in `timeout_s`. A callback never waits: the room that it waits
        for may be its own.
        """
        if threading.get_ident() == self._thread:
            return self._room.release if self._room.acquire(blocking=False) else _nothing
        return self._room.release if self._room.acquire(timeout=timeout_s) else None

    def put(self, job: Callable[[], Any]) -> None:
        """Run `job` soon. Takes no lock, so that a finalizer may call it anywhere."""
        self._jobs.put(job)

    def _work(self) -> None:
        self._thread = threading.get_ident()
        done = True
        try:
            while done:
                job, done = self._jobs.get(), False
                job()
                done = True
        finally:
            # A callback that raised ends its thread, as in any program; the next has another.
            self._started = False
            self.start()


def _nothing() -> None:
    """What a callback gives back for a call that found no room."""
