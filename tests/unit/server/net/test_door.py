"""What comes to an agent's socket, whoever sends it: it is refused, and the agent lives."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eais.errors import EaisError
from eais.identity import Identity
from eais.net.asking import MAX_PACKET_BYTES, NetAgent
from eais.net.plan import NetPlan
from eais.net.signing import sign_plan
from eais.rpc.v1 import net_pb2
from eais_pool.authority import Authority
from eais_server.net.answers import Answers
from eais_server.net.books import Books
from eais_server.net.brain.records import Asker
from eais_server.net.door import MOST_LINES_A_USER, Door
from eais_server.net.keeper import Keeper
from eais_server.testing import FakeInterfaces, FakeWall
from tests.unit.server.net.plans import AGENT, POOL, plan

NOW = datetime(2026, 5, 1, tzinfo=UTC)
OWN = os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116


class Host:
    """An agent behind a real socket, and the manager that it trusts."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority.create(directory / "ca", POOL, NOW)
        self.interfaces = FakeInterfaces(OWN)
        self.path = directory / "net.sock"
        books = Books(directory / "agent")
        clock = NOW.timestamp
        self.keeper = Keeper(books, self.interfaces, FakeWall(), frozenset({os.getuid()}), clock)
        self.answers = Answers(
            AGENT, self.keeper, self.interfaces, lambda: self.authority.ca_pem, clock
        )

    def reply(self, asker: Asker, packet: bytes) -> bytes:
        # Where the tests have no CAP_NET_ADMIN the kernel doesn't say where the asker is.
        return self.answers.reply(Asker(asker.uid, OWN), packet)

    @property
    def agent(self) -> NetAgent:
        return NetAgent(self.path, timeout_s=10)

    def signed(self, plan: NetPlan) -> net_pb2.SignedNetPlan:
        return sign_plan(plan, self.authority.bundle(Identity.manager(POOL), NOW))


@contextmanager
def open_door(host: Host) -> Iterator[None]:
    door = Door(host.path, host.reply, host.interfaces.can_enter)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            door.turn(0.02)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        door.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    with open_door(host):
        yield host
        assert host.agent.offer().agent == AGENT, "it lives"
    assert not host.path.exists()


def line_to(host: Host) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.connect(str(host.path))
    line.settimeout(10)
    return line


def says_nothing(line: socket.socket) -> bool:
    """It is open, and nothing has come by it."""
    line.setblocking(False)
    try:
        line.recv(1)
    except BlockingIOError:
        return True
    return False


def fill(line: socket.socket) -> bool:
    """Ask until the other end takes no more; whether it came to that."""
    line.setblocking(False)
    question = net_pb2.NetRequest(offer=net_pb2.NetOfferRequest()).SerializeToString()
    for _ in range(100_000):
        try:
            line.send(question)
        except OSError:
            return True
    return False


def fault(host: Host, packet: bytes) -> str:
    with line_to(host) as line:
        line.send(packet)
        return net_pb2.NetReply.FromString(line.recv(MAX_PACKET_BYTES)).fault.reason


def refusal(host: Host, signed: net_pb2.SignedNetPlan) -> str:
    with pytest.raises(EaisError) as error:
        host.agent.create(signed)
    assert host.agent.status().vnics == []
    return f"{error.value.reason}: {error.value.message}"


def test_an_end_s_life(host: Host) -> None:
    agent, key = host.agent, plan().key
    made = agent.create(host.signed(plan()))
    assert (made.address, made.uid, made.generation) == (plan().address, os.getuid(), 1)
    agent.connect(key, [80])
    agent.limit(key, 7)
    host.interfaces.count(host.keeper.state.held[key].place, 9)
    assert agent.counters(key.pool, key.host, key.side)[key.instance].bytes_in == 9
    (seen,) = agent.status().vnics
    assert (list(seen.ports), seen.cap_bytes_per_s) == ([80], 7)
    assert agent.status().pools == [POOL]
    agent.destroy(key)
    assert agent.status().vnics == []
    assert not host.interfaces.there


