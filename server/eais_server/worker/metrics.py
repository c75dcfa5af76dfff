"""What a worker says of itself to Prometheus."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from eais.telemetry import metrics as m
from eais_server.devices.driver import RuntimeSession
from eais_server.worker.choosing_runtime import Choice
from eais_server.worker.counters import Counters
from eais_server.worker.plane import DataPlane


def readings(
    counters: Counters, plane: DataPlane, sessions: Mapping[str, RuntimeSession], calls: m.Tally
) -> Iterator[m.Reading]:
    """As it is now; on the event loop."""
    yield from calls.readings(m.RPC)
    yield m.Reading(m.CALLS, counters.requests, (m.OK,))
    for reason, count in list(counters.failed.items()):
        yield m.Reading(m.CALLS, count, (reason,))
    took = m.Histogram(tuple(counters.latency), counters.latency_ns / 1e9)
    yield m.Reading(m.CALL_SECONDS, took)
    yield m.Reading(m.QUEUE_SECONDS, counters.queue_ns / 1e9)
    yield m.Reading(m.BUSY_SECONDS, counters.busy_ns / 1e9)
    yield m.Reading(m.BYTES, counters.bytes_in, ("in",))
    yield m.Reading(m.BYTES, counters.bytes_out, ("out",))
    yield m.Reading(m.IN_FLIGHT, plane.in_flight)
    yield m.Reading(m.WAITING, plane.waiting)
    yield m.Reading(m.STREAMS, plane.streams)
    yield m.Reading(m.LOADED, len(sessions))
    age_ms = counters.canary_age_ms(time.monotonic_ns())
    yield m.Reading(m.CANARY_AGE, age_ms / 1000 if age_ms else float("nan"))


def runtime_readings(
    sessions: Iterable[str], choices: Mapping[str, Choice], refused: m.Tally
) -> Iterator[m.Reading]:
    """What runs the sessions, and what doesn't."""
    default = Choice()
    running = (str(choices.get(session, default).runtime) for session in sessions)
    for runtime, count in Counter(running).items():
        yield m.Reading(m.RUNTIME_SESSIONS, count, (runtime,))
    yield from refused.readings(m.RUNTIMES_REFUSED)
