"""What an agent holds, makes and takes away, also when it dies or the kernel refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eais.errors import EaisError, make_error
from eais.failpoints import Reach, nowhere
from eais.net.plan import MAX_CAP_BYTES_PER_S, VETH, WIREGUARD, NetPlan, Side, VnicKey
from eais.net.traffic import Traffic
from eais_server.net.books import Books
from eais_server.net.brain.events import TOMBSTONE_S
from eais_server.net.brain.records import Asker
from eais_server.net.keeper import STEPS, Keeper, points
from eais_server.testing import Died, FakeInterfaces, FakeWall
from tests.unit.server.net.plans import AGENT, plan

LISTENER = Asker(1000, 7)
OTHER = Asker(1001, 7)
ROOT = Asker(0, 7)
NOW = 1_800_000_000


class World:
    """A host whose agents come and go: disk, interfaces and firewall stay."""

    def __init__(self, directory: Path) -> None:
        self.books = Books(directory / "agent")
        self.interfaces = FakeInterfaces(7, 8)
        self.wall = FakeWall()
        self.interfaces.wall = self.wall
        self.now = NOW

    def keeper(self, reach: Reach = nowhere) -> Keeper:
        users = frozenset({LISTENER.uid, OTHER.uid})
        return Keeper(self.books, self.interfaces, self.wall, users, lambda: self.now, reach=reach)

    def restarted(self) -> Keeper:
        keeper = self.keeper()
        keeper.start()
        return keeper

    @property
    def instances(self) -> set[str]:
        """Whose interfaces are there; the firewall has rules for each, and no others."""
        there = {held.key for held in self.interfaces.there.values()}
        assert {held.key for held in self.wall.ends} == there
        return {key.instance for key in there}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def key(instance: str = "ei-1") -> VnicKey:
    return plan(instance).key


def refused(reason: str, *words: str) -> pytest.RaisesExc[EaisError]:
    def is_it(error: EaisError) -> bool:
        return error.reason == reason and all(word in f"{error} {error.hint}" for word in words)

    return pytest.RaisesExc(EaisError, check=is_it)


def test_an_end_is_made_once_and_taken_away(world: World) -> None:
    keeper = world.restarted()
    first = keeper.create(LISTENER, plan())
    assert keeper.create(LISTENER, plan()) == first
    assert world.instances == {"ei-1"}
    keeper.destroy(LISTENER, key())
    keeper.destroy(LISTENER, key())
    assert world.instances == set()


def test_what_was_destroyed_may_come_back_and_what_is_gone_may_not(world: World) -> None:
    keeper = world.restarted()
    keeper.create(LISTENER, plan(generation=3))
    keeper.destroy(LISTENER, key())
    with refused("NET_PLAN", "generation 2", "before 3"):
        keeper.create(LISTENER, plan(generation=2))
    keeper.create(LISTENER, plan(generation=3))
    keeper.destroy(LISTENER, key(), 2)
    assert world.instances == {"ei-1"}
    keeper.destroy(LISTENER, key(), 3)
    assert world.instances == set()
    for again in (world.keeper(), world.restarted()):
        with refused("NET_PLAN"):
            again.create(LISTENER, plan(generation=3))
        assert world.instances == set()
    world.restarted().create(LISTENER, plan(generation=4))
    assert world.instances == {"ei-1"}


def test_a_plan_that_was_overtaken_or_differs_is_refused(world: World) -> None:
    keeper = world.restarted()
    keeper.create(LISTENER, plan(generation=5))
    with refused("NET_PLAN", "generation 4"):
        keeper.create(LISTENER, plan(generation=4))
    with refused("NET_PLAN", "another plan of 5"):
        keeper.create(LISTENER, replace(plan(generation=5), number=10))
    with refused("WRONG_STATE", "another vNIC's"):
        keeper.create(LISTENER, replace(plan("ei-2"), address=plan().address))
    assert world.instances == {"ei-1"}
    changed = keeper.create(LISTENER, replace(plan(generation=6), cap_bytes_per_s=9))
    assert changed.cap_bytes_per_s == 9


def pair(side: Side, generation: int = 1, last: int = 0) -> NetPlan:
    """A veth pair's end, of addresses that end in `last` and more."""
    own, peer, space = (2, 3, 8) if side is Side.BACKEND else (3, 2, 7)
    return replace(
        plan(generation=generation, side=side), driver=VETH, peer_agent=AGENT,
        peer_namespace=space, address=f"198.18.1.{last + own}", peer=f"198.18.1.{last + peer}",
    )  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {"address": "198.18.9.9"},
        {"peer": "198.18.9.9"},
        {"peer_agent": "0" * 16},
        {"driver": WIREGUARD, "peer_public_key": bytes(32), "peer_underlay": ""},
    ],
)
def test_a_later_plan_of_another_link_takes_the_place_of_the_old_one(
    world: World, changed: dict[str, Any]
) -> None:
    keeper = world.restarted()
    first = keeper.create(LISTENER, plan())
    world.interfaces.count(first.place, 100)
    later = replace(plan(generation=2), peer_port=0, **changed)
    assert keeper.create(LISTENER, later).plan == later
    assert [held.plan for held in world.interfaces.there.values()] == [later]
    assert world.interfaces.there[first.place].uid == LISTENER.uid
    assert keeper.counters(LISTENER, key())[key()].bytes_in == 100, "it goes on from the old one's"
    assert world.restarted().state.held[key()].plan == later