def test_more_ends_than_a_packet_holds(host: Host) -> None:
    one = plan()
    keys = [one.key._replace(instance=f"ei-{number}") for number in range(1_500)]
    for number, key in enumerate(keys):
        own, peer = (f"10.{which}.{number >> 8}.{number & 255}" for which in (1, 2))
        end = replace(one, key=key, address=own, peer=peer)
        held = host.keeper.create(Asker(os.getuid(), OWN), end)
        host.interfaces.count(held.place, number)
    status = host.agent.status()
    assert sorted(vnic.key.instance for vnic in status.vnics) == sorted(k.instance for k in keys)
    assert (status.offer.agent, list(status.pools), status.more) == (AGENT, [POOL], False)
    counted = host.agent.counters(one.key.pool, one.key.host, one.key.side)
    assert {instance: each.bytes_in for instance, each in counted.items()} == {
        key.instance: number for number, key in enumerate(keys)
    }


def test_plans_that_are_not_to_be_carried_out(host: Host, tmp_path: Path) -> None:
    good = host.signed(plan())
    listener = host.authority.bundle(Identity.listener(POOL, "rack1"), NOW)
    stranger = Authority.create(tmp_path / "other", POOL, NOW)
    elsewhere = replace(plan(), agent="another0agent")
    assert "isn't signed by this pool's manager" in refusal(host, sign_plan(plan(), listener))
    by_stranger = sign_plan(plan(), stranger.bundle(Identity.manager(POOL), NOW))
    assert "isn't signed by this pool's manager" in refusal(host, by_stranger)
    assert "another0agent" in refusal(host, host.signed(elsewhere))
    unsigned = net_pb2.SignedNetPlan(plan=good.plan, leaf_pem=good.leaf_pem)
    assert refusal(host, unsigned).startswith("NET_PLAN: ")
    assert refusal(host, net_pb2.SignedNetPlan()).startswith("NET_PLAN: ")
    for field in ("plan", "signature", "leaf_pem"):
        broken = net_pb2.SignedNetPlan.FromString(good.SerializeToString())
        setattr(broken, field, getattr(good, field)[:-3])
        assert refusal(host, broken).startswith("NET_PLAN: ")


def test_a_plan_that_comes_again_after_the_end_is_gone(host: Host) -> None:
    good = host.signed(plan())
    host.agent.create(good)
    host.agent.destroy(plan().key, 1)
    assert "those before 2 are done with" in refusal(host, good)


def test_garbage(host: Host) -> None:
    chance = random.Random(11)
    whole = net_pb2.NetRequest(create=host.signed(plan())).SerializeToString()
    for size in (1, 2, 3, 100, len(whole) - 1):
        assert fault(host, chance.randbytes(size) + b"\xff")
        assert fault(host, whole[:size])
    assert not host.interfaces.there


def test_no_key_breaks_it(host: Host) -> None:
    for text in ("", "\0", "../../etc/passwd", "x" * 10_000, "é"):
        odd = net_pb2.NetKey(pool=text, instance=text, host=text, side=net_pb2.NET_SIDE_BACKEND)
        connect = net_pb2.NetRequest(connect=net_pb2.NetConnect(key=odd, ports=[2**32 - 1]))
        assert fault(host, connect.SerializeToString()) == "NOT_FOUND"
    side = net_pb2.NetKey(pool="p", instance="i", host="h")
    nowhere = net_pb2.NetRequest(counters=net_pb2.NetCountersRequest(key=side))
    assert fault(host, nowhere.SerializeToString()) == "NET_PLAN"


