"""One call between the thread that waits for it and the thread that brings its answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf

from eais.deadline import Deadline
from eais.errors import EaisError
from eais_client.wire import Incoming, Outgoing

Done = Callable[["PendingCall"], None]


class PendingCall:
    """A call under way; done once, with an answer or an error.

    `attempts`: how often it was sent; `worker`: the number of the one that had it last, 0: none.
    `on_done` is called by the thread that brings the end; without it somebody waits.
    `patience_s`: how long it waits while no worker can be reached, if less than all calls do.
    """

    __slots__ = (
        "_event",
        "_on_done",
        "answer",
        "attempts",
        "deadline",
        "error",
        "outgoing",
        "patience_s",
        "worker",
    )

    def __init__(
        self,
        outgoing: Outgoing,
        deadline: Deadline,
        on_done: Done | None = None,
        patience_s: float = inf,
    ) -> None:
        self.outgoing = outgoing
        self.deadline = deadline
        self.patience_s = patience_s
        self.answer: Incoming | None = None
        self.attempts = 0
        self.worker = 0
        self.error: EaisError | None = None
        self._on_done = on_done
        self._event = threading.Event()

    @property
    def watched(self) -> bool:
        """Whether a thread waits, and sees to the deadline itself."""
        return self._on_done is None

    def sent(self, worker: int) -> None:
        """It goes to that worker now."""
        self.attempts += 1
        self.worker = worker

    def finish(self, error: EaisError | None = None) -> None:
        """The call is over: with `error`, or with the answer put here before."""
        self.error = error
        self._event.set()
        if self._on_done is not None:
            self._on_done(self)

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for the end; False if `timeout_s` passed first."""
        return self._event.wait(timeout_s)
