"""veth and VXLAN between network namespaces: made, mended, capped, counted, and gone."""

from __future__ import annotations

import secrets
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from eais.errors import ConfigError
from eais.net.plan import VETH, VXLAN, NetPlan, Side, VnicKey
from eais_server.net.link import LinkDriver
from eais_server.net.links import netlink
from eais_server.net.links.ends import Ends, counted_by
from eais_server.net.links.entering import in_namespace
from eais_server.net.links.naming import interface_name, other_end
from eais_server.net.links.probing import probe_kind
from eais_server.net.links.spaces import Spaces
from eais_server.net.links.veth import VethDriver
from eais_server.net.links.vxlan import VxlanDriver
from tests.net.wireguard_ends import ip

pytestmark = pytest.mark.net("links")

KEY = VnicKey("pool", "ei-1", "rack1", Side.BACKEND)
FRONT_KEY = other_end(KEY)
BACK, FRONT = "198.18.0.2", "198.18.0.3"
NAMESPACES = Path("/run/netns")


@dataclass(frozen=True)
class EndOn:
    """One end's host: where it is, and who makes the end."""

    place: Path
    ends: Ends
    driver: LinkDriver
    plan: NetPlan

    def make(self) -> str:
        return self.ends.make(self.plan, self.driver)

    def run(self, call: Callable[[], Any]) -> Any:
        return in_namespace(self.place, call)

    def link(self) -> netlink.Link:
        name = self.ends.interface(self.plan.key)
        found = self.run(lambda: netlink.read_link(name))
        assert isinstance(found, netlink.Link)
        return found


@dataclass(frozen=True)
class Pair:
    """A front-end and a back-end, nothing made yet."""

    back: EndOn
    front: EndOn

    def make(self) -> None:
        self.back.make()
        self.front.make()

    def left(self) -> list[str]:
        """All that is there of vNICs."""
        return [each.interface for side in (self.back, self.front) for each in side.ends.found()]

    def remove(self) -> None:
        for side in (self.back, self.front):
            side.ends.remove(side.plan.key, side.driver)


@pytest.fixture
def spaces() -> Iterator[tuple[Path, Path]]:
    """Two network namespaces, joined by an underlay."""
    tag = secrets.token_hex(2)
    names = [f"eaistest{tag}{one}" for one in "bf"]
    for name in names:
        ip("netns", "add", name)
    cable = f"under{tag}"
    ip("-n", names[0], "link", "add", cable, "type", "veth", "peer", "name", cable,
       "netns", names[1])  # fmt: skip
    for number, name in enumerate(names, start=1):
        ip("-n", name, "address", "add", f"192.0.2.{number}/24", "dev", cable)
        ip("-n", name, "link", "set", cable, "up")
    yield NAMESPACES / names[0], NAMESPACES / names[1]
    for name in names:
        with suppress(subprocess.CalledProcessError):
            ip("netns", "delete", name)


@pytest.fixture(params=[VETH, VXLAN])
def pair(request: pytest.FixtureRequest, spaces: tuple[Path, Path]) -> Pair:
    back, front = spaces
    if request.param == VETH:
        return veths(back, front)
    return vxlans(back, front)


def veths(back: Path, front: Path) -> Pair:
    known = Spaces((back, front))
    plan = NetPlan(
        KEY, "a1", "t", 1, VETH, BACK, FRONT, peer_agent="a1", peer_namespace=known.number(front)
    )
    other = replace(
        plan, key=FRONT_KEY, address=FRONT, peer=BACK, peer_namespace=known.number(back)
    )
    sides = [
        EndOn(place, Ends("a1", namespace=place), VethDriver("a1", known, namespace=place), each)
        for place, each in ((back, plan), (front, other))
    ]
    return Pair(*sides)


def vxlans(back: Path, front: Path, mtu: int = 1500) -> Pair:
    plan = NetPlan(
        KEY, "a1", "t", 1, VXLAN, BACK, FRONT,
        peer_agent="a2", peer_underlay="192.0.2.2", number=7, port=4789,
    )  # fmt: skip
    other = replace(
        plan, key=FRONT_KEY, agent="a2", address=FRONT, peer=BACK, peer_underlay="192.0.2.1"
    )
    sides = []
    for place, each, local in ((back, plan, "192.0.2.1"), (front, other, "192.0.2.2")):
        driver = VxlanDriver(local, namespace=place, underlay=place)
        ends = Ends(each.agent, namespace=place, underlay_mtu=lambda address: mtu)
        sides.append(EndOn(place, ends, driver, each))
    return Pair(*sides)


def carried(pair: Pair, size: int = 200_000) -> bytes:
    """What arrives at the back-end of so many bytes that the front-end sends by TCP."""
    door = pair.back.run(lambda: socket.create_server((BACK, 5201)))
    with door:
        sender = pair.front.run(lambda: socket.create_connection((BACK, 5201), timeout=10))
        line, (address, _) = door.accept()
        assert address == FRONT
        line.settimeout(10)
        with sender, line:
            sender.setblocking(False)
            sent, came = 0, b""
            while len(came) < size:
                with suppress(BlockingIOError):
                    sent += sender.send(b"x" * (size - sent)) if sent < size else 0
                came += line.recv(1 << 16)
    return came


