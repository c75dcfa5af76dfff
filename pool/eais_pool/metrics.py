"""What a manager says of itself to Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from eais.instance import InstanceState
from eais.share import ShareState
from eais.telemetry import metrics as m
from eais_pool.brain.host_records import HostRecord
from eais_pool.brain.state import PoolState
from eais_pool.pump import Pump
from eais_pool.watchers import Watchers

_COUNTED = tuple(state.value for state in InstanceState if state is not InstanceState.DELETED)
_HOSTS = ("reachable", "unreachable")


def readings(pump: Pump, watchers: Watchers, calls: m.Tally) -> Iterator[m.Reading]:
    """As it is now; on the event loop."""
    state = pump.state
    yield from calls.readings(m.RPC)
    found = (instance.state.value for instance in state.instances.values())
    yield from m.by_state(m.INSTANCES, _COUNTED, found)
    reachable = (_HOSTS[not host.reachable] for host in state.hosts.values())
    yield from m.by_state(m.HOSTS, _HOSTS, reachable)
    for host in state.hosts.values():
        yield from _shares(state, host)
    yield m.Reading(m.WATCHERS, watchers.count)
    yield m.Reading(m.JOURNAL_ROWS, pump.journal_rows)
    yield pump.journal_times.reading(m.JOURNAL_SECONDS)
    yield m.Reading(m.JOURNAL_FAILED, pump.journal_failures)


def _shares(state: PoolState, host: HostRecord) -> Iterator[m.Reading]:
    held: dict[str, Counter[str]] = {}
    for lease in state.leases_on(host.host):
        for share in lease.shares:
            held.setdefault(share.device, Counter())[share.state.value] += share.milli
    for device in host.devices:
        of_device = held.get(device.id, Counter())
        free = max(0, device.capacity_milli - of_device.total())
        of_device[ShareState.FREE.value] += free
        simulated = "true" if device.simulated else "false"
        for each in ShareState:
            labels = (host.host, device.id, device.kind, simulated, each.value)
            yield m.Reading(m.SHARES, of_device[each.value], labels)
