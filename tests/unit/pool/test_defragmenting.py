"""A list of moves is kept, held against the present, and done a few at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from eais.instance_policy import InstancePolicy
from eais.neighbours import ANYWHERE, Neighbours
from eais_pool.brain.actions import Grant, Refuse, Reply, Send
from eais_pool.brain.codec import from_json, to_json
from eais_pool.brain.defrag_records import DefragAsk, DefragPlan, Step
from eais_pool.brain.defragmenting import picture_of, planned
from eais_pool.brain.events import HostLost, ManagerStarted, OpRequested
from eais_pool.brain.records import Failure, LeasePhase, OpVerb
from eais_pool.snapshot import Snapshot
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import SETTINGS, op_id
from tests.unit.pool.test_moves import Moving

HALF = "gpu.1-2"
ASKED = 500_000


class Scattered(Moving):
    """Hosts of one accelerator each, on which shares of half of one were left."""

    def __init__(self, hosts: int, moves_at_once: int = 3) -> None:
        gpus = [FakeHost(f"h{n}", [device("gpu0", "gpu", 1000)]) for n in range(1, hosts + 1)]
        super().__init__(*gpus, settings=replace(SETTINGS, moves_at_once=moves_at_once))

    def half_left(self, host: str, said: Neighbours = ANYWHERE, type: str = HALF) -> str:
        """An instance that has half of that host's device."""
        others = [name for name in self.hosts if name != host]
        for name in others:
            self.operate(OpVerb.CORDON, host=name)
        self.ask("attach", type=type, policy=InstancePolicy(neighbours=said))
        self.deliver()
        for name in others:
            self.operate(OpVerb.UNCORDON, host=name)
        *_, reply = [reply for reply in self.shell.said_of(Reply) if reply.answer.view]
        self.published()
        assert reply.answer.view is not None
        assert reply.answer.view.host == host
        return reply.answer.view.id

    def plan(self, most: int = 9) -> DefragPlan:
        """What would be done now."""
        return planned(picture_of(self.shell.state, self.shell.reactor.settings), most)

    def defrag(self, plan: DefragPlan | None = None) -> None:
        """Ask for it."""
        wanted = DefragAsk(plan=plan or self.plan())
        self.shell.feed(OpRequested(OpVerb.DEFRAG, "", "ops", op_id(ASKED), defrag=wanted))

    def steps(self) -> tuple[Step, ...]:
        """How far it is."""
        record = self.shell.state.defrag
        assert record is not None
        return record.plan.steps

    def states(self) -> list[str]:
        """The same, in a word each."""
        return [step.state.value for step in self.steps()]

    def host_of(self, instance: str) -> str:
        """Where it is."""
        return self.used(instance)[0]


def test_two_halves_are_brought_together_and_a_whole_device_is_free() -> None:
    pool = Scattered(2)
    made = [pool.half_left("h1"), pool.half_left("h2")]
    plan = pool.plan()
    (step,) = plan.steps
    assert [(room.before_milli, room.after_milli) for room in plan.rooms] == [(500, 1000)]
    pool.defrag(plan)
    assert pool.states() == ["moving"]
    pool.deliver()
    assert pool.states() == ["done"]
    assert {pool.host_of(name) for name in made} == {step.to}
    lease = pool.shell.state.live_lease(step.instance)
    assert lease is not None
    assert lease.why.startswith(f"moved from {step.origin} so that ")
    assert pool.plan().steps == ()
    pool.ask("attach", type="gpu.1")
    pool.deliver()
    assert pool.shell.state.used_milli(step.origin) == {"gpu0": 1000}


def test_moves_are_made_a_few_at_a_time_in_their_order() -> None:
    pool = Scattered(6, moves_at_once=2)
    for n in range(1, 7):
        pool.half_left(f"h{n}")
    assert len(pool.plan().steps) == 3
    pool.defrag()
    assert pool.states() == ["moving", "moving", "waiting"]
    grants = [send for send in pool.shell.said_of(Send) if isinstance(send.command, Grant)]
    assert [send.host for send in grants] == [step.to for step in pool.steps()[:2]]
    pool.shell.feed(pool.hosts[grants[0].host].obey(grants[0].command))
    assert pool.states() == ["done", "moving", "moving"]
    pool.shell.feed(pool.hosts[grants[1].host].obey(grants[1].command))
    pool.deliver()
    assert pool.states() == ["done"] * 3
    assert sum(not pool.shell.state.leases_on(host) for host in pool.hosts) == 3


