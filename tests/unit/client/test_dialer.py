"""Channels: the identity is judged here first, renewed leaves are taken, children refused."""

from __future__ import annotations

import asyncio
import datetime
import queue
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from eais import tls
from eais.errors import EaisError, IdentityError
from eais.identity import Identity
from eais.net.asking import NetAgent
from eais.rpc import server, verbs
from eais.rpc.v1 import common_pb2, pool_pb2
from eais_client.context import Context
from eais_client.cpu_load import CpuLoad
from eais_client.dialer import Dialer, Peer
from eais_client.grpc_wire import GrpcWire
from eais_client.instances import Address, Instance
from eais_client.testing import fake_instance
from eais_client.testing.fake_tools import FakeClock
from eais_client.testing.messages import instance_message
from eais_client.vnic_ends import VnicEnds
from eais_client.watch import GrpcWatch
from eais_client.wire import Load
from eais_pool.authority import Authority
from tests.unit.client.served import POOL, WAIT_S, Rig, Unmoved, now, rig

OWNER = Identity.frontend(POOL, "default", "owner")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Rig]:
    with rig(tmp_path) as made:
        yield made


class Pool:
    """A pool's user plane that counts who greets it."""

    def __init__(self, version: int = 1) -> None:
        self.greeted = 0
        self.version = version
        self.heard: list[pool_pb2.WatchUp] = []
        self.told = threading.Event()

    async def greet(self, hello: common_pb2.Hello, caller: server.Caller) -> common_pb2.HelloReply:
        self.greeted += 1
        return common_pb2.HelloReply(version=self.version)

    async def listed(
        self, request: pool_pb2.ListRequest, caller: server.Caller
    ) -> pool_pb2.ListReply:
        return pool_pb2.ListReply()

    async def watch(
        self, requests: AsyncIterator[pool_pb2.WatchUp], caller: server.Caller
    ) -> AsyncIterator[pool_pb2.WatchDown]:
        async for up in requests:
            self.heard.append(up)
            if up.HasField("hello"):
                yield pool_pb2.WatchDown(hello=common_pb2.HelloReply(version=self.version))
                yield pool_pb2.WatchDown(instance=instance_message(fake_instance()))
            if up.HasField("want"):
                self.told.set()
                return

    def bindings(self) -> list[server.Binding]:
        return [
            server.unary(verbs.POOL_GREET, self.greet),
            server.unary(verbs.POOL_LIST, self.listed),
            server.stream(verbs.POOL_WATCH, self.watch),
        ]


def peer(served: Rig, pool: Pool, dialer: Dialer) -> Peer:
    address = served.serve(Identity.manager(POOL), *pool.bindings())
    return Peer(dialer, address, verbs.POOL_GREET, "POOL_UNREACHABLE")


def ask(made: Peer) -> pool_pb2.ListReply:
    return made.call(verbs.POOL_LIST, pool_pb2.ListRequest(), 10.0)


def test_a_channel_begins_with_hello_once(served: Rig) -> None:
    pool = Pool()
    made = peer(served, pool, served.dialer())
    for _ in range(3):
        ask(made)
    assert pool.greeted == 1
    made.close()


def test_a_renewed_leaf_is_used_by_the_next_call(served: Rig) -> None:
    pool, dialer = Pool(), served.dialer()
    made = peer(served, pool, dialer)
    ask(made)
    first = made.channel()
    served.leaf(OWNER)
    ask(made)
    assert made.channel() is not first
    assert pool.greeted == 2
    made.close()


def test_a_pool_of_another_version_is_not_spoken_to(served: Rig) -> None:
    made = peer(served, Pool(version=2), served.dialer())
    with pytest.raises(EaisError) as caught:
        ask(made)
    assert caught.value.reason == "VERSION_UNSUPPORTED"
    made.close()


def test_nobody_there_is_told_by_its_own_reason(served: Rig) -> None:
    made = peer(served, Pool(), served.dialer())
    served.stop()
    with pytest.raises(EaisError) as caught:
        ask(made)
    assert caught.value.reason == "POOL_UNREACHABLE"
    made.close()


def test_a_silent_pool_is_away_and_no_deadline_of_a_caller(served: Rig) -> None:
    async def silent(request: pool_pb2.ListRequest, caller: server.Caller) -> pool_pb2.ListReply:
        never: asyncio.Future[pool_pb2.ListReply] = asyncio.get_running_loop().create_future()
        return await never

    greet = server.greet(verbs.POOL_GREET, "eais-manager")
    address = served.serve(Identity.manager(POOL), greet, server.unary(verbs.POOL_LIST, silent))
    wire = GrpcWire(served.dialer(), Context("c", POOL, str(address)), VnicEnds(NetAgent()))
    with pytest.raises(EaisError) as caught:
        wire.list(0.1)
    assert (caught.value.reason, caught.value.retryable) == ("POOL_UNREACHABLE", True)
    wire.close()


