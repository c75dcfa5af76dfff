"""Opening a session at the listener: hash first, send only what is missing, go on from there.

Also used to open a session again, when a newer epoch moved the instance to another
listener or a worker doesn't know it any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from eais.backoff import RETRY, Backoff, Rng
from eais.deadline import Deadline
from eais.errors import EaisError, make_error
from eais.instance import InstanceState
from eais.rpc.status import PUSH_BACK_MS
from eais.rpc.v1 import listener_pb2
from eais_client.background import no_thread
from eais_client.instances import Address, Instance, Worker, workers_of
from eais_client.model_source import ModelSource, SourceFile
from eais_client.ort_errors import worded
from eais_client.signature import Signature
from eais_client.wire import Wire

#: Called with the bytes sent and the bytes to send, as an upload goes on.
Progress = Callable[[int, int], None]

MAX_ATTEMPTS = 3

#: Files that one process sends at a time: fewer than a listener takes of a tenant.
UPLOADS_AT_ONCE = 4
_sending = threading.Semaphore(UPLOADS_AT_ONCE)

# The lease, or the listener itself, may be elsewhere by now.
_POOL_KNOWS_BETTER = frozenset({"STALE_EPOCH", "SERVER_UNTRUSTED"})

_progress: ContextVar[Progress | None] = ContextVar("eais_upload_progress", default=None)


@contextmanager
def on_upload(progress: Progress) -> Iterator[None]:
    """Call `progress(done_bytes, total_bytes)` while sessions made in the block send models."""
    token = _progress.set(progress)
    try:
        yield
    finally:
        _progress.reset(token)


@dataclass(frozen=True, slots=True)
class Model:
    """What a session is made from: the caller's model, and the spec that travels."""

    source: ModelSource
    spec: listener_pb2.SessionSpec


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that the listener opened; `not_on`: the workers that can't have it, by number."""

    id: str
    epoch: int
    signature: Signature
    workers: tuple[Worker, ...]
    not_on: frozenset[int] = frozenset()


@dataclass(slots=True)
class Patience:
    """How long an opening may go on: the caller's deadline, and a bound without progress."""

    deadline: Deadline
    unavailable_timeout_s: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    rng: Rng
    backoff: Backoff = RETRY
    failures: int = 0
    refusals: int = 0
    since: float = -1.0

    def timeout_s(self) -> float | None:
        """Seconds left for one step; raises `DeadlineExceeded`."""
        self.deadline.check(self.clock())
        return self.deadline.left_or_none(self.clock())

    def progressed(self) -> None:
        """Something was done: patience begins anew."""
        self.failures, self.since = 0, -1.0

    def wait(self, error: EaisError, *, asked: bool = True) -> None:
        """Wait before another try; raises `error` if there is to be none.

        `asked`: some listener was.
        """
        now = self.clock()
        self.since = now if self.since < 0 else self.since
        self.failures += 1
        # Who wasn't there, or had no room, has refused nothing.
        self.refusals += asked and error.reason not in ("HOST_UNREACHABLE", "BUSY")
        out_of_patience = now >= self.since + self.unavailable_timeout_s
        if not error.retryable or out_of_patience or self.refusals >= MAX_ATTEMPTS:
            raise error from None  # as the user's call, not as what the listener was asked
        wait_s = max(self.backoff.delay_s(self.failures, self.rng), _push_back_s(error))
        self.sleep(min(wait_s, self.deadline.left_s(now)))
        self.deadline.check(self.clock())


def _push_back_s(error: EaisError) -> float:
    """How long the listener asks to wait."""
    told = error.metadata.get(PUSH_BACK_MS, "")
    return int(told) / 1000 if told.isdecimal() else 0.0


