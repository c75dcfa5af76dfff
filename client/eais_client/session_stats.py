"""How a session's calls were answered so far, by the pool or in this process, and their cost."""

from __future__ import annotations

import threading
from contextvars import Context
from dataclasses import dataclass, field

from eais_client.account import CallAccount, CallTotals, Measured, Sums, last_call, remember


@dataclass(frozen=True, slots=True)
class SessionStats:
    """Counts since the session was made.

    Attributes:
        pool_calls: answered by the pool.
        local_calls: answered in this process.
        falls: how often the session began to run here, since the pool couldn't be reached.
        returns: how often it went back to the pool.
        transport: what carries calls to its workers now, for people: "ring", "h2", "grpcio", or
            "h2 (no ring: …)" with the reason; "" while no stream is there.
        totals: what the pool's answers cost. Measured, so two that are equal needn't agree in it.
    """

    pool_calls: int = 0
    local_calls: int = 0
    falls: int = 0
    returns: int = 0
    transport: str = field(default="", compare=False)
    totals: CallTotals = field(default_factory=CallTotals, compare=False)


class Tally:
    """Counts calls for `SessionStats`, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums = Sums()
        self._local_calls = 0

    def pool(self, call: Measured) -> None:
        """The pool answered a call, in this thread or task."""
        remember(self, call)
        self._sums.add(call)

    def local(self, compute_s: float) -> None:
        """This process answered a call, in this thread or task."""
        remember(self, CallAccount(compute_s=compute_s, local=True))
        with self._lock:
            self._local_calls += 1

    def last_call(self) -> CallAccount | None:
        """The call that was answered last in this thread or task."""
        return last_call(self)

    def remember_from(self, context: Context) -> None:
        """Have the last call of `context` be the last one here, too."""
        account = context.run(self.last_call)
        if account is not None:
            remember(self, account)

    def stats(self, falls: int = 0, returns: int = 0) -> SessionStats:
        """The counts now."""
        totals = self._sums.totals()
        with self._lock:
            local_calls = self._local_calls
        return SessionStats(self._sums.calls(), local_calls, falls, returns, totals=totals)
