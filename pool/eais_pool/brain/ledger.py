"""What leases are charged for, and when that changes: the ledger's lines. (Brain)

After each event the leases that it touched are looked at: a share is charged for from the moment
in which the pool has it GRANTED and serving to the one in which the pool takes it back. So where
one lease takes another's place, or new shares that of old ones, the one ends in the event that
begins the other: there is no gap and no overlap.

A host that can't be reached may serve on. What it has is charged for as if nothing had been if it
is back with the lease, and not from the moment that it was lost on if it isn't, has been started
anew, or its lease has ended meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import floor
from typing import Final

from eais_pool.brain.charges import HOUR_S, charged_of
from eais_pool.brain.draft import Draft
from eais_pool.brain.host_records import HostRecord
from eais_pool.brain.layered import touched
from eais_pool.brain.ledger_facts import LeaseCharged, UsageBooked
from eais_pool.brain.ledger_records import ChargedShare, ChargeLine, growth
from eais_pool.brain.records import LeaseKey, LeaseRecord
from eais_pool.brain.state import PoolState
from eais_pool.policy.prices import Prices

BOOK_S: Final = 60.0
"""What is counted comes into the ledger so often, at most."""
AT_ONCE: Final = 1000
"""Leases whose lines are cut in one event."""


def settle(draft: Draft, before: PoolState, prices: Prices) -> None:
    """Record what has changed of what leases are charged for, as the last of an event's facts."""
    now = draft.state.ledger_time(draft.now)
    for key in _touched(before, draft.state):
        old, new = before.lease(key), draft.state.lease(key)
        rebooted = _boot(before, key.host) != _boot(draft.state, key.host)
        _charge(draft, old, new, prices, now, rebooted=rebooted)
        if new is None and old is not None:
            _book(draft, old, now)


def on_tick(draft: Draft) -> None:
    """Cut lines at each full hour, and book what was counted: so much a crash can't make unknown.

    What was counted is in the journal already; but rows are what outlives it.
    """
    now = draft.state.ledger_time(draft.now)
    hour = floor(now / HOUR_S) * HOUR_S
    left = AT_ONCE
    for lease in list(draft.state.all_leases()):
        due = lease.usage != lease.booked and now - lease.booked_at >= BOOK_S
        old = not lease.lost and any(share.since < hour for share in lease.charged)
        if old:
            _cut(draft, lease, hour, now)
        if due:
            _book(draft, lease, now)
        left -= old or due
        if not left:
            return


def _touched(before: PoolState, after: PoolState) -> Iterator[LeaseKey]:
    names = touched(after.leases)
    for host in touched(after.hosts):
        if after.hosts.get(host) is not before.hosts.get(host):
            names |= {lease.instance for lease in after.leases_on(host)}
    for instance in sorted(names):
        old, new = before.leases.get(instance, ()), after.leases.get(instance, ())
        yield from dict.fromkeys(lease.key for lease in (*old, *new))


def _boot(state: PoolState, name: str) -> str:
    host: HostRecord | None = state.hosts.get(name)
    return host.boot_id if host else ""


def _charge(
    draft: Draft,
    old: LeaseRecord | None,
    new: LeaseRecord | None,
    prices: Prices,
    now: float,
    *,
    rebooted: bool,
) -> None:
    lease = new or old
    if lease is None:
        return
    had = lease.charged
    if new is not None and new.is_open and new.lost:
        return  # how that was is known when its host is back
    due = charged_of(draft.state, new, prices, now) if new else ()
    held = {} if rebooted else {(share.n, share.device, share.milli): share for share in due}
    lost_at = old.lost_at if old and old.lost_at else now
    taken_back = set(new.leaving) if new and new.is_open and not rebooted else set()
    kept: list[ChargedShare] = []
    lines: list[ChargeLine] = []
    for share in had:
        now_due = held.get((share.n, share.device, share.milli))
        if now_due and now_due.price_per_h == share.price_per_h:
            kept.append(share)
        else:
            # Taken back in the event in which its host is back with it: it was there until then.
            there = now_due is not None or share.n in taken_back
            lines += _line(share, now if there else lost_at)
    numbers = {share.n for share in kept}
    charged = tuple(sorted((*kept, *(s for s in due if s.n not in numbers)), key=lambda s: s.n))
    if lines or charged != had:
        fact = LeaseCharged(*lease.key, lease.tenant, now, charged, tuple(lines))
        draft.record(fact)


def _line(share: ChargedShare, ended: float) -> list[ChargeLine]:
    if ended <= share.since:
        return []
    return [
        ChargeLine(
            share.n,
            share.device,
            share.kind,
            share.milli,
            share.price_per_h,
            share.since,
            ended,
        )
    ]


def _cut(draft: Draft, lease: LeaseRecord, hour: float, now: float) -> None:
    old = [share for share in lease.charged if share.since < hour]
    lines = tuple(line for share in old for line in _line(share, hour))
    charged = tuple(
        ChargedShare(s.n, s.device, s.kind, s.milli, s.price_per_h, max(s.since, hour))
        for s in lease.charged
    )
    draft.record(LeaseCharged(*lease.key, lease.tenant, now, charged, lines))


def _book(draft: Draft, lease: LeaseRecord, now: float) -> None:
    lines = growth(lease.usage, lease.booked)
    kinds = {share.kind for share in lease.charged} or {_kind(draft.state, lease)}
    kind = kinds.pop() if len(kinds) == 1 else ""
    began = min(lease.booked_at or now, now)
    if lines:
        draft.record(UsageBooked(*lease.key, lease.tenant, kind, began, now, lines))


def _kind(state: PoolState, lease: LeaseRecord) -> str:
    """Of the first of its devices."""
    device = state.hosts[lease.host].device(lease.shares[0].device) if lease.shares else None
    return device.kind if device else ""