def test_a_packet_that_is_too_large(host: Host) -> None:
    for size in (MAX_PACKET_BYTES + 1, 3 * MAX_PACKET_BYTES // 2):
        assert fault(host, b"\0" * size) == "ARGUMENT"


def test_who_is_slow_keeps_nobody_waiting(host: Host) -> None:
    with line_to(host) as silent, line_to(host) as deaf:
        assert fill(deaf)
        assert host.agent.offer().agent == AGENT
        silent.send(net_pb2.NetRequest(offer=net_pb2.NetOfferRequest()).SerializeToString())
        assert silent.recv(MAX_PACKET_BYTES)


def test_a_thousand_who_say_nothing(host: Host) -> None:
    with ExitStack() as stack:
        lines = []
        for _ in range(1_000):
            line = stack.enter_context(line_to(host))
            lines.append(line)
        # Those too many were closed at once: the last of them says so.
        assert lines[-1].recv(1) == b""
        assert says_nothing(lines[MOST_LINES_A_USER - 1])
        assert not says_nothing(lines[MOST_LINES_A_USER])


def test_who_has_left_takes_nobody_s_place(tmp_path: Path) -> None:
    host = Host(tmp_path)
    with closing(Door(host.path, host.reply, host.interfaces.can_enter)) as door:
        for _ in range(50):
            with ExitStack() as stack:
                for _ in range(MOST_LINES_A_USER):
                    stack.enter_context(line_to(host))
                    door.turn(10)
            with line_to(host) as line:
                door.turn(10)
                assert says_nothing(line), "it is let in"
            door.turn(10)


def test_a_socket_that_an_agent_left_is_replaced(tmp_path: Path) -> None:
    host = Host(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left:
        left.bind(str(host.path))
    with open_door(host):
        assert host.agent.offer().agent == AGENT


def test_a_path_that_cannot_be_listened_at(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.path.write_text("mine")
    with pytest.raises(EaisError, match="NET_AGENT"):
        Door(host.path, host.reply, host.interfaces.can_enter)
    assert host.path.read_text() == "mine"


@pytest.mark.parametrize(
    ("asker", "missing"),
    [
        (Asker(os.getuid(), OWN), ""),
        (Asker(0, OWN), ""),
        (Asker(65_534, OWN), "its network agent makes no vNICs for the user 65534 (its --user)"),
        (
            Asker(os.getuid(), 0),
            "its network agent isn't given the asker's network namespace (its --netns)",
        ),
    ],
    ids=["its user", "root", "another user", "in a namespace that it wasn't given"],
)
def test_who_is_refused_is_offered_nothing(host: Host, asker: Asker, missing: str) -> None:
    question = net_pb2.NetRequest(offer=net_pb2.NetOfferRequest()).SerializeToString()
    offer = net_pb2.NetReply.FromString(host.answers.reply(asker, question)).offer
    assert {each.missing for each in offer.drivers} == {missing}


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM])
def test_a_socket_that_another_agent_has_is_left_to_it(tmp_path: Path, kind: int) -> None:
    host = Host(tmp_path)
    with socket.socket(socket.AF_UNIX, kind) as theirs:
        theirs.bind(str(host.path))
        theirs.listen()
        with pytest.raises(EaisError, match="another program answers") as caught:
            Door(host.path, host.reply, host.interfaces.can_enter)
        assert "--socket" in caught.value.hint
        with socket.socket(socket.AF_UNIX, kind) as line:
            line.connect(str(host.path))


def test_what_took_its_path_outlives_it(tmp_path: Path) -> None:
    host = Host(tmp_path)
    with open_door(host):
        host.path.unlink()
        host.path.write_text("another's")
    assert host.path.read_text() == "another's"


@pytest.mark.parametrize(
    ("path", "hint"), [("gone/net.sock", "mkdir -m 755 "), ("x" * 120, "107 bytes are the most")]
)
def test_where_there_can_be_no_socket_is_said_with_what_helps(
    tmp_path: Path, path: str, hint: str
) -> None:
    host = Host(tmp_path)
    with pytest.raises(EaisError, match="can't be listened at") as caught:
        Door(tmp_path / path, host.reply, host.interfaces.can_enter)
    assert (caught.value.reason, hint in caught.value.hint) == ("NET_AGENT", True)
