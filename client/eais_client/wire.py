"""What an attachment needs of the network: a constructor argument, with a fake shipped.

`eais_client.grpc_wire.GrpcWire` is the real one, `eais_client.testing.FakeWire` the fake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from eais.errors import EaisError
from eais.instance_policy import RingPolicy
from eais.rpc.v1 import listener_pb2
from eais.transport.parts import AnswerPart, Buffer, TensorPart
from eais.transport.tensors import array_of, value_of
from eais.transport.writing import EncodedRun
from eais.value import Deferred, Value
from eais_client.brain.transport import Transport
from eais_client.instances import Address, Instance, Worker
from eais_client.vnic_end import Vnic, VnicEnd

if TYPE_CHECKING:
    import asyncio


class Incoming(NamedTuple):
    """A whole answer: its parts, and the bytes of its large tensors."""

    part: AnswerPart
    buffers: Sequence[Buffer] = ()

    def values(self) -> list[Value]:
        """The outputs in the order asked for; the arrays own their memory.

        Raises `UsageError` for outputs that can't be read.
        """
        buffers = iter(self.buffers)
        return [
            array_of(value, buffers) if type(value) is TensorPart else value_of(value, buffers)
            for value in self.part.outputs
        ]


class StreamEvents(Protocol):
    """What a data stream tells its attachment, from the thread that reads it."""

    def opened(self, stream: int) -> None:
        """The worker said hello."""
        ...

    def answered(self, call: int, answer: Incoming) -> None:
        """A call's outputs are all there."""
        ...

    def refused(self, stream: int, call: int, error: EaisError, push_back_s: float) -> None:
        """A call failed at the worker."""
        ...

    def draining(self, stream: int) -> None:
        """The worker takes no new calls."""
        ...

    def broken(self, stream: int, error: EaisError) -> None:
        """The stream ended. Said once, and last, unless it was closed from here."""
        ...


class Waiter(Protocol):
    """A call that a thread waits for, as its data stream sees it.

    The thread is in one of three places: it reads for the stream (`rouse` is set while that
    blocks), it sleeps in `park`, or it looks at `done` and `stream` before it does either.

    Attributes:
        done: whether the call is over.
        stream: the stream that it was sent on last; None: nowhere yet.
        rouse: gets its thread out of the stream that blocks in it; the stream's to set.
    """

    done: bool
    stream: DataStream | None
    rouse: Callable[[], None] | None

    def park(self, timeout_s: float | None) -> None:
        """Sleep until `wake`, or the call is over; at once if it was woken since the last time."""
        ...

    def wake(self) -> None:
        """Have its thread look again, wherever it is; from any thread."""
        ...


class DataStream(Protocol):
    """One connection to a worker. All may be called from any thread.

    Nothing blocks but `read_for`, by which the thread that waits for an answer reads for all
    others meanwhile, so that no other thread needs to be woken first. While nobody waits the
    stream reads by itself. One thread at a time tells `StreamEvents`.
    """

    def start(self) -> None:
        """Connect; `StreamEvents` hears how it goes. Once, before anything but `hold`.

        Nothing is done if it was closed. `Unavailable` if this process has no thread for it.
        """
        ...

    def send(self, run: EncodedRun, deferred: Deferred, watched: bool = True) -> None:
        """Send a call, together with what else waits; nothing on an ended stream.

        `watched`: somebody will read for it, by `read_for` or in a loop of `read_in`; else
        the stream does.
        """
        ...

    def read_for(self, waiter: Waiter, until_s: float) -> None:
        """Wait until the call is over, was sent on another stream, or `until_s` has come.

        May return before. `until_s` is of `time.monotonic`; inf: never.
        """
        ...

    @property
    def used(self) -> str:
        """What carries it now, for people: "h2", "ring", "h2 (no ring: …)", "grpcio"."""
        ...

    def read_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read in `loop` for its tasks, too, from now on; called in it, as often as one likes.

        What is sent in that loop goes out together, once in each of its iterations.
        """
        ...

    def cancel(self, call: int) -> None:
        """Tell the worker that nobody waits for the call; stop sending its tensors."""
        ...

    def hold(self, session: str) -> None:
        """Say that this process uses the session."""
        ...

    def release(self, session: str) -> None:
        """Say that it doesn't any more."""
        ...

    def close(self) -> None:
        """End the stream; `StreamEvents` hears no more of it."""
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """Calls of an attachment: those that wait, and those answered so far."""

    instance: str
    waiting: int
    answered: int

    def plus(self, other: Load | None) -> Load:
        """Both together, of one instance."""
        if other is None:
            return self
        return Load(self.instance, self.waiting + other.waiting, self.answered + other.answered)


