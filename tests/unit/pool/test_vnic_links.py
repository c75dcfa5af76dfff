"""The kernel's vNICs in the pool's state: planned with a lease, kept with it, gone with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eais.instance_policy import InstancePolicy
from eais.net.plan import KERNEL_DRIVERS, VETH, VXLAN, WIREGUARD
from eais_pool.brain.actions import Grant, Send
from eais_pool.brain.events import HostLost
from eais_pool.brain.net_records import NetAbility, NetLink, NetOffer
from eais_pool.brain.net_rules import NetRule, NetRules
from eais_pool.testing import FakeHost
from eais_pool.testing.brains import device
from tests.unit.pool.rig import SETTINGS, Pool

ALL = tuple(map(NetAbility, KERNEL_DRIVERS))
FRONT = NetOffer("agent-f", ALL, "10.0.0.1", "aa" * 32, 11, 1500)
BACK = NetOffer("agent-b", ALL, "10.0.0.2", "bb" * 32, 12, 1500)
OTHER = NetOffer("agent-c", ALL, "10.0.0.3", "cc" * 32, 13, 1500)


def host(name: str = "h1", net: NetOffer | None = BACK, cores: int = 4) -> FakeHost:
    return FakeHost(name, [device(milli=cores * 1000)], net=net)


def attached(pool: Pool, vnic: str = "", net: NetOffer | None = FRONT, tenant: str = "acme") -> str:
    pool.ask("attach", type="cpu.1", vnic=vnic, net=net, tenant=tenant)
    pool.deliver()
    made = pool.view().id
    pool.published()
    return made


def link_of(pool: Pool, instance: str) -> NetLink:
    lease = pool.shell.state.live_lease(instance)
    assert lease is not None
    assert lease.link is not None
    assert (lease.vnic_driver, lease.address) == (lease.link.driver, lease.link.address)
    return lease.link


def grants(pool: Pool) -> list[Grant]:
    return [s.command for s in pool.shell.said_of(Send) if isinstance(s.command, Grant)]


def test_a_front_end_and_a_back_end_with_agents_get_a_link() -> None:
    pool = Pool(host())
    link = link_of(pool, attached(pool))
    assert (link.driver, link.backend, link.frontend) == (VXLAN, BACK, FRONT)
    pool.end()


def test_the_grant_has_it() -> None:
    pool = Pool(host())
    pool.ask("attach", type="cpu.1", net=FRONT)
    [grant] = grants(pool)
    assert grant.link is not None
    assert (grant.vnic_driver, grant.address) == (VXLAN, grant.link.address)


@pytest.mark.parametrize("vnic", ["", "auto", "loopback"])
def test_without_an_agent_all_is_as_it_was(vnic: str) -> None:
    pool = Pool(host(net=None))
    pool.ask("attach", type="cpu.1", vnic=vnic)
    [grant] = grants(pool)
    assert (grant.vnic_driver, grant.address, grant.link) == ("loopback", "127.64.16.16", None)


def test_what_is_asked_for_is_planned() -> None:
    pool = Pool(host())
    assert link_of(pool, attached(pool, WIREGUARD)).driver == WIREGUARD
    assert link_of(pool, attached(pool, VXLAN)).driver == VXLAN
    same = replace(FRONT, agent=BACK.agent)
    assert link_of(pool, attached(pool, VETH, same)).driver == VETH
    pool.end()


def test_no_two_have_an_address_in_common() -> None:
    pool = Pool(host(), host("h2", OTHER))
    names = [attached(pool, tenant=tenant) for tenant in ("acme", "bravo", "acme", "bravo")]
    links = [link_of(pool, name) for name in names]
    addresses = {text for link in links for text in (link.address, link.peer)}
    assert len(addresses) == 8
    assert len({link.number for link in links}) == 4
    pool.end()


def test_none_has_the_address_of_the_manager() -> None:
    rule = NetRules(NetRule("198.18.0.0/29"))
    free = link_of(pool := Pool(host(), settings=replace(SETTINGS, vnics=rule)), attached(pool))
    pool.end()
    bound = replace(SETTINGS, vnics=rule, vnic_driver="host", bind=free.address)
    pool = Pool(FakeHost("h1", [device()], net=BACK, vnic_address="10.0.0.1"), settings=bound)
    link = link_of(pool, attached(pool))
    assert {link.address, link.peer}.isdisjoint({free.address, free.peer})
    pool.end()


def test_a_driver_that_nobody_can_have_is_refused() -> None:
    pool = Pool(host())
    pool.ask("attach", type="cpu.1", vnic="tun", net=FRONT)
    failure = pool.failure()
    assert (failure.reason, failure.message) == ("ARGUMENT", "no vNIC driver 'tun'")
    assert "wireguard" in failure.hint


def test_one_that_no_host_can_is_refused_with_the_reason() -> None:
    pool = Pool(host(net=None))
    pool.ask("attach", type="cpu.1", vnic=VXLAN, net=FRONT)
    failure = pool.failure()
    assert failure.reason == "NET_DRIVER"
    assert "the back-end has no network agent" in failure.message
    assert "eais net agent" in failure.hint
    assert not pool.shell.state.instances


def test_a_host_that_cannot_is_passed_over() -> None:
    pool = Pool(host("h1", None), host("h2", BACK, cores=1))
    instance = attached(pool, VXLAN)
    lease = pool.shell.state.live_lease(instance)
    assert lease is not None
    assert lease.host == "h2"
    pool.end()


def test_why_it_has_it_is_said() -> None:
    pool = Pool(host())
    lease = pool.shell.state.live_lease(attached(pool))
    assert lease is not None
    assert lease.why.endswith("vxlan: both ends are between two hosts, and their agents can")
    pool.end()


CAPPED = InstancePolicy(vnic_cap_bytes_per_s=12_500_000)


def test_a_cap_is_planned_and_stays_when_it_is_granted_again() -> None:
    back = host()
    pool = Pool(back)
    pool.ask("attach", type="cpu.1", net=FRONT, policy=CAPPED)
    pool.deliver()
    link = link_of(pool, pool.view().id)
    assert (link.driver, link.cap_bytes_per_s) == (VXLAN, 12_500_000)
    pool.shell.feed(HostLost("h1"))
    back.leases.clear()
    pool.shell.feed(back.join())
    again = grants(pool)[-1].link
    assert again is not None
    assert again.cap_bytes_per_s == 12_500_000
    assert again.generation > link.generation


@pytest.mark.parametrize("vnic", ["", "auto", "loopback"])
def test_a_cap_that_nobody_would_keep_is_refused(vnic: str) -> None:
    pool = Pool(host(net=None))
    pool.ask("attach", type="cpu.1", vnic=vnic, net=FRONT, policy=CAPPED)
    failure = pool.failure()
    assert failure.reason == "NET_DRIVER"
    assert "loopback" in failure.message
    assert "veth, vxlan or wireguard" in failure.hint
    assert not pool.shell.state.instances


def test_a_capped_one_goes_where_its_cap_is_kept() -> None:
    pool = Pool(host("h1", None), host("h2", BACK, cores=1))
    pool.ask("attach", type="cpu.1", net=FRONT, policy=CAPPED)
    pool.deliver()
    lease = pool.shell.state.live_lease(pool.view().id)
    assert lease is not None
    assert lease.host == "h2"
    pool.published()
    pool.end()


def test_what_is_asked_for_belongs_to_the_question() -> None:
    pool = Pool(host())
    op = pool.ask("attach", type="cpu.1", vnic=VXLAN, net=FRONT)
    pool.deliver()
    first = pool.view()
    pool.published()
    pool.ask("attach", type="cpu.1", vnic=VXLAN, net=OTHER, op=op)
    assert pool.view() == first
    pool.ask("attach", type="cpu.1", vnic=WIREGUARD, net=FRONT, op=op)
    assert pool.failure().reason == "IDEMPOTENCY_MISMATCH"


def test_a_host_that_lost_the_lease_gets_it_again_with_a_later_plan() -> None:
    back = host()
    pool = Pool(back)
    instance = attached(pool)
    before = link_of(pool, instance)
    pool.shell.feed(HostLost("h1"))
    back.leases.clear()
    back.net = replace(BACK, underlay="10.0.0.9")
    pool.shell.feed(back.join())
    [again] = grants(pool)
    assert again.link is not None
    assert (again.link.address, again.link.peer) == (before.address, before.peer)
    assert again.link.generation == before.generation + 1
    assert again.link.backend.underlay == "10.0.0.9"


def test_a_host_whose_agent_is_away_keeps_the_lease_as_it_was() -> None:
    back = host()
    pool = Pool(back)
    instance = attached(pool, VXLAN)
    before = link_of(pool, instance)
    pool.shell.feed(HostLost("h1"))
    back.leases.clear()
    back.net = None
    pool.shell.feed(back.join())
    [again] = grants(pool)
    assert again.link == before


def test_a_later_lease_has_a_later_generation() -> None:
    pool = Pool(host())
    instance = attached(pool)
    first = link_of(pool, instance)
    pool.ask("stop", instance)
    pool.deliver()
    pool.view()
    pool.published()
    pool.ask("start", instance)
    pool.deliver()
    pool.view()
    pool.published()
    assert link_of(pool, instance).generation > first.generation
    pool.end()


def test_a_front_end_that_left_takes_its_offer_along() -> None:
    pool = Pool(host())
    pool.ask("create", type="cpu.1")
    instance = pool.view().id
    pool.ask("attach", instance, vnic=VXLAN, net=FRONT)
    pool.deliver()
    pool.view()
    pool.published()
    pool.ask("detach", instance)
    pool.deliver()
    pool.view()
    pool.published()
    record = pool.shell.state.instances[instance]
    assert (record.vnic, record.net) == ("", None)
    pool.end()