def test_both_ends_are_made_and_reach_each_other(pair: Pair) -> None:
    pair.make()
    assert carried(pair) == b"x" * 200_000
    back = pair.back.link()
    assert back.name == interface_name("a1", KEY)
    assert back.alias.startswith("eais:a1:ei-1:")
    assert len(back.name) <= 15


def test_whichever_end_comes_first(pair: Pair) -> None:
    pair.front.make()
    pair.back.make()
    assert len(carried(pair, 1000)) == 1000


def test_made_again_nothing_changes(pair: Pair) -> None:
    pair.make()
    before = pair.back.link().index, pair.front.link().index
    pair.make()
    assert (pair.back.link().index, pair.front.link().index) == before


@pytest.mark.parametrize(
    "damage",
    [
        ("address", "flush", "dev"),
        ("link", "set", "down", "dev"),
        ("link", "set", "mtu", "900", "dev"),
        ("link", "set", "alias", "mine", "dev"),
        ("address", "add", "203.0.113.9/24", "dev"),
        ("link", "delete", "dev"),
    ],
    ids=lambda words: "-".join(words[:2]),
)
def test_what_somebody_changed_is_mended(pair: Pair, damage: tuple[str, ...]) -> None:
    pair.make()
    name = pair.back.ends.interface(KEY)
    ip("-n", pair.back.place.name, *damage, name)
    if "alias" in damage:  # it isn't ours any more
        with pytest.raises(ConfigError, match="none of this agent's"):
            pair.back.make()
        return
    pair.make()
    assert len(carried(pair, 1000)) == 1000
    addresses = pair.back.run(lambda: netlink.addresses(pair.back.link().index))
    assert addresses == {(BACK, FRONT, 32)}


def test_what_was_half_made_is_found_and_made_whole(pair: Pair) -> None:
    name = pair.back.ends.interface(KEY)
    pair.back.driver.make(name, pair.back.plan)
    [found] = pair.back.ends.found()
    assert (found.interface, found.is_whole) == (name, False)
    pair.make()
    assert [each.is_whole for each in pair.back.ends.found()] == [True]
    assert len(carried(pair, 1000)) == 1000


def test_gone_is_gone_and_may_be_asked_again(pair: Pair) -> None:
    pair.make()
    pair.remove()
    pair.remove()
    assert pair.left() == []


def test_an_interface_of_the_users_is_left_alone(pair: Pair) -> None:
    name = pair.back.ends.interface(KEY)
    ip("-n", pair.back.place.name, "link", "add", name, "type", "bridge")
    with pytest.raises(ConfigError, match="none of this agent's") as caught:
        pair.back.make()
    assert caught.value.reason == "NETDEV"
    with pytest.raises(ConfigError):
        pair.back.ends.remove(KEY, pair.back.driver)
    assert pair.back.link().kind == "bridge"
    assert pair.back.ends.found() == []


def rate(side: EndOn, index: int) -> int:
    return int(side.run(lambda: netlink.rate_of(index)))


def test_a_cap_is_set_changed_and_taken_away(pair: Pair) -> None:
    for cap in (1_250_000, 50_000_000, 0):
        plan = replace(pair.back.plan, cap_bytes_per_s=cap)
        pair.back.ends.make(plan, pair.back.driver)
        index = pair.back.link().index
        assert rate(pair.back, index) == cap
    capped = replace(pair.front.plan, cap_bytes_per_s=1000)
    pair.front.ends.make(capped, pair.front.driver)
    assert rate(pair.front, pair.front.link().index) == 0


def test_counters_are_as_the_instance_sees_them(pair: Pair) -> None:
    pair.make()
    carried(pair, 100_000)
    for end in (pair.back, pair.front):
        counted = counted_by(end.link(), end.plan.key.side)
        assert counted.bytes_in > 100_000 > counted.bytes_out > 0
        assert counted.packets_in > 0 < counted.packets_out


def test_an_mtu_that_the_underlay_cannot_carry_is_refused(spaces: tuple[Path, Path]) -> None:
    pair = vxlans(*spaces)
    with pytest.raises(ConfigError, match="leaves 1450 for a vxlan vNIC"):
        pair.back.ends.make(replace(pair.back.plan, mtu=1451), pair.back.driver)
    assert pair.left() == []
    pair.make()
    assert pair.back.link().mtu == 1450


@pytest.mark.parametrize("mtu", [576, 1280, 9000])
def test_an_underlay_of_another_mtu_than_usual(spaces: tuple[Path, Path], mtu: int) -> None:
    (cable,) = (name for _, name in in_namespace(spaces[0], socket.if_nameindex) if name != "lo")
    for space in spaces:
        ip("-n", space.name, "link", "set", cable, "mtu", str(mtu))
    pair = vxlans(*spaces, mtu)
    pair.make()
    assert (pair.back.link().mtu, pair.front.link().mtu) == (mtu - 50, mtu - 50)
    assert len(carried(pair)) == 200_000