def test_a_later_plan_of_the_same_link_changes_it_where_it_is(world: World) -> None:
    keeper = world.restarted()
    keeper.create(LISTENER, plan())
    world.interfaces.fail_next("take", make_error("NETDEV", "it was taken away"))
    keeper.create(LISTENER, replace(plan(generation=2), number=11, peer_underlay="10.0.0.3"))
    assert [held.plan.number for held in world.interfaces.there.values()] == [11]


def test_what_can_not_be_taken_away_for_a_later_plan_stays_as_it_was(world: World) -> None:
    keeper = world.restarted()
    keeper.create(LISTENER, plan())
    world.interfaces.fail_next("take", make_error("NETDEV", "busy"))
    later = replace(plan(generation=2), address="198.18.9.9")
    with refused("NETDEV", "busy"):
        keeper.create(LISTENER, later)
    assert world.restarted().state.held[key()].plan == plan()
    keeper.create(LISTENER, later)
    assert [held.plan for held in world.interfaces.there.values()] == [later]


def test_an_instance_that_moves_away_and_back(world: World) -> None:
    """The front-end's end towards one host goes and comes, each time with other addresses."""
    keeper = world.restarted()
    for generation in (1, 3, 5):
        here = replace(plan(generation=generation), address=f"198.18.2.{generation}")
        away = replace(here, key=here.key._replace(host="rack2"), generation=generation + 1)
        keeper.create(LISTENER, here)
        with refused("WRONG_STATE", "another vNIC's"):
            keeper.create(LISTENER, away)
        keeper.destroy(LISTENER, here.key, generation)
        keeper.create(LISTENER, away)
        keeper.destroy(LISTENER, away.key, generation + 1)
    assert world.instances == set()


def test_a_veth_pair_that_is_made_anew_has_both_its_ends(world: World) -> None:
    ends = {side: pair(side) for side in Side}
    keeper = world.restarted()
    for asker, side in ((Asker(1000, 7), Side.BACKEND), (Asker(1001, 8), Side.FRONTEND)):
        keeper.create(asker, ends[side])
    made = len(world.interfaces.made)
    keeper.create(Asker(1000, 7), pair(Side.BACKEND, 2, last=8))
    assert world.interfaces.made[made:] == [ends[Side.BACKEND].key], "the other has no such plan"
    keeper.create(Asker(1001, 8), pair(Side.FRONTEND, 2, last=8))
    assert world.interfaces.made[made + 1 :] == [ends[Side.FRONTEND].key, ends[Side.BACKEND].key]


