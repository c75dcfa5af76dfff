"""Moves that make less be lost."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import pytest

from eais.device_type import DeviceType
from eais_pool.brain.records import SharePick
from eais_pool.policy import BEST_FIT, HostView, Placement
from eais_pool.policy.placement.live import policy_of
from eais_pool.policy.placement.moving import Rearrangement, Room, Seat, gain_of, rearranged
from tests.unit.pool.policy.placement.test_live import after, ask, device, host, shares_fit

TYPES = ("cpu.1-2", "cpu.1", "cpu.2", "gpu.1-8", "gpu.1-2", "gpu.3-4", "gpu.1", "gpu.2")


def without(hosts: Sequence[HostView], seat: Seat) -> list[HostView]:
    """The hosts once a seat is given up."""
    return [_left(each, seat) if each.host == seat.host else each for each in hosts]


def _left(each: HostView, seat: Seat) -> HostView:
    devices = list(each.devices)
    for share in seat.shares:
        n = next(n for n, old in enumerate(devices) if old.id == share.device)
        taken = list(devices[n].taken)
        taken.remove((share.milli, share.unit))
        free = devices[n].free_milli + share.milli
        devices[n] = replace(devices[n], free_milli=free, taken=tuple(taken))
    return replace(each, devices=tuple(devices))


def seated(hosts: list[HostView], name: str, text: str, on: str) -> tuple[list[HostView], Seat]:
    """The hosts once `name` has such a type on that host."""
    found = policy_of(BEST_FIT).place(ask(text), [each for each in hosts if each.host == on])
    assert isinstance(found, Placement)
    seat = Seat(name, "acme", on, DeviceType.parse(text), found.shares)
    return after(hosts, "acme", found), seat


def two_halves() -> tuple[list[HostView], list[Seat]]:
    """Two devices that are half taken each."""
    hosts, one = seated([host(f"h{n}", device("gpu", 0)) for n in (1, 2)], "x", "gpu.1-2", "h1")
    hosts, other = seated(hosts, "y", "gpu.1-2", "h2")
    return hosts, [one, other]


def plan(hosts: Sequence[HostView], seats: Sequence[Seat], most: int = 9) -> Rearrangement:
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for seat in seats:
        members[seat.group][seat.host] += bool(seat.group)
    return rearranged(hosts, seats, members, (), most=most)


def test_two_halves_make_a_whole_device_free() -> None:
    hosts, seats = two_halves()
    found = plan(hosts, seats)
    (move,) = found.moves
    assert {move.seat.host, move.to} == {"h1", "h2"}
    assert found.rooms == (Room("gpu", 500, 1000),)
    assert found.lost_before - found.lost_after == pytest.approx(move.gain)
    placed = Placement(move.to, move.shares, "")
    assert gain_of(hosts, move.seat, placed, ()) == pytest.approx(move.gain)


def test_no_more_are_made_than_asked_for() -> None:
    found = plan(*two_halves(), most=0)
    assert (found.moves, found.lost_after) == ((), found.lost_before)


def test_a_gain_that_isnt_worth_a_move_isnt_taken() -> None:
    hosts, seats = two_halves()
    (move,) = plan(hosts, seats).moves
    assert not rearranged(hosts, seats, {}, (), most=9, least_gain=move.gain + 1).moves


def test_a_group_stays_apart_and_one_of_it_may_go_where_none_is() -> None:
    hosts, seats = two_halves()
    apart = [replace(seat, group="web") for seat in seats]
    assert plan(hosts, apart).moves == ()
    (move,) = plan(hosts, [apart[0], replace(seats[1], group="batch")]).moves
    assert move.to != move.seat.host


def test_just_devices_that_will_do_and_hosts_that_isolate_as_well_are_moved_to() -> None:
    hosts, seats = two_halves()
    own = [replace(seat, only=frozenset({(seat.host, "gpu0")})) for seat in seats]
    assert plan(hosts, own).moves == ()
    (move,) = plan(hosts, [own[0], seats[1]]).moves
    assert (move.seat.instance, move.to) == ("y", "h1")
    (move,) = plan([hosts[0], replace(hosts[1], isolation=1)], seats).moves
    assert (move.seat.instance, move.to) == ("y", "h1")


def test_moves_are_feasible_in_order_and_the_measure_falls_with_each() -> None:
    assert sum(check_a_plan(random.Random(seed)) for seed in range(12)) > 20


def check_a_plan(rng: random.Random) -> int:
    """How many moves there are."""
    hosts = [
        host(
            f"h{n}", *(device("gpu", g) for g in range(rng.choice((1, 2, 4)))), device("cpu", 0, 8)
        )
        for n in range(6)
    ]
    seats: list[Seat] = []
    for n in range(40):
        try:
            hosts, seat = seated(hosts, f"i{n}", rng.choice(TYPES), f"h{rng.randrange(6)}")
        except AssertionError:
            continue
        seats.append(replace(seat, group=rng.choice(("", "", "web"))))
    for seat in [seat for seat in seats if rng.random() < 0.5]:
        seats.remove(seat)
        hosts = without(hosts, seat)
    members = Counter(seat.host for seat in seats if seat.group)
    found = plan(hosts, seats)
    for move in found.moves:
        there = next(each for each in hosts if each.host == move.to)
        placed = Placement(move.to, move.shares, "")
        assert shares_fit(there, placed)
        assert sum(s.milli for s in move.shares) == sum(s.milli for s in move.seat.shares)
        hosts = without(after(hosts, "acme", placed), move.seat)
        assert move.gain >= 50
        if move.seat.group:
            assert members[move.to] < members[move.seat.host]
            members[move.to] += 1
            members[move.seat.host] -= 1
    gained = sum(move.gain for move in found.moves)
    assert found.lost_before - found.lost_after == pytest.approx(gained)
    assert plan(hosts, []).lost_before == pytest.approx(found.lost_after)
    return len(found.moves)


def test_shares_there_are_said_as_they_would_be() -> None:
    (move,) = plan(*two_halves()).moves
    assert move.shares == (SharePick(1, "gpu0", 500, 0),)
