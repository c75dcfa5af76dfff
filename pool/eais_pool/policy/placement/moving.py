"""Defragmentation: what to move where, so that less of what is free is lost. (Brain)

Each move is the one that lowers the measure most: by what leaving gains at one host, and by what
arriving costs at another. All are made on copies of the hosts, one after the other, so each has
room once those before it were made, and the measure falls with each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from eais.device_type import WHOLE_MILLI, DeviceType
from eais.share_units import units_left
from eais_pool.brain.records import SharePick
from eais_pool.policy import Ask, DeviceView, HostView, Placement
from eais_pool.policy.asked import Counts
from eais_pool.policy.placement.boards import Boards
from eais_pool.policy.placement.live import ByGradient, Live, measures_of

LEAST_GAIN_MILLI: Final = 50.0
"""Of a move, a twentieth of a device: moving isn't free."""
SEATS_MOST: Final = 4_096
"""That are looked at: those of hosts that lose most."""


@dataclass(frozen=True, slots=True)
class Seat:
    """The shares of one host that an instance has, all of one kind.

    Attributes:
        group: what it is one of, and must be apart from others of; "": nothing.
        only: the devices that will do, by host and id; None: any of that kind.
    """

    instance: str
    tenant: str
    host: str
    type: DeviceType
    shares: tuple[SharePick, ...]
    group: str = ""
    only: frozenset[tuple[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A seat given up for one on another host.

    Attributes:
        shares: there, as things are then.
        gain: by how much the measure falls, in milli-devices.
    """

    seat: Seat
    to: str
    shares: tuple[SharePick, ...]
    gain: float


@dataclass(frozen=True, slots=True)
class Room:
    """What of one kind one host has free at most, in milli-devices, before and after.

    As one type: whole devices, or the largest part of one.
    """

    kind: str
    before_milli: int
    after_milli: int


@dataclass(frozen=True, slots=True)
class Rearrangement:
    """Moves to be made in this order, what is lost without and with them, and the room there is."""

    moves: tuple[Move, ...]
    lost_before: float
    lost_after: float
    rooms: tuple[Room, ...]


class _Hosts:
    """Hosts as they are once some moves were made, and what is lost there."""

    def __init__(self, hosts: Iterable[HostView], learned: Counts) -> None:
        self.views = {host.host: host for host in hosts}
        self._learned = learned
        self._policy = Live(ByGradient(tie_break=0.0))
        self._boards = Boards()
        self._boards.follow(list(self.views.values()))
        self._measures = measures_of(self._boards, learned)

    def lost(self, view: HostView) -> float:
        """What is lost of a host that is like this."""
        self._boards.follow([view])
        rows_of = self._boards.rows_of[view.host]
        return sum(self._lost_of(kind, rows) for kind, rows in rows_of.items())

    def lost_in_all(self) -> float:
        """What is lost of all of them."""
        return sum(self.lost(view) for view in self.views.values())

    def _lost_of(self, kind: str, rows: list[int]) -> float:
        board, at = self._boards.of[kind], np.array(rows, np.int64)
        lost = self._measures[kind].of(board.model[at], board.cpu[at], board.left[at])
        return float(lost.sum())

    def leaving(self, seat: Seat) -> float:
        """By how much less is lost where it is, once it is gone."""
        here = self.views[seat.host]
        return self.lost(here) - self.lost(_without(here, seat.shares))

    def arriving(self, placed: Placement) -> float:
        """By how much less is lost where it comes; it may well be more."""
        there = self.views[placed.host]
        return self.lost(there) - self.lost(_with(there, placed.shares))

    def place(self, seat: Seat, among: Sequence[str]) -> Placement | None:
        """The best seat on one of these hosts."""
        hosts = [self.views[name] for name in among]
        ask = Ask(seat.tenant, seat.type, only=seat.only, learned=self._learned)
        placed = self._policy.place(ask, hosts) if hosts else None
        return placed if isinstance(placed, Placement) else None

    def move(self, seat: Seat, placed: Placement) -> None:
        """Have it be so."""
        there = _with(self.views[placed.host], placed.shares)
        self.views[there.host] = replace(there, tenants=there.tenants | {seat.tenant})
        self.views[seat.host] = _without(self.views[seat.host], seat.shares)


@dataclass(frozen=True, slots=True)
class _Step:
    seat: Seat
    placed: Placement
    gain: float


def rearranged(
    hosts: Sequence[HostView],
    seats: Sequence[Seat],
    members: Mapping[str, Mapping[str, int]],
    learned: Counts,
    *,
    most: int,
    least_gain: float = LEAST_GAIN_MILLI,
) -> Rearrangement:
    """A list of moves.

    Args:
        hosts: those that are open, in order of their names.
        seats: those that may be given up, each on one of `hosts`.
        members: how many of a group each host has, those of `seats` included.
        learned: what was asked for so far.
        most: moves.
        least_gain: of a move, in milli-devices.
    """
    now = _Hosts(hosts, learned)
    before, rooms_before = now.lost_in_all(), _rooms(now.views.values())
    groups = {group: Counter(counts) for group, counts in members.items()}
    left = _worth_a_look(now, seats)
    leaving = {seat.instance: now.leaving(seat) for seat in left.values()}
    moves: list[Move] = []
    while len(moves) < most:
        step = _best(now, left.values(), leaving, groups)
        if step is None or step.gain < least_gain:
            break
        seat = step.seat
        now.move(seat, step.placed)
        moves.append(Move(seat, step.placed.host, step.placed.shares, step.gain))
        if seat.group:
            groups[seat.group][seat.host] -= 1
            groups[seat.group][step.placed.host] += 1
        del left[seat.instance]  # once is enough
        touched = {seat.host, step.placed.host}
        leaving |= {e.instance: now.leaving(e) for e in left.values() if e.host in touched}
    rooms = tuple(
        Room(kind, rooms_before[kind], milli)
        for kind, milli in sorted(_rooms(now.views.values()).items())
    )
    return Rearrangement(tuple(moves), before, now.lost_in_all(), rooms)


def gain_of(hosts: Sequence[HostView], seat: Seat, placed: Placement, learned: Counts) -> float:
    """By how much the measure falls if a seat is given up for that one; both hosts are given."""
    now = _Hosts(hosts, learned)
    return now.leaving(seat) + now.arriving(placed)


def may_join(members: Mapping[str, int], host: str, to: str) -> bool:
    """Whether one of a group that is on `host` is no less apart from others on `to`."""
    return members.get(to, 0) < members.get(host, 0)


def _worth_a_look(now: _Hosts, seats: Sequence[Seat]) -> dict[str, Seat]:
    if len(seats) > SEATS_MOST:
        lost = {name: now.lost(view) for name, view in now.views.items()}
        seats = sorted(seats, key=lambda seat: -lost[seat.host])[:SEATS_MOST]
    return {seat.instance: seat for seat in seats}


def _best(
    now: _Hosts,
    seats: Iterable[Seat],
    leaving: Mapping[str, float],
    groups: Mapping[str, Mapping[str, int]],
) -> _Step | None:
    """The move that gains most; seats that couldn't beat it on any host aren't tried."""
    best: _Step | None = None
    tops: dict[DeviceType, float] = {}
    for seat in sorted(seats, key=lambda each: -leaving[each.instance]):
        if seat.type not in tops:
            tops[seat.type] = _top(now, seat)
        if best is not None and leaving[seat.instance] + tops[seat.type] <= best.gain:
            continue
        placed = now.place(seat, [name for name in now.views if _may_go(now, seat, name, groups)])
        if placed is None:
            continue
        gain = leaving[seat.instance] + now.arriving(placed)
        if best is None or gain > best.gain:
            best = _Step(seat, placed, gain)
    return best


def _top(now: _Hosts, seat: Seat) -> float:
    """What arriving of such a type gains at best, wherever that is."""
    placed = now.place(replace(seat, only=None), list(now.views))
    return now.arriving(placed) if placed else -np.inf


def _may_go(now: _Hosts, seat: Seat, to: str, groups: Mapping[str, Mapping[str, int]]) -> bool:
    here, there = now.views[seat.host], now.views[to]
    apart = not seat.group or may_join(groups[seat.group], seat.host, to)
    return to != seat.host and there.isolation >= here.isolation and apart


def _rooms(hosts: Iterable[HostView]) -> dict[str, int]:
    """Of each kind, the largest size that one host has free."""
    found: dict[str, int] = {}
    for host in hosts:
        whole, part = Counter[str](), Counter[str]()
        for device in host.devices:
            for left in _free_units(device):
                whole[device.kind] += left if left == WHOLE_MILLI else 0
                part[device.kind] = max(part[device.kind], left)
        for kind in part:
            found[kind] = max(found.get(kind, 0), whole[kind] or part[kind])
    return found


def _free_units(device: DeviceView) -> list[int]:
    rest, found = device.free_milli, []
    for left, _ in units_left(device.capacity_milli, device.taken):
        found.append(min(left, rest))
        rest -= found[-1]
    return found


def _with(view: HostView, shares: Sequence[SharePick]) -> HostView:
    return _changed(view, shares, 1)


def _without(view: HostView, shares: Sequence[SharePick]) -> HostView:
    return _changed(view, shares, -1)


def _changed(view: HostView, shares: Sequence[SharePick], sign: int) -> HostView:
    """The host once these are taken (1), or given back (-1)."""
    devices = {device.id: device for device in view.devices}
    for share in shares:
        device, taken = devices[share.device], list(devices[share.device].taken)
        if sign > 0:
            taken.append((share.milli, share.unit))
        else:
            taken.remove((share.milli, share.unit))
        free = device.free_milli - sign * share.milli
        devices[share.device] = replace(device, free_milli=free, taken=tuple(taken))
    return replace(view, devices=tuple(devices[device.id] for device in view.devices))
