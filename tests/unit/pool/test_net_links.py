"""Which driver a vNIC has, and that no two have an address, a number or a port in common."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eais.errors import EaisError
from eais.net.plan import KERNEL_DRIVERS, VETH, VXLAN, WIREGUARD, Side
from eais_pool.brain.codec import from_json, to_json
from eais_pool.brain.net_links import (
    WIREGUARD_PORTS,
    TakenLink,
    check_network,
    choose_driver,
    plan_link,
)
from eais_pool.brain.net_records import NetAbility, NetLink, NetOffer

NETWORK = "198.18.0.0/15"
ALL = tuple(map(NetAbility, KERNEL_DRIVERS))
FRONT = NetOffer("agent-f", ALL, "10.0.0.1", "aa" * 32, 11, 1500)
BACK = NetOffer("agent-b", ALL, "10.0.0.2", "bb" * 32, 12, 1500)
SAME = replace(FRONT, agent="agent-b")
OTHER = replace(BACK, agent="agent-c")


def test_auto_is_veth_on_one_host_and_vxlan_between_two() -> None:
    assert choose_driver("", "loopback", SAME, BACK).driver == VETH
    assert choose_driver("auto", "host", FRONT, BACK).driver == VXLAN


def test_auto_without_two_agents_is_the_back_ends_own() -> None:
    for front, back in ((None, None), (FRONT, None), (None, BACK)):
        choice = choose_driver("auto", "host", front, back)
        assert choice == ("", "host: not both hosts have a network agent")


def test_auto_that_can_have_neither_says_why() -> None:
    one_space = replace(SAME, namespace=BACK.namespace)
    choice = choose_driver("auto", "loopback", one_space, BACK)
    assert choice.driver == ""
    assert "share a network namespace" in choice.why
    assert "are on one host" in choice.why


def test_what_is_asked_for_is_had() -> None:
    assert choose_driver("loopback", "loopback", FRONT, BACK).driver == ""
    for driver, front in ((VETH, SAME), (VXLAN, FRONT), (WIREGUARD, FRONT)):
        assert choose_driver(driver, "host", front, BACK).driver == driver


def lacking(driver: str, why: str) -> tuple[NetAbility, ...]:
    return tuple(replace(each, missing=why) if each.driver == driver else each for each in ALL)


@pytest.mark.parametrize(
    ("asked", "front", "back", "named"),
    [
        ("host", FRONT, BACK, "the back-end's own driver is loopback"),
        ("tun", FRONT, BACK, "'tun'"),
        (VETH, FRONT, BACK, "are on different hosts"),
        (VETH, replace(SAME, namespace=0), BACK, "isn't given the front-end's network namespace"),
        (VETH, SAME, replace(BACK, namespace=0), "isn't given the back-end's network namespace"),
        (VXLAN, SAME, BACK, "are on one host"),
        (
            VXLAN,
            replace(FRONT, underlay=""),
            BACK,
            "agent of the front-end's host knows no address",
        ),
        (VXLAN, FRONT, replace(BACK, underlay=""), "agent of the back-end knows no address"),
        (WIREGUARD, replace(FRONT, key=""), BACK, "no WireGuard key"),
        (VXLAN, None, BACK, "the front-end's host has no network agent"),
        (VXLAN, FRONT, None, "the back-end has no network agent"),
        (VXLAN, None, None, "front-end's host has no network agent; the back-end has no"),
        (VXLAN, FRONT, replace(BACK, abilities=()), "doesn't know the driver"),
        (
            WIREGUARD,
            replace(FRONT, abilities=lacking(WIREGUARD, "no module")),
            BACK,
            "the front-end's host: no module",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_with_whose_fault_it_is(
    asked: str, front: NetOffer | None, back: NetOffer | None, named: str
) -> None:
    with pytest.raises(EaisError) as caught:
        choose_driver(asked, "loopback", front, back)
    assert caught.value.reason == "NET_DRIVER"
    assert named in caught.value.message


def test_a_wireguard_front_end_that_nobody_can_call_calls() -> None:
    hidden = replace(FRONT, underlay="")
    assert choose_driver(WIREGUARD, "host", hidden, BACK).driver == WIREGUARD
    plan = link(WIREGUARD, front=hidden).plan("pool", "ei-1", "t", "rack1", Side.BACKEND)
    assert (plan.peer_underlay, plan.peer_port) == ("", 0)


def link(
    driver: str = VXLAN,
    tenant: str = "acme",
    taken: tuple[TakenLink, ...] = (),
    front: NetOffer = FRONT,
    back: NetOffer = BACK,
    network: str = NETWORK,
    turn: int = 0,
) -> NetLink:
    return plan_link(driver, tenant, network, 7, front, back, taken, 1000, turn)


@pytest.mark.parametrize(("driver", "front"), [(VETH, SAME), (VXLAN, FRONT), (WIREGUARD, FRONT)])
def test_both_ends_have_plans_that_fit_each_other(driver: str, front: NetOffer) -> None:
    made = link(driver, front=front)
    back = made.plan("pool", "ei-1", "acme", "rack1", Side.BACKEND)
    other = made.plan("pool", "ei-1", "acme", "rack1", Side.FRONTEND)
    assert (
        (back.agent, back.peer_agent) == (other.peer_agent, other.agent) == ("agent-b", front.agent)
    )
    assert (back.address, back.peer) == (other.peer, other.address)
    assert (back.number, back.generation, back.driver) == (other.number, 7, driver)
    assert (back.port, back.peer_port) == (other.peer_port, other.port)
    assert (back.cap_bytes_per_s, other.cap_bytes_per_s) == (1000, 0)
    assert back.peer_namespace == front.namespace


def test_it_is_kept_in_the_journal_as_it_is() -> None:
    made = link(WIREGUARD)
    assert from_json(NetLink, to_json(made)) == made


def test_tenants_have_blocks_of_their_own() -> None:
    first = link()
    second = link(tenant="bravo", taken=(TakenLink("acme", first),))
    third = link(taken=(TakenLink("acme", first), TakenLink("bravo", second)))
    assert (first.address, first.peer) == ("198.18.0.2", "198.18.0.3")
    assert second.address == "198.18.1.2"
    assert third.address == "198.18.0.4"


def test_a_tenant_with_a_full_block_gets_another() -> None:
    taken: tuple[TakenLink, ...] = ()
    for _ in range(130):
        taken = (*taken, TakenLink("acme", link(taken=taken)))
    blocks = {each.link.address.rpartition(".")[0] for each in taken}
    assert blocks == {"198.18.0", "198.18.1"}


def test_networks_that_overlap_give_no_address_twice() -> None:
    first = link(network="10.9.0.0/24")
    second = link(tenant="bravo", network="10.9.0.0/25", taken=(TakenLink("acme", first),))
    assert {first.address, first.peer}.isdisjoint({second.address, second.peer})


def test_a_network_that_is_used_up_is_said() -> None:
    taken: tuple[TakenLink, ...] = ()
    for _ in range(6):
        taken = (*taken, TakenLink("acme", link(taken=taken, network="10.9.0.0/28")))
    with pytest.raises(EaisError) as caught:
        link(taken=taken, network="10.9.0.0/28")
    assert caught.value.reason == "ADDRESSES_EXHAUSTED"
    assert "of 10.9.0.0/28 are free for the tenant acme, which has 6 vNICs" in caught.value.message
    assert "[vnic.tenants.acme]" in (caught.value.hint or "")


def test_no_vnic_has_the_address_of_a_machine_that_it_is_between() -> None:
    made = link(network="10.9.0.0/29", front=replace(FRONT, underlay="10.9.0.2"))
    assert (made.address, made.peer) == ("10.9.0.4", "10.9.0.5")
    made = plan_link(VXLAN, "acme", "10.9.0.0/29", 7, FRONT, BACK, (), machines=["10.9.0.3"])
    assert made.address == "10.9.0.4"


def test_tenants_of_one_network_share_its_last_block() -> None:
    taken: tuple[TakenLink, ...] = ()
    for tenant in ("acme", "globex", "initech"):
        taken = (*taken, TakenLink(tenant, link(tenant=tenant, taken=taken, network="10.9.0.0/23")))
    blocks = [each.link.address.rpartition(".")[0] for each in taken]
    assert blocks == ["10.9.0", "10.9.1", "10.9.0"]


NETWORKS = {
    "acme": "10.9.0.0/28",
    "bravo": "10.9.0.0/27",
    "charly": "10.9.0.8/29",
    "delta": "10.9.0.0/24",
    "echo": "10.9.0.0/24",
    "foxtrot": "10.9.0.0/23",
}


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(sorted(NETWORKS)), st.integers(0, 99)), max_size=40))
def test_networks_that_overlap_share_no_address_until_they_are_full(
    steps: list[tuple[str, int]],
) -> None:
    taken: list[TakenLink] = []
    for turn, (tenant, goes) in enumerate(steps):
        if goes < 30 and taken:
            taken.pop(goes % len(taken))
        network = IPv4Network(NETWORKS[tenant])
        used = {text for each in taken for text in (each.link.address, each.link.peer)}
        blocks = network.subnets(new_prefix=max(24, network.prefixlen))
        hosts = [
            int(block.network_address) + n
            for block in blocks
            for n in range(2, block.num_addresses - 2, 2)
        ]
        free = [at for at in hosts if not {str(IPv4Address(at)), str(IPv4Address(at + 1))} & used]
        if not free:
            with pytest.raises(EaisError, match="no two addresses"):
                link(VXLAN, tenant, tuple(taken), network=str(network), turn=turn)
            continue
        made = link(VXLAN, tenant, tuple(taken), network=str(network), turn=turn)
        assert int(IPv4Address(made.address)) in free
        assert int(IPv4Address(made.peer)) == int(IPv4Address(made.address)) + 1
        taken.append(TakenLink(tenant, made))


def test_wireguard_ports_are_an_agents_own() -> None:
    first = link(WIREGUARD)
    taken = (TakenLink("acme", first),)
    same = link(WIREGUARD, taken=taken)
    elsewhere = link(WIREGUARD, taken=taken, back=OTHER)
    low = WIREGUARD_PORTS.start
    assert (first.port, first.peer_port) == (low, low)
    assert (same.port, same.peer_port) == (low + 1, low + 1)
    assert (elsewhere.port, elsewhere.peer_port) == (low, low + 1)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([VXLAN, WIREGUARD]),
            st.sampled_from(["acme", "bravo", "charly"]),
            st.sampled_from([FRONT, OTHER]),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_whatever_comes_and_goes_nothing_is_had_twice(
    steps: list[tuple[str, str, NetOffer, bool]],
) -> None:
    taken: list[TakenLink] = []
    for driver, tenant, front, goes in steps:
        if goes and taken:
            taken.pop(len(taken) // 2)
        taken.append(TakenLink(tenant, link(driver, tenant, tuple(taken), front)))
        links = [each.link for each in taken]
        addresses = [text for each in links for text in (each.address, each.peer)]
        assert len(set(addresses)) == len(addresses)
        numbers = [each.number for each in links if each.driver == VXLAN]
        assert len(set(numbers)) == len(numbers)
        ports = [
            at
            for each in links
            if each.driver == WIREGUARD
            for at in ((each.backend.agent, each.port), (each.frontend.agent, each.peer_port))
        ]
        assert len(set(ports)) == len(ports)


@pytest.mark.parametrize("text", ["198.18.0.0/15", "10.0.0.0/8", "100.64.3.0/29"])
def test_a_network_that_will_do(text: str) -> None:
    assert check_network(text) == text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("10.0.0.0/33", "no IPv4 network"),
        ("10.0.0.1/24", "no IPv4 network"),
        ("fd00::/64", "no IPv4 network"),
        ("", "no IPv4 network"),
        ("10.0.0.0/30", "too small"),
        ("127.64.0.0/16", "overlaps 127.0.0.0/8"),
        ("0.0.0.0/0", "overlaps 0.0.0.0/8"),
        ("224.0.0.0/8", "overlaps 224.0.0.0/3"),
    ],
)
def test_a_network_that_will_not_do_is_named(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        check_network(text)
