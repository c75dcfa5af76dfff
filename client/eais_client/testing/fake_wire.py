"""A pool, a listener and workers in memory: a `Wire` without a network.

Everything happens at once, in the thread that asks for it. Faults are made by name
(`fail_next`), answers can be held back (`holding`, `release`), streams can be broken.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import Any, Protocol

from eais.errors import EaisError, make_error
from eais.instance import InstanceState
from eais.instance_policy import RingPolicy
from eais.net.plan import VnicKey
from eais.rpc.v1 import listener_pb2, worker_pb2
from eais.testing.values import decode_value, encode_value
from eais.transport.messages import answer_part
from eais.transport.writing import EncodedRun
from eais.value import Deferred, Value
from eais_client.brain.transport import Transport
from eais_client.config import ClientConfig
from eais_client.frontend import FrontEnd
from eais_client.instances import Address, Instance, Worker
from eais_client.testing.fake_tools import FakeTools
from eais_client.vnic_end import Vnic, VnicEnd
from eais_client.wire import (
    Incoming,
    Load,
    StreamEvents,
    Timeout,
    Waiter,
    WatchEvents,
)

FRONTEND = "owner"
LISTENER = Address("127.64.16.2", 7000, "local.listener.pool.internal")


class FakeHost(Protocol):
    """What loads and runs models behind a `FakeWire`."""

    def load(
        self, files: Mapping[str, bytes], spec: listener_pb2.SessionSpec
    ) -> listener_pb2.Signature:
        """Load a model given by its files; raises `EaisError` as a listener answers."""
        ...

    def run(
        self, files: Mapping[str, bytes], inputs: Mapping[str, Value], run: worker_pb2.Run
    ) -> list[Value]:
        """Run it; raises `EaisError` as a worker answers."""
        ...


class FakeStream:
    """A `DataStream` to a fake worker, which answers in the sender's thread."""

    def __init__(self, wire: FakeWire, number: int, worker: Address, events: StreamEvents) -> None:
        self.number = number
        self.worker = worker
        self.sent: list[worker_pb2.Run] = []
        self.cancelled: list[int] = []
        self.held: list[str] = []
        self.released: list[str] = []
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.open = False
        self._wire = wire
        self._events = events
        self._waiting: deque[Callable[[], None]] = deque()

    def start(self) -> None:
        """See `DataStream`."""
        if (without := self._wire.next_fault("start")) is not None:
            raise without
        error = self._wire.next_fault("stream")
        if error is not None:
            self._events.broken(self.number, error)
            return
        self.open = True
        self._events.opened(self.number)

    def send(self, run: EncodedRun, deferred: Deferred, watched: bool = True) -> None:
        """See `DataStream`."""
        if self.open:
            self._take(worker_pb2.Run.FromString(b"".join(run.parts)), deferred)

    def read_for(self, waiter: Waiter, until_s: float) -> None:
        """See `DataStream`; the answer comes from the thread that lets it go."""
        waiter.park(None if until_s == inf else until_s - time.monotonic())

    @property
    def used(self) -> str:
        """See `DataStream`."""
        return "fake"

    def read_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """See `DataStream`."""
        assert asyncio.get_running_loop() is loop
        self.loops.append(loop)

    def _take(self, run: worker_pb2.Run, deferred: Deferred) -> None:
        self.sent.append(run)
        data = iter([bytearray(buffer) for buffer in deferred.buffers])
        inputs = {value.name: decode_value(value.value, data) for value in run.inputs}
        self._waiting.append(lambda: self._answer(run, inputs))
        if not self._wire.holding:
            self.release_all()

    def cancel(self, call: int) -> None:
        """See `DataStream`."""
        self.cancelled.append(call)

    def hold(self, session: str) -> None:
        """See `DataStream`."""
        self.held.append(session)

    def release(self, session: str) -> None:
        """See `DataStream`."""
        self.released.append(session)

    def close(self) -> None:
        """See `DataStream`."""
        self.open = False

    def release_all(self) -> None:
        """Answer what was sent so far."""
        while self._waiting:
            self._waiting.popleft()()

    def broke(self, error: EaisError | None = None) -> None:
        """The stream ends from the far side, without the answers that it owes."""
        self.open = False
        self._waiting.clear()
        self._events.broken(self.number, error or make_error("WORKER_DIED", "gone"))

    def drain(self) -> None:
        """The worker takes no new calls."""
        self._events.draining(self.number)

    def _answer(self, run: worker_pb2.Run, inputs: dict[str, Value]) -> None:
        try:
            error = self._wire.next_fault("run")
            if error is not None:
                raise error
            values = self._wire.run(run, inputs)
        except EaisError as refusal:
            self._events.refused(self.number, run.call_id, refusal, 0.0)
            return
        deferred = Deferred()
        message = worker_pb2.Answer(
            call_id=run.call_id,
            outputs=[encode_value(value, deferred) for value in values],
            account=self._wire.account,
        )
        buffers = [bytearray(buffer) for buffer in deferred.buffers]
        self._events.answered(run.call_id, Incoming(answer_part(message), buffers))


