"""A lease with its shares moved by their table, and what facts about a move make of it. (Brain)"""

from __future__ import annotations

from dataclasses import replace

from eais.share import SHARE_TABLE, ShareEvent, ShareState
from eais_pool.brain import facts
from eais_pool.brain.lease_changes import Arrival, Stuck
from eais_pool.brain.records import LeasePhase, LeaseRecord, SharePick, ShareRecord


def with_shares(lease: LeaseRecord, *events: ShareEvent) -> LeaseRecord:
    """The lease after all of its shares went through `events`; IllegalMove if they can't."""
    shares = lease.shares
    for event in events:
        shares = tuple(
            replace(share, state=SHARE_TABLE.after(share.state, event)) for share in shares
        )
    return replace(lease, shares=shares)


def fresh_shares(picks: tuple[SharePick, ...]) -> tuple[ShareRecord, ...]:
    """The shares of a lease that is about to be reserved."""
    return tuple(ShareRecord(p.n, p.device, p.milli, ShareState.FREE, p.unit) for p in picks)


def reserved(fact: facts.LeaseReserved) -> LeaseRecord:
    """The new lease."""
    lease = LeaseRecord(
        host=fact.host,
        instance=fact.instance,
        epoch=fact.epoch,
        tenant=fact.tenant,
        address=fact.address,
        phase=LeasePhase.MOVING if fact.moving else LeasePhase.OPENING,
        shares=fresh_shares(fact.shares),
        why=fact.why,
        weighed=fact.weighed,
        provisional=fact.provisional,
        vnic_driver=fact.vnic_driver,
        link=fact.link,
        arrival=Arrival(fact.at) if fact.moving else None,
    )
    return with_shares(lease, ShareEvent.RESERVE)


def granted(lease: LeaseRecord) -> LeaseRecord:
    """OPEN, with its shares GRANTED."""
    event = ShareEvent.RETURN if lease.lost else ShareEvent.GRANT
    moved = with_shares(lease, event)
    return replace(moved, phase=LeasePhase.OPEN, opened=True, arrival=None, lost_at=0.0)


def reserved_again(lease: LeaseRecord, fact: facts.LeaseReservedAgain) -> LeaseRecord:
    """RESERVED once more; what its host had of a move is asked anew."""
    again = with_shares(lease, ShareEvent.RELEASE, ShareEvent.RESERVE)
    if fact.vnic_driver:
        driver, link = fact.vnic_driver, fact.link
        again = replace(again, address=fact.address, vnic_driver=driver, link=link)
    if again.arrival is None:
        return again
    return replace(again, workers=(), arrival=replace(again.arrival, asked_at=0.0))


def goes_on(lease: LeaseRecord, fact: facts.LeaseGoesOn) -> LeaseRecord:
    """Its host was heard of."""
    return replace(lease, arrival=replace(_arrival(lease), heard_at=fact.at))


def arrived(lease: LeaseRecord, fact: facts.LeaseArrived) -> LeaseRecord:
    """Its host has granted it, without some sessions."""
    _arrival(lease)
    came = Arrival(fact.at, fact.at)
    return replace(lease, workers=fact.workers, user_plane=fact.user_plane, arrival=came)


def stays(lease: LeaseRecord, fact: facts.MoveFailed) -> LeaseRecord:
    """Its instance couldn't be moved away."""
    before = lease.stuck or Stuck("")
    if not fact.to:
        return replace(lease, stuck=replace(before, why=fact.why))
    tried = tuple(dict.fromkeys((*before.tried, fact.to)))
    return replace(lease, stuck=Stuck(fact.why, fact.at, tried))


def lost(lease: LeaseRecord, at: float) -> LeaseRecord:
    """Its host can't be reached; `at`: ledger time."""
    return replace(with_shares(lease, ShareEvent.LOSE), lost_at=lease.lost_at or at)


def begun_anew(lease: LeaseRecord, at: float) -> LeaseRecord:
    """After a restart of the manager, whose boot clock may be another one."""
    arrival = replace(lease.arrival, heard_at=at) if lease.arrival else None
    stuck = replace(lease.stuck, tried_at=0.0) if lease.stuck else None
    resize = replace(lease.resize, since=at) if lease.resize else None
    return replace(lease, arrival=arrival, stuck=stuck, resize=resize)


