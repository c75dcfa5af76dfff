"""How a session's calls were answered so far: by the pool, or in this process."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionStats:
    """Counts since the session was made.

    Attributes:
        pool_calls: answered by the pool.
        local_calls: answered in this process.
        falls: how often the session began to run here, since the pool couldn't be reached.
        returns: how often it went back to the pool.
    """

    pool_calls: int = 0
    local_calls: int = 0
    falls: int = 0
    returns: int = 0


class Tally:
    """Counts calls for `SessionStats`, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool_calls = self._local_calls = 0

    def pool(self) -> None:
        """The pool answered a call."""
        with self._lock:
            self._pool_calls += 1

    def local(self) -> None:
        """This process answered a call."""
        with self._lock:
            self._local_calls += 1

    def stats(self, falls: int = 0, returns: int = 0) -> SessionStats:
        """The counts now."""
        with self._lock:
            return SessionStats(self._pool_calls, self._local_calls, falls, returns)
