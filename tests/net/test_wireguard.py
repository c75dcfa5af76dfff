"""WireGuard tunnels between two hosts made of network namespaces."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from eais.errors import ConfigError, IdentityError
from eais_server.net.link import LinkDriver
from eais_server.net.links.entering import in_namespace
from eais_server.net.links.wireguard import WireguardDriver
from eais_server.net.links.wireguard_go import PROGRAM, find_program
from eais_server.net.links.wireguard_process import WireguardProcesses
from eais_server.net.links.wireguard_uapi import SOCKET_DIR
from tests.net.wireguard_ends import (
    NEVER_S,
    Host,
    carried,
    heard,
    ip,
    ping,
    plan_of,
    processes_of,
    two_hosts,
)

pytestmark = pytest.mark.net("wireguard")

Pair = tuple[Host, Host]


@pytest.fixture(params=[False, True], ids=["one-namespace", "namespaces-apart"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A front-end and a back-end, nothing made yet."""
    with two_hosts(apart=request.param) as hosts:
        if missing := hosts[0].driver.probe().missing:
            pytest.skip(missing)
        yield hosts


@pytest.fixture
def joined(pair: Pair) -> Pair:
    """Both ends made: the front-end calls, the back-end is called."""
    front, back = pair
    back.make(plan_of(back, front, calls=False))
    front.make(plan_of(front, back, called=False))
    return pair


@pytest.fixture
def by_wireguard_go(joined: Pair) -> Pair:
    """As `joined`, where it is processes that make the tunnels."""
    how = joined[0].driver.probe().how
    if not how.startswith(PROGRAM):
        pytest.skip(f"tunnels are made by the {how} here")
    return joined


def left_of(host: Host) -> list[str]:
    """What is there of a host's tunnel."""
    left = [f"process {pid}" for pid in processes_of(host.interface)]
    left += [f"interface {name}" for name in host.links() if name == host.interface]
    return left + [f"socket {path}" for path in SOCKET_DIR.glob(f"{host.interface}*")]


def index_of(host: Host) -> int:
    number = host.run(lambda: socket.if_nametoindex(host.interface))
    assert isinstance(number, int)
    return number


def test_packets_and_bytes_arrive_whole_and_nothing_is_left(joined: Pair) -> None:
    front, back = joined
    assert ping(front, back.address)
    assert ping(back, front.address)
    data = os.urandom(1 << 20)
    assert carried(back, front, data) == data
    for host in joined:
        host.driver.remove(host.interface)
        assert left_of(host) == []
        host.driver.remove(host.interface)


def test_the_underlay_is_not_seen_from_a_namespace_apart() -> None:
    with two_hosts(apart=True) as (front, back):
        if missing := front.driver.probe().missing:
            pytest.skip(missing)
        back.make(plan_of(back, front))
        front.make(plan_of(front, back))
        assert ping(front, back.address)
        assert not ping(front, back.underlay, wait_s=NEVER_S)
        assert in_namespace(front.place, socket.if_nameindex) == [
            (1, "lo"), (index_of(front), front.interface)
        ]  # fmt: skip


def test_a_source_that_is_not_the_peers_is_dropped(joined: Pair) -> None:
    front, back = joined
    spoofed = "198.18.0.99"
    ip("-n", front.inside, "address", "add", f"{spoofed}/32", "dev", front.interface)
    # So that it would be let in, if WireGuard did.
    ip("-n", back.inside, "route", "add", f"{spoofed}/32", "dev", back.interface)
    assert ping(front, back.address)
    assert heard(back, front, front.address, wait_s=5)
    assert not heard(back, front, spoofed, wait_s=NEVER_S)


def test_a_wrong_key_gets_nothing_until_the_plan_has_the_right_one(pair: Pair) -> None:
    front, back = pair
    wrong = replace(plan_of(back, front), peer_public_key=os.urandom(32))
    back.make(wrong)
    front.make(plan_of(front, back))
    made = index_of(back)
    assert not ping(front, back.address, wait_s=NEVER_S)
    back.driver.make(back.interface, plan_of(back, front))
    # WireGuard tries again each 5 s.
    assert ping(front, back.address, wait_s=20)
    assert index_of(back) == made