@dataclass(frozen=True, slots=True)
class Turnover:
    """What happened to connections so far.

    Attributes:
        replaced: channels and streams that took the place of an older one.
        retries: calls sent to a worker again, after an attempt that counted.
    """

    replaced: int = 0
    retries: int = 0


class WatchEvents(Protocol):
    """What the Watch tells and asks, from its own threads."""

    def instance(self, instance: Instance) -> None:
        """The instance as it is now."""
        ...

    def reopen(self, instance: str, epoch: int, listener: Address, end: VnicEnd | None) -> None:
        """The instance is about to move there, where models of its are missing.

        `end`: of its vNIC there, if that is the kernel's.
        """
        ...

    def notice(self, instance: str, reason: str, message: str) -> None:
        """Words for people."""
        ...

    def loads(self) -> Sequence[Load]:
        """What is told up: the load of each attachment."""
        ...


class Watch(Protocol):
    """The Watch that keeps a process told of its instances.

    `replaced`: how many of its streams took the place of an older one.
    """

    replaced: int

    def want(self, instance: str) -> None:
        """Say that a call finds no worker of the instance."""
        ...

    def renewed(self) -> None:
        """The identity was renewed: go on with it, without missing anything meanwhile."""
        ...

    def close(self) -> None:
        """End it."""
        ...


Timeout = float | None


class Wire(Protocol):
    """The pool, its listeners and workers, as one front-end reaches them.

    Every failure is an `EaisError`. `timeout_s` None means as long as the peer is alive.
    A peer that doesn't answer a question (describe, list, locate) in time is unreachable.
    """

    @property
    def replaced(self) -> int:
        """How many of its channels took the place of an older one, but for streams'."""
        ...

    def frontend(self) -> str:
        """This front-end's id, as its certificate says; `IdentityError` if it won't do."""
        ...

    def describe(self, instance: str, timeout_s: Timeout) -> Instance:
        """The instance as the manager sees it."""
        ...

    def list(self, timeout_s: Timeout) -> tuple[Instance, ...]:
        """The tenant's instances."""
        ...

    def watch(self, events: WatchEvents) -> Watch:
        """Keep `events` told of this front-end's instances, from now on."""
        ...

    def reach(self, vnic: Vnic, *, again: bool = False) -> None:
        """Have what it takes on this host to reach an instance by its vNIC; repeatable.

        `again`: also if it was there, since something may be wrong with it.
        """
        ...

    def leave(self, end: VnicEnd) -> None:
        """Take it away again; never raises."""
        ...

    def open(
        self, listener: Address, request: listener_pb2.OpenRequest, timeout_s: Timeout
    ) -> listener_pb2.OpenReply:
        """Open a session, or hear which files are missing."""
        ...

    def push(
        self, listener: Address, chunks: Iterable[listener_pb2.PushChunk], timeout_s: Timeout
    ) -> None:
        """Send one file."""
        ...

    def locate(
        self, listener: Address, instance: str, epoch: int, timeout_s: Timeout
    ) -> tuple[Worker, ...]:
        """The instance's workers as the listener sees them."""
        ...

    def stream(
        self,
        number: int,
        worker: Address,
        events: StreamEvents,
        transport: Transport,
        ring: RingPolicy,
    ) -> DataStream:
        """A stream to a worker, to be started; `ring` is the policy of its instance."""
        ...

    def close(self) -> None:
        """End everything."""
        ...


#: Runs a function in the background: on a thread in life, when asked to in tests.
Spawn = Callable[[str, Callable[[], Any]], None]
