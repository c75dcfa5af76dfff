"""One client stream: messages in, calls to the runner, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import dataclass
from functools import partial
from typing import Final

from eais.errors import EaisError, UsageError, make_error
from eais.rpc.status import error_to_message
from eais.rpc.v1 import common_pb2, worker_pb2
from eais.value import Deferred
from eais_server.devices.driver import RunSettings, RuntimeSession
from eais_server.worker.admission import Admission, busy, push_back_ms
from eais_server.worker.calls import Action, Asked, Gate, Refuse, Start, Stop, StreamCalls
from eais_server.worker.counters import Counters
from eais_server.worker.execution import Result, announced, execute, late
from eais_server.worker.failure_log import FailureLog
from eais_server.worker.gate import StreamGate
from eais_server.worker.holds import Holds
from eais_server.worker.outbox import Backlog, Outbox
from eais_server.worker.runner import Job, Runner
from eais_server.worker.service_time import ServiceTimes

OUTBOX_BYTES: Final = 64 << 20
"""Answers of one stream that may wait for its client; then nothing more is run for it."""
BACKLOG_BYTES: Final = 1 << 30
"""The same, of all streams."""
AT_ONCE: Final = 64
"""Parts of one message that are looked at before anything else is done: a message may have
millions, and the listener takes a worker for dead whose event loop stands still."""
LARGE_BYTES: Final = 256 << 10
"""Of a larger message it is one part at a time."""
_NOTHING: Final = Deferred()
_NO_ROOM: Final = error_to_message(busy(0.0))


@dataclass(eq=False, slots=True)
class _Pending:
    """What the shell keeps of a call until it is answered."""

    run: worker_pb2.Run
    ready_ns: int = 0
    ends_ns: int | None = None
    cost_s: float = 0.0
    coming: bool = False
    timer: asyncio.TimerHandle | None = None
    job: Job | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Hub:
    """What all streams of a worker share.

    Attributes:
        clock: monotonic nanoseconds.
        run_timeout_s: the longest that any call may take, waiting included.
        held: told when the sessions in use changed.
        failures: told of calls that were run, or waited, in vain.
    """

    sessions: Mapping[str, RuntimeSession]
    runner: Runner
    backlog: Backlog
    times: ServiceTimes
    admission: Admission
    holds: Holds
    counters: Counters
    clock: Callable[[], int]
    run_timeout_s: float
    held: Callable[[], None]
    failures: FailureLog


class Connection:
    """One client stream, from its Hello to its end. All on the event loop.

    Args:
        frontend: whose stream it is.
        calls: makes the brain of its calls, given what says whether there is time for one.
    """

    def __init__(
        self,
        hub: Hub,
        frontend: Hashable,
        calls: Callable[[Gate], StreamCalls],
        hello: common_pb2.HelloReply,
    ) -> None:
        self._hub = hub
        self._gate = StreamGate(self, frontend, hub.runner, hub.times, hub.admission)
        self._calls = calls(self._gate)
        self._outbox = Outbox(OUTBOX_BYTES, hub.backlog)
        self._outbox.hello(hello)
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """Whether answers may be made for this stream."""
        return self._outbox.has_room

    def drain(self) -> None:
        """Refuse new calls, and tell the client; the stream ends with its last answer."""
        self._calls.draining = True
        self._outbox.drain()
        self._changed.set()

    async def serve(
        self, requests: AsyncIterator[worker_pb2.ToWorker]
    ) -> AsyncGenerator[worker_pb2.ToClient, None]:
        """All that is to be sent, until either side ends the stream."""
        reader = self._loop.create_task(self._read(requests))
        reader.add_done_callback(self._reader_ended)
        try:
            async for message in self._send(reader):
                yield message
        finally:
            reader.cancel()
            self._close()

    def _reader_ended(self, reader: asyncio.Task[None]) -> None:
        if not reader.cancelled():
            # Asked for here too, or asyncio would log it as never seen.
            reader.exception()
        self._changed.set()

    async def _send(self, reader: asyncio.Task[None]) -> AsyncGenerator[worker_pb2.ToClient, None]:
        while True:
            message = self._outbox.next()
            if message is not None:
                yield message
                self._room.set()
                if self._outbox.has_room:
                    self._hub.runner.pump()
                continue
            if reader.done():
                reader.result()
            if not self._calls and (reader.done() or self._calls.draining):
                return
            self._changed.clear()
            await self._changed.wait()

    async def _read(self, requests: AsyncIterator[worker_pb2.ToWorker]) -> None:
        async for message in requests:
            at_once = AT_ONCE if message.ByteSize() <= LARGE_BYTES else 1
            for done, _ in enumerate(self._parts(message), 1):
                if not done % at_once:
                    await asyncio.sleep(0)
                while not self._outbox.may_read:
                    self._room.clear()
                    await self._room.wait()

    def _close(self) -> None:
        self._apply(self._calls.on_closed())
        self._hub.runner.forget(self)
        self._outbox.close()
        if self._hub.holds.drop(self):
            self._hub.held()

    def _parts(self, message: worker_pb2.ToWorker) -> Iterator[None]:
        """Act on a message, a part at each step."""
        if message.HasField("hello"):
            raise UsageError("MALFORMED_MESSAGE", "Hello comes once, first")
        for run in message.runs:
            self._on_run(run)
            yield
        for piece in message.pieces:
            self._apply(self._calls.on_piece(piece.call_id, piece.tensor, piece.offset, piece.data))
            yield
        for cancel in message.cancels:
            self._cancel(cancel.call_id)
            yield
        if message.hold or message.release:
            holds = self._hub.holds
            changed = holds.hold(self, message.hold)
            if holds.release(self, message.release) or changed:
                self._hub.held()

    def _cancel(self, call_id: int) -> None:
        actions = self._calls.on_cancel(call_id)
        self._apply(actions)
        if not actions:
            # It was answered, or never was.
            self._outbox.cancel(call_id, _cancelled(call_id))

    def _on_run(self, run: worker_pb2.Run) -> None:
        push_back_s = self._gate.shut_s()
        if push_back_s:
            error_now = worker_pb2.Answer(call_id=run.call_id, error=_NO_ROOM)
            error_now.error.push_back_ms = push_back_ms(push_back_s)
            self._hub.counters.failed["BUSY"] += 1
            self._answer(error_now, _NOTHING)
            return
        pending = _Pending(run)
        try:
            deferred = announced(run)
        except EaisError as error:
            self._refuse(run.call_id, error)
            return
        asked = Asked(
            call_id=run.call_id,
            instance=run.instance,
            epoch=run.epoch,
            session=run.session,
            inline_bytes=run.ByteSize(),
            deferred=deferred,
            timeout_s=run.timeout_us / 1e6,
            body=pending,
        )
        actions = self._calls.on_run(asked)
        if not any(isinstance(action, Refuse) for action in actions):
            self._taken(asked, pending)
        self._apply(actions)

    def _taken(self, asked: Asked, pending: _Pending) -> None:
        if asked.timeout_s:
            pending.ends_ns = self._hub.clock() + int(asked.timeout_s * 1e9)
        pending.timer = self._timer(asked)
        pending.cost_s, pending.coming = self._gate.cost_s(asked), True
        self._gate.comes(pending.cost_s)

    def _timer(self, asked: Asked) -> asyncio.TimerHandle:
        most = self._hub.run_timeout_s
        if 0 < asked.timeout_s <= most:
            return self._loop.call_later(asked.timeout_s, self._expire, asked, late)
        return self._loop.call_later(most, self._expire, asked, self._took_too_long)

    def _expire(self, asked: Asked, why: Callable[[], EaisError]) -> None:
        self._count(asked.body)
        error = why()
        self._hub.failures.failed(asked.body.run, error.reason)
        self._end(asked, error)

    def _took_too_long(self) -> EaisError:
        limit = f"{self._hub.run_timeout_s:g}"
        text = f"the call took longer than {limit} s"
        return make_error("RUN_TIMEOUT", text, metadata={"limit_s": limit})

    def _end(self, asked: Asked, error: EaisError) -> None:
        self._apply(self._calls.on_end(asked.call_id, error))

    def _apply(self, actions: Iterable[Action]) -> None:
        for action in actions:
            pending: _Pending = action.asked.body
            match action:
                case Start(asked, buffers):
                    self._start(asked, pending, buffers)
                case Stop():
                    job = self._settle(pending)
                    if job is not None:
                        self._hub.runner.stop(job)
                    self._gate.reopen()
                case Refuse(asked, error):
                    self._settle(pending)
                    self._refuse(asked.call_id, error)
        self._hub.counters.in_flight = self._hub.runner.in_flight

    def _refuse(self, call_id: int, error: EaisError) -> None:
        self._hub.counters.failed[error.reason] += 1
        self._answer(worker_pb2.Answer(call_id=call_id, error=error_to_message(error)), _NOTHING)

    def _start(self, asked: Asked, pending: _Pending, buffers: tuple[bytearray, ...]) -> None:
        self._arrived(pending)
        try:
            job = self._job(asked, pending, buffers)
        except EaisError as error:
            self._end(asked, error)
            return
        pending.job = job
        if not self._hub.runner.submit(job):
            self._crowded_out(asked)

    def _crowded_out(self, asked: Asked) -> None:
        self._end(asked, self._gate.busy(asked))

    def _job(self, asked: Asked, pending: _Pending, buffers: tuple[bytearray, ...]) -> Job:
        session = self._hub.sessions.get(asked.session)
        if session is None:
            raise make_error("SESSION_UNKNOWN", "the session isn't open here; open it again")
        run, ends_ns = pending.run, pending.ends_ns
        entries = dict(run.options.config_entries)
        prepared = session.prepare(RunSettings(entries, run.options.tag))
        clock = self._hub.clock
        ready = pending.ready_ns = clock()
        return Job(
            stream=self,
            frontend=self._gate.frontend,
            session=asked.session,
            cost_s=pending.cost_s,
            work=lambda: execute(run, buffers, prepared, clock() - ready, clock, ends_ns),
            terminate=prepared.terminate,
            finished=partial(self._finished, asked),
            displaced=partial(self._crowded_out, asked),
            refuse=partial(self._end, asked),
        )

    def _finished(self, asked: Asked, result: Result) -> None:
        counters = self._hub.counters
        job: Job | None = asked.body.job
        if job is not None and not result.answer.HasField("error"):
            took_s = self._hub.runner.now_s - job.began_s
            self._hub.times.took(asked.session, asked.size, took_s)
        counters.busy_ns += result.compute_ns
        counters.queue_ns += result.answer.account.queue_ns
        counters.in_flight = self._hub.runner.in_flight
        if not self._calls.on_answered(asked):
            return
        self._count(asked.body)
        self._settle(asked.body)
        size = self._answer(result.answer, result.deferred)
        if not result.answer.HasField("error"):
            counters.answered(self._hub.clock())
            counters.requests += 1
            counters.bytes_in += asked.size
            counters.bytes_out += size
        else:
            counters.failed[result.answer.error.reason] += 1
            self._hub.failures.failed(asked.body.run, result.answer.error.reason)

    def _count(self, pending: _Pending) -> None:
        if pending.ready_ns:
            self._hub.counters.took(self._hub.clock() - pending.ready_ns)

    def _answer(self, answer: worker_pb2.Answer, deferred: Deferred) -> int:
        size = self._outbox.add(answer, deferred)
        self._changed.set()
        return size

    def _settle(self, pending: _Pending) -> Job | None:
        """Let go of what the call held; its job, if it had one."""
        self._arrived(pending)
        if pending.timer is not None:
            pending.timer.cancel()
            pending.timer = None
        # The job refers to the call too: a cycle would keep tensors until the next collection.
        job, pending.job = pending.job, None
        return job

    def _arrived(self, pending: _Pending) -> None:
        """Nothing of the call is on its way any more."""
        if pending.coming:
            pending.coming = False
            self._gate.arrived(pending.cost_s)


def _cancelled(call_id: int) -> worker_pb2.Answer:
    error = make_error("CANCELLED", "the call was cancelled")
    return worker_pb2.Answer(call_id=call_id, error=error_to_message(error))