def open_session(
    wire: Wire,
    model: Model,
    find: Callable[[bool], Instance],
    patience: Patience,
) -> Opened:
    """Open a session, sending what the listener lacks.

    `find(fresh)` gives the instance; with `fresh` it must ask the pool. Raises the
    listener's refusals, as onnxruntime's exceptions where they are; `Unavailable` when
    nobody answered for too long; `DeadlineExceeded`.
    """
    fresh = False
    while True:
        instance = find(fresh)
        try:
            opened = _try_open(wire, model, instance, patience)
        except EaisError as error:
            newest = find(True) if error.reason in _POOL_KNOWS_BETTER else instance
            if newest.epoch <= instance.epoch and newest.listener == instance.listener:
                asked = instance.listener is not None
                patience.wait(worded(error, model.source.path), asked=asked)
            fresh = True
            continue
        if opened is not None:
            return opened
        patience.progressed()


def _try_open(wire: Wire, model: Model, instance: Instance, patience: Patience) -> Opened | None:
    """One Open; None if files were missing, which were sent."""
    listener = listener_of(instance)
    wire.reach(instance.vnic)
    request = listener_pb2.OpenRequest(instance=instance.id, epoch=instance.epoch, spec=model.spec)
    reply = wire.open(listener, request, patience.timeout_s())
    if reply.missing:
        _push_all(wire, model, instance, listener, reply, patience)
        return None
    return Opened(
        reply.session.id,
        instance.epoch,
        Signature.of_message(reply.session.signature),
        workers_of(reply.session.workers),
        frozenset(reply.session.not_on),
    )


def listener_of(instance: Instance) -> Address:
    """Where the instance's listener is; `Unavailable` NO_WORKER if it has none now."""
    if instance.listener is None or instance.state is not InstanceState.IN_USE:
        text = f"{instance.id} has no listener now: it is {instance.state.value}"
        raise make_error("NO_WORKER", text, metadata={"instance": instance.id})
    return instance.listener


def _push_all(
    wire: Wire,
    model: Model,
    instance: Instance,
    listener: Address,
    reply: listener_pb2.OpenReply,
    patience: Patience,
) -> None:
    total = sum(missing.size - missing.offset for missing in reply.missing)
    told = _Told(_progress.get(), total)
    told.add(0)
    for missing in reply.missing:
        file = model.source.file(missing.sha256)
        if file is None:
            text = "the listener asks for a file that is none of the model's"
            raise make_error("MALFORMED_MESSAGE", text)
        chunks = _Chunks(file, instance, missing.offset, told)
        with _turn(patience):
            try:
                wire.push(listener, chunks, patience.timeout_s())
            except RuntimeError as error:  # gRPC reads the chunks on a thread of its own
                if isinstance(error, EaisError):
                    raise
                raise no_thread() from None
            finally:
                chunks.raise_failure()
        patience.progressed()


@contextmanager
def _turn(patience: Patience) -> Iterator[None]:
    """Wait while this process sends enough files already; raises `DeadlineExceeded`."""
    if not _sending.acquire(timeout=patience.timeout_s()):
        raise make_error("DEADLINE_EXCEEDED", "the caller's deadline passed before its upload")
    try:
        yield
    finally:
        _sending.release()


class _Told:
    """Counts what was sent and tells whoever wants to know."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


class _Chunks:
    """The file from `offset`; the first chunk names it.

    gRPC keeps what an iterator raises to itself. So one that can't read on ends early, which
    the listener refuses, and says why when it is asked.
    """

    def __init__(self, file: SourceFile, instance: Instance, offset: int, told: _Told) -> None:
        self._file = file
        self._instance = instance
        self._offset = offset
        self._told = told
        self._failure: EaisError | None = None

    def raise_failure(self) -> None:
        """Raise what ended the sending early, if something of ours did."""
        if self._failure is not None:
            raise self._failure from None

    def __iter__(self) -> Iterator[listener_pb2.PushChunk]:
        first = True
        try:
            for start, data in self._file.pieces(self._offset):
                yield self._chunk(start, data, first)
                first = False
                self._told.add(len(data))
        except EaisError as error:
            self._failure = error

    def _chunk(self, start: int, data: bytes, first: bool) -> listener_pb2.PushChunk:
        chunk = listener_pb2.PushChunk(offset=start, data=data)
        if first:
            chunk.instance, chunk.epoch = self._instance.id, self._instance.epoch
            chunk.sha256, chunk.size = self._file.sha256, self._file.size
        return chunk