class FakeWatch:
    """A `Watch` that tells what the test says."""

    def __init__(self, events: WatchEvents) -> None:
        self.wanted: list[str] = []
        self.replaced = 0
        self.closed = False
        self._events = events

    def want(self, instance: str) -> None:
        """See `Watch`."""
        self.wanted.append(instance)

    def renewed(self) -> None:
        """See `Watch`."""
        self.replaced += 1

    def close(self) -> None:
        """See `Watch`."""
        self.closed = True

    def loads(self) -> list[Load]:
        """What the Watch would send up now."""
        return list(self._events.loads())

    def tell(self, instance: Instance) -> None:
        """The pool says how the instance stands."""
        self._events.instance(instance)

    def reopen(self, instance: str, epoch: int, listener: Address, end: VnicEnd | None) -> None:
        """The pool asks for the sessions of an instance that is about to move."""
        self._events.reopen(instance, epoch, listener, end)


class FakeWire:
    """A `Wire` in memory.

    Attributes:
        instances: what the pool knows, by id.
        store: what the listener has, by SHA-256.
        sessions: what was opened, by session id.
        streams: all streams there were, in order.
        said: what was asked of pool and listener, in order.
        holding: whether workers keep their answers back.
        account: what they say that each call costs.
        ends: of vNICs, that are there, and the generation of each.
        replaced: see `Wire`; none, for there are no channels.
    """

    replaced = 0

    def __init__(self, host: FakeHost, *instances: Instance) -> None:
        self.instances = {instance.id: instance for instance in instances}
        self.store: dict[bytes, bytearray] = {}
        self.sessions: dict[str, listener_pb2.SessionSpec] = {}
        self.streams: list[FakeStream] = []
        self.said: list[str] = []
        self.holding = False
        self.ends: dict[VnicKey, int] = {}
        self.account = worker_pb2.Account(batch_size=1)
        self.watches: list[FakeWatch] = []
        self._host = host
        self._faults: dict[str, deque[EaisError]] = defaultdict(deque)

    def fail_next(self, what: str, *errors: EaisError) -> None:
        """Fail the next calls of `what` ("describe", "open", "push", "start", "run", ...)."""
        self._faults[what].extend(errors)

    def heal(self) -> None:
        """No call fails any more."""
        self._faults.clear()

    def next_fault(self, what: str) -> EaisError | None:
        """The fault that comes next, taken off the list."""
        return self._faults[what].popleft() if self._faults[what] else None

    def change(self, name: str, **changes: Any) -> Instance:
        """Change an instance, and tell it over the Watch."""
        changed = replace(self.instances[name], **changes)
        self.instances[name] = changed
        for watch in self.watches:
            watch.tell(changed)
        return changed

    def run(self, run: worker_pb2.Run, inputs: Mapping[str, Value]) -> list[Value]:
        """Run a call as its worker would."""
        if run.session not in self.sessions:
            raise make_error("SESSION_UNKNOWN", "no such session")
        return self._host.run(self._files(self.sessions[run.session]), inputs, run)

    def frontend(self) -> str:
        """See `Wire`."""
        self._say("frontend", quiet=True)
        return FRONTEND

    def describe(self, instance: str, timeout_s: Timeout) -> Instance:
        """See `Wire`."""
        self._say("describe")
        if instance not in self.instances:
            raise make_error("NOT_FOUND", f"there is no instance {instance}")
        return self.instances[instance]

    def list(self, timeout_s: Timeout) -> tuple[Instance, ...]:
        """See `Wire`."""
        self._say("list")
        return tuple(self.instances.values())

    def watch(self, events: WatchEvents) -> FakeWatch:
        """See `Wire`."""
        self.watches.append(FakeWatch(events))
        return self.watches[-1]

    def reach(self, vnic: Vnic, *, again: bool = False) -> None:
        """See `Wire`."""
        self._say("reach", quiet=True)
        if vnic.end is not None:
            self.ends[vnic.end.key] = vnic.end.generation

    def leave(self, end: VnicEnd) -> None:
        """See `Wire`."""
        self.ends.pop(end.key, None)

    def open(
        self, listener: Address, request: listener_pb2.OpenRequest, timeout_s: Timeout
    ) -> listener_pb2.OpenReply:
        """See `Wire`."""
        self._say("open")
        if request.epoch < self.instances[request.instance].epoch:
            raise make_error("STALE_EPOCH", "an older epoch")
        missing = [file for file in request.spec.files if self._lacks(file)]
        if missing:
            return listener_pb2.OpenReply(missing=[self._missing(file) for file in missing])
        signature = self._host.load(self._files(request.spec), request.spec)
        spec = request.spec.SerializeToString(deterministic=True)
        name = hashlib.sha256(request.instance.encode() + spec).hexdigest()[:32]
        self.sessions[name] = request.spec
        return listener_pb2.OpenReply(
            session=listener_pb2.OpenedSession(id=name, signature=signature)
        )

    def push(
        self, listener: Address, chunks: Iterable[listener_pb2.PushChunk], timeout_s: Timeout
    ) -> None:
        """See `Wire`; a fault strikes after the first chunk."""
        self._say("push", quiet=True)
        stored = bytearray()
        for number, chunk in enumerate(chunks):
            if number == 0:
                stored = self.store.setdefault(chunk.sha256, bytearray())
                self.said.append(f"push from {chunk.offset}")
            if chunk.offset != len(stored):
                raise make_error("CHUNK_GAP", f"{chunk.offset} is not {len(stored)}")
            stored += chunk.data
            error = self.next_fault("chunk")
            if error is not None:
                raise error

    def locate(
        self, listener: Address, instance: str, epoch: int, timeout_s: Timeout
    ) -> tuple[Worker, ...]:
        """See `Wire`."""
        self._say("locate")
        if epoch < self.instances[instance].epoch:
            raise make_error("STALE_EPOCH", "an older epoch")
        return self.instances[instance].workers

    def stream(
        self,
        number: int,
        worker: Address,
        events: StreamEvents,
        transport: Transport = Transport.AUTO,
        ring: RingPolicy = RingPolicy.AUTO,
    ) -> FakeStream:
        """See `Wire`."""
        self.streams.append(FakeStream(self, number, worker, events))
        return self.streams[-1]

    def close(self) -> None:
        """See `Wire`."""
        self.said.append("close")

    def _say(self, what: str, *, quiet: bool = False) -> None:
        if not quiet:
            self.said.append(what)
        error = self.next_fault(what)
        if error is not None:
            raise error

    def _lacks(self, file: listener_pb2.ModelFile) -> bool:
        return len(self.store.get(file.sha256, b"")) < file.size or file.sha256 not in self.store

    def _missing(self, file: listener_pb2.ModelFile) -> listener_pb2.MissingFile:
        offset = len(self.store.get(file.sha256, b""))
        return listener_pb2.MissingFile(sha256=file.sha256, size=file.size, offset=offset)

    def _files(self, spec: listener_pb2.SessionSpec) -> dict[str, bytes]:
        return {file.location: bytes(self.store[file.sha256]) for file in spec.files}


def fake_instance(name: str = "ei-1", *, workers: int = 1, **changes: Any) -> Instance:
    """An instance in use by this front-end, with that many workers."""
    addresses = [
        Address("127.64.16.9", 7000 + n, f"{n}.{name}.pool") for n in range(1, workers + 1)
    ]
    instance = Instance(
        id=name,
        state=InstanceState.IN_USE,
        type="cpu",
        tenant="default",
        frontend=FRONTEND,
        epoch=1,
        listener=LISTENER,
        workers=tuple(Worker(n, address) for n, address in enumerate(addresses, start=1)),
    )
    return replace(instance, **changes)


def fake_frontend(wire: FakeWire, fakes: FakeTools | None = None) -> FrontEnd:
    """A front-end over `wire`, for `InferenceSession(..., frontend=...)`."""
    return FrontEnd(wire, ClientConfig.for_test(), (fakes or FakeTools()).tools())
