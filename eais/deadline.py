"""A deadline that travels: made once at the API's edge, asked everywhere below.

`with eais.deadline(0.2):` bounds every call inside it. Only durations cross the
wire (`Run.timeout_us`); the clock is the caller's monotonic clock.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from eais.errors import DeadlineExceeded, UsageError

Clock = Callable[[], float]

_FOR_EVER_S: Final = 1e9
"""Three decades: what waits for longer has no deadline. Neither do operating systems, nor gRPC,
take just any number of seconds."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on a monotonic clock, in seconds; `NEVER` is infinitely far."""

    at_s: float

    @classmethod
    def after(cls, seconds: float, now: float) -> Deadline:
        """The deadline `seconds` (> 0) after `now`, none if that is decades away.

        Raises `UsageError` for anything else.
        """
        if not seconds > 0:
            raise UsageError("ARGUMENT", f"a deadline must be above 0 seconds, not {seconds!r}")
        return cls(now + seconds if seconds < _FOR_EVER_S else math.inf)

    def left_s(self, now: float) -> float:
        """Seconds left, never below 0; `inf` for `NEVER`."""
        return max(0.0, self.at_s - now)

    def left_or_none(self, now: float) -> float | None:
        """Seconds left for APIs where None means for ever."""
        return None if math.isinf(self.at_s) else self.left_s(now)

    def passed(self, now: float) -> bool:
        """Whether no time is left."""
        return now >= self.at_s

    def earlier(self, other: Deadline) -> Deadline:
        """The one that comes first."""
        return self if self.at_s <= other.at_s else other

    def check(self, now: float) -> None:
        """Raise `DeadlineExceeded` if no time is left."""
        if self.passed(now):
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "the caller's deadline has passed")


NEVER = Deadline(math.inf)

_current: contextvars.ContextVar[Deadline] = contextvars.ContextVar("eais_deadline", default=NEVER)


def current() -> Deadline:
    """The deadline of the surrounding `with deadline(...)`, or `NEVER`."""
    return _current.get()


@contextlib.contextmanager
def deadline(seconds: float, *, clock: Clock = time.monotonic) -> Iterator[Deadline]:
    """Bound every EAIS call in the block to `seconds` from now; nested ones only shorten.

    Raises `DeadlineExceeded` from the call that runs out of time, `UsageError`
    for a value that is not above 0.
    """
    made = Deadline.after(seconds, clock()).earlier(current())
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)
