"""Every metric of EAIS: its name, what it means, its labels. The one table.

docs/metrics.md is made from it. A process says what it counted by `Reading`s of these when it
is asked (`eais.telemetry.exposition`): nothing is kept for what is gone, so series of instances,
devices and hosts end with them. Label values are words of EAIS's own tables, or ids that the
pool has now: `reason` is "OK" or a word of docs/errors.md, as in errors and logs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from eais.telemetry import latency

OK: Final = "OK"
"""The `reason` of what was done."""


class Kind(StrEnum):
    """As Prometheus calls them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: as Prometheus shows it, with its unit.
        help: what it counts, for people.
        of: the processes that have it.
        labels: their names.
    """

    name: str
    kind: Kind
    help: str
    of: tuple[str, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Histogram:
    """Calls by their time, in the buckets of `eais.telemetry.latency`, and their sum."""

    counts: latency.Counts
    sum_s: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What a metric is now, for these values of its labels."""

    metric: Metric
    value: float | Histogram
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.metric.labels):
            raise ValueError(f"{self.metric.name} has the labels {self.metric.labels}")


_MANAGER, _LISTENER, _WORKER = ("manager",), ("listener",), ("worker",)
_ALL: Final = ("manager", "listener", "worker")
_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

BUILD = Metric("eais_build_info", _GAUGE, "1; the release that runs.", _ALL, ("version",))
READY = Metric("eais_ready", _GAUGE, "1 if calls should be sent here, as /readyz says.", _ALL)
RPC = Metric(
    "eais_rpc_calls_total",
    _COUNTER,
    "Calls of a verb that have ended, streams too.",
    _ALL,
    ("service", "verb", "reason"),
)

INSTANCES = Metric("eais_manager_instances", _GAUGE, "Instances.", _MANAGER, ("state",))
SHARES = Metric(
    "eais_manager_share_milli",
    _GAUGE,
    "Milli-devices of a device's shares; FREE is what is left.",
    _MANAGER,
    ("host", "device", "kind", "simulated", "state"),
)
HOSTS = Metric("eais_manager_hosts", _GAUGE, "Hosts that have joined.", _MANAGER, ("state",))
WATCHERS = Metric("eais_manager_watchers", _GAUGE, "Streams that watch instances.", _MANAGER)
JOURNAL_ROWS = Metric("eais_manager_journal_rows", _GAUGE, "Facts in the journal.", _MANAGER)
JOURNAL_SECONDS = Metric(
    "eais_manager_journal_write_seconds",
    _HISTOGRAM,
    "Making a decision durable, the disk's sync included.",
    _MANAGER,
)
JOURNAL_FAILED = Metric(
    "eais_manager_journal_failures_total",
    _COUNTER,
    "Decisions that couldn't be made durable, and so weren't made.",
    _MANAGER,
)

CONNECTED = Metric(
    "eais_listener_manager_connected", _GAUGE, "1 if the line to the manager is up.", _LISTENER
)
LEASES = Metric("eais_listener_leases", _GAUGE, "Leases held.", _LISTENER)
WORKERS = Metric("eais_listener_workers", _GAUGE, "Worker processes.", _LISTENER, ("state",))
WORKER_EXITS = Metric(
    "eais_listener_worker_exits_total",
    _COUNTER,
    "Workers that have ended: by themselves, by a signal (its name), for want of memory.",
    _LISTENER,
    ("cause",),
)
ADOPTION_SECONDS = Metric(
    "eais_listener_adoption_seconds",
    _HISTOGRAM,
    "From a worker's adoption to its port being bound.",
    _LISTENER,
)
BEATS_LATE = Metric(
    "eais_listener_heartbeats_late_total",
    _COUNTER,
    "Heartbeats that came half a second or more after the one before; 0.25 s is usual.",
    _LISTENER,
)
SESSIONS = Metric("eais_listener_sessions", _GAUGE, "Session specs kept.", _LISTENER)
STORE_BYTES = Metric("eais_listener_store_bytes", _GAUGE, "Bytes in the model store.", _LISTENER)
STORE_LIMIT = Metric(
    "eais_listener_store_limit_bytes", _GAUGE, "Bytes that it may have.", _LISTENER
)
EVICTED = Metric(
    "eais_listener_store_evictions_total",
    _COUNTER,
    "Model files that made room for others.",
    _LISTENER,
)
UPLOADS = Metric("eais_listener_uploads", _GAUGE, "Model files being sent here now.", _LISTENER)
QUARANTINED = Metric(
    "eais_listener_quarantined_models",
    _GAUGE,
    "Models that aren't loaded for having killed workers.",
    _LISTENER,
)