def test_one_at_a_time_is_asked_for_and_a_repetition_is_the_same_one() -> None:
    pool = Scattered(2)
    pool.half_left("h1")
    pool.half_left("h2")
    plan = pool.plan()
    event = OpRequested(OpVerb.DEFRAG, "", "ops", op_id(7), defrag=DefragAsk(plan=plan))
    pool.shell.feed(event)
    pool.shell.said_of(Reply)
    pool.shell.feed(replace(event, defrag=DefragAsk()))
    assert len(pool.shell.said_of(Reply)) == 1
    pool.shell.feed(replace(event, op_id=op_id(8)))
    (refused,) = pool.shell.said_of(Refuse)
    assert refused.failure.reason == "BUSY"
    stop = replace(event, op_id=op_id(9), defrag=DefragAsk(stop=True))
    pool.shell.feed(stop)
    assert pool.states() == ["moving"]
    pool.deliver()
    pool.shell.said_of(Reply)
    assert pool.states() == ["done"]
    pool.shell.feed(replace(stop, op_id=op_id(10)))
    (refused,) = pool.shell.said_of(Refuse)
    assert refused.failure.message == "no defragmentation is under way"


def test_what_was_not_begun_is_not_once_it_is_ended() -> None:
    pool = Scattered(4, moves_at_once=1)
    for n in range(1, 5):
        pool.half_left(f"h{n}")
    pool.defrag()
    stop = OpRequested(OpVerb.DEFRAG, "", "ops", op_id(9), defrag=DefragAsk(stop=True))
    pool.shell.feed(stop)
    pool.deliver()
    assert pool.states() == ["done", "skipped"]
    assert pool.steps()[1].why == "an operator ended it"


def _detached(pool: Scattered, step: Step) -> None:
    pool.ask("detach", step.instance)
    pool.deliver()


def _cordoned(pool: Scattered, step: Step) -> None:
    pool.operate(OpVerb.CORDON, host=step.to)


def _taken(pool: Scattered, step: Step) -> None:
    pool.half_left(step.to)


def _joined_by_another(pool: Scattered, step: Step) -> None:
    pool.half_left(step.origin)


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (_detached, "the instance isn't where it was"),
        (_cordoned, "NO_DEVICE: no back-end can be reached or takes this instance now"),
        (_taken, "NO_DEVICE: no back-end has room for gpu.1-2 now"),
        (_joined_by_another, "NO_DEVICE: it would gain nothing any more"),
    ],
)
def test_what_happened_since_comes_first(
    happens: Callable[[Scattered, Step], None], why: str
) -> None:
    pool = Scattered(2)
    pool.half_left("h1")
    pool.half_left("h2")
    plan = pool.plan()
    (step,) = plan.steps
    happens(pool, step)
    pool.defrag(plan)
    assert pool.states() == ["skipped"]
    assert pool.steps()[0].why == why
    assert all(lease.phase is not LeasePhase.MOVING for lease in pool.shell.state.all_leases())


def test_a_host_that_cannot_take_it_ends_the_move_and_leaves_no_trace() -> None:
    pool = Scattered(2)
    pool.half_left("h1")
    pool.half_left("h2")
    (step,) = pool.plan().steps
    pool.hosts[step.to].failure = Failure("STORE_FULL", "no room")
    pool.defrag()
    pool.deliver()
    assert pool.states() == ["skipped"]
    assert pool.steps()[0].why == "STORE_FULL: no room"
    assert pool.used(step.instance) == (step.origin, step.epoch, LeasePhase.OPEN)
    assert pool.stuck(step.instance) == ""


