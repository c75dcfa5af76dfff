"""Connections after a renewal, over real mTLS: the new one is made before the old one is left."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from eais.errors import EaisError, make_error
from eais.identity import Identity
from eais.rpc import server, verbs
from eais.rpc.hello import hello_reply
from eais.rpc.v1 import common_pb2, pool_pb2
from eais_client.dialer import REPLACE_AGAIN_S, Peer
from eais_client.instances import Instance
from eais_client.testing import fake_instance
from eais_client.testing.fake_tools import FakeClock
from eais_client.testing.messages import instance_message
from eais_client.watch import GrpcWatch
from eais_client.wire import Load
from tests.unit.client.served import POOL, WAIT_S, Rig, Unmoved, rig

OWNER = Identity.frontend(POOL, "default", "owner")
#: Who renewed would keep its name; another name shows which leaf a channel was made with.
RENEWED = Identity.frontend(POOL, "default", "renewed")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Rig]:
    with rig(tmp_path) as made:
        yield made


class Manager:
    """A manager that notes who calls, greets whom it is told to, and keeps Watches open."""

    def __init__(self) -> None:
        self.refuses: set[str] = set()
        self.callers: list[str] = []
        self.watchers: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()

    async def greet(self, hello: common_pb2.Hello, caller: server.Caller) -> common_pb2.HelloReply:
        if caller.identity.name in self.refuses:
            raise make_error("PERMISSION_DENIED", "not yet")
        return hello_reply("eais-manager")

    async def listed(
        self, request: pool_pb2.ListRequest, caller: server.Caller
    ) -> pool_pb2.ListReply:
        self.callers.append(caller.identity.name)
        return pool_pb2.ListReply()

    async def watch(
        self, requests: AsyncIterator[pool_pb2.WatchUp], caller: server.Caller
    ) -> AsyncIterator[pool_pb2.WatchDown]:
        name = caller.identity.name
        if name in self.refuses:
            raise make_error("PERMISSION_DENIED", "not yet")
        self.watchers.put(("began", name))
        try:
            yield pool_pb2.WatchDown(hello=hello_reply("eais-manager"))
            yield pool_pb2.WatchDown(instance=instance_message(fake_instance(f"ei-{name}")))
            async for up in requests:
                if up.HasField("want"):
                    self.watchers.put(("wants", name))
        finally:
            self.watchers.put(("ended", name))

    def peer(self, served: Rig, clock: FakeClock | None = None) -> Peer:
        address = served.serve(
            Identity.manager(POOL),
            server.unary(verbs.POOL_GREET, self.greet),
            server.unary(verbs.POOL_LIST, self.listed),
            server.stream(verbs.POOL_WATCH, self.watch),
        )
        return Peer(
            served.dialer(), address, verbs.POOL_GREET, "POOL_UNREACHABLE", clock or FakeClock()
        )


def ask(peer: Peer) -> None:
    peer.call(verbs.POOL_LIST, pool_pb2.ListRequest(), WAIT_S)


def test_calls_stay_on_the_old_channel_until_the_new_one_is_greeted(served: Rig) -> None:
    manager, clock = Manager(), FakeClock()
    peer = manager.peer(served, clock)
    ask(peer)
    manager.refuses = {"renewed"}
    served.leaf(RENEWED)
    ask(peer)
    manager.refuses = set()
    ask(peer)  # the failed one isn't tried with each call
    clock.sleep(REPLACE_AGAIN_S)
    ask(peer)
    assert manager.callers == ["owner", "owner", "owner", "renewed"]
    assert peer.replaced == 1
    peer.close()


def test_a_first_channel_that_is_refused_has_no_other_to_go_on_with(served: Rig) -> None:
    manager = Manager()
    manager.refuses = {"owner"}
    peer = manager.peer(served)
    with pytest.raises(EaisError) as caught:
        ask(peer)
    assert caught.value.reason == "PERMISSION_DENIED"
    peer.close()


def test_a_call_under_way_on_the_old_channel_is_answered(served: Rig) -> None:
    began, go_on = threading.Event(), served.run(_event())

    async def greet(hello: common_pb2.Hello, caller: server.Caller) -> common_pb2.HelloReply:
        return hello_reply("eais-manager")

    async def listed(request: pool_pb2.ListRequest, caller: server.Caller) -> pool_pb2.ListReply:
        if caller.identity.name == "owner":
            began.set()
            await go_on.wait()
        return pool_pb2.ListReply()

    address = served.serve(
        Identity.manager(POOL),
        server.unary(verbs.POOL_GREET, greet),
        server.unary(verbs.POOL_LIST, listed),
    )
    peer = Peer(served.dialer(), address, verbs.POOL_GREET, "POOL_UNREACHABLE")
    answered = threading.Event()

    def slow() -> None:
        ask(peer)
        answered.set()

    caller = threading.Thread(target=slow)
    caller.start()
    assert began.wait(WAIT_S)
    served.leaf(RENEWED)
    ask(peer)
    assert not answered.is_set()
    served.loop.call_soon_threadsafe(go_on.set)
    caller.join(WAIT_S)
    assert answered.is_set()
    peer.close()


async def _event() -> asyncio.Event:
    return asyncio.Event()


class Told(Unmoved):
    """`WatchEvents` that a test reads one after the other."""

    def __init__(self) -> None:
        self.instances: queue.SimpleQueue[str] = queue.SimpleQueue()

    def instance(self, instance: Instance) -> None:
        self.instances.put(instance.id)

    def loads(self) -> list[Load]:
        return []


def test_a_watch_made_anew_begins_before_the_old_one_ends(served: Rig) -> None:
    manager, told = Manager(), Told()
    peer = manager.peer(served)
    watch = GrpcWatch(peer, told, lambda: 0.0)
    assert told.instances.get(timeout=WAIT_S) == "ei-owner"
    served.leaf(RENEWED)
    watch.renewed()
    assert told.instances.get(timeout=WAIT_S) == "ei-renewed"
    seen = [manager.watchers.get(timeout=WAIT_S) for _ in range(3)]
    assert seen.index(("began", "renewed")) < seen.index(("ended", "owner"))
    watch.want("ei-1")
    assert manager.watchers.get(timeout=WAIT_S) == ("wants", "renewed")
    assert watch.replaced == 1
    watch.close()
    assert manager.watchers.get(timeout=WAIT_S) == ("ended", "renewed")
    peer.close()


def test_a_watch_that_cannot_be_made_anew_goes_on_as_it_is(served: Rig) -> None:
    manager, told = Manager(), Told()
    peer = manager.peer(served)
    watch = GrpcWatch(peer, told, lambda: 0.0)
    assert manager.watchers.get(timeout=WAIT_S) == ("began", "owner")
    manager.refuses = {"renewed"}
    served.leaf(RENEWED)
    watch.renewed()
    watch.want("ei-1")
    assert manager.watchers.get(timeout=WAIT_S) == ("wants", "owner")
    manager.refuses = set()
    assert manager.watchers.get(timeout=WAIT_S) == ("began", "renewed")
    assert manager.watchers.get(timeout=WAIT_S) == ("ended", "owner")
    watch.close()
    peer.close()


def test_what_an_older_watch_had_still_to_tell_is_not_believed(served: Rig) -> None:
    manager, told = Manager(), Told()
    peer = manager.peer(served)
    watch = GrpcWatch(peer, told, lambda: 0.0)
    older = watch._line
    assert told.instances.get(timeout=WAIT_S) == "ei-owner"
    served.leaf(RENEWED)
    watch.renewed()
    assert told.instances.get(timeout=WAIT_S) == "ei-renewed"
    late = pool_pb2.WatchDown(instance=instance_message(fake_instance("ei-late")))
    watch._take(older, late)
    assert told.instances.empty()
    watch.close()
    peer.close()


def test_all_streams_of_a_closed_watch_end(served: Rig) -> None:
    manager, told = Manager(), Told()
    peer = manager.peer(served)
    watch = GrpcWatch(peer, told, lambda: 0.0)
    assert manager.watchers.get(timeout=WAIT_S) == ("began", "owner")
    watch.close()
    watch.renewed()
    assert manager.watchers.get(timeout=WAIT_S) == ("ended", "owner")
    watch._thread.join(WAIT_S)
    assert not watch._thread.is_alive()
    peer.close()