CALLS = Metric(
    "eais_worker_calls_total", _COUNTER, "Calls that were answered.", _WORKER, ("reason",)
)
CALL_SECONDS = Metric(
    "eais_worker_call_seconds",
    _HISTOGRAM,
    "From when all of a call was here to its answer, queue included.",
    _WORKER,
)
QUEUE_SECONDS = Metric(
    "eais_worker_queue_seconds_total", _COUNTER, "What calls waited for a run thread.", _WORKER
)
BUSY_SECONDS = Metric(
    "eais_worker_busy_seconds_total", _COUNTER, "What the runtime ran, all threads.", _WORKER
)
BYTES = Metric(
    "eais_worker_bytes_total",
    _COUNTER,
    "Bytes of answered calls on the wire, in or out.",
    _WORKER,
    ("direction",),
)
IN_FLIGHT = Metric("eais_worker_calls_in_flight", _GAUGE, "Calls that wait or run.", _WORKER)
WAITING = Metric("eais_worker_calls_waiting", _GAUGE, "Of them, those that wait.", _WORKER)
STREAMS = Metric("eais_worker_streams", _GAUGE, "Client streams that are open.", _WORKER)
LOADED = Metric("eais_worker_sessions", _GAUGE, "Sessions that are loaded.", _WORKER)
RUNTIME_SESSIONS = Metric(
    "eais_worker_runtime_sessions",
    _GAUGE,
    "Sessions that are loaded, by what runs them, such as openvino/bf16.",
    _WORKER,
    ("runtime",),
)
RUNTIMES_REFUSED = Metric(
    "eais_worker_runtimes_refused_total",
    _COUNTER,
    "Sessions that a runtime was tried for and can't run, or answers otherwise.",
    _WORKER,
    ("runtime",),
)
CANARY_AGE = Metric(
    "eais_worker_canary_age_seconds",
    _GAUGE,
    "Since an inference was last answered, the worker's own included; NaN before the first.",
    _WORKER,
)

METRICS: Final[tuple[Metric, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)


@dataclass(slots=True)
class Tally:
    """How often something happened, by its labels."""

    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def add(self, *labels: str) -> None:
        """Once more."""
        self.counts[labels] += 1

    def readings(self, metric: Metric) -> list[Reading]:
        """As `metric`."""
        return [Reading(metric, count, labels) for labels, count in list(self.counts.items())]


class Times:
    """How long something took, each time."""

    def __init__(self) -> None:
        self._counts = [0] * latency.BUCKETS
        self._sum_s = 0.0

    def took(self, seconds: float) -> None:
        """Once more; a clock that went back counts as no time."""
        seconds = max(0.0, seconds)
        self._counts[latency.bucket(round(seconds * 1e9))] += 1
        self._sum_s += seconds

    def reading(self, metric: Metric) -> Reading:
        """As `metric`."""
        return Reading(metric, Histogram(tuple(self._counts), self._sum_s))


def by_state(metric: Metric, states: Iterable[str], found: Iterable[str]) -> list[Reading]:
    """How many there are of each state, of those that nobody is in too."""
    counts: Mapping[str, int] = Counter(found)
    return [Reading(metric, counts.get(state, 0), (state,)) for state in states]
