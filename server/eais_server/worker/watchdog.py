"""Ends runs that last on the event loop: a thread, since the loop can't see it itself."""

from __future__ import annotations

import threading
from typing import Final, Protocol

from eais_server.worker.inline import OVERLONG_S

_QUIET_ROUNDS: Final = 10


class Terminable(Protocol):
    """What can be told to end, such as a `PreparedRun`."""

    def terminate(self) -> None:
        """Ask it to stop; any thread."""
        ...


class Watchdog:
    """Looks every `overlong_s` whether the same run goes on, while there are runs at all.

    `begins` and `ended` are for the event loop: they cost next to nothing.
    """

    def __init__(self, overlong_s: float = OVERLONG_S) -> None:
        self._overlong_s = overlong_s
        self._run: Terminable | None = None
        self._number = 0
        self._asleep = True
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def begins(self, run: Terminable) -> None:
        """A run begins on the event loop."""
        self._run = run
        self._number += 1
        if self._asleep:
            self._rouse()

    def ended(self) -> None:
        """It is over."""
        self._run = None

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _rouse(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="watchdog", daemon=True)
            self._thread.start()
        self._wake.set()

    def _work(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            self._asleep = False
            self._watch()

    def _watch(self) -> None:
        """Until nothing has run for a while."""
        quiet, before = 0, self._number
        while quiet < _QUIET_ROUNDS:
            if self._closing.wait(self._overlong_s):
                return
            run = self._run
            if self._number != before:
                quiet, before = 0, self._number
            elif run is not None:
                # Not said to another one that began meanwhile, but if it is, that run is
                # only made again on a thread.
                run.terminate()
            else:
                quiet += 1
        self._asleep = True
        if self._number != before:
            self._wake.set()
