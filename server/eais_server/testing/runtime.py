"""A runtime session without a runtime: answers at once, fails by name, or blocks until released."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eais.errors import make_error
from eais_server.devices.driver import ModelInfo, RunSettings, SessionSignature, ValueSpec

_FLOATS = "tensor(float)"


class FakeSession:
    """A session that takes x and gives what `answer` makes of the inputs: x itself if not given.

    `fail_next(error)` has the next run raise; `block()` has runs wait until `release()`, or
    until they are terminated unless `deaf`.
    """

    def __init__(self, answer: Callable[[Mapping[str, Any]], list[Any]] | None = None) -> None:
        self.runs = 0
        self.deaf = False
        self.entered = threading.Semaphore(0)
        self._answer = answer or (lambda feed: [feed["x"]])
        self._failures: list[Exception] = []
        self._open = threading.Event()
        self._open.set()

    @property
    def signature(self) -> SessionSignature:
        """Takes x, gives y."""
        x, y = ValueSpec("x", _FLOATS, (None,)), ValueSpec("y", _FLOATS, (None,))
        return SessionSignature((x,), (y,), (), ModelInfo("", "", "", "", "", 0, {}), ("Fake",))

    def fail_next(self, error: Exception) -> None:
        """Have the next run that starts raise `error`."""
        self._failures.append(error)

    def block(self) -> None:
        """Have runs that start from now on wait."""
        if self._open.is_set():  # who waited at that one goes on
            self._open = threading.Event()

    def release(self) -> None:
        """Let those go on that wait."""
        self._open.set()

    def prepare(self, settings: RunSettings) -> FakeRun:
        """See `RuntimeSession`."""
        return FakeRun(self)

    def work(self, feed: Mapping[str, Any], terminated: threading.Event) -> list[Any]:
        """What a run does."""
        self.runs += 1
        opened = self._open
        self.entered.release()
        # Both may end the wait; whichever comes, an Event can't wait for two.
        while not opened.wait(0.005):
            if terminated.is_set() and not self.deaf:
                raise make_error("RUN_FAILED", "terminated")
        if self._failures:
            raise self._failures.pop(0)
        return self._answer(feed)


class FakeRun:
    """A run of a `FakeSession`."""

    def __init__(self, session: FakeSession) -> None:
        self._session = session
        self._terminated = threading.Event()

    def execute(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """See `PreparedRun`."""
        return self._session.work(feed, self._terminated)

    def terminate(self) -> None:
        """See `PreparedRun`."""
        self._terminated.set()

    @property
    def terminated(self) -> bool:
        """See `PreparedRun`."""
        return self._terminated.is_set()
