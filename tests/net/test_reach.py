"""Every pair that must not talk does not, and what must pass passes; each by either side's wall."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from eais.net.plan import Side
from eais_server.net.firewall import Drops, Firewall, Guarded, Tunnel
from eais_server.net.links.entering import in_namespace
from tests.net import reach
from tests.net.reach import (
    ACK,
    CLIENT,
    CLOSED,
    ECHO,
    ECHO_REPLY,
    OPEN,
    OTHER_X,
    RST,
    SYN,
    TIMESTAMP,
    UPLINK_B,
    UPLINK_X,
    Attempt,
    arrived,
    back_end,
    front_end,
    icmp,
    icmp6,
    in_pieces,
    place,
    tcp,
    udp,
    vxlan,
)

pytestmark = pytest.mark.net("firewall")

AGENT = "0123456789abcdef"
NUMBER, OTHERS_NUMBER = 77, 78
BOTH, BACK, FRONT, NONE = (
    frozenset({"back", "front"}), frozenset({"back"}), frozenset({"front"}), frozenset[str]()
)  # fmt: skip


def back_walls() -> tuple[list[Guarded], list[Tunnel]]:
    ends = [
        Guarded(Side.BACKEND, back_end(n).interface, back_end(n).address, front_end(n).address,
                frozenset({OPEN}))
        for n in (1, 2)
    ]  # fmt: skip
    return ends, [Tunnel(UPLINK_X, NUMBER, reach.VXLAN_PORT),
                  Tunnel("192.0.2.9", OTHERS_NUMBER, reach.VXLAN_PORT)]  # fmt: skip


def front_walls(n: int) -> list[Guarded]:
    end = front_end(n)
    return [Guarded(Side.FRONTEND, end.interface, end.address, back_end(n).address)]


@pytest.fixture(scope="module")
def world() -> Iterator[None]:
    with reach.four_hosts():
        if missing := Firewall(AGENT, namespace=place("b")).probe().missing:
            pytest.skip(missing)
        yield


@pytest.fixture
def walls(world: None) -> Iterator[dict[str, Firewall]]:
    """A firewall a host, nothing in it yet."""
    made = {name: Firewall(AGENT, namespace=place(name)) for name in ("b", "f1", "f2")}
    yield made
    for wall in made.values():
        wall.remove()


def build(walls: dict[str, Firewall], which: frozenset[str]) -> None:
    if "back" in which:
        walls["b"].apply(*back_walls())
    if "front" in which:
        for n in (1, 2):
            walls[f"f{n}"].apply(front_walls(n))


def of_a_front_end(n: int) -> list[Attempt]:
    """What tenant `n` tries, and what may pass."""
    front, back, other = front_end(n), back_end(n), 3 - n
    own, peer = front.address, back.address
    others_back, others_front = back_end(other).address, front_end(other).address
    up, ports = (CLIENT, OPEN), (CLIENT, CLOSED)

    def at(
        name: str, target: str, packets: reach.Made, walls: frozenset[str], to: str = "b"
    ) -> Attempt:
        return Attempt(f"f{n}: {name}", front.host, to, target, packets, walls)

    return [
        at("SYN to an open port", peer, tcp(own, peer, up, SYN), NONE),
        at("data to an open port", peer, tcp(own, peer, up, ACK), NONE),
        at("echo", peer, icmp(own, peer, ECHO), NONE),
        at("SYN to a closed port", peer, tcp(own, peer, ports, SYN), BACK),
        at("ACK to a closed port", peer, tcp(own, peer, ports, ACK), BACK),
        at("UDP", peer, udp(own, peer, OPEN), BACK),
        at("timestamp", peer, icmp(own, peer, TIMESTAMP), BACK),
        at("fragments", peer, in_pieces(icmp(own, peer, ECHO)), BACK),
        at("the management plane", UPLINK_B, tcp(own, UPLINK_B, up, SYN), BOTH),
        at("the management plane, UDP", UPLINK_B, udp(own, UPLINK_B, OPEN), BOTH),
        at("the management plane, echo", UPLINK_B, icmp(own, UPLINK_B, ECHO), BOTH),
        at("another's address", others_back, tcp(own, others_back, up, SYN), BOTH),
        at("another's address, echo", others_back, icmp(own, others_back, ECHO), BOTH),
        at("another's front-end", others_front, tcp(own, others_front, up, SYN), BOTH, f"f{other}"),
        at("another's front-end, ping", others_front,
           icmp(own, others_front, ECHO), BOTH, f"f{other}"),
        at("a bystander", UPLINK_X, tcp(own, UPLINK_X, up, SYN), BOTH, "x"),
        at("a bystander, UDP", UPLINK_X, udp(own, UPLINK_X, OPEN), BOTH, "x"),
        at("as nobody", peer, tcp("203.0.113.5", peer, up, SYN), BOTH),
        at("as another's front-end", peer, tcp(others_front, peer, up, SYN), BOTH),
        at("as another's front-end, to its address", others_back,
           tcp(others_front, others_back, up, SYN), BOTH),
        at("as a bystander", peer, icmp(UPLINK_X, peer, ECHO), BOTH),
        Attempt(f"f{n}: IPv6", front.host, "b", "fe80::2", icmp6, BOTH, front.interface),
    ]  # fmt: skip


def of_the_back_end(n: int) -> list[Attempt]:
    """What the back-end's host, or who has it, tries with tenant `n`'s front-end."""
    front, back = front_end(n), back_end(n)
    own, peer, lan = back.address, front.address, f"172.16.{n}.1"
    answer = (OPEN, CLIENT)

    def at(name: str, target: str, packets: reach.Made, walls: frozenset[str]) -> Attempt:
        return Attempt(f"b to f{n}: {name}", "b", front.host, target, packets, walls)

    return [
        at("SYN-ACK", peer, tcp(own, peer, answer, SYN | ACK), NONE),
        at("answer", peer, tcp(own, peer, answer, ACK), NONE),
        at("RST", peer, tcp(own, peer, answer, RST), NONE),
        at("echo's answer", peer, icmp(own, peer, ECHO_REPLY), NONE),
        at("SYN", peer, tcp(own, peer, (CLIENT, 22), SYN), BOTH),
        at("SYN from an open port", peer, tcp(own, peer, (OPEN, 22), SYN), BOTH),
        at("no flag", peer, tcp(own, peer, answer, 0), BOTH),
        at("answer of a closed port", peer, tcp(own, peer, (CLOSED, CLIENT), ACK), BACK),
        at("echo", peer, icmp(own, peer, ECHO), BOTH),
        at("UDP", peer, udp(own, peer, 53), BOTH),
        at("its other address", lan, tcp(own, lan, answer, ACK), BOTH),
        at("as the management plane", peer, tcp(UPLINK_B, peer, answer, ACK), BOTH),
        at("as another's", peer, tcp(back_end(3 - n).address, peer, answer, ACK), BOTH),
        Attempt(f"b to f{n}: IPv6", "b", front.host, "fe80::1", icmp6, BOTH, back.interface),
        # Another program of the back-end's host, by its own loopback interface.
        Attempt(f"b to its own, {n}", "b", "b", own, tcp(own, own, (CLIENT, OPEN), SYN), BACK),
        Attempt(f"b as the host to its own, {n}", "b", "b", own,
                udp(UPLINK_B, own, OPEN), BACK),
    ]  # fmt: skip


def of_a_bystander() -> list[Attempt]:
    """What a host of the same network tries."""
    up = (CLIENT, OPEN)

    def at(
        name: str, target: str, packets: reach.Made, walls: frozenset[str], to: str = "b"
    ) -> Attempt:
        return Attempt(f"x: {name}", "x", to, target, packets, walls)

    made = [
        at("the management plane", UPLINK_B, tcp(UPLINK_X, UPLINK_B, up, SYN), NONE),
        at("the management plane, UDP", UPLINK_B, udp(UPLINK_X, UPLINK_B, OPEN), NONE),
        at("a tunnel", UPLINK_B, vxlan(UPLINK_X, UPLINK_B, NUMBER), NONE),
        at("a tunnel from elsewhere", UPLINK_B, vxlan(OTHER_X, UPLINK_B, NUMBER), BACK),
        at("another's tunnel", UPLINK_B, vxlan(UPLINK_X, UPLINK_B, OTHERS_NUMBER), BACK),
        at("another's tunnel, in pieces", UPLINK_B,
           in_pieces(vxlan(UPLINK_X, UPLINK_B, OTHERS_NUMBER)), BACK),
        at("a tunnel of the user's", UPLINK_B, vxlan(OTHER_X, UPLINK_B, 5), NONE),
    ]  # fmt: skip
    for n in (1, 2):
        back, front = back_end(n).address, front_end(n).address
        made += [
            at(f"tenant {n}'s address", back, tcp(UPLINK_X, back, up, SYN), BACK),
            at(f"tenant {n}'s address, UDP", back, udp(UPLINK_X, back, OPEN), BACK),
            at(f"tenant {n}'s address, echo", back, icmp(UPLINK_X, back, ECHO), BACK),
            at(f"as tenant {n}'s front-end", back, tcp(front, back, up, SYN), BACK),
            at(f"tenant {n}'s front-end", front, tcp(UPLINK_X, front, up, ACK), BOTH, f"f{n}"),
            at(f"tenant {n}'s front-end, echo", front, icmp(UPLINK_X, front, ECHO), BOTH, f"f{n}"),
        ]  # fmt: skip
    return made


def matrix() -> list[Attempt]:
    return [
        *(one for n in (1, 2) for one in (*of_a_front_end(n), *of_the_back_end(n))),
        *of_a_bystander(),
    ]


@pytest.mark.parametrize("which", [NONE, BACK, FRONT, BOTH], ids=["none", "back", "front", "both"])
def test_what_the_walls_stop_and_no_more(walls: dict[str, Firewall], which: frozenset[str]) -> None:
    attempts = matrix()
    assert len({one.name for one in attempts}) == len(attempts)
    build(walls, which)
    passing = [one for one in attempts if not one.walls & which]
    found = arrived(attempts, passing)
    stopped = len(attempts) - len(passing)
    print(f"reach: walls={'+'.join(sorted(which)) or 'none'} pass={len(passing)} stop={stopped}")
    assert found == {one.name for one in passing}


def test_a_real_connection_passes_both_walls(walls: dict[str, Firewall]) -> None:
    build(walls, BOTH)
    with reach.server("b", "0.0.0.0", OPEN), reach.server("b", "0.0.0.0", CLOSED):
        for n in (1, 2):
            assert reach.connects(front_end(n).host, back_end(n).address, OPEN)
            assert not reach.connects(front_end(n).host, back_end(n).address, CLOSED)
            assert not reach.connects(front_end(n).host, UPLINK_B, OPEN)
        assert reach.connects("x", UPLINK_B, OPEN)
        assert not reach.connects("x", back_end(1).address, OPEN)
        assert not reach.connects("b", back_end(1).address, OPEN)


def test_drops_are_counted_by_end_and_outlive_changes(walls: dict[str, Firewall]) -> None:
    build(walls, BACK)
    wall, (one, two) = walls["b"], (back_end(n).interface for n in (1, 2))
    attempts = [it for it in of_a_front_end(1) if it.name.endswith("a closed port")]
    assert len(attempts) == 2
    arrived(attempts, [])
    # The one that its own bystander sends it counts as incoming, too.
    arrived([it for it in of_a_bystander() if it.name == "x: tenant 1's address"], [])
    before = wall.drops().get(one, Drops(0, 0))
    assert before.incoming >= 3
    assert wall.drops().get(two, Drops(0, 0)) == Drops(0, 0)
    ends, tunnels = back_walls()
    wall.apply(ends[:1], tunnels)
    assert wall.drops().get(one, Drops(0, 0)).incoming >= before.incoming
    wall.apply(ends[1:], tunnels)
    assert wall.drops().get(one, Drops(0, 0)) == Drops(0, 0)


def test_ports_open_and_close(walls: dict[str, Firewall]) -> None:
    build(walls, BACK)
    (syn,) = (it for it in of_a_front_end(1) if it.name == "f1: SYN to an open port")
    assert arrived([syn], [syn]) == {syn.name}
    ends, _ = back_walls()
    shut = Guarded(Side.BACKEND, ends[0].interface, ends[0].address, ends[0].peer)
    walls["b"].apply([shut, ends[1]])
    assert not arrived([syn], [])


def nft(host: str, *words: str) -> str:
    command = ["ip", "netns", "exec", place(host).name, "nft", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_users_tables_are_left_and_hold(walls: dict[str, Firewall]) -> None:
    hook = "{ type filter hook prerouting priority -500 ; policy accept ; }"
    nft("b", f"add table inet user; add chain inet user first {hook};"
             f" add rule inet user first tcp dport {OPEN} counter drop")  # fmt: skip
    try:
        users = nft("b", "-s", "list", "table", "inet", "user")
        build(walls, BACK)
        (syn,) = (it for it in of_a_front_end(1) if it.name == "f1: SYN to an open port")
        assert not arrived([syn], [])  # what they drop stays dropped
        assert walls["b"].found()
        walls["b"].remove()
        walls["b"].remove()
        assert not walls["b"].found()
        assert nft("b", "-s", "list", "table", "inet", "user") == users
        assert nft("b", "list", "tables") == "table inet user\n"
    finally:
        nft("b", "delete table inet user")


def test_an_apply_that_is_repeated_changes_nothing(walls: dict[str, Firewall]) -> None:
    build(walls, BACK)
    before = nft("b", "-s", "list", "ruleset")
    build(walls, BACK)
    assert nft("b", "-s", "list", "ruleset") == before


def test_without_the_privilege_it_is_said(walls: dict[str, Firewall]) -> None:
    code = (
        "import os\n"
        "from eais_server.net.firewall import Firewall\n"
        "os.setuid(65534)\n"
        f"print(Firewall({AGENT!r}).probe().missing)\n"
    )
    found = in_namespace(place("b"), lambda: _python(code))
    assert "CAP_NET_ADMIN" in found


def _python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
