"""A phase while it is on: what the processes that make its load have told so far, and what they
and the target use."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from eais_client.load.brain.plan import Closed, ModelLoad, Phase
from eais_client.load.generator.counts import Counted, of_data
from eais_client.load.generator.planned import count_due, planned
from eais_client.load.generator.usage import Meter
from eais_client.load.record import PhaseRecord, Seen, Usage
from eais_client.load.target import ServerTimes, TargetSpec
from eais_client.load.targets.seeing import server_side

Told = Callable[["LiveCounts"], None]
_SHORTEST_S: Final = 0.05
"""CPU time is counted by hundredths of a second: of less time no rate is told."""


class Live(Protocol):
    """Who changes the load of a phase while it is on, and must know of each request."""

    def begun(self, at: float) -> None:
        """The phase begins at that moment, monotonic seconds; it may be planned anew now."""
        ...

    def seen(self, requests: Sequence[Seen]) -> None:
        """What became of requests, some tenths of a second ago; from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class LiveCounts:
    """How far a phase is.

    Attributes:
        phase: which.
        target: whose, by name.
        second: since measuring began; negative while it warms up.
        counted: all so far; not to be changed, nor kept.
        usage: of the last second; None if none is over.
    """

    phase: Phase
    target: str
    second: float
    counted: Counted
    usage: Usage | None


class Course:
    """One phase's."""

    def __init__(self, record: PhaseRecord, models: Sequence[ModelLoad], begin: float) -> None:
        self._record = record
        self._models = models
        self._silent = ""
        self._measured_from = begin + record.phase.warm_s
        self._lock = threading.Lock()
        self._counted = Counted({model.name: Counted().model(model.name) for model in models})
        self._times: dict[str, Any] = {}
        self._seconds: list[float] = []

    def told(self, said: Mapping[str, Any], live: Live | None) -> bool:
        """What a process says; whether it is over there."""
        if said["tell"] == "seen":
            if live is not None:
                live.seen([Seen(*each) for each in said["requests"]])
            return False
        ended: bool = said["tell"] == "ended"
        counted = of_data(said["left" if ended else "counted"])
        with self._lock:
            self._counted.add(counted)
            if ended:
                self._seconds.append(said["seconds"])
                self._times |= said["times"]
                self._silent = self._silent or said["silent"]
        return ended

    def lost(self, fault: str, index: int, of: int) -> None:
        """A process failed; of what it was to do, what it hasn't told of is unanswered."""
        record, models = self._record, self._models
        until = min(record.phase.seconds, time.monotonic() - self._measured_from)
        made = planned(record.phase, models, record.driving, index, of)
        with self._lock:
            record.faults.append(fault)
            if until > 0:
                self._seconds.append(until)
            if made.due is not None:
                measured = record.phase.warm_s, record.phase.warm_s + record.phase.seconds
                names = [model.name for model in models]
                count_due(self._counted, made.due, made.models_of, names, measured)

    def watch(
        self,
        target: TargetSpec,
        pids: Sequence[int],
        listening: Sequence[threading.Thread],
        told: Told,
    ) -> None:
        """Look at both sides once a second, until all processes have said that it is over."""
        begin, client, server = self._measured_from, Meter(), Meter()
        client.cpu_and_memory(pids)
        server.cpu_and_memory(server_side(target).pids)
        looked = time.monotonic()
        while any(thread.is_alive() for thread in listening):
            second = math.floor(looked - begin + _SHORTEST_S)
            for thread in listening:
                thread.join(max(0.0, begin + second + 1 - time.monotonic()))
            now = time.monotonic()
            if now - looked < _SHORTEST_S:
                continue
            usage = self._used(second, now - looked, (client, pids), (server, target))
            looked = now
            with self._lock:
                record = self._record
                told(LiveCounts(record.phase, record.target, now - begin, self._counted, usage))

    def _used(
        self,
        second: int,
        took: float,
        client: tuple[Meter, Sequence[int]],
        server: tuple[Meter, TargetSpec],
    ) -> Usage:
        side = server_side(server[1])
        self._record.server_unseen = side.why_not
        cpu_s, rss = client[0].cpu_and_memory(client[1])
        server_cpu_s, server_rss = server[0].cpu_and_memory(side.pids)
        usage = Usage(second, cpu_s / took, rss / 1e6)
        if side.pids:
            usage = Usage(second, cpu_s / took, rss / 1e6, server_cpu_s / took, server_rss / 1e6)
        self._record.usage.append(usage)
        return usage

    def finished(self, *, interrupted: bool) -> PhaseRecord:
        """What came of it."""
        record, counted = self._record, self._counted
        record.models = counted.models
        record.intervals = dict(sorted(counted.intervals.items()))
        record.lag, record.blocked = counted.lag, counted.blocked
        record.seconds = max(self._seconds, default=0.0)
        record.interrupted = interrupted
        closed = isinstance(record.phase.load, Closed)
        for tally in counted.models.values():
            tally.due = tally.sent if closed else tally.due
            heard = tally.answered + tally.wrong + sum(tally.errors.values())
            tally.unanswered = max(0, tally.due - heard)
        for interval in counted.intervals.values():
            interval.due = interval.sent if closed else interval.due
            heard = interval.answered + interval.wrong + interval.failed
            interval.unanswered = max(0, interval.due - heard)
        record.server_parts = _server_parts(self._times)
        record.server_unseen = "; ".join(filter(None, (record.server_unseen, self._silent)))
        return record


def _server_parts(times: Mapping[str, Any]) -> dict[str, float]:
    """Seconds a request, of all models, between two accounts of a server."""
    pairs = [(ServerTimes(**before), ServerTimes(**after)) for before, after in times.values()]
    requests = sum(after.requests - before.requests for before, after in pairs)
    if not requests:
        return {}

    def each(*names: str) -> float:
        spent = sum(
            getattr(after, name) - getattr(before, name)
            for before, after in pairs
            for name in names
        )
        return float(spent) / requests

    return {
        "queue": each("queue_s"),
        "compute": each("compute_input_s", "compute_s", "compute_output_s"),
    }