def test_another_port_is_taken_while_the_tunnel_is_up(joined: Pair) -> None:
    front, back = joined
    made = [index_of(host) for host in joined]
    assert ping(front, back.address)
    moved = replace(plan_of(back, front, calls=False), port=51999)
    back.driver.make(back.interface, moved)
    front.driver.make(front.interface, replace(plan_of(front, back, called=False), peer_port=51999))
    assert ping(front, back.address)
    assert [index_of(host) for host in joined] == made


def test_what_is_there_already_stays_as_it_is(joined: Pair) -> None:
    front, back = joined
    assert ping(front, back.address)
    before = [(index_of(host), processes_of(host.interface)) for host in joined]
    for host, peer in ((front, back), (back, front)):
        plan = plan_of(host, peer, calls=host is front, called=host is back)
        host.driver.make(host.interface, plan)
        again(host).make(host.interface, plan)
    assert ping(front, back.address)
    assert [(index_of(host), processes_of(host.interface)) for host in joined] == before


def again(host: Host) -> WireguardDriver:
    """The driver of an agent that was started again."""
    return WireguardDriver(host.key, namespace=host.place, underlay=Path("/run/netns") / host.name)


def test_an_agent_that_was_started_again_takes_it_away(joined: Pair) -> None:
    for host in joined:
        again(host).remove(host.interface)
        assert left_of(host) == []


def test_a_port_that_is_anothers_is_named(pair: Pair) -> None:
    front, back = pair
    underlay = Path("/run/netns") / back.name
    other = in_namespace(underlay, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with other:
        other.bind(("0.0.0.0", back.port))
        with pytest.raises(ConfigError, match=str(back.port)) as raised:
            back.make(plan_of(back, front))
    assert raised.value.reason == "NETDEV"
    back.make(plan_of(back, front))
    front.make(plan_of(front, back))
    assert ping(front, back.address)


def test_an_interface_of_the_users_is_not_touched(pair: Pair) -> None:
    front, back = pair
    ip("-n", front.inside, "tuntap", "add", "name", front.interface, "mode", "tun")
    theirs = index_of(front)
    with pytest.raises(ConfigError, match="File exists") as raised:
        front.driver.make(front.interface, plan_of(front, back))
    assert raised.value.reason == "NETDEV"
    front.driver.remove(front.interface)
    assert index_of(front) == theirs
    assert processes_of(front.interface) == []


def test_a_plan_that_joins_an_agent_to_itself_is_refused(pair: Pair) -> None:
    front, back = pair
    own = replace(plan_of(front, back), peer_public_key=front.key.public)
    with pytest.raises(IdentityError, match="peer_public_key"):
        front.driver.make(front.interface, own)
    assert left_of(front) == []


def test_probing_leaves_nothing(pair: Pair) -> None:
    front, _ = pair
    before = front.links()
    driver: LinkDriver = front.driver
    assert driver.probe() == driver.probe()
    assert front.links() == before


def test_without_module_and_program_the_reason_says_so(pair: Pair) -> None:
    front, _ = pair
    driver = WireguardDriver(front.key, namespace=front.place, find=lambda: None)
    ability = driver.probe()
    assert ability.how == "kernel module" or "install the package wireguard-go" in ability.missing


def test_a_process_that_was_killed_is_started_again(by_wireguard_go: Pair) -> None:
    front, back = by_wireguard_go
    assert ping(front, back.address)
    [pid] = processes_of(front.interface)
    killed = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    select.select([killed], [], [])
    os.close(killed)
    assert front.interface not in front.links()
    front.make(plan_of(front, back, called=False))
    assert len(processes_of(front.interface)) == 1
    assert not (Path("/proc") / str(pid)).exists()
    # It calls as soon as it is up: the other end needn't notice first that the session is over.
    assert ping(front, back.address)


def test_an_interface_that_was_deleted_is_made_again(by_wireguard_go: Pair) -> None:
    front, back = by_wireguard_go
    ip("-n", front.inside, "link", "delete", front.interface)
    front.make(plan_of(front, back, called=False))
    assert ping(front, back.address)
    assert len(processes_of(front.interface)) == 1


def test_one_that_was_not_given_to_its_namespace_is(pair: Pair) -> None:
    front, back = pair
    program = find_program()
    if program is None:
        pytest.skip("there is no wireguard-go")
    underlay = Path("/run/netns") / front.name
    processes = WireguardProcesses()
    in_namespace(underlay, lambda: processes.start(program, front.interface))
    started = processes_of(front.interface)
    front.make(plan_of(front, back))
    back.make(plan_of(back, front))
    assert processes_of(front.interface) == started
    assert ping(front, back.address)
    front.driver.remove(front.interface)
    processes.end(front.interface)
    assert left_of(front) == []


def test_the_private_key_is_in_no_process_of_the_host(by_wireguard_go: Pair) -> None:
    for host in by_wireguard_go:
        forms = [host.key.private, host.key.private.hex().encode(), b64encode(host.key.private)]
        [pid] = processes_of(host.interface)
        for name in ("cmdline", "environ"):
            told = (Path("/proc") / str(pid) / name).read_bytes()
            assert not [form for form in forms if form in told]
        socket_path = SOCKET_DIR / f"{host.interface}.sock"
        assert socket_path.stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_a_process_that_answers_nothing_is_replaced(by_wireguard_go: Pair) -> None:
    front, back = by_wireguard_go
    [stopped] = processes_of(front.interface)
    os.kill(stopped, signal.SIGSTOP)
    front.make(plan_of(front, back, called=False))
    [started] = processes_of(front.interface)
    assert started != stopped
    assert ping(front, back.address)


def test_an_agent_that_is_killed_at_any_time_leaves_nothing_that_its_next_life_does_not_find(
    pair: Pair,
) -> None:
    front, _ = pair
    underlay = Path("/run/netns") / front.name
    words = [str(front.place), str(underlay), front.interface]
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.net.wireguard_maker", *words], stdout=subprocess.PIPE
        ) as agent:
            assert agent.stdout is not None
            assert agent.stdout.readline() == b"begins\n"
            # Anywhere in a life of some 0.1 s.
            select.select([], [], [], random.uniform(0, 0.15))
            agent.kill()
        again(front).remove(front.interface)
        assert left_of(front) == []


