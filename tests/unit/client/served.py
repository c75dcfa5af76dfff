"""gRPC servers over real mTLS in a thread, for a client that is synchronous."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import queue
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio

from eais import channel, tls
from eais.credentials import server_credentials
from eais.errors import EaisError
from eais.identity import Identity
from eais.instance_policy import RingPolicy
from eais.rpc import server, verbs
from eais.rpc.caller import Caller
from eais.rpc.hello import hello_reply
from eais.rpc.raw_stream import StreamLink
from eais.rpc.v1 import worker_pb2
from eais.transport.h2_server import H2Server
from eais.transport.parts import PiecePart
from eais.transport.ring.handover import listening_socket
from eais_client.dialer import Dialer
from eais_client.h2_carrier import H2Carrier
from eais_client.instances import Address
from eais_client.vnic_end import VnicEnd
from eais_client.wire import Incoming
from eais_pool.authority import Authority
from eais_server.worker.ring_door import RingDoor
from eais_server.worker.ring_stream import with_rings

T = TypeVar("T")
POOL = "test-0001"
WAIT_S = 20.0


class Meanwhile(H2Carrier):
    """One whose descriptor is just being asked for when something else happens."""

    then: Callable[[], object] | None = None

    def fileno(self) -> int:
        """See `H2Carrier`."""
        fd = super().fileno()
        then, self.then = self.then, None
        if then is not None:
            then()
        return fd


class Unmoved:
    """What `WatchEvents` are told of a pool in which nothing moves and nobody says anything."""

    def reopen(self, instance: str, epoch: int, listener: Address, end: VnicEnd | None) -> None:
        raise AssertionError(f"{instance} is to move")

    def notice(self, instance: str, reason: str, message: str) -> None:
        raise AssertionError(f"{instance}: {reason}: {message}")


@dataclass
class Rig:
    """A CA, a loop in a thread, and what is served on it: by grpcio, or by our `own` server.

    `door`: hands rings to the clients of scripted workers.
    """

    folder: Path
    authority: Authority
    loop: asyncio.AbstractEventLoop
    servers: list[Any] = field(default_factory=list)
    own: bool = False
    door: RingDoor | None = None

    def open_door(self, policy: RingPolicy = RingPolicy.AUTO) -> RingDoor:
        """Hand rings to those who ask for them from now on."""

        async def opened() -> RingDoor:
            return RingDoor(listening_socket(), policy)

        self.door = self.run(opened())
        return self.door

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, done on the servers' loop."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(WAIT_S)

    def serve(self, identity: Identity, *bindings: server.Binding, port: int = 0) -> Address:
        """Serve `bindings` as `identity`; where that is."""
        return self.serve_with(self.authority.bundle(identity, now()), *bindings, port=port)

    def serve_with(self, own: tls.Bundle, *bindings: server.Binding, port: int = 0) -> Address:
        """Serve `bindings` with that leaf; where that is, and the name in the leaf."""
        return self.run(self._serve(own, bindings, port))

    async def _serve(
        self, own: tls.Bundle, bindings: tuple[server.Binding, ...], port: int
    ) -> Address:
        if self.own:
            made = H2Server(POOL, bindings, own)
            self.servers.append(made)
            return Address("127.0.0.1", made.bind("127.0.0.1", port), str(own.identity.dns_name))
        served = grpc.aio.server(options=channel.server_options())
        served.add_generic_rpc_handlers(server.generic_handlers(POOL, bindings))
        bound = served.add_secure_port(f"127.0.0.1:{port}", server_credentials(lambda: own))
        await served.start()
        self.servers.append(served)
        return Address("127.0.0.1", bound, str(own.identity.dns_name))

    def stop(self) -> None:
        """Stop what is served, at once."""
        if self.door is not None:
            self.loop.call_soon_threadsafe(self.door.close)
        servers, self.servers = self.servers, []
        for served in servers:
            self.run(served.stop(0))

    def leaf(self, identity: Identity, authority: Authority | None = None) -> tls.LeafFile:
        """A file with a fresh leaf for `identity`."""
        path = self.folder / "identity" / "leaf.pem"
        tls.save_bundle(path, (authority or self.authority).bundle(identity, now()))
        return tls.LeafFile(path)

    def dialer(self) -> Dialer:
        """A front-end's dialer."""
        return Dialer(self.leaf(Identity.frontend(POOL, "default", "owner")), POOL)


