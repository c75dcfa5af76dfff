"""One call between the thread that waits for it and the thread that brings its answer."""

from __future__ import annotations

import time
from _thread import LockType, allocate_lock
from collections.abc import Callable
from contextlib import suppress
from math import inf
from threading import TIMEOUT_MAX
from typing import ClassVar

from eais.deadline import Deadline
from eais.errors import EaisError
from eais.telemetry.trace import CallSpan
from eais.transport.writing import RunBody
from eais_client.wire import DataStream, Incoming

Done = Callable[["PendingCall"], None]


class PendingCall:
    """A call under way; done once, with an answer or an error.

    Attributes:
        watched: whether a thread waits, and sees to the deadline itself.
        read_for: whether somebody reads for it from its stream.
        body: what is sent, at each attempt the same but for its number, epoch and time left.
        span: its span, if somebody traces.
        attempts: how often it was sent.
        sent_at: when it was sent last, by the attachment's clock, in seconds; 0: at once.
        worker: the number of the one that had it last; 0: none.
        patience_s: how long it waits while no worker can be reached, if less than all calls do.
        done, stream, rouse: see `Waiter`, which this is.
    """

    watched: ClassVar[bool] = True
    read_for: ClassVar[bool] = True

    __slots__ = (
        "_lock",
        "_woken",
        "answer",
        "attempts",
        "body",
        "deadline",
        "done",
        "error",
        "patience_s",
        "rouse",
        "sent_at",
        "span",
        "stream",
        "worker",
    )

    def __init__(self, body: RunBody, deadline: Deadline, patience_s: float = inf) -> None:
        self.body = body
        self.deadline = deadline
        self.patience_s = patience_s
        self.answer: Incoming | None = None
        self.attempts = 0
        self.sent_at = 0.0
        self.worker = 0
        self.error: EaisError | None = None
        self.span: CallSpan | None = None
        self.done = False
        self.stream: DataStream | None = None
        self.rouse: Callable[[], None] | None = None
        self._woken = False
        # Of the thread that sleeps; it takes time to make, and most never sleep.
        self._lock: LockType | None = None

    def sent(self, worker: int, stream: DataStream) -> None:
        """It goes to that worker now, on `stream`."""
        self.attempts += 1
        self.worker = worker
        self.stream = stream
        self._woken = True
        if self.rouse is not None or self._lock is not None:
            self.wake()

    def finish(self, error: EaisError | None = None) -> None:
        """The call is over: with `error`, or with the answer put here before."""
        self.error = error
        self.done = True
        self.wake()

    def wait(self, timeout_s: float | None) -> bool:
        """Read, or sleep while another thread reads, until the end; False if time was up first."""
        until_s = inf if timeout_s is None else time.monotonic() + timeout_s
        while not self.done:
            if until_s < inf and time.monotonic() >= until_s:
                return False
            self._woken = False  # whatever it was woken for, it is looked at from here
            if (stream := self.stream) is not None:
                stream.read_for(self, until_s)
            elif not self.done:
                self.park(None if until_s == inf else until_s - time.monotonic())
        return True

    def park(self, timeout_s: float | None) -> None:
        """See `Waiter`."""
        lock = allocate_lock()
        lock.acquire()
        self._lock = lock
        # Whoever changes something says so before it looks whether there is somebody to wake.
        if not self._woken and not self.done:
            lock.acquire(True, -1 if timeout_s is None else min(max(timeout_s, 0), TIMEOUT_MAX))
        self._lock = None
        self._woken = False

    def wake(self) -> None:
        """See `Waiter`."""
        self._woken = True
        rouse, lock = self.rouse, self._lock
        if rouse is not None:
            rouse()
        if lock is not None:
            with suppress(RuntimeError):  # somebody else woke it
                lock.release()


class CallbackCall(PendingCall):
    """A `PendingCall` that nobody waits for: whatever brings its end calls `on_done`."""

    watched = False
    read_for = False

    __slots__ = ("_on_done",)

    def __init__(
        self, body: RunBody, deadline: Deadline, on_done: Done, patience_s: float = inf
    ) -> None:
        super().__init__(body, deadline, patience_s)
        self._on_done = on_done

    def finish(self, error: EaisError | None = None) -> None:
        """See `PendingCall`."""
        super().finish(error)
        self._on_done(self)
