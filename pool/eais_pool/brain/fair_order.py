"""Who is next: weighted dominant-resource fairness between tenants, first come within one. (Brain)

A tenant's dominant share is the largest part that it holds of any kind of device which the pool
has. The next in line is of the tenant whose dominant share, divided by its weight, is least: so
that a tenant which holds much of the GPUs goes behind one that holds few cores, which no count
of milli-devices would tell. The order is found by progressive filling: each that is next counts
as granted before the one after it is chosen. Of equals the one that has waited longest is first.
Nobody gains by asking for what it doesn't need, and each tenant gets at least what its weight's
part of the pool would give (Ghodsi et al., "Dominant Resource Fairness", NSDI 2011, sections
3 and 4.3).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InLine:
    """One that waits: whose it is, and how much of which kinds would do (one of them).

    Attributes:
        key: the operation, as (tenant, op_id).
        since: when it joined the line.
    """

    key: tuple[str, str]
    kinds: frozenset[str]
    milli: int
    since: float

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self.key[0]


class _Share:
    """What a tenant has, and counts as having once those before it in line were served."""

    def __init__(self, held: Mapping[str, int], capacity: Mapping[str, int], weight: float) -> None:
        self._held = dict(held)
        self._capacity = capacity
        self._weight = weight

    def weighed(self) -> float:
        """The dominant share by weight."""
        parts = (self._part(kind, milli) for kind, milli in self._held.items())
        return max(parts, default=0.0) / self._weight

    def take(self, asked: InLine) -> None:
        """It counts as granted, of the kind of which that is the least part."""
        kind = min(sorted(asked.kinds), key=lambda each: self._part(each, asked.milli))
        self._held[kind] = self._held.get(kind, 0) + asked.milli

    def _part(self, kind: str, milli: int) -> float:
        """Of a kind that the pool hasn't, all."""
        capacity = self._capacity.get(kind, 0)
        return milli / capacity if capacity else float(milli > 0)


def fair_order(
    line: Iterable[InLine],
    held: Mapping[str, Mapping[str, int]],
    capacity: Mapping[str, int],
    weights: Mapping[str, float],
) -> list[InLine]:
    """All in `line`, in the order in which they are to be served.

    Args:
        held: tenant → kind → milli-devices that it has.
        capacity: kind → milli-devices of the pool.
        weights: by tenant; 1 for one that isn't named.
    """
    own: dict[str, deque[InLine]] = {}
    for each in sorted(line, key=lambda one: one.since):
        own.setdefault(each.tenant, deque()).append(each)
    shares = {
        tenant: _Share(held.get(tenant, {}), capacity, weights.get(tenant, 1.0)) for tenant in own
    }
    heap = [(shares[tenant].weighed(), mine[0].since, tenant) for tenant, mine in own.items()]
    heapq.heapify(heap)
    ordered: list[InLine] = []
    while heap:
        _, _, tenant = heapq.heappop(heap)
        first = own[tenant].popleft()
        ordered.append(first)
        shares[tenant].take(first)
        if own[tenant]:
            heapq.heappush(heap, (shares[tenant].weighed(), own[tenant][0].since, tenant))
    return ordered
