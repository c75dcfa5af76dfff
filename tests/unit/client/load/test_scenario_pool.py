"""What a scenario's steps ask of a pool, and what is said when that can't be done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from eais.errors import DeadlineExceeded, Unavailable, UsageError
from eais_client.cli.testing import FakeClock
from eais_client.cli.testing_pool import FakePool
from eais_client.instances import Instance
from eais_client.load.brain import scenario as steps
from eais_client.load.brain.scenario import Scenario
from eais_client.load.scenario_pool import PoolWorld
from eais_client.load.scenario_world import Stopped, Traffic
from eais_client.load.targets.attaching import attached
from eais_client.operator_client import OperatorClient
from eais_client.pool_client import PoolClient
from eais_client.testing.fake_manager import FakeManager


class Pool:
    """A pool of two hosts, and the world that is made of it."""

    def __init__(self, *hosts: str) -> None:
        self.fake, self.manager = FakePool(), FakeManager(*hosts)
        # What is granted is on a host, as both planes see it.
        self.manager.instances = self.fake.instances
        self.client = PoolClient(self.fake, patience_s=1e-9)
        self.clock = FakeClock()
        self.stages: list[str] = []
        self.sent: list[tuple[int, int]] = []
        self.world = PoolWorld(
            self.client,
            self._operator,
            self._bring,
            self._traffic,
            self.stages.append,
            self.clock,
            self._wait,
        )

    @contextmanager
    def _operator(self) -> Iterator[OperatorClient]:
        yield OperatorClient(self.manager, patience_s=1e-9)

    def _wait(self, ended: threading.Event, seconds: float) -> bool:
        self.clock.sleep(seconds)
        return ended.is_set()

    def _bring(self, instance: Instance, told: Callable[[int, int], None]) -> None:
        for done, total in self.sent:
            self.clock.sleep(1.0)
            told(done, total)

    def _traffic(self, instance: Instance) -> Traffic:
        raise NotImplementedError


@pytest.fixture
def pool() -> Pool:
    return Pool("local", "h2")


def drains(*asked: steps.Step) -> Scenario:
    return Scenario("x", asked, tuple(f"s.yaml:{n}: step {n}" for n in range(1, len(asked) + 1)))


def test_what_is_made_is_told_with_its_place(pool: Pool) -> None:
    made = pool.world.attach(steps.Attach("cpu.1"))
    assert (made.instance, made.said, made.before) == ("ei-0001", "ei-0001 on cpu0 of local", False)
    assert pool.world.detach("ei-0001") == "DELETED"


def test_it_is_made_with_the_driver_that_the_step_names(pool: Pool) -> None:
    pool.world.attach(steps.Attach("cpu.1", vnic="host"))
    with attached(pool.client, "cpu.1", vnic="loopback", clock=pool.clock, note=pool.stages.append):
        assert [asked.vnic for asked in pool.fake.attaches] == ["host", "loopback"]


def test_an_instance_that_is_attached_is_left_so(pool: Pool) -> None:
    held, free = pool.client.attach(type="cpu.1"), pool.client.create("cpu.1")
    assert pool.world.attach(steps.Attach(instance=held.id)).before
    assert not pool.world.attach(steps.Attach(instance=free.id)).before


def test_a_push_says_how_much_was_sent_and_how_fast(pool: Pool) -> None:
    made = pool.world.attach(steps.Attach("cpu.1"))
    assert pool.world.push(made.instance) == "its host has the model: nothing was sent"
    pool.sent = [(30_000_000, 60_000_000), (60_000_000, 60_000_000)]
    assert pool.world.push(made.instance) == "60 MB, 30 MB/s"
    assert pool.stages == ["push: 30 of 60 MB", "push: 60 of 60 MB"]


def test_who_ends_it_while_a_model_is_sent_has_not_to_wait(pool: Pool) -> None:
    made = pool.world.attach(steps.Attach("cpu.1"))
    pool.sent = [(1, 2)]
    pool.world.end()
    with pytest.raises(Stopped):
        pool.world.push(made.instance)


def test_a_drain_ends_when_the_host_is_empty(pool: Pool) -> None:
    made = pool.world.attach(steps.Attach("cpu.1"))
    pool.world.attach(steps.Attach("cpu.1"))
    assert pool.world.drain(made.instance, "", 60.0) == "2 left local, ei-0001 moved to h2"
    assert pool.manager.hosts["local"].cordoned
    assert pool.world.restore() == []
    assert not pool.manager.hosts["local"].cordoned


def test_a_host_that_is_uncordoned_by_a_step_is_not_again_at_the_end(pool: Pool) -> None:
    made = pool.world.attach(steps.Attach("cpu.1"))
    pool.world.drain(made.instance, "h2", 60.0)
    pool.world.uncordon("h2")
    pool.manager.fail_next(Unavailable("POOL_UNREACHABLE", "nobody answers"))
    assert pool.world.restore() == []


def test_a_host_that_stays_cordoned_is_said(pool: Pool) -> None:
    made = pool.world.attach(steps.Attach("cpu.1"))
    pool.world.drain(made.instance, "", 60.0)
    pool.manager.fail_next(Unavailable("POOL_UNREACHABLE", "nobody answers"))
    assert pool.world.restore() == [
        "local is still cordoned: POOL_UNREACHABLE: nobody answers",
    ]


def test_a_drain_that_does_not_end_says_what_is_stuck(pool: Pool) -> None:
    made = pool.world.attach(steps.Attach("cpu.1"))
    pool.manager.stuck[made.instance] = "NO_DEVICE: there is no room"
    with pytest.raises(DeadlineExceeded) as raised:
        pool.world.drain(made.instance, "", 5.0)
    assert raised.value.message == (
        "local still has 1 of 1 instances after 5 s; stuck: ei-0001: NO_DEVICE: there is no room"
    )
    # What was begun is undone all the same.
    pool.world.restore()
    assert not pool.manager.hosts["local"].draining


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            steps.Drain("h9"),
            "s.yaml:1: step 1: there is no host h9: there are local, h2 (cordoned)",
        ),
        (steps.Uncordon("h9"), "s.yaml:1: step 1: there is no host h9: there are local, "),
        (steps.Drain(), "s.yaml:1: step 1: a drain needs another host that takes instances: "),
        (steps.Drain("local"), "s.yaml:1: step 1: a drain needs another host that takes inst"),
    ],
)
def test_what_can_not_be_drained_is_said_before_the_first_step(
    pool: Pool, step: steps.Step, said: str
) -> None:
    pool.manager.hosts["h2"].cordoned = True
    with pytest.raises(UsageError) as raised:
        pool.world.check(drains(step))
    assert raised.value.message.startswith(said)


def test_one_host_is_drained_to_another_however_it_stands_itself(pool: Pool) -> None:
    pool.manager.hosts["h2"].cordoned = True
    pool.world.check(drains(steps.Drain("h2"), steps.Uncordon("local")))
    pool.manager.hosts["h2"].cordoned = False
    pool.world.check(drains(steps.Drain()))


def test_an_operator_is_asked_for_by_those_that_need_one(pool: Pool) -> None:
    pool.manager.fail_next(Unavailable("POOL_UNREACHABLE", "nobody answers"))
    pool.world.check(drains(steps.Attach("cpu.1"), steps.Kill(steps.Victim.WORKER)))
    with pytest.raises(Unavailable):
        pool.world.check(drains(steps.Drain()))


def test_the_state_and_type_that_came_of_it_are_told(pool: Pool) -> None:
    made = pool.world.attach(steps.Attach("cpu.1"))
    assert pool.world.stop(made.instance) == "BOUND"
    assert pool.world.start(made.instance) == "IN_USE"


def test_who_waits_is_woken_by_the_end(pool: Pool) -> None:
    pool.world.pause(5.0)
    assert pool.world.now() == 5.0
    pool.world.end()
    with pytest.raises(Stopped):
        pool.world.pause(5.0)
