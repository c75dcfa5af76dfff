"""What this worker did so far, and the thread that tells the listener so."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from eais.rpc.v1 import supervision_pb2
from eais.telemetry import latency
from eais_server.count_page import Tally

log = logging.getLogger(__name__)

HEARTBEAT_S: Final = 0.25
# What the wire can carry.
_MOST_MS: Final = (1 << 32) - 1


@dataclass(slots=True)
class Counters:
    """Cumulative; written on the event loop alone, read anywhere.

    Attributes:
        requests: calls answered with outputs, the answer complete.
        bytes_in, bytes_out: of their inputs and outputs, as on the wire.
        busy_ns: time that the runtime ran, of failed and abandoned calls too.
        in_flight: calls that wait or run now.
        turns: how often the event loop came round.
        latency: calls that were run or waited in vain, by the time from when all of the call
            was here to its answer: see `eais.telemetry.latency`.
        latency_ns: of these calls, all together.
        failed: calls that were answered with an error, by reason.
        queue_ns: what calls that were run waited for a thread.
        answered_ns: when the runtime last gave outputs, a call's or the canary's, by
            `time.monotonic_ns`; 0: never.
        tally: what of this is told apart by model, and outlives this process.
    """

    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    busy_ns: int = 0
    in_flight: int = 0
    turns: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * latency.BUCKETS)
    latency_ns: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    queue_ns: int = 0
    answered_ns: int = 0
    tally: Tally = field(default_factory=Tally)

    def took(self, took_ns: int) -> None:
        """A call was answered so long after it came."""
        self.latency[latency.bucket(took_ns)] += 1
        self.latency_ns += took_ns

    def answered(self, now_ns: int) -> None:
        """The runtime has given outputs."""
        self.answered_ns = now_ns

    def canary_age_ms(self, now_ns: int) -> int:
        """Since outputs were last given, at least 1; 0: never."""
        return max(1, (now_ns - self.answered_ns) // 1_000_000) if self.answered_ns else 0

    def heartbeat(self) -> supervision_pb2.FromWorkerProcess:
        """The counters as the listener is told them."""
        return supervision_pb2.FromWorkerProcess(
            heartbeat=supervision_pb2.Heartbeat(
                requests=self.requests,
                bytes_in=self.bytes_in,
                bytes_out=self.bytes_out,
                busy_ns=self.busy_ns,
                in_flight=self.in_flight,
                turns=self.turns,
                latency_counts=latency.trimmed(self.latency),
                canary_age_ms=min(self.canary_age_ms(time.monotonic_ns()), _MOST_MS),
            )
        )


class Control(Protocol):
    """What the reporter needs of `eais_server.control.ControlSocket`."""

    def send(self, message: supervision_pb2.FromWorkerProcess, /) -> object:
        """Send a message, blocking. OSError: the listener is gone; ValueError: it is too large."""
        ...


class Reporter:
    """Sends messages in order on a thread of its own, and a heartbeat every `interval_s`.

    Nothing that blocks elsewhere, neither a run nor the event loop, stops it; that the loop
    turns is said by `Counters.turns`.

    Args:
        gone: called once, on this thread, when the listener can't be told any more.
    """

    def __init__(
        self,
        control: Control,
        counters: Counters,
        gone: Callable[[], None],
        interval_s: float = HEARTBEAT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._control = control
        self._counters = counters
        self._gone = gone
        self._interval_s = interval_s
        self._waiting: queue.SimpleQueue[supervision_pb2.FromWorkerProcess | str | None] = (
            queue.SimpleQueue()
        )
        # Of which only the newest counts, by kind; the kind is what waits.
        self._newest: dict[str, supervision_pb2.FromWorkerProcess] = {}
        self._changing = threading.Lock()
        self._clock = clock
        self._beat_at = 0.0
        self._thread = threading.Thread(target=self._work, name="reporter", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._beat_at = self._clock() + self._interval_s
        self._thread.start()

    def say(self, **kind: object) -> None:
        """Queue a FromWorkerProcess of that kind, such as `adopted=Adopted(...)`."""
        self._waiting.put(supervision_pb2.FromWorkerProcess(**kind))  # type: ignore[arg-type]

    def say_newest(self, kind: str, what: object) -> None:
        """The same, in the place of one of that kind that waits: clients can't make it grow."""
        message = supervision_pb2.FromWorkerProcess(**{kind: what})  # type: ignore[arg-type]
        with self._changing:
            waits = kind in self._newest
            self._newest[kind] = message
        if not waits:
            self._waiting.put(kind)

    def close(self) -> None:
        """Send the last counters and what waits, then end the thread."""
        self._waiting.put(self._counters.heartbeat())
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            while (message := self._next()) is not None:
                self._control.send(message)
        except OSError:
            self._gone()
        except ValueError:
            # Without this thread the listener would take a model that runs for one that hangs.
            log.exception("BUG: the listener can't be told; the worker ends")
            self._gone()

    def _next(self) -> supervision_pb2.FromWorkerProcess | None:
        # However much there is to say: the listener takes a worker for dead that doesn't beat.
        wait_s = self._beat_at - self._clock()
        if wait_s > 0:
            with suppress(queue.Empty):
                return self._taken(self._waiting.get(timeout=wait_s))
        self._beat_at = self._clock() + self._interval_s
        return self._counters.heartbeat()

    def _taken(
        self, waiting: supervision_pb2.FromWorkerProcess | str | None
    ) -> supervision_pb2.FromWorkerProcess | None:
        if not isinstance(waiting, str):
            return waiting
        with self._changing:
            return self._newest.pop(waiting)
