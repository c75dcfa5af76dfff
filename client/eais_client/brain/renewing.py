"""When an identity is renewed, when that is tried again, and when its user is told. (Brain)

A leaf is renewed from `Life.renew_after` on, by whichever process of its user comes first;
the others see the file change. From 80 % of its life on nobody waits for another process that
is at it, and a failure is no longer kept from the user. Times are aware datetimes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from eais.backoff import Backoff, Rng

RENEW = Backoff(0.25, 30.0)
LOOK_AT_LEAST_S = 60.0
_LOOKS = 20
_URGENT_FROM = 0.8
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Life:
    """A leaf's times: when it was issued, when to renew it, when it ends."""

    issued: datetime
    renew_after: datetime
    ends: datetime

    @property
    def whole(self) -> timedelta:
        """From its issue to its end."""
        return self.ends - self.issued

    def urgent(self, now: datetime) -> bool:
        """Whether so little is left that nobody else is waited for."""
        return now >= self.issued + self.whole * _URGENT_FROM


@dataclass(slots=True)
class Renewing:
    """How the renewal of the present leaf has gone so far."""

    failures: int = 0
    retry_at: datetime = _LONG_AGO
    told: bool = False
    told_end: bool = False


def due(state: Renewing, life: Life, now: datetime) -> bool:
    """Whether to try now."""
    return now >= life.renew_after and now >= state.retry_at


def failed(state: Renewing, life: Life, now: datetime, rng: Rng) -> bool:
    """It failed: it is tried again later. Whether the user is to be told now.

    They are told once when little is left, and once when the leaf has ended.
    """
    state.failures += 1
    state.retry_at = now + timedelta(seconds=RENEW.delay_s(state.failures, rng))
    if now >= life.ends:
        tell, state.told_end = not state.told_end, True
        return tell
    tell = life.urgent(now) and not state.told
    state.told = state.told or tell
    return tell


def look_in_s(state: Renewing, life: Life, now: datetime) -> float:
    """Seconds until the identity's file is looked at again: it may be renewed elsewhere."""
    most_s = min(LOOK_AT_LEAST_S, life.whole.total_seconds() / _LOOKS)
    until_due_s = (max(life.renew_after, state.retry_at) - now).total_seconds()
    return min(most_s, until_due_s) if until_due_s > 0 else most_s