def now() -> datetime.datetime:
    """The wall clock."""
    return datetime.datetime.now(datetime.UTC)


@contextlib.contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    """A loop in a thread, and a CA below `folder`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made = Rig(folder, Authority.create(folder / "ca", POOL, now()), loop)
    try:
        yield made
    finally:
        made.stop()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()


class ScriptedWorker:
    """A worker that keeps what it hears and says what the test says; of one stream at a time."""

    def __init__(self, rig: Rig) -> None:
        self.heard: queue.SimpleQueue[worker_pb2.ToWorker] = queue.SimpleQueue()
        self.greets = True
        self._rig = rig
        self._stream: ScriptedStream | None = None

    @property
    def binding(self) -> server.Binding:
        """Worker.Stream, for a server of either kind."""
        door = self._rig.door
        handler = self._begin if door is None else with_rings(self._begin, door)
        return server.raw_stream(verbs.WORKER_STREAM, handler)

    def say(self, *messages: worker_pb2.ToClient | EaisError | None) -> None:
        """Send messages; an error refuses the stream, None ends it."""
        for message in messages:
            self._rig.loop.call_soon_threadsafe(self._say, message)

    def next(self) -> worker_pb2.ToWorker:
        """What was heard next."""
        return self.heard.get(timeout=WAIT_S)

    def _begin(self, _caller: Caller, link: StreamLink) -> ScriptedStream:
        self._stream = ScriptedStream(self, link)
        return self._stream

    def _say(self, message: worker_pb2.ToClient | EaisError | None) -> None:
        assert self._stream is not None
        self._stream.say(message)


class ScriptedStream:
    """A `ServedStream` that does what its `ScriptedWorker` is told."""

    may_read = quiet = True

    def __init__(self, worker: ScriptedWorker, link: StreamLink) -> None:
        self.over = False
        self._worker = worker
        self._link = link
        self._greeted = False
        self._out: deque[worker_pb2.ToClient] = deque()

    def receive(self, message: bytes | bytearray | memoryview) -> None:
        """See `ServedStream`."""
        if not self._greeted and self._worker.greets:
            self._out.appendleft(worker_pb2.ToClient(hello=hello_reply("eais-worker", 1)))
        self._greeted = True
        said = worker_pb2.ToWorker.FromString(bytes(message))
        if not (said.ring_wanted or said.ring_begins):
            self._worker.heard.put(said)

    def in_ring(self) -> None:
        """See `eais_server.worker.ring_stream.TakesPieces`."""

    def receive_piece(self, piece: PiecePart) -> None:
        """See `eais_server.worker.ring_stream.TakesPieces`."""
        said = worker_pb2.ToWorker()
        said.pieces.add(
            call_id=piece.call_id,
            tensor=piece.tensor,
            offset=piece.offset,
            data=bytes(piece.data),
        )
        self._worker.heard.put(said)

    def say(self, message: worker_pb2.ToClient | EaisError | None) -> None:
        """Send it, or end with it."""
        if isinstance(message, EaisError):
            self._link.fail(message)
        elif message is None:
            self.over = True
        else:
            self._out.append(message)
        self._link.changed()

    def next_message(self) -> list[bytes | bytearray | memoryview] | None:
        """See `ServedStream`."""
        return [self._out.popleft().SerializeToString()] if self._out else None

    def half_closed(self) -> None:
        """See `ServedStream`."""
        self.over = True

    def closed(self) -> None:
        """See `ServedStream`."""


class Heard:
    """`StreamEvents` that a test reads one after the other."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()

    def next(self) -> tuple[Any, ...]:
        """What was told next."""
        return self._events.get(timeout=WAIT_S)

    def silent(self) -> bool:
        """Whether nothing more was told so far."""
        return self._events.empty()

    def opened(self, stream: int) -> None:
        """See `StreamEvents`."""
        self._events.put(("opened", stream))

    def answered(self, call: int, answer: Incoming) -> None:
        """See `StreamEvents`."""
        self._events.put(("answered", call, answer))

    def refused(self, stream: int, call: int, error: EaisError, push_back_s: float) -> None:
        """See `StreamEvents`."""
        self._events.put(("refused", stream, call, error, push_back_s))

    def draining(self, stream: int) -> None:
        """See `StreamEvents`."""
        self._events.put(("draining", stream))

    def broken(self, stream: int, error: EaisError) -> None:
        """See `StreamEvents`."""
        self._events.put(("broken", stream, error))
