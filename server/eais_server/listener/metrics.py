"""What a listener says of itself to Prometheus, and where its workers do."""

from __future__ import annotations

import json
from collections.abc import Iterator

from eais.telemetry import metrics as m
from eais.telemetry.http import ADDRESS, Answer
from eais_server.listener.host import Host
from eais_server.listener.link import Link
from eais_server.listener.upkeep import Upkeep
from eais_server.listener.workers import Workers
from eais_server.supervision.life import WorkerState

_STATES = tuple(state.value for state in WorkerState if state is not WorkerState.EXITED)


def readings(
    host: Host, link: Link, workers: Workers, upkeep: Upkeep, calls: m.Tally
) -> Iterator[m.Reading]:
    """As it is now; the store's numbers are a second old."""
    yield from calls.readings(m.RPC)
    yield m.Reading(m.CONNECTED, int(link.joined.is_set()))
    yield m.Reading(m.LEASES, len(host.admission.leases))
    found = (worker.state.value for worker in host.state.workers.values())
    yield from m.by_state(m.WORKERS, _STATES, found)
    yield from workers.figures.exits.readings(m.WORKER_EXITS)
    yield workers.figures.adoptions.reading(m.ADOPTION_SECONDS)
    yield m.Reading(m.BEATS_LATE, workers.figures.beats_late)
    yield m.Reading(m.SESSIONS, host.book.count())
    condemned = sum(record.condemned for record in host.state.quarantine.records())
    yield m.Reading(m.QUARANTINED, condemned)
    use = upkeep.store_use
    if use is not None:
        yield m.Reading(m.STORE_BYTES, use.used_bytes)
        yield m.Reading(m.STORE_LIMIT, use.limit_bytes)
        yield m.Reading(m.UPLOADS, use.uploads)
        yield m.Reading(m.EVICTED, use.evicted)


def worker_targets(host: Host, workers: Workers) -> Answer:
    """Where Prometheus finds the workers' metrics: its HTTP service discovery asks here."""
    found = [
        {
            "targets": [f"{ADDRESS}:{port}"],
            "labels": {
                "eais_instance": instance,
                "eais_worker": str(n),
                "eais_tenant": lease.tenant,
            },
        }
        for (instance, n), port in workers.metrics_ports().items()
        if (lease := host.admission.leases.get(instance))
    ]
    return Answer(json.dumps(found).encode(), "application/json")