def test_a_kind_that_the_kernel_has_no_module_of(spaces: tuple[Path, Path]) -> None:
    ability = in_namespace(spaces[0], lambda: probe_kind("eaisnone"))
    assert ability.missing == "this kernel has no eaisnone module"


def test_a_tunnel_of_another_plan_is_made_anew(spaces: tuple[Path, Path]) -> None:
    pair = vxlans(*spaces)
    pair.make()
    sides = (pair.back, pair.front)
    moved = Pair(*(replace(side, plan=replace(side.plan, number=9)) for side in sides))
    moved.make()
    name = pair.back.ends.interface(KEY)
    assert pair.back.run(lambda: netlink.read_vxlan(name)) == (9, "192.0.2.1", "192.0.2.2", 4789)
    assert len(carried(moved, 1000)) == 1000


def _spoken(pair: Pair) -> int:
    ends = (pair.back.link().counted, pair.front.link().counted)
    return sum(each.packets_out + each.packets_in for each in ends)


@pytest.mark.slow
@pytest.mark.parametrize("forwarding", ["0", "1"])
def test_nothing_is_said_by_an_interface_itself(pair: Pair, forwarding: str) -> None:
    """No router is asked for and no group joined: that would count as the instance's."""
    router = Path("/proc/sys/net/ipv6/conf/all/forwarding")
    for side in (pair.back, pair.front):
        side.run(lambda: router.write_text(forwarding))
    pair.make()
    sleep(2)  # a first router solicitation goes within one (RFC 4861, section 6.3.7)
    assert _spoken(pair) == 0
    carried(pair, 1000)
    assert _spoken(pair) > 0


@pytest.mark.parametrize(
    ("alias", "said"),
    [
        ("", "mine has the number 7 and the port 4789 (take it away, or give it another number)"),
        (
            "eais:0123456789abcdef:ei-9:0123456789abcdef",
            "mine has the number 7 and the port 4789, made by the network agent 0123456789abcdef, "
            "which isn't this one (if that agent is gone for good: ip link del mine)",
        ),
    ],
)
def test_a_number_that_is_taken_is_said(spaces: tuple[Path, Path], alias: str, said: str) -> None:
    pair = vxlans(*spaces)
    ip("-n", spaces[0].name, "link", "add", "mine", "type", "vxlan", "id", "7",
       "remote", "192.0.2.2", "local", "192.0.2.1", "dstport", "4789")  # fmt: skip
    ip("-n", spaces[0].name, "link", "set", "mine", "alias", alias)
    with pytest.raises(ConfigError) as caught:
        pair.back.make()
    assert said == f"{caught.value.message.partition(': ')[2]} ({caught.value.hint})"
    assert pair.left() == []
    assert pair.back.run(lambda: netlink.read_link("mine")) is not None


def test_a_namespace_that_was_not_given_is_said(spaces: tuple[Path, Path]) -> None:
    back, front = spaces
    driver = VethDriver("a1", Spaces((back,)), namespace=back)
    plan = replace(veths(back, front).back.plan)
    with pytest.raises(ConfigError, match="is none that this agent was given"):
        Ends("a1", namespace=back).make(plan, driver)


def test_a_kernel_that_can_says_so_and_leaves_nothing(pair: Pair) -> None:
    assert pair.back.driver.probe().missing == ""
    assert pair.back.run(socket.if_nameindex) == pair.back.run(socket.if_nameindex)
    assert pair.left() == []


@pytest.mark.parametrize("cycles", [25, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_come_and_go_and_nothing_stays(pair: Pair, cycles: int) -> None:
    before = [side.run(socket.if_nameindex) for side in (pair.back, pair.front)]
    for _ in range(cycles):
        pair.make()
        pair.remove()
    after = [side.run(socket.if_nameindex) for side in (pair.back, pair.front)]
    assert [[name for _, name in each] for each in after] == [
        [name for _, name in each] for each in before
    ]


def test_an_address_that_the_host_has_is_no_vnic_s(pair: Pair) -> None:
    for taken in (BACK, FRONT):
        pair.back.run(lambda: netlink.add_address(1, taken, taken))  # noqa: B023
        with pytest.raises(ConfigError, match=f"{taken} is this host's own address"):
            pair.back.make()
        assert pair.left() == []
        pair.back.run(lambda: netlink.delete_address(1, taken, taken, 32))  # noqa: B023
    route = ("203.0.113.0/24", "via", FRONT, "dev", "lo", "onlink")
    ip("-n", pair.back.place.name, "link", "set", "lo", "up")
    ip("-n", pair.back.place.name, "route", "add", *route)
    with pytest.raises(ConfigError, match=f"{FRONT} is a machine by which this host reaches"):
        pair.back.make()
    ip("-n", pair.back.place.name, "route", "del", *route)
    pair.make()