def test_a_cap_that_is_larger_than_there_can_be(world: World) -> None:
    keeper = world.restarted()
    keeper.create(LISTENER, plan())
    keeper.limit(LISTENER, key(), MAX_CAP_BYTES_PER_S)
    with refused("ARGUMENT", f"{MAX_CAP_BYTES_PER_S} is the most"):
        keeper.limit(LISTENER, key(), MAX_CAP_BYTES_PER_S + 1)
    with refused("NET_PLAN", "cap_bytes_per_s"):
        replace(plan(), cap_bytes_per_s=MAX_CAP_BYTES_PER_S + 1)


def test_a_tombstone_that_an_older_word_comes_to_stays_as_it_is(world: World) -> None:
    keeper = world.restarted()
    keeper.create(LISTENER, plan(generation=3))
    keeper.destroy(LISTENER, key(), 9)
    keeper.destroy(LISTENER, key(), 2)
    keeper.destroy(OTHER, key(), 20)
    with refused("NET_PLAN", "before 10"):
        keeper.create(LISTENER, plan(generation=9))


def test_tombstones_end_when_no_signature_of_before_is_good(world: World) -> None:
    keeper = world.restarted()
    keeper.create(LISTENER, plan())
    keeper.destroy(LISTENER, key())
    world.now += TOMBSTONE_S
    keeper.note()
    assert keeper.state.tombstones
    world.now += 1
    keeper.note()
    assert not keeper.state.tombstones
    assert not world.keeper().state.tombstones


def test_who_may_do_what(world: World) -> None:
    keeper = world.restarted()
    with refused("PERMISSION_DENIED", "the user 4242", "--user"):
        keeper.create(Asker(4242, 7), plan())
    keeper.create(LISTENER, plan())
    with refused("PERMISSION_DENIED", "another user"):
        keeper.create(OTHER, plan(generation=2))
    for call in (
        lambda: keeper.connect(OTHER, key(), [80]),
        lambda: keeper.limit(OTHER, key(), 1),
        lambda: keeper.counters(OTHER, key()),
        lambda: keeper.connect(LISTENER, key("ei-9"), [80]),
    ):
        with refused("NOT_FOUND"):
            call()
    keeper.destroy(OTHER, key())
    assert world.instances == {"ei-1"}
    assert keeper.seen_by(OTHER) == []
    assert [held.uid for held in keeper.seen_by(ROOT)] == [LISTENER.uid]
    keeper.destroy(ROOT, key())
    assert world.instances == set()


def test_a_namespace_that_the_agent_was_not_given(world: World) -> None:
    keeper = world.restarted()
    with refused("NETDEV", "network namespace", "--netns"):
        keeper.create(Asker(LISTENER.uid, 0), plan())
    assert world.instances == set()


def test_an_asker_that_has_moved_has_its_end_where_it_is(world: World) -> None:
    keeper = world.restarted()
    keeper.create(LISTENER, plan())
    keeper.create(Asker(LISTENER.uid, 8), plan())
    assert [place.namespace for place in world.interfaces.there] == [8]
    keeper.create(ROOT, plan())
    assert [place.namespace for place in world.interfaces.there] == [8]


def test_ports_and_caps(world: World) -> None:
    keeper = world.restarted()
    keeper.create(LISTENER, plan())
    keeper.connect(LISTENER, key(), [443, 80, 80])
    assert [held.ports for held in world.wall.ends] == [(80, 443)]
    keeper.limit(LISTENER, key(), 5)
    assert [held.cap_bytes_per_s for held in world.interfaces.there.values()] == [5]
    for ports in ([0], [65_536], list(range(1, 300))):
        with refused("ARGUMENT", "1 to 65535"):
            keeper.connect(LISTENER, key(), ports)
    again = world.restarted().state.held[key()]
    assert (again.ports, again.cap_bytes_per_s) == ((80, 443), 5)
    front = plan("ei-2", side=Side.FRONTEND)
    keeper.create(LISTENER, front)
    with refused("ARGUMENT", "front-end's"):
        keeper.connect(LISTENER, front.key, [80])


