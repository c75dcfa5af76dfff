"""Ends runs that last on the event loop: a thread, since the loop can't see it itself."""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol

from eais_server.worker.inline import OVERLONG_S

_QUIET_ROUNDS: Final = 10
_PATIENT_LOOKS: Final = 5
"""So often the same run is seen before it is ended though it takes no processor."""


class Terminable(Protocol):
    """What can be told to end, such as a `PreparedRun`."""

    def terminate(self) -> None:
        """Ask it to stop; any thread."""
        ...


class Lasting:
    """Whether the run that goes on has lasted, from looks at it every `overlong_s`. (Brain)

    By the time for which its thread had a processor: that the machine holds up a short run is no
    reason to run it again. One that waits for something has none, and is given longer.
    """

    def __init__(self, overlong_s: float) -> None:
        self._overlong_s = overlong_s
        self._number, self._ran_s, self._looks = -1, 0.0, 0

    def lasts(self, number: int, ran_s: float) -> bool:
        """The run of that number goes on.

        Args:
            ran_s: for how long its thread has had a processor.
        """
        if number != self._number:
            self._number, self._ran_s, self._looks = number, ran_s, 0
            return False
        self._looks += 1
        return ran_s - self._ran_s >= self._overlong_s / 2 or self._looks >= _PATIENT_LOOKS


class Watchdog:
    """Looks every `overlong_s` whether the same run goes on, while there are runs at all.

    `begins` and `ended` are for the event loop: they cost next to nothing.
    """

    def __init__(self, overlong_s: float = OVERLONG_S) -> None:
        self._overlong_s = overlong_s
        self._run: Terminable | None = None
        self._number = 0
        self._told = False
        self._asleep = True
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._clock = 0

    def begins(self, run: Terminable) -> None:
        """A run begins on the event loop."""
        self._run = run
        self._number += 1
        if self._asleep:
            self._rouse()

    def ended(self) -> bool:
        """It is over; whether it was told to end, or another was, too late."""
        self._run = None
        if self._told:
            self._told = False
            return True
        return False

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _rouse(self) -> None:
        if self._thread is None:
            self._clock = time.pthread_getcpuclockid(threading.get_ident())
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
        lasting = Lasting(self._overlong_s)
        quiet, before = 0, self._number
        lasting.lasts(before, time.clock_gettime(self._clock))
        while quiet < _QUIET_ROUNDS:
            if self._closing.wait(self._overlong_s):
                return
            run, number = self._run, self._number
            quiet = quiet + 1 if run is None and number == before else 0
            before = number
            if run is not None and lasting.lasts(number, time.clock_gettime(self._clock)):
                # Another one may have begun meanwhile, and be told: it is made again on a
                # thread, and who asks `ended` knows that it may have been.
                self._told = True
                run.terminate()
        self._asleep = True
        if self._number != before:
            self._wake.set()