def test_hello_takes_of_the_calls_own_time(served: Rig) -> None:
    clock = FakeClock()
    left: list[float | None] = []

    async def greet(request: common_pb2.Hello, caller: server.Caller) -> common_pb2.HelloReply:
        clock.sleep(6.0)
        return common_pb2.HelloReply(version=1)

    async def listed(request: pool_pb2.ListRequest, caller: server.Caller) -> pool_pb2.ListReply:
        left.append(caller.timeout_s)
        return pool_pb2.ListReply()

    address = served.serve(
        Identity.manager(POOL),
        server.unary(verbs.POOL_GREET, greet),
        server.unary(verbs.POOL_LIST, listed),
    )
    made = Peer(served.dialer(), address, verbs.POOL_GREET, "POOL_UNREACHABLE", clock)
    ask(made)
    (seconds,) = left
    assert seconds is not None
    assert seconds < 5.0
    made.close()


def answered_by(served: Rig, own: tls.Bundle, server_name: str) -> EaisError:
    """What a client is told that means `server_name`, where a server with the leaf `own` is."""
    greet = server.greet(verbs.POOL_GREET, "eais-manager")
    address = replace(served.serve_with(own, greet), server_name=server_name)
    made = Peer(served.dialer(), address, verbs.POOL_GREET, "POOL_UNREACHABLE")
    with pytest.raises(EaisError) as caught:
        ask(made)
    made.close()
    return caught.value


def test_a_server_of_another_name_is_told_from_a_dead_one(served: Rig) -> None:
    own = served.authority.bundle(Identity.listener(POOL, "local"), now())
    error = answered_by(served, own, str(Identity.manager(POOL).dns_name))
    assert (error.reason, error.retryable) == ("SERVER_UNTRUSTED", False)
    assert "another name" in error.message


def test_a_server_of_another_ca_is_told_from_a_dead_one(served: Rig, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "other", POOL, now())
    own = replace(stranger.bundle(Identity.manager(POOL), now()), ca_pem=served.authority.ca_pem)
    error = answered_by(served, own, str(Identity.manager(POOL).dns_name))
    assert (error.reason, error.retryable) == ("SERVER_UNTRUSTED", False)
    assert "of no CA" in error.message


def test_a_server_whose_leaf_has_ended_may_have_another_soon(served: Rig) -> None:
    past = now() - datetime.timedelta(days=1)
    own = served.authority.bundle(Identity.manager(POOL), past)
    error = answered_by(served, own, str(own.identity.dns_name))
    if grpc.__version__.startswith("1.62."):  # the lowest: it says no more than "refused"
        assert "or isn't valid at this time" in error.message
        return
    assert (error.reason, error.retryable) == ("POOL_UNREACHABLE", True)
    assert "certificate" in error.message


def refused(dialer: Dialer) -> IdentityError:
    with pytest.raises(IdentityError) as caught:
        dialer.dial(Address("127.0.0.1", 1, "x"))
    return caught.value


def test_a_missing_identity_says_how_to_get_one(tmp_path: Path) -> None:
    error = refused(Dialer(tls.LeafFile(tmp_path / "none.pem"), POOL))
    assert error.reason == "CERT_MISSING"
    assert "eais pool up" in error.hint


@pytest.mark.parametrize(
    "identity",
    [
        Identity.operator(POOL, "owner"),
        Identity.listener(POOL, "local"),
        Identity.frontend("other-0002", "default", "owner"),
    ],
)
def test_an_identity_of_another_role_or_pool_is_found(
    served: Rig, tmp_path: Path, identity: Identity
) -> None:
    authority = Authority.create(tmp_path / "of", identity.pool, now())
    error = refused(Dialer(served.leaf(identity, authority), POOL))
    assert error.reason == "CERT_IDENTITY"
    assert f"a frontend of pool {POOL}" in error.message


def test_a_leaf_that_has_just_ended_is_not_shown(served: Rig) -> None:
    file = served.leaf(OWNER)
    clock = file.current().not_after + datetime.timedelta(seconds=1)
    error = refused(Dialer(file, POOL, wall=lambda: clock))
    assert error.reason == "CERT_EXPIRED"
    assert "eais pool up" in error.hint


@pytest.mark.parametrize(("days", "reason"), [(2, "CERT_EXPIRED"), (-2, "CERT_NOT_YET_VALID")])
def test_a_leaf_out_of_its_time_is_found_before_dialling(
    served: Rig, days: int, reason: str
) -> None:
    clock = now() + datetime.timedelta(days=days)
    assert refused(Dialer(served.leaf(OWNER), POOL, wall=lambda: clock)).reason == reason


def test_a_key_that_is_not_the_leafs_is_found(served: Rig, tmp_path: Path) -> None:
    one = served.authority.bundle(OWNER, now())
    other = served.authority.bundle(OWNER, now())
    path = tmp_path / "mixed.pem"
    path.write_bytes(one.key_pem + other.leaf_pem + one.ca_pem)
    path.chmod(0o600)
    assert refused(Dialer(tls.LeafFile(path), POOL)).reason == "CERT_KEY_MISMATCH"


