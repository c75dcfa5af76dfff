"""The calls of one client stream on their way: to the runner, and as answers to the outbox."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Final

from eais.errors import EaisError, make_error
from eais.rpc.status import error_to_message
from eais.rpc.v1 import common_pb2
from eais.transport.parts import PiecePart, RunPart, TensorPart
from eais.transport.writing import EncodedAnswer, refusal
from eais_server.devices.driver import PLAIN_RUN, RunSettings, RuntimeSession
from eais_server.worker.admission import busy, push_back_ms
from eais_server.worker.batching.batches import MOST
from eais_server.worker.batching.fused import Whole
from eais_server.worker.batching.kinds import CallKind, is_alike
from eais_server.worker.calls import Action, Asked, Gate, Refuse, Start, Stop, StreamCalls
from eais_server.worker.deadlines import Deadline
from eais_server.worker.execution import Result, announced, late
from eais_server.worker.gate import StreamGate
from eais_server.worker.hub import Hub, Late
from eais_server.worker.inline import SMALL_BYTES
from eais_server.worker.job import Job
from eais_server.worker.outbox import Lane, Outbox

_NO_ROOM: Final = error_to_message(busy(0.0))
_SOON_US: Final = 5_000
"""A call whose caller waits no longer is run on a thread: there it can be left to itself."""


@dataclass(eq=False, slots=True)
class _Pending:
    """What is kept of a call until it is answered."""

    dispatch: Dispatch
    run: RunPart
    asked: Asked | None = None
    ready_ns: int = 0
    ends_ns: int | None = None
    cost_s: float = 0.0
    coming: bool = False
    deadline: Deadline[Late] | None = None
    job: Job | None = None

    def expire(self) -> None:
        """See `Late`."""
        self.dispatch.expire(self)


class Dispatch:
    """One stream's calls, each of them answered once. All on the event loop.

    Args:
        frontend: whose stream it is.
        calls: makes the brain of its calls, given what says whether there is time for one.
        changed: told when an answer is in the outbox.
    """

    def __init__(
        self,
        hub: Hub,
        frontend: Hashable,
        calls: Callable[[Gate], StreamCalls],
        outbox: Outbox,
        changed: Callable[[], None],
    ) -> None:
        self._hub = hub
        self._small, self._large = Lane(outbox, large=False), Lane(outbox, large=True)
        self._gate = StreamGate(self._lane, frontend, hub.runner, hub.times, hub.admission)
        self._calls = calls(self._gate)
        self._outbox = outbox
        self._changed = changed

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def draining(self) -> bool:
        """Whether new calls are refused."""
        return self._calls.draining

    def drain(self) -> None:
        """Refuse new calls."""
        self._calls.draining = True

    def runs(self, runs: Sequence[RunPart]) -> None:
        """Calls come in, in one message."""
        left = runs
        if len(runs) > 1 and self._hub.runner.batches.may(runs[0].session):
            left = self._together(runs)
        for run in left:
            if not self._ran_here(run):
                self._take(run)

    def piece(self, piece: PiecePart) -> None:
        """Bytes of a call's tensor come in."""
        self._apply(self._calls.on_piece(piece.call_id, piece.tensor, piece.offset, piece.data))

    def cancel(self, call_id: int) -> None:
        """The client doesn't want the answer any more."""
        actions = self._calls.on_cancel(call_id)
        self._apply(actions)
        if not actions:
            # It was answered, or never was.
            self._outbox.cancel(call_id, _cancelled(call_id))

    def close(self) -> None:
        """The stream is gone."""
        self._apply(self._calls.on_closed())
        for lane in (self._small, self._large):
            self._hub.runner.forget(lane)

    # a short call, while nothing else is to be done

    def _ran_here(self, run: RunPart) -> bool:
        """Whether the call is answered already; nothing was done if not."""
        hub = self._hub
        free = hub.runner.is_free and _may_run_here(run, run.size)
        if not free or not self._is_plain(run):
            return False
        kind = hub.runner.inline.rights.kind(run.session, run.size)
        session = hub.sessions.get(run.session)
        if kind is None or session is None or not self._outbox.has_room_for_small:
            return False
        result = hub.runner.at_once.run(run, session, kind)
        if result is None:
            return False
        self._count(run, result, run.size, result.compute_ns, self._outbox.add(result.answer))
        return True

    def _together(self, runs: Sequence[RunPart]) -> Sequence[RunPart]:
        """Run the first of them as one, if they are short and may; those that are left."""
        first, runner = runs[0], self._hub.runner
        kind = runner.batches.kind(first) if _may_run_here(first, first.size) else None
        session = self._hub.sessions.get(first.session)
        if kind is None or session is None or not runner.batches.worth_looking(kind, len(runs)):
            return runs
        short = runner.inline.rights.kind(first.session, first.size) is not None
        while short and len(runs) > 1 and runner.is_free and self._small.has_room:
            answered = self._batch(kind, session, first, runs)
            if not answered:
                break
            runs = runs[answered:]
        runner.try_soon()
        return runs

    def _batch(
        self, kind: CallKind, session: RuntimeSession, one: RunPart, runs: Sequence[RunPart]
    ) -> int:
        """Run as many of the first calls as one as may be; how many that were.

        Args:
            kind: that of `one`, a call of the session: those that aren't like it stay.
        """
        alike = list(takewhile(lambda run: self._is_like(run, one), runs[:MOST]))
        batches = self._hub.runner.batches
        size = batches.size(
            kind,
            len(alike),
            lambda: [Whole(run, 0) for run in alike],
            lambda: session.prepare(PLAIN_RUN),
        )
        if size < 2 or not batches.is_short(kind, size):
            return 0
        runs = alike[:size]
        results = self._hub.runner.at_once.run_together(kind, runs, session)
        for run, result in zip(runs, results, strict=False):
            sent = self._outbox.add(result.answer)
            self._count(run, result, run.size, result.queue_ns + result.compute_ns * size, sent)
        return len(results)

    def _is_like(self, run: RunPart, one: RunPart) -> bool:
        if not _may_run_here(run, run.size) or not is_alike(run, one):
            return False
        return self._calls.takes_now(run.call_id, run.instance, run.epoch)

    def _is_plain(self, run: RunPart) -> bool:
        """Whether it is a call like most: all of it here, nothing that could be said against it."""
        if not self._calls.takes_now(run.call_id, run.instance, run.epoch):
            return False
        for _, part in run.inputs:
            if type(part) is not TensorPart or part.deferred_bytes:
                return False
        return True

    def _count(self, run: RunPart, result: Result, size: int, took_ns: int, sent: int) -> None:
        """A call was answered that waited or ran, `took_ns` after all of it was here."""
        counters = self._hub.counters
        counters.busy_ns += result.compute_ns
        counters.queue_ns += result.queue_ns
        counters.took(took_ns)
        if result.reason:
            counters.failed[result.reason] += 1
            self._hub.failures.failed(run, result.reason)
            counters.tally.ran(run.session, result.compute_ns)
            return
        counters.answered(self._hub.clock())
        counters.requests += 1
        counters.bytes_in += size
        counters.bytes_out += sent
        counters.tally.answered(run.session, size, sent, result.compute_ns)

    # all others

    def _take(self, run: RunPart) -> None:
        push_back_s = self._gate.shut_s()
        if push_back_s:
            self._hub.counters.failed["BUSY"] += 1
            self._answer(refusal(run.call_id, _no_room(push_back_s)))
            return
        pending = _Pending(self, run)
        try:
            deferred = announced(run)
        except EaisError as error:
            self._refuse(run.call_id, error)
            return
        asked = pending.asked = Asked(
            call_id=run.call_id,
            instance=run.instance,
            epoch=run.epoch,
            session=run.session,
            inline_bytes=run.size,
            deferred=deferred,
            timeout_s=run.timeout_us / 1e6,
            body=pending,
        )
        actions = self._calls.on_run(asked)
        if not any(isinstance(action, Refuse) for action in actions):
            self._taken(asked, pending)
        self._apply(actions)

    def _taken(self, asked: Asked, pending: _Pending) -> None:
        after_s = self._hub.run_timeout_s
        if asked.timeout_s:
            pending.ends_ns = self._hub.clock() + int(asked.timeout_s * 1e9)
            after_s = min(after_s, asked.timeout_s)
        pending.deadline = self._hub.alarm.set(after_s, pending)
        pending.cost_s, pending.coming = self._gate.cost_s(asked), True
        self._gate.comes(pending.cost_s)

    def expire(self, pending: _Pending) -> None:
        """The call's time is up, its caller's or the worker's."""
        asked = pending.asked
        if asked is None:
            return
        if pending.ready_ns:
            self._hub.counters.took(self._hub.clock() - pending.ready_ns)
        own = 0 < asked.timeout_s <= self._hub.run_timeout_s
        error = late() if own else self._took_too_long()
        self._hub.failures.failed(pending.run, error.reason)
        self._end(asked, error)

    def _took_too_long(self) -> EaisError:
        limit = f"{self._hub.run_timeout_s:g}"
        text = f"the call took longer than {limit} s"
        return make_error("RUN_TIMEOUT", text, metadata={"limit_s": limit})

    def _end(self, asked: Asked, error: EaisError) -> None:
        self._apply(self._calls.on_end(asked.call_id, error))

    def _apply(self, actions: Iterable[Action]) -> None:
        for action in actions:
            asked: Asked = action.asked
            pending: _Pending = asked.body
            match action:
                case Start(buffers=buffers):
                    self._start(asked, pending, buffers)
                case Stop():
                    job = self._settle(pending)
                    if job is not None:
                        self._hub.runner.stop(job)
                    self._gate.reopen()
                case Refuse(error=error):
                    self._settle(pending)
                    self._refuse(asked.call_id, error)
        self._hub.counters.in_flight = self._hub.runner.in_flight

    def _refuse(self, call_id: int, error: EaisError) -> None:
        self._hub.counters.failed[error.reason] += 1
        self._answer(refusal(call_id, error_to_message(error)))

    def _start(self, asked: Asked, pending: _Pending, buffers: tuple[memoryview, ...]) -> None:
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

    def _job(self, asked: Asked, pending: _Pending, buffers: tuple[memoryview, ...]) -> Job:
        run = pending.run
        session = self._hub.sessions.get(asked.session)
        if session is None:
            raise make_error("SESSION_UNKNOWN", "the session isn't open here; open it again")
        pending.ready_ns = self._hub.clock()
        return Job(
            stream=self._lane(asked),
            frontend=self._gate.frontend,
            session=asked.session,
            cost_s=pending.cost_s,
            run=run,
            prepare=partial(session.prepare, RunSettings(dict(run.config_entries), run.tag)),
            finished=partial(self._finished, asked),
            displaced=partial(self._crowded_out, asked),
            refuse=partial(self._end, asked),
            buffers=buffers,
            ready_ns=pending.ready_ns,
            ends_ns=pending.ends_ns,
            inline=_may_run_here(run, asked.size),
        )

    def _finished(self, asked: Asked, result: Result) -> None:
        hub, pending = self._hub, asked.body
        job: Job | None = pending.job
        hub.counters.in_flight = hub.runner.in_flight
        sent = None
        if self._calls.on_answered(asked):
            self._settle(pending)
            took_ns = hub.clock() - pending.ready_ns
            sent = self._outbox.add(result.answer)
            # Before anything of the answer leaves: see `Tally.answered`.
            self._count(pending.run, result, asked.size, took_ns, sent)
            self._changed()
        else:
            hub.counters.busy_ns += result.compute_ns
            hub.counters.queue_ns += result.queue_ns
            hub.counters.tally.ran(asked.session, result.compute_ns)
        if job is not None and not result.reason:
            took_s = (hub.runner.now_s - job.began_s) / job.share
            hub.times.took(asked.session, asked.size, took_s, sent)

    def _lane(self, asked: Asked) -> Lane:
        """Whose turn the call takes, by what such calls answered lately."""
        answer = self._hub.times.answer_bytes(asked.session, asked.size)
        return self._large if answer is None or answer > SMALL_BYTES else self._small

    def _answer(self, answer: EncodedAnswer) -> None:
        self._outbox.add(answer)
        self._changed()

    def _settle(self, pending: _Pending) -> Job | None:
        """Let go of what the call held; its job, if it had one."""
        self._arrived(pending)
        if pending.deadline is not None:
            self._hub.alarm.give_up(pending.deadline)
            pending.deadline = None
        # Both refer to the call too: a cycle would keep tensors until the next collection.
        job, pending.job, pending.asked = pending.job, None, None
        return job

    def _arrived(self, pending: _Pending) -> None:
        """Nothing of the call is on its way any more."""
        if pending.coming:
            pending.coming = False
            self._gate.arrived(pending.cost_s)


def _may_run_here(run: RunPart, size: int) -> bool:
    """Whether a call of so many bytes may run on the event loop, if it is short."""
    own = run.config_entries or run.tag or 0 < run.timeout_us < _SOON_US
    return size <= SMALL_BYTES and not own


def _no_room(push_back_s: float) -> common_pb2.Error:
    error = common_pb2.Error()
    error.CopyFrom(_NO_ROOM)
    error.push_back_ms = push_back_ms(push_back_s)
    return error


def _cancelled(call_id: int) -> EncodedAnswer:
    error = make_error("CANCELLED", "the call was cancelled")
    return refusal(call_id, error_to_message(error))