def shares_reserved(lease: LeaseRecord, fact: facts.SharesReserved) -> LeaseRecord:
    """With more shares, RESERVED, that are to take the place of the others."""
    numbers = tuple(pick.n for pick in fact.shares)
    if min(numbers) <= lease.numbered or lease.coming:
        raise ValueError(f"{lease.key} has had shares up to {lease.numbered}, {lease.coming} come")
    grown = replace(lease, shares=(*lease.shares, *fresh_shares(fact.shares)), resize=fact.resize)
    reserved = _some(grown, numbers, ShareEvent.RESERVE)
    return replace(reserved, coming=numbers, unlisted=(*lease.unlisted, *numbers))


def shares_granted(lease: LeaseRecord, fact: facts.SharesGranted) -> LeaseRecord:
    """The host says for the first time that it has these; one may have RETURNed with the others."""
    numbers = {pick.n for pick in fact.shares}
    fresh = (s.n for s in lease.shares if s.n in numbers and s.state is ShareState.RESERVED)
    listed = _some(lease, tuple(fresh), ShareEvent.GRANT)
    return replace(listed, unlisted=tuple(n for n in lease.unlisted if n not in numbers))


def resized(lease: LeaseRecord) -> tuple[LeaseRecord, str]:
    """The shares that came are its own now; the type of its instance."""
    if lease.resize is None:
        raise ValueError(f"{lease.key} isn't being resized")
    now = lease.resize
    grown = replace(lease, why=now.why, weighed=now.weighed, provisional=False)
    return replace(grown, coming=(), resize=None, stuck=None), now.type


def shares_draining(lease: LeaseRecord, fact: facts.SharesDraining) -> LeaseRecord:
    """These are to be gone; LOST ones are told so when their host returns."""
    going = {ShareState.RESERVED, ShareState.GRANTED}
    numbers = tuple(s.n for s in lease.shares if s.n in fact.numbers and s.state in going)
    drained = _some(lease, numbers, ShareEvent.DRAIN)
    leaving = tuple(dict.fromkeys((*lease.leaving, *fact.numbers)))
    coming = tuple(n for n in lease.coming if n not in fact.numbers)
    resize = lease.resize if coming else None
    return replace(drained, leaving=leaving, coming=coming, resize=resize)


def shares_released(lease: LeaseRecord, fact: facts.SharesReleased) -> LeaseRecord:
    """These are gone; their numbers are used no more."""
    numbers = {pick.n for pick in fact.shares}
    _some(lease, tuple(numbers), ShareEvent.RELEASE)
    return replace(
        lease,
        shares=tuple(share for share in lease.shares if share.n not in numbers),
        leaving=tuple(n for n in lease.leaving if n not in numbers),
        unlisted=tuple(n for n in lease.unlisted if n not in numbers),
        last_n=lease.numbered,
    )


def closing(lease: LeaseRecord, *, reachable: bool) -> LeaseRecord:
    """To be gone, with all its shares."""
    lease = replace(
        lease,
        phase=LeasePhase.CLOSING,
        workers=(),
        arrival=None,
        stuck=None,
        resize=None,
        coming=(),
        leaving=(),
        unlisted=(),
    )
    here = tuple(s.n for s in lease.shares if s.state is not ShareState.DRAINING)
    return _some(lease, here, ShareEvent.DRAIN) if reachable else lease


def _some(lease: LeaseRecord, numbers: tuple[int, ...], event: ShareEvent) -> LeaseRecord:
    """Those shares moved by their table; IllegalMove if one can't be."""
    shares = tuple(
        replace(share, state=SHARE_TABLE.after(share.state, event)) if share.n in numbers else share
        for share in lease.shares
    )
    return replace(lease, shares=shares)


def _arrival(lease: LeaseRecord) -> Arrival:
    if lease.arrival is None:
        raise ValueError(f"{lease.key} isn't on its way")
    return lease.arrival
