"""What a front-end has its host's network agent make."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from eais.errors import EaisError, make_error
from eais.net.asking import NetAgent
from eais.testing import FakeNetAgent
from eais_client.brain.ways import Found
from eais_client.config import ClientConfig
from eais_client.testing import FakeClock, fake_instance
from eais_client.testing.vnics import OWNER, POOL, fake_vnic, planned_vnic
from eais_client.vnic_end import EndHere, Vnic, VnicEnd
from eais_client.vnic_ends import LEAVE_WITHIN_S, VnicEnds


class Stand:
    """A front-end's ends, an agent, and connections that last until a clock says otherwise."""

    def __init__(self, agent: FakeNetAgent) -> None:
        self.agent = agent
        self.clock = FakeClock()
        self.connected_until = 0.0
        self.peer = "198.18.0.2"
        self.ends = VnicEnds(agent.ask(), self.peers, self.clock, self.clock.sleep)

    def peers(self) -> set[str]:
        return {self.peer} if self.clock.now < self.connected_until else set()

    @property
    def generations(self) -> list[int]:
        return [plan.generation for plan in self.agent.plans.values()]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with FakeNetAgent(tmp_path / "net.sock") as agent:
        yield Stand(agent)


@pytest.fixture
def alone(tmp_path: Path) -> VnicEnds:
    """Where no agent is."""
    return VnicEnds(NetAgent(tmp_path / "net.sock"))


def end_of(vnic: Vnic) -> VnicEnd:
    assert vnic.end is not None
    return vnic.end


def test_an_end_is_made_once_a_plan(stand: Stand) -> None:
    stand.ends.make(fake_vnic(generation=3))
    stand.agent.fail_next("create", make_error("NETDEV", "no"))
    stand.ends.reach(fake_vnic(generation=3))
    assert stand.generations == [3]
    with pytest.raises(EaisError, match="NETDEV: no"):
        stand.ends.reach(fake_vnic(generation=4))
    stand.ends.reach(fake_vnic(generation=4))
    assert stand.generations == [4]


def test_one_that_may_be_wrong_is_made_again(stand: Stand) -> None:
    stand.ends.make(fake_vnic())
    stand.agent.plans.clear()
    stand.ends.reach(fake_vnic(), again=True)
    assert stand.generations == [1]


def test_what_needs_no_agent_asks_none(alone: VnicEnds) -> None:
    alone.make(Vnic("loopback", "127.64.16.18"))
    alone.reach(Vnic("host", "192.0.2.1"), again=True)


def test_calls_wait_for_an_agent_that_is_away_as_for_a_host(alone: VnicEnds) -> None:
    with pytest.raises(EaisError) as caught:
        alone.reach(fake_vnic())
    assert (caught.value.reason, caught.value.retryable) == ("HOST_UNREACHABLE", True)
    text = "the vxlan to 198.18.0.2 isn't there: NET_AGENT: no network agent answers at "
    assert caught.value.message == f"{text}{alone.agent.path}"
    assert caught.value.hint == "start it on this host: eais net agent"


def test_an_attach_hears_of_it_in_the_agents_own_words(alone: VnicEnds) -> None:
    with pytest.raises(EaisError) as caught:
        alone.make(fake_vnic())
    assert caught.value.reason == "NET_AGENT"


def test_a_plan_that_is_refused_may_have_been_replaced(stand: Stand) -> None:
    stand.ends.make(fake_vnic(generation=5))
    with pytest.raises(EaisError) as caught:
        VnicEnds(stand.agent.ask()).reach(fake_vnic(generation=4))
    assert caught.value.reason == "HOST_UNREACHABLE"
    assert "NET_PLAN: an older plan than was carried out" in caught.value.message


@pytest.mark.parametrize("op", ["make", "reach"])
def test_a_plan_for_an_agent_of_before_says_what_helps(stand: Stand, op: str) -> None:
    stand.agent.said.agent = "reinstalled"
    stand.agent.fail_next("create", make_error("NET_PLAN", "it is for the agent 'fake0'"))
    with pytest.raises(EaisError) as caught:
        getattr(stand.ends, op)(fake_vnic())
    assert (caught.value.reason, caught.value.retryable) == ("NET_AGENT", False)
    assert caught.value.message == (
        "the vNIC of ei-1 is planned for the network agent fake0, and this host's is reinstalled"
    )
    assert caught.value.hint == "eais detach ei-1, then attach it again"


def test_without_a_plan_it_says_so(stand: Stand) -> None:
    untold = replace(fake_vnic(), end=None)
    with pytest.raises(EaisError, match="NET_PLAN: the pool has told no plan of the vxlan"):
        stand.ends.make(untold)
    with pytest.raises(EaisError, match="HOST_UNREACHABLE"):
        stand.ends.reach(untold)


