"""When a session runs here instead of at the pool, and when it goes back. (Brain)

It falls at the first call that found nobody. It goes back when the pool has answered probes for
`steady_s` without a failure between. A pool that doesn't last (`flap_s`) must be steady for twice
as long the next time, so that calls don't wait for it again and again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final

from eais.backoff import Backoff, Rng
from eais.errors import EaisError

# Nobody is there, or nobody who will talk to an identity that ran out while nobody was.
_AWAY = frozenset(
    {"POOL_UNREACHABLE", "POOL_NOT_RUNNING", "HOST_UNREACHABLE", "NO_WORKER", "CERT_EXPIRED"}
    | {"DEVICE_LOST"}
)
_PROBES: Final = Backoff(0.5, 30.0)


def is_away(error: EaisError, max_attempts: int) -> bool:
    """Whether the pool couldn't be reached, so that the call may be answered here.

    A call under which as many workers died as it may have attempts is not run here as well.
    """
    if error.reason == "WORKER_DIED":
        return error.metadata.get("attempts") != str(max_attempts)
    return error.reason in _AWAY


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """How probes are paced, and how long the pool must answer before calls go there again."""

    backoff: Backoff = _PROBES
    probe_s: float = 1.0
    steady_s: float = 2.0
    steady_most_s: float = 300.0
    flap_s: float = 60.0


@dataclass(slots=True)
class Standing:
    """Where a session's calls go.

    Attributes:
        local: here; else to the pool.
        since: when that began. Seconds on a monotonic clock, as all times.
        steady_s: how long the pool must answer this time.
        good_since: since when it has.
        probe_at: when to look again.
    """

    hysteresis: Hysteresis = field(default_factory=Hysteresis)
    local: bool = False
    since: float = -inf
    falls: int = 0
    returns: int = 0
    failures: int = 0
    steady_s: float = 0.0
    good_since: float | None = None
    probe_at: float = inf


def fell(standing: Standing, now: float) -> bool:
    """A call found nobody; whether that is news."""
    if standing.local:
        return False
    how = standing.hysteresis
    flapped = standing.returns and now - standing.since < how.flap_s
    longer = min(how.steady_most_s, standing.steady_s * 2)
    standing.steady_s = longer if flapped else how.steady_s
    standing.local, standing.since, standing.falls = True, now, standing.falls + 1
    standing.failures, standing.good_since = 0, None
    standing.probe_at = now + how.backoff.first_s
    return True


def answered(standing: Standing, now: float) -> bool:
    """The pool answered a probe; whether calls go there again."""
    how = standing.hysteresis
    standing.failures = 0
    if standing.good_since is None:
        standing.good_since = now
    left_s = standing.good_since + standing.steady_s - now
    if left_s > 0:
        standing.probe_at = now + min(how.probe_s, left_s)
        return False
    standing.local, standing.since, standing.returns = False, now, standing.returns + 1
    standing.probe_at = inf
    return True


def unanswered(standing: Standing, now: float, rng: Rng) -> None:
    """A probe failed: the next one comes later, and the pool has to begin anew."""
    standing.failures += 1
    standing.good_since = None
    wait_s = standing.hysteresis.backoff.wait_s(standing.failures)
    standing.probe_at = now + wait_s * (1 + rng()) / 2
