"""An instance is placed apart from others of its tenant's, or near one, as its owner said. (Brain)

Hosts are ranked before the policy is asked: those near whom it wants to be come first, then those
that have the fewest of its group. The policy chooses among hosts of one rank; the next rank is
asked when they have no room, unless its owner is strict. Each placing asks anew: an instance that
is woken or moved keeps its neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from eais.errors import EaisError, make_error
from eais.neighbours import ANYWHERE
from eais_pool.brain.records import InstanceRecord, LeasePhase
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import PoolState
from eais_pool.policy import HostView, Placement

Rank = tuple[bool, int]
"""Whether it isn't near, and how many of its group are there: the lower the better."""
_WISHED: Rank = (False, 0)


def placed_among(
    state: PoolState,
    instance: InstanceRecord,
    hosts: Sequence[HostView],
    place: Callable[[Sequence[HostView]], Placement],
    settings: Settings,
) -> Placement:
    """What `place` finds on the hosts of the best rank that has room.

    Raises:
        EaisError: what `place` raises for all hosts; NO_DEVICE: only its neighbours are in the way.
    """
    said = instance.policy.neighbours
    if said == ANYWHERE:
        return place(hosts)
    for rank, among in _ranked(state, instance, hosts):
        if said.strict and rank != _WISHED:
            break
        try:
            placed = place(among)
        except EaisError:
            continue
        return replace(placed, why=f"{placed.why}; {', '.join(_words(instance, rank))}")
    placed = place(hosts)
    if not said.strict:
        return placed
    later = {"push_back_ms": str(settings.push_back_ms)}
    raise make_error(
        "NO_DEVICE",
        f"no back-end has room for {instance.type} {_wish(state, instance)} now",
        hint="without --strict it is placed elsewhere",
        metadata=later,
    )


def _ranked(
    state: PoolState, instance: InstanceRecord, hosts: Sequence[HostView]
) -> Iterator[tuple[Rank, list[HostView]]]:
    said, found = instance.policy.neighbours, dict[Rank, list[HostView]]()
    near = hosts_of(state, said.near) if said.near else frozenset[str]()
    members = _members(state, instance)
    for host in hosts:
        rank = (bool(said.near) and host.host not in near, members[host.host])
        found.setdefault(rank, []).append(host)
    yield from sorted(found.items())


def _members(state: PoolState, instance: InstanceRecord) -> Counter[str]:
    """How many others of its group each host has."""
    group = instance.policy.neighbours.spread
    if not group:
        return Counter()
    others = (
        each.id
        for each in state.instances.values()
        if each.tenant == instance.tenant
        and each.policy.neighbours.spread == group
        and each.id != instance.id
    )
    return Counter(host for each in others for host in hosts_of(state, each))


def hosts_of(state: PoolState, instance: str) -> frozenset[str]:
    """Where an instance is, or is about to be."""
    leases = state.leases.get(instance, ())
    return frozenset(each.host for each in leases if each.phase is not LeasePhase.CLOSING)


def _words(instance: InstanceRecord, rank: Rank) -> Iterator[str]:
    """What became of what its owner said."""
    said, (far, count) = instance.policy.neighbours, rank
    if said.near:
        yield f"not near {said.near}, where there is no room" if far else f"near {said.near}"
    if said.spread and count:
        yield f"beside {count} of {said.spread}, as no other host has room"
    elif said.spread:
        yield f"apart from others of {said.spread}"


def _wish(state: PoolState, instance: InstanceRecord) -> str:
    said = instance.policy.neighbours
    words = [f"apart from others of {said.spread}"] if said.spread else []
    if said.near:
        placed = "" if hosts_of(state, said.near) else ", which is on no host"
        words.append(f"near {said.near}{placed}")
    return " and ".join(words)