@pytest.mark.parametrize("plan", [b"\xff", b"\x0a\x01a"], ids=["no message", "no plan"])
def test_a_plan_that_can_not_be_is_none_and_hinders_nobody(
    plan: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    message = planned_vnic()
    message.plan.plan = plan
    assert Vnic.of_message(message).end is None
    assert "a vNIC's plan can't be read" in caplog.text


def test_an_end_is_left_when_nothing_is_connected_there(stand: Stand) -> None:
    stand.ends.make(fake_vnic())
    stand.connected_until = stand.clock.now + 5
    stand.ends.leave(end_of(fake_vnic()))
    assert sum(stand.clock.slept) == 5
    assert stand.generations == []


def test_a_connection_that_never_ends_is_not_waited_for(stand: Stand) -> None:
    stand.ends.make(fake_vnic())
    stand.connected_until = stand.clock.now + 10 * LEAVE_WITHIN_S
    stand.ends.leave(end_of(fake_vnic()))
    assert sum(stand.clock.slept) == LEAVE_WITHIN_S
    assert stand.generations == []


def test_leaving_hurts_no_later_plan_and_no_earlier_one_comes_back(stand: Stand) -> None:
    VnicEnds(stand.agent.ask()).make(fake_vnic(generation=2))
    stand.ends.leave(end_of(fake_vnic(generation=1)))
    assert stand.generations == [2]
    stand.ends.leave(end_of(fake_vnic(generation=2)))
    with pytest.raises(EaisError, match="NET_PLAN"):
        stand.ends.make(fake_vnic(generation=2))
    stand.ends.make(fake_vnic(generation=3))
    assert stand.generations == [3]


def test_an_agent_that_is_away_is_asked_again(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    stand.ends.make(fake_vnic())
    for _ in range(3):
        stand.agent.fail_next("destroy", make_error("NET_AGENT", "it ended before it answered"))
    stand.ends.leave(end_of(fake_vnic()))
    assert (sum(stand.clock.slept), stand.generations, caplog.text) == (3, [], "")


def test_what_can_not_be_left_is_logged(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    stand.ends.make(fake_vnic())
    stand.agent.fail_next("destroy", make_error("NETDEV", "busy"))
    stand.ends.leave(end_of(fake_vnic()))
    assert "the vNIC of ei-1 is left on this host: NETDEV: busy" in caplog.text
    assert stand.clock.slept == []


def test_an_agent_that_stays_away_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    ends = VnicEnds(NetAgent(tmp_path / "net.sock"), tuple, clock, clock.sleep)
    ends.leave(end_of(fake_vnic()))
    assert "the vNIC of ei-1 is left on this host: NET_AGENT: " in caplog.text
    assert sum(clock.slept) == LEAVE_WITHIN_S


@pytest.mark.parametrize("vnic", ["", "auto", "veth", "vxlan", "wireguard"])
def test_the_pool_is_offered_what_this_host_can(stand: Stand, vnic: str) -> None:
    assert stand.ends.offer(vnic) == stand.agent.said


@pytest.mark.parametrize("vnic", ["loopback", "host"])
def test_nothing_is_offered_for_what_needs_none(stand: Stand, vnic: str) -> None:
    assert stand.ends.offer(vnic) is None


def test_where_no_agent_is_none_is_offered_unless_it_is_asked_for(
    alone: VnicEnds, caplog: pytest.LogCaptureFixture
) -> None:
    assert [alone.offer(vnic) for vnic in ("", "auto")] == [None, None]
    assert not caplog.text
    with pytest.raises(EaisError, match="NET_AGENT"):
        alone.offer("vxlan")


def test_an_agent_that_fails_is_said_and_attaching_goes_on(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    stand.agent.fail_next("offer", make_error("NETDEV", "no"))
    assert stand.ends.offer("auto") is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "NETDEV: no" in caplog.text


def test_own_ends_are_found_and_no_others(stand: Stand) -> None:
    stand.ends.make(fake_vnic())
    stand.ends.make(Vnic.of_message(planned_vnic("ei-2", n=2, owner="spiffe://p/manager")))
    own = Found(end_of(fake_vnic()).key, 1, "198.18.0.2")
    assert stand.ends.found(OWNER) == (own,)


def test_stale_ones_are_told_by_the_connections_that_are_there(stand: Stand) -> None:
    stand.ends.make(fake_vnic())
    found = stand.ends.found(OWNER)
    moved = fake_instance(host="host-2", vnic=fake_vnic("ei-1", "host-2", 2, 2))
    stand.connected_until = stand.clock.now + 1
    assert stand.ends.stale(found, [moved], POOL, "owner") == ()
    stand.clock.sleep(1)
    assert stand.ends.stale(found, [moved], POOL, "owner") == found


def test_without_an_agent_nothing_is_here(alone: VnicEnds) -> None:
    assert alone.found(OWNER) == ()
    assert alone.here(fake_vnic()) is None


def test_an_end_that_is_here_is_shown(stand: Stand) -> None:
    assert stand.ends.here(fake_vnic()) is None
    stand.ends.make(fake_vnic())
    assert stand.ends.here(fake_vnic()) == EndHere("eaisfake", 0)
    assert stand.ends.here(Vnic("loopback", "127.64.16.18")) is None


def test_the_agent_is_the_one_that_the_settings_name(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    assert VnicEnds.of_config(ClientConfig(net_agent=str(path))).agent.path == path
    assert VnicEnds.of_config(ClientConfig()).agent == NetAgent()
    with pytest.raises(EaisError, match="net_agent must be an absolute path"):
        ClientConfig.of_environ({"EAIS_NET_AGENT": "a.sock"}, tmp_path / "config.toml")