def test_its_tenant_may_stop_it_meanwhile() -> None:
    pool = Scattered(2)
    pool.half_left("h1")
    pool.half_left("h2")
    pool.defrag()
    (step,) = pool.steps()
    pool.ask("stop", step.instance)
    pool.deliver()
    pool.tick(linked=("h1", "h2"))
    assert pool.states() == ["skipped"]
    assert pool.steps()[0].why == "something else was done with the instance meanwhile"
    assert pool.shell.state.leases_on(step.to) != []


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_the_rest_of_the_list_goes_on_after_a_death(boot: str) -> None:
    pool = Scattered(4, moves_at_once=1)
    for n in range(1, 5):
        pool.half_left(f"h{n}")
    pool.defrag()
    assert pool.states() == ["moving", "waiting"]
    text = to_json(Snapshot.of(pool.shell.state, 9))
    assert from_json(Snapshot, text).state() == pool.shell.state
    pool.shell.state = pool.shell.replayed()
    pool.shell.said.clear()
    pool.shell.feed(ManagerStarted(boot, pool.shell.now))
    for host in pool.hosts.values():
        pool.shell.feed(host.join())
    pool.deliver()
    pool.tick(linked=tuple(pool.hosts))
    pool.deliver()
    assert pool.states() == ["done", "done"]


def test_a_host_that_is_lost_meanwhile_ends_its_move() -> None:
    pool = Scattered(2)
    pool.half_left("h1")
    pool.half_left("h2")
    pool.defrag()
    (step,) = pool.steps()
    pool.shell.said.clear()
    pool.shell.feed(HostLost(step.to))
    pool.tick(SETTINGS.grant_timeout_s, linked=(step.origin,))
    assert pool.states() == ["skipped"]
    assert pool.steps()[0].why.startswith("HOST_UNREACHABLE: ")


def test_a_group_stays_apart_and_who_is_near_somebody_stays() -> None:
    pool = Scattered(2)
    web = Neighbours("web")
    pool.half_left("h1", web)
    pool.half_left("h2", web)
    assert pool.plan().steps == ()
    pool = Scattered(3)
    anchor = pool.half_left("h1", type="gpu.1-4")
    pool.half_left("h1", Neighbours(near=anchor), type="gpu.1-4")
    free = pool.half_left("h2")
    assert [step.instance for step in pool.plan().steps] == [free]


def test_devices_of_another_make_are_not_moved_to() -> None:
    pool = Scattered(2)
    pool.half_left("h1")
    pool.half_left("h2")
    record = pool.shell.state.hosts["h2"]
    other = tuple(replace(each, model="T4") for each in record.devices)
    pool.shell.state.hosts["h2"] = replace(record, devices=other)
    assert pool.plan().steps == ()


def test_what_is_on_its_way_counts_as_gone_and_is_not_moved_twice() -> None:
    pool = Scattered(2)
    pool.half_left("h1")
    pool.half_left("h2")
    plan = pool.plan()
    pool.defrag(plan)
    again = pool.plan()
    assert again.steps == ()
    assert [(room.before_milli, room.after_milli) for room in again.rooms] == [(1000, 1000)]
    assert again.lost_before == pytest.approx(plan.lost_after)


def test_a_move_waits_for_the_room_that_one_before_it_gives() -> None:
    pool = Scattered(3)
    small = pool.half_left("h1", type="gpu.1-4")
    pool.half_left("h1")
    second = pool.half_left("h2")
    pool.half_left("h3", type="gpu.3-4")
    steps = (
        Step(small, "gpu.1-4", "h1", "h3", 1, 1.0),
        Step(second, HALF, "h2", "h1", 1, 1.0),
    )
    pool.defrag(DefragPlan(steps, 0.0, 0.0, ()))
    assert pool.states() == ["moving", "waiting"]
    (grant,) = pool.shell.said_of(Send)
    pool.shell.feed(pool.hosts["h3"].obey(grant.command))
    assert pool.states() == ["done", "waiting"]
    pool.deliver()
    assert pool.states() == ["done", "done"]
    assert pool.shell.state.leases_on("h2") == []