def test_what_cannot_be_made_leaves_nothing(world: World) -> None:
    keeper = world.restarted()
    world.interfaces.fail_next("make", make_error("NETDEV", "no memory"))
    with refused("NETDEV", "no memory"):
        keeper.create(LISTENER, plan())
    assert world.instances == set()
    assert world.keeper().state.held == {}
    world.wall.fail_next(make_error("NETDEV", "no nftables"))
    with refused("NETDEV", "no nftables"):
        keeper.create(LISTENER, plan())
    assert world.instances == set()
    keeper.create(LISTENER, plan())
    assert world.instances == {"ei-1"}


def test_what_was_laid_bare_is_guarded_again(world: World) -> None:
    keeper = world.restarted()
    keeper.create(LISTENER, plan())
    world.wall.is_gone, world.wall.ends = True, ()
    keeper.mend()
    assert world.instances == {"ei-1"}
    world.wall.is_gone = True
    world.wall.fail_next(make_error("NETDEV", "no nftables"))
    keeper.mend()


def test_an_interface_that_stays_keeps_its_rules_until_it_goes(world: World) -> None:
    keeper = world.restarted()
    keeper.create(LISTENER, plan())
    world.interfaces.fail_next("take", make_error("NETDEV", "busy"))
    with refused("NETDEV", "busy"):
        keeper.destroy(LISTENER, key())
    assert world.instances == {"ei-1"}
    with refused("NOT_FOUND"):
        keeper.counters(LISTENER, key())
    world.restarted()
    assert world.instances == set()


def test_what_could_not_be_taken_away_goes_later(world: World) -> None:
    keeper = world.restarted()
    keeper.create(LISTENER, plan("ei-2"))
    world.interfaces.fail_next("make", make_error("NETDEV", "no memory"))
    for _ in range(2):
        world.interfaces.fail_next("take", make_error("NETDEV", "no descriptors"))
    with refused("NETDEV", "no memory"):
        keeper.create(LISTENER, plan())
    for still in (True, False):
        keeper.note()
        assert any(held.leaving for held in keeper.state.held.values()) == still
    assert world.instances == {"ei-2"}
    keeper.create(LISTENER, plan())
    assert world.instances == {"ei-1", "ei-2"}


def test_counters_go_on_over_a_new_interface(world: World) -> None:
    keeper = world.restarted()
    held = keeper.create(LISTENER, plan())
    assert held is not None
    world.interfaces.count(held.place, 100)
    assert keeper.counters(LISTENER, key())[key()].bytes_in == 100
    keeper.note()
    world.interfaces.take(held.place)
    again = world.restarted()
    world.interfaces.count(held.place, 300)
    assert again.counters(LISTENER, key())[key()].bytes_in == 400
    again.note()
    world.interfaces.count(held.place, 1)
    assert world.restarted().counters(LISTENER, key())[key()] == Traffic(bytes_in=401)


def test_counters_go_on_over_a_reboot(world: World) -> None:
    keeper = world.restarted()
    held = keeper.create(LISTENER, plan())
    world.interfaces.count(held.place, 100)
    keeper.note()
    world.interfaces.reboot()
    again = world.restarted()
    world.interfaces.count(held.place, 300)
    assert again.counters(LISTENER, key())[key()].bytes_in == 400, (
        "though it has the old one's number"
    )


def test_both_ends_of_a_pair_that_is_made_anew_lose_nothing(world: World) -> None:
    keeper = world.restarted()
    askers = {Side.BACKEND: Asker(1000, 7), Side.FRONTEND: Asker(1001, 8)}
    for side, asker in askers.items():
        world.interfaces.count(keeper.create(asker, pair(side)).place, 100)
    keeper.create(askers[Side.BACKEND], pair(Side.BACKEND, 2, last=8))
    world.interfaces.take(keeper.state.held[pair(Side.FRONTEND).key].place)  # with its other end
    keeper.create(askers[Side.FRONTEND], pair(Side.FRONTEND, 2, last=8))
    for side, asker in askers.items():
        key = pair(side).key
        assert keeper.counters(asker, key)[key].bytes_in == 100


def test_what_can_not_be_counted_is_replaced_all_the_same(world: World) -> None:
    keeper = world.restarted()
    keeper.create(LISTENER, plan())
    world.interfaces.fail_next("looks", make_error("NETDEV", "no memory"))
    keeper.create(Asker(LISTENER.uid, 8), plan())
    assert [place.namespace for place in world.interfaces.there] == [8]


