"""Which ends lead to an instance, and which nobody needs any more."""

from __future__ import annotations

import pytest

from eais.instance import InstanceState
from eais.net.plan import Side, VnicKey
from eais_client.brain.ways import Found, Ways, stale
from eais_client.instances import Instance
from eais_client.testing import fake_instance
from eais_client.testing.vnics import POOL, fake_vnic
from eais_client.vnic_end import Vnic, VnicEnd


def end(host: str, generation: int = 1, n: int = 1) -> VnicEnd:
    found = fake_vnic("ei-1", host, generation, n).end
    assert found is not None
    return found


A, B, C = end("a", 1, 1), end("b", 2, 2), end("c", 3, 3)


def at(host: str, generation: int = 1, n: int = 1) -> Instance:
    return fake_instance(host=host, vnic=fake_vnic("ei-1", host, generation, n))


def found(host: str, generation: int = 1, n: int = 1, instance: str = "ei-1") -> Found:
    key = VnicKey(POOL, instance, host, Side.FRONTEND)
    return Found(key, generation, f"198.18.0.{2 * n}")


def test_the_way_to_where_it_was_stays_while_a_stream_goes_there() -> None:
    ways = Ways(A).now(B)
    assert ways.without({A.peer}, for_good=False) == ((), ways)
    assert ways.without({B.peer}, for_good=False) == ((A,), Ways(B))


def test_a_later_plan_of_the_same_end_leaves_nothing() -> None:
    later = end("a", 5, 1)
    assert Ways(A).now(later) == Ways(later)


def test_the_way_that_was_to_be_is_the_one_once_it_has_moved() -> None:
    ways = Ways(A).about_to(B)
    assert ways.without((), for_good=False) == ((), ways)
    assert ways.now(B) == Ways(B, None, (A,))


def test_where_it_will_not_move_after_all_is_left() -> None:
    assert Ways(A).about_to(B).about_to(C) == Ways(A, C, (B,))


def test_one_that_comes_back_is_not_left() -> None:
    assert Ways(A).now(B).now(A) == Ways(A, None, (B,))


def test_for_good_all_are_left() -> None:
    assert Ways(A, B, (C,)).without({A.peer, B.peer, C.peer}, for_good=True) == ((A, B, C), Ways())


@pytest.mark.parametrize(
    "instance",
    [
        fake_instance(),
        fake_instance(state=InstanceState.DRAINING),
        fake_instance(host="a", vnic=Vnic("vxlan", "198.18.0.2")),
    ],
    ids=["granted again", "drained", "no plan told"],
)
def test_while_it_is_not_said_where_it_is_the_way_stays(instance: Instance) -> None:
    assert Ways(A).learned(instance) == Ways(A)
    assert stale([found("a")], [instance], POOL, "owner") == ()


def test_where_no_agent_makes_the_vnic_the_old_way_is_left() -> None:
    moved = fake_instance(host="b", vnic=Vnic("host", "192.0.2.7"))
    assert Ways(A).learned(moved) == Ways(None, None, (A,))
    assert stale([found("a")], [moved], POOL, "owner") == (found("a"),)


def test_what_leads_to_an_instance_is_not_stale() -> None:
    assert stale([found("a")], [at("a", 7)], POOL, "owner") == ()


@pytest.mark.parametrize(
    "instances",
    [
        [],
        [fake_instance("ei-2")],
        [fake_instance(frontend="another")],
        [fake_instance(state=InstanceState.BOUND)],
        [fake_instance(state=InstanceState.FAILED)],
    ],
    ids=["gone", "of another instance", "another's", "stopped", "failed"],
)
def test_an_end_of_an_instance_that_is_not_ours_to_call_is_stale(instances: list[Instance]) -> None:
    assert stale([found("a")], instances, POOL, "owner", in_use={"198.18.0.2"}) == (found("a"),)


def test_after_a_move_the_old_end_is_stale_once_nothing_is_connected_there() -> None:
    moved = [at("b", 2, 2)]
    assert stale([found("a"), found("b", 2, 2)], moved, POOL, "owner") == (found("a"),)
    assert stale([found("a")], moved, POOL, "owner", in_use={"198.18.0.2"}) == ()


def test_the_end_to_where_it_is_about_to_move_is_not_stale() -> None:
    assert stale([found("b", 2, 2)], [at("a")], POOL, "owner") == ()


def test_another_pools_ends_are_that_pools() -> None:
    assert stale([found("a")], [], "another-pool", "owner") == ()
