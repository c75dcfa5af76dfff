"""A timer that an event loop can wait for, exact to some 10 µs (timerfd_create(2)).

An event loop's own timers are exact to a millisecond only; and a thread that sleeps, and then wakes
the loop, has to take the interpreter's lock from it.
"""

from __future__ import annotations

import ctypes
import math
import os
from typing import Final

_MONOTONIC: Final = 1
_ABSOLUTE: Final = 1
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
_PR_SET_TIMERSLACK: Final = 29
_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Times(ctypes.Structure):
    """`struct itimerspec`: an interval, and the first time."""

    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns")]


class Alarm:
    """Its descriptor can be read from the moment on that was set last."""

    def __init__(self) -> None:
        self.fd: int = _libc.timerfd_create(_MONOTONIC, _FLAGS)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._times = _Times()

    def set(self, moment: float) -> None:
        """Go off at that moment, monotonic seconds: at once if it has passed, never if infinite.

        Not at any that was set before.
        """
        ns = 0 if math.isinf(moment) else max(1, int(moment * 1e9))
        self._times.at_s, self._times.at_ns = divmod(ns, 1_000_000_000)
        _libc.timerfd_settime(self.fd, _ABSOLUTE, ctypes.byref(self._times), None)

    def close(self) -> None:
        """Let go of the descriptor."""
        os.close(self.fd)


def sleep_exactly() -> None:
    """Have this thread, and those that it starts, woken on time: else the kernel adds 50 µs, so as
    to wake several at once (PR_SET_TIMERSLACK(2const))."""
    _libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