def test_counters_of_an_agent_that_was_killed_are_the_interface_s_own(world: World) -> None:
    held = world.restarted().create(LISTENER, plan())
    assert held is not None
    world.interfaces.count(held.place, 100)
    assert world.restarted().counters(LISTENER, key())[key()].bytes_in == 100


def test_a_start_mends_and_takes_away_what_nobody_holds(world: World) -> None:
    keeper = world.restarted()
    for instance in ("ei-1", "ei-2"):
        keeper.create(LISTENER, plan(instance))
    strange = Keeper(
        Books(world.books._directory.parent / "lost"), world.interfaces, FakeWall(),
        frozenset({LISTENER.uid}), lambda: NOW,
    )  # fmt: skip
    world.interfaces.wall = None
    strange.create(LISTENER, plan("ei-3"))
    world.interfaces.take(keeper.state.held[key("ei-1")].place)
    world.restarted()
    assert world.instances == {"ei-1", "ei-2"}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("nth", [1, 2])
def test_killed_at_any_step(world: World, step: str, at: int, nth: int) -> None:
    """After it, and a restart, each end is there whole, or not at all."""
    world.restarted().create(LISTENER, plan("ei-9"))
    left = nth
    died = 0

    def die(point: str) -> None:
        nonlocal left
        left -= point == points(step)[at]
        if left == 0:
            left = -1
            raise Died

    def tried(call: str) -> None:
        nonlocal left, died
        left = nth
        keeper = world.keeper(die)
        try:
            if call == "create":
                keeper.create(LISTENER, plan())
            elif call == "destroy":
                keeper.destroy(LISTENER, key())
            elif call == "move":
                keeper.create(Asker(LISTENER.uid, 8), plan())
            elif call == "replace":
                keeper.create(LISTENER, later)
            else:
                keeper.destroy(LISTENER, key(), 2)
        except Died:
            died += 1

    tried("create")
    restarted = world.restarted()
    assert world.instances == {"ei-9"} | {held.instance for held in restarted.state.held}
    restarted.create(LISTENER, plan())
    assert world.instances == {"ei-1", "ei-9"}
    tried("move")
    world.restarted().create(Asker(LISTENER.uid, 8), plan())
    assert world.instances == {"ei-1", "ei-9"}
    assert len(world.interfaces.there) == 2
    later = replace(plan(generation=2), address="198.18.9.9")
    tried("replace")
    restarted = world.restarted()
    assert world.instances == {"ei-1", "ei-9"}
    assert world.interfaces.there[restarted.state.held[key()].place].plan in (plan(), later)
    restarted.create(LISTENER, later)
    assert len(world.interfaces.there) == 2
    tried("destroy")
    world.restarted().destroy(LISTENER, key())
    assert world.instances == {"ei-9"}
    world.restarted().create(LISTENER, later)
    tried("gone")
    world.restarted().destroy(LISTENER, key(), 2)
    assert world.instances == {"ei-9"}
    with refused("NET_PLAN"):
        world.restarted().create(LISTENER, later)
    assert died or step == "drop" or nth == 2


def test_a_file_that_is_no_record_is_named(world: World) -> None:
    world.restarted().create(LISTENER, plan())
    (path,) = (world.books._directory).glob("*.json")
    path.write_text("{}")
    with refused("STATE_DIR", str(path)):
        world.keeper()


def test_all_ends_of_an_asker_are_counted_at_once(world: World) -> None:
    keeper = world.restarted()
    for n, instance in enumerate(("ei-1", "ei-2"), start=1):
        held = keeper.create(LISTENER, plan(instance))
        world.interfaces.count(held.place, n)
    every = key()._replace(instance="")
    found = keeper.counters(LISTENER, every)
    assert {k.instance: each.bytes_in for k, each in found.items()} == {"ei-1": 1, "ei-2": 2}
    assert keeper.counters(LISTENER, every._replace(host="elsewhere")) == {}
    assert keeper.counters(OTHER, every) == {}
