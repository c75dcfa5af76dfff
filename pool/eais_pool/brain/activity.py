"""What instances do now, of the last seconds; known nowhere but in memory. (Brain)

Listeners say cumulative counters once a second, if they have changed. What is kept of a lease
is what it had counted over the last `WINDOW_S`, and the word before, which held until then.
Front-ends say how they fare while they make calls; a word that old is no longer so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Hashable
from dataclasses import dataclass, field
from typing import Final

from eais.telemetry import latency
from eais_pool.brain.arrivals import Arrivals
from eais_pool.brain.records import LeaseKey

WINDOW_S: Final = 10.0
_LEAST_S: Final = 1.0
_USED_MOST: Final = 1 << 17
"""Counters are told once a second: over less than that no rate can be said."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A lease's cumulative counters: calls answered, time of computing, calls by their time."""

    requests: int = 0
    busy_ns: int = 0
    latency: latency.Counts = ()


@dataclass(frozen=True, slots=True)
class FrontEndWord:
    """What a process of a front-end says of itself: calls that wait, load of its cores (0 to 1).

    `answered_calls`: so far.
    """

    waiting_calls: int
    cpu: float
    cores: int = 0
    answered_calls: int = 0


@dataclass(frozen=True, slots=True)
class Activity:
    """What an instance did in the last seconds, its workers together.

    Attributes:
        calls_per_s: answered with outputs.
        p50_ms, p99_ms: of a call at its worker, queue included; 0 without calls.
        busy_cores: runtime threads at work, on average.
        waiting_calls: at the front-end, for an endpoint or an answer.
        frontend_cpu: load of the front-end's cores, 0 to 1.
        frontend_busy_cores: of the front-end's, at work.
    """

    calls_per_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    busy_cores: float = 0.0
    waiting_calls: int = 0
    frontend_cpu: float = 0.0
    frontend_busy_cores: float = 0.0


@dataclass(slots=True)
class _Meter:
    said: deque[tuple[float, Counted]] = field(default_factory=deque)

    def take(self, counted: Counted, now: float) -> None:
        self.said.append((now, counted))
        self.forget(now)

    def forget(self, now: float) -> None:
        """What was said before the window; of that the newest held when it began."""
        while len(self.said) > 1 and self.said[1][0] <= now - WINDOW_S:
            self.said.popleft()

    def rates(self, now: float) -> tuple[float, float, latency.Counts]:
        """Calls a second, seconds of computing a second, and the window's calls by their time."""
        self.forget(now)
        (begun, before), (_, last) = self.said[0], self.said[-1]
        span_s = min(WINDOW_S, max(_LEAST_S, now - begun))
        return (
            max(0, last.requests - before.requests) / span_s,
            max(0, last.busy_ns - before.busy_ns) / 1e9 / span_s,
            latency.grown(last.latency, before.latency),
        )

    @property
    def used(self) -> bool:
        """Whether it ever answered a call."""
        return self.said[-1][1].requests > 0


class Activities:
    """What all instances of a pool do.

    Args:
        clock: seconds.

    Attributes:
        arrivals: calls that came, as front-ends say.
        used_at: when each instance last had a call, as far as it was heard since this was made.
        wanted: instances that were said to be wanted, since their controllers took note.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.arrivals = Arrivals()
        self.wanted: set[str] = set()
        self.used_at: dict[str, float] = {}
        self._meters: dict[str, dict[LeaseKey, _Meter]] = {}
        # By who says it: a stream of the front-end's.
        self._words: dict[str, dict[Hashable, tuple[float, FrontEndWord]]] = {}

    def counted(self, lease: LeaseKey, counted: Counted) -> None:
        """What a lease's workers have counted so far."""
        meters = self._meters.setdefault(lease.instance, {})
        meter = meters.setdefault(lease, _Meter())
        if meter.said and counted.requests > meter.said[-1][1].requests:
            self.used(lease.instance)
        meter.take(counted, self._clock())

    def used(self, instance: str) -> None:
        """There are calls of it now, or what is as good."""
        self.used_at.pop(instance, None)
        self.used_at[instance] = self._clock()

    def begun_anew(self, host: str) -> None:
        """What the host says next was counted in a time that isn't known."""
        self._drop(lambda lease: lease.host != host)

    def keep(self, leases: Container[LeaseKey]) -> None:
        """There are no other leases any more; nor are words that are too old to be so."""
        self._drop(lambda lease: lease in leases)
        since = self._clock() - WINDOW_S
        self.arrivals.keep(since)
        while len(self.used_at) > _USED_MOST:
            del self.used_at[next(iter(self.used_at))]
        for instance, words in list(self._words.items()):
            fresh = {speaker: said for speaker, said in words.items() if said[0] > since}
            if fresh:
                self._words[instance] = fresh
            else:
                del self._words[instance]

    def _drop(self, stays: Callable[[LeaseKey], bool]) -> None:
        for instance, meters in list(self._meters.items()):
            left = {lease: meter for lease, meter in meters.items() if stays(lease)}
            if left:
                self._meters[instance] = left
            else:
                del self._meters[instance]

    def said(self, speaker: Hashable, instance: str, word: FrontEndWord) -> None:
        """What a front-end's process says of itself."""
        now, words = self._clock(), self._words.setdefault(instance, {})
        _, before = words.get(speaker, (0.0, None))
        if word.waiting_calls or (before and word.answered_calls > before.answered_calls):
            self.used(instance)
        words[speaker] = (now, word)
        self.arrivals.said(speaker, instance, word.answered_calls, word.waiting_calls, now)

    def silent(self, speaker: Hashable) -> None:
        """It has gone."""
        self.arrivals.silent(speaker)
        for instance, words in list(self._words.items()):
            words.pop(speaker, None)
            if not words:
                del self._words[instance]

    def of(self, instance: str) -> Activity | None:
        """What the instance does; None before its first call."""
        now = self._clock()
        meters = [each for each in self._meters.get(instance, {}).values() if each.said]
        words = self._heard(instance, now)
        if not words and not any(meter.used for meter in meters):
            return None
        rates = [meter.rates(now) for meter in meters]
        counts = latency.added(*(each for _, _, each in rates))
        return Activity(
            calls_per_s=sum(calls for calls, _, _ in rates),
            p50_ms=latency.quantile_ms(counts, 0.5),
            p99_ms=latency.quantile_ms(counts, 0.99),
            busy_cores=sum(busy for _, busy, _ in rates),
            waiting_calls=sum(word.waiting_calls for word in words),
            frontend_cpu=max((word.cpu for word in words), default=0.0),
            frontend_busy_cores=max((word.cpu * word.cores for word in words), default=0.0),
        )

    def front_end(self, instance: str) -> FrontEndWord:
        """What its front-end's processes say, together: load and cores are of one machine."""
        words = self._heard(instance, self._clock())
        return FrontEndWord(
            waiting_calls=sum(word.waiting_calls for word in words),
            cpu=max((word.cpu for word in words), default=0.0),
            cores=max((word.cores for word in words), default=0),
        )

    def _heard(self, instance: str, now: float) -> list[FrontEndWord]:
        words = self._words.get(instance, {}).values()
        return [word for at, word in words if at > now - WINDOW_S]