def test_a_leaf_of_another_ca_is_found(served: Rig, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "other", POOL, now())
    bundle = stranger.bundle(OWNER, now())
    path = tmp_path / "stranger.pem"
    path.write_bytes(bundle.key_pem + bundle.leaf_pem + served.authority.ca_pem)
    path.chmod(0o600)
    assert refused(Dialer(tls.LeafFile(path), POOL)).reason == "CERT_UNTRUSTED"


class Told(Unmoved):
    """`WatchEvents` of one attachment."""

    def __init__(self) -> None:
        self.instances: list[Instance] = []
        self.heard = threading.Event()
        self.load = Load("ei-1", 2, 3)

    def instance(self, instance: Instance) -> None:
        self.instances.append(instance)
        self.heard.set()

    def loads(self) -> list[Load]:
        return [self.load]


def test_the_watch_tells_and_is_told_and_begins_again(served: Rig) -> None:
    pool, told = Pool(), Told()
    made = peer(served, pool, served.dialer())
    watch = GrpcWatch(made, told, lambda: 0.0)
    for turn in range(2):
        assert told.heard.wait(WAIT_S)
        assert told.instances[-1].id == "ei-1"
        told.heard.clear()
        if turn == 0:
            watch.want("ei-1")  # which ends this stream
            assert pool.told.wait(WAIT_S)
    watch.close()
    watch._thread.join(WAIT_S)
    assert not watch._thread.is_alive()
    assert next(up for up in pool.heard if up.HasField("want")).want.instance == "ei-1"
    made.close()


def test_a_watch_that_begins_again_does_so_with_the_newest_leaf(served: Rig) -> None:
    pool, callers = Pool(), queue.SimpleQueue[str]()

    async def watch(
        requests: AsyncIterator[pool_pb2.WatchUp], caller: server.Caller
    ) -> AsyncIterator[pool_pb2.WatchDown]:
        callers.put(caller.identity.name)
        yield pool_pb2.WatchDown(hello=common_pb2.HelloReply(version=1))
        async for _ in requests:
            pass

    bindings = (*pool.bindings()[:2], server.stream(verbs.POOL_WATCH, watch))
    dialer = served.dialer()
    address = served.serve(Identity.manager(POOL), *bindings)
    made = Peer(dialer, address, verbs.POOL_GREET, "POOL_UNREACHABLE")
    watching = GrpcWatch(made, Told(), lambda: 0.0)
    assert callers.get(timeout=WAIT_S) == "owner"
    served.leaf(Identity.frontend(POOL, "default", "renewed"))  # the same file
    served.stop()
    served.serve(Identity.manager(POOL), *bindings, port=address.port)
    assert callers.get(timeout=WAIT_S) == "renewed"
    watching.close()
    made.close()


def test_load_goes_up_while_calls_wait_and_when_it_changed(served: Rig) -> None:
    made = Peer(served.dialer(), Address("127.0.0.1", 1, "x"), verbs.POOL_GREET, "X")
    told = Told()
    watch = GrpcWatch(made, told, lambda: 0.0)
    watch.close()
    memory: dict[str, Load] = {}
    cpu = CpuLoad(lambda: "", lambda: 0.25)
    for _ in range(2):
        (up,) = watch._reports(memory, cpu)
        assert (up.load.instance, up.load.waiting_calls, up.load.answered_calls) == ("ei-1", 2, 3)
        assert up.load.cpu_load == 0.25
    told.load = Load("ei-1", 0, 5)
    (up,) = watch._reports(memory, cpu)
    assert (up.load.waiting_calls, up.load.answered_calls) == (0, 5)
    assert list(watch._reports(memory, cpu)) == []


def test_what_is_detached_is_forgotten(served: Rig) -> None:
    made = Peer(served.dialer(), Address("127.0.0.1", 1, "x"), verbs.POOL_GREET, "X")
    watch = GrpcWatch(made, Told(), lambda: 0.0)
    watch.close()
    memory = {"ei-gone": Load("ei-gone", 0, 9)}
    assert len(list(watch._reports(memory, CpuLoad()))) == 1
    assert list(memory) == ["ei-1"]


FORKS = """
import os, sys
from eais import tls
from eais.errors import EaisError
from eais_client.dialer import Dialer
from eais_client.instances import Address
from pathlib import Path
dialer = Dialer(tls.LeafFile(Path(sys.argv[1])), "test-0001")
dialer.dial(Address("127.0.0.1", 1, "x")).close()
child = os.fork()
if child == 0:
    try:
        dialer.dial(Address("127.0.0.1", 1, "x"))
    except EaisError as error:
        os._exit(7 if error.reason == "FORKED" and "spawn" in error.hint else 8)
    os._exit(9)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_is_told_what_to_do(served: Rig) -> None:
    path = served.leaf(OWNER).path
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")