def test_a_socket_of_another_program_is_left_to_it(pair: Pair) -> None:
    front, back = pair
    path = SOCKET_DIR / f"{front.interface}.sock"
    SOCKET_DIR.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as theirs:
        theirs.bind(str(path))
        theirs.listen()
        try:
            with pytest.raises(ConfigError, match="another program's"):
                front.driver.remove(front.interface)
            assert path.exists()
        finally:
            path.unlink()
    assert left_of(back) == []


#: In a mount namespace of its own: the directory of the sockets is the agent's, as its unit has it.
#: CAP_DAC_READ_SEARCH is for a Python that lies below root's home.
AS_NOBODY = """
mkdir -p /run/wireguard && mount -t tmpfs -o mode=0755,uid=65534 none /run/wireguard &&
exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
    --inh-caps=-all,+net_admin,+dac_read_search --ambient-caps=-all,+net_admin,+dac_read_search \
    --bounding-set=-all,+net_admin,+dac_read_search "$@"
"""


def test_an_agent_that_is_not_root_needs_no_more_than_cap_net_admin() -> None:
    with two_hosts(apart=False) as (front, _):
        if missing := front.driver.probe().missing:
            pytest.skip(missing)
        own = "/proc/self/ns/net"
        words = [sys.executable, "-m", "tests.net.wireguard_maker", own, own, front.interface, "3"]
        ran = subprocess.run(
            ["ip", "netns", "exec", front.name, "sh", "-c", AS_NOBODY, "sh", *words],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert (ran.stdout, ran.stderr, ran.returncode) == ("begins\n", "", 0)
        assert left_of(front) == []


def cycle(front: Host, back: Host, times: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(times):
        front.make(plan_of(front, back))
        front.driver.remove(front.interface)
    assert left_of(front) == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_twenty_cycles_leave_nothing(pair: Pair) -> None:
    cycle(*pair, 20)


@pytest.mark.slow
def test_a_thousand_cycles_leave_nothing(pair: Pair) -> None:
    cycle(*pair, 1000)
