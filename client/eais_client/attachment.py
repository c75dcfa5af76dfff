"""One attached instance in this process: the calls' brain, and the I/O that it asks for.

Decides under the lock, acts after it. Shared by all sessions of the instance.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf

from eais.deadline import Deadline
from eais.errors import EaisError, UsageError
from eais.instance import InstanceState
from eais.instance_policy import RingPolicy
from eais_client.background import Tools, failed_here, no_thread
from eais_client.brain import call_events as events
from eais_client.brain.call_state import Limits, State
from eais_client.brain.calls import on_event
from eais_client.brain.fast_path import answered_now, submit_now
from eais_client.brain.transport import Transport
from eais_client.instances import Address, Instance
from eais_client.opening import Model, Opened
from eais_client.pending import PendingCall
from eais_client.vnic_end import VnicEnd
from eais_client.whereabouts import Whereabouts
from eais_client.wire import DataStream, Incoming, Load, Turnover, Wire


@dataclass(slots=True)
class _Held:
    """A session of this process and how many `InferenceSession`s share it."""

    model: Model
    users: int = 0


class Attachment:
    """Sessions and calls of one instance; safe from any thread.

    `want` says to the pool that a call finds no worker.
    """

    def __init__(
        self,
        instance: Instance,
        frontend: str,
        wire: Wire,
        limits: Limits,
        tools: Tools,
        want: Callable[[str], None],
        transport: Transport = Transport.AUTO,
    ) -> None:
        self._wire = wire
        self._transport = transport
        self._tools = tools
        self._clock = tools.clock
        self._lock = threading.Lock()
        # Users of a session are counted, and the worker and the brain told, in one order.
        # Entered again where `tools` does its jobs at once, without a thread.
        self._holding = threading.RLock()
        self._state = State(instance.id, tools.rng, limits)
        self._pending: dict[int, PendingCall] = {}
        self._streams: dict[int, DataStream] = {}
        # The address that each leads to.
        self._places: dict[int, str] = {}
        self._held: dict[str, _Held] = {}
        self._numbers = 0
        self._answered = 0
        self._closed = False
        self._alarm = tools.alarm(lambda: self._post(events.Tick()))
        patience_s = limits.unavailable_timeout_s
        self._where = Whereabouts(instance, frontend, wire, tools, patience_s, want, self._post)
        self.on_instance(instance)

    @property
    def instance(self) -> str:
        """The instance's id."""
        return self._state.instance

    # What sessions ask for.

    def open(self, model: Model, deadline: Deadline, patience_s: float = inf) -> Opened:
        """Open a session for one more user; raises as `open_session`, soon if `patience_s` says."""
        self._alarm.start()  # so that no call is left without it
        opened = self._where.open(model, deadline, patience_s)
        with self._holding:
            with self._lock:
                held = self._held.setdefault(opened.id, _Held(model))
                held.users += 1
                streams = list(self._streams.values()) if held.users == 1 else []
            for stream in streams:
                stream.hold(opened.id)
            self._post(events.SessionOpened(opened.id, opened.epoch, opened.not_on))
        return opened

    def close_session(self, session: str) -> None:
        """End one user's use of the session."""
        with self._holding:
            with self._lock:
                held = self._held.get(session)
                if held is None:
                    return
                held.users -= 1
                if held.users:
                    return
                del self._held[session]
                streams = list(self._streams.values())
            self._post(events.SessionDropped(session))
            for stream in streams:
                stream.release(session)

    def submit(self, session: str, pending: PendingCall) -> int:
        """Begin a call; its number, by which it can be abandoned."""
        number = 0
        body, deadline_at = pending.body, pending.deadline.at_s
        watched, patience_s = pending.watched, pending.patience_s
        size, now = body.size, self._clock()
        if body.deferred.buffers:
            size += sum(map(len, body.deferred.buffers))
        try:
            with self._lock:
                self._numbers = number = self._numbers + 1
                self._pending[number] = pending
                link = submit_now(
                    self._state, number, session, size, deadline_at, watched, patience_s, now
                )
                stream = None if link is None else self._streams.get(link.stream)
            if link is None:
                how = (size, deadline_at, watched, patience_s)
                self._post(events.Submitted(number, session, *how))
            elif stream is not None:  # else it broke meanwhile: an event of its own says so
                _send(pending, stream, number, link.epoch, link.worker.n, now)
        except BaseException as error:
            self.interrupted(number, error)
            raise
        return number

    def interrupted(self, number: int, error: BaseException) -> None:
        """Ctrl-C, or whatever else ended the caller: its worker needn't go on."""
        self.abandon(number, UsageError("CANCELLED", type(error).__name__))

    def abandon(self, number: int, error: EaisError) -> None:
        """End the call from this side, with `error`, if it isn't over."""
        self._post(events.Abandoned(number))
        self._finish(number, error)

    def on_instance(self, instance: Instance) -> None:
        """The pool says how the instance stands."""
        self._where.learn(instance, found=False)
        self._leave_unused()

    def bring(self, epoch: int, listener: Address, end: VnicEnd | None) -> None:
        """The instance is about to move to `listener`, which lacks models: open what is held there.

        Endpoints and epoch stay as they are until the pool says otherwise.
        """
        with self._lock:
            models = [held.model for held in self._held.values()]
        # Without a thread for it they are opened when the instance has moved.
        with suppress(RuntimeError):
            bring = partial(self._where.bring, epoch, listener, end, models)
            self._tools.spawn("eais-bring", bring)

    def renewed(self) -> None:
        """The identity was renewed: streams are made anew with it, and no call is lost."""
        self._post(events.Renewed())

    @property
    def turnover(self) -> Turnover:
        """How many streams took the place of an older one, and what was sent again."""
        with self._lock:
            return Turnover(self._state.replaced, self._state.retries)

    def load(self) -> Load:
        """How many calls wait for an endpoint or an answer, and how many had one."""
        with self._lock:
            return Load(self._state.instance, len(self._pending), self._answered)

    @property
    def over(self) -> bool:
        """Whether nobody can use it any more: its instance is gone, its sessions are closed."""
        deleted = self._where.instance.state is InstanceState.DELETED
        with self._lock:
            return deleted and not self._held and not self._pending

    def close(self, *, exiting: bool = False) -> None:
        """End all streams; calls under way fail with SESSION_CLOSED, unless it is `exiting`."""
        for session in [] if exiting else list(self._held):
            self._post(events.SessionDropped(session))
        self._alarm.close()
        with self._lock:
            self._closed = True
            streams, self._streams = list(self._streams.values()), {}
            if exiting:
                self._pending.clear()  # so that no failure that comes now reaches anybody
        for stream in streams:
            stream.close()

    @property
    def used(self) -> str:
        """What carries its streams now, for people; "" while there is none."""
        with self._lock:
            return self._used()

    def _used(self) -> str:
        return ", ".join(sorted({stream.used for stream in self._streams.values()}))

    def __repr__(self) -> str:
        with self._lock:
            return (
                f"<Attachment {self._state.instance} epoch={self._state.epoch} "
                f"calls={len(self._state.calls)} waiting={len(self._state.waiting)} "
                f"streams={len(self._streams)} by={self._used()}>"
            )

    # What streams tell (`StreamEvents`).

    def opened(self, stream: int) -> None:
        """See `StreamEvents`."""
        self._post(events.StreamOpened(stream))

    def answered(self, call: int, answer: Incoming) -> None:
        """See `StreamEvents`."""
        pending = self._pending.get(call)
        if pending is None:
            return
        pending.answer = answer
        try:
            now = self._clock()
            with self._lock:
                quick = answered_now(self._state, call, now)
                if quick:
                    del self._pending[call]
                    self._answered += 1
            if quick:
                pending.finish()
            else:
                self._post(events.Answered(call))
        except BaseException:
            # Ctrl-C in the caller's thread that reads, maybe for another: that one hears of it.
            self._do_all_the_same(lambda: self._answered_again(call, pending))
            raise

    def refused(self, stream: int, call: int, error: EaisError, push_back_s: float) -> None:
        """See `StreamEvents`."""
        self._post(events.Refused(call, stream, error, push_back_s))

    def draining(self, stream: int) -> None:
        """See `StreamEvents`."""
        self._post(events.StreamDraining(stream))

    def broken(self, stream: int, error: EaisError) -> None:
        """See `StreamEvents`."""
        with self._lock:
            self._streams.pop(stream, None)
        self._left(stream)
        self._post(events.StreamBroken(stream, error))

    def _answered_again(self, call: int, pending: PendingCall) -> None:
        """Whatever of `answered` was done, do the rest."""
        self._post(events.Answered(call))
        self._finish(call, None)
        if not pending.done:
            pending.finish()

    # Decide under the lock, act after it.

    def _post(self, event: events.Event) -> None:
        with self._lock:
            actions = on_event(self._state, event, self._clock())
        self._act_all(iter(actions))

    def _act_all(self, actions: Iterator[events.Action]) -> None:
        try:
            for action in actions:
                self._act(action)
        except BaseException:
            # Ctrl-C in a caller's thread: what was decided is done.
            self._do_all_the_same(lambda: self._act_all(actions))
            raise

    def _do_all_the_same(self, job: Callable[[], None]) -> None:
        try:
            self._tools.spawn("eais-act", job)
        except RuntimeError:
            job()

    def _act(self, action: events.Action) -> None:
        match action:
            case events.Send():
                self._send(action)
            case events.Complete(call):
                self._finish(call, None)
            case events.Fail(call, failure):
                self._finish(call, failure)
            case events.Cancel(call, stream):
                if (open_stream := self._streams.get(stream)) is not None:
                    open_stream.cancel(call)
            case events.WakeAt(at):
                self._alarm.wake_at(at)
            case _:
                self._act_on_streams(action)

    def _act_on_streams(self, action: events.Action) -> None:
        match action:
            case events.Connect(stream):
                # Never in a caller's thread, where Ctrl-C could leave it half done.
                broken = partial(events.StreamBroken, stream)
                self._spawn("eais-connect", lambda: self._connect(action), broken)
            case events.Disconnect(stream):
                self._disconnect(stream)
            case events.Find():
                self._spawn("eais-find", self._where.find, events.FindFailed)
            case events.Reopen(session):
                lost = partial(events.SessionLost, session)
                self._spawn("eais-reopen", lambda: self._reopen(session), lost)

    def _spawn(
        self, name: str, job: Callable[[], None], failed: Callable[[EaisError], events.Event]
    ) -> None:
        """Run what blocks on a thread; what can't be done has `failed`, and is tried again."""

        def work() -> None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - the brain waits to hear of it
                self._post(failed(failed_here(error)))

        try:
            self._tools.spawn(name, work)
        except RuntimeError:
            self._post(failed(no_thread()))

    def _send(self, action: events.Send) -> None:
        stream = self._streams.get(action.stream)
        pending = self._pending.get(action.call)
        if stream is None or pending is None:
            return  # broken or abandoned meanwhile: an event of its own says so
        pending.sent_at = now = self._clock()
        _send(pending, stream, action.call, action.epoch, action.worker, now)

    def _finish(self, call: int, error: EaisError | None) -> None:
        with self._lock:
            pending = self._pending.pop(call, None)
            self._answered += error is None and pending is not None
        if pending is not None:
            pending.finish(error)

    def _connect(self, action: events.Connect) -> None:
        number, ring = action.stream, ring_of(self._where.instance)
        self._where.reach()
        stream = self._wire.stream(number, action.worker.address, self, self._transport, ring)
        started = False
        try:
            with self._holding:
                with self._lock:
                    # What is held from now on is told to each stream that is listed here.
                    self._streams[number] = stream
                    self._places[number] = action.worker.address.address
                    holds = list(self._held)
                    wanted = self._state.expects(number) and not self._closed
                for session in holds:
                    stream.hold(session)
            if wanted:
                stream.start()
                started = True
        finally:
            # The brain may have given it up meanwhile, or there is nobody left to use it.
            if not started:
                self._disconnect(number)

    def _disconnect(self, number: int) -> None:
        with self._lock:
            stream = self._streams.pop(number, None)
        if stream is None:
            return

        def end() -> None:
            stream.close()
            self._left(number)

        try:
            self._tools.spawn("eais-disconnect", end)
        except RuntimeError:
            end()

    def _left(self, number: int) -> None:
        """A stream is over: where nothing goes to any more, nothing needs to lead."""
        with self._lock:
            self._places.pop(number, None)
        self._leave_unused()

    def _leave_unused(self) -> None:
        with self._lock:
            in_use = set(self._places.values())
        self._where.leave(in_use)

    def _reopen(self, session: str) -> None:
        with self._lock:
            held = self._held.get(session)
        if held is None:
            self._post(events.SessionDropped(session))
        else:
            self._where.reopen(session, held.model)


def ring_of(instance: Instance) -> RingPolicy:
    """Who may share memory with its workers: who reaches it by a vNIC of the kernel, by that alone.

    What passes there is capped and counted; an instance that was made with `on` says otherwise.
    """
    ring = instance.policy.ring
    return RingPolicy.OFF if ring is RingPolicy.AUTO and instance.vnic.is_kernels else ring


def _send(
    pending: PendingCall, stream: DataStream, number: int, epoch: int, worker: int, now: float
) -> None:
    """One attempt of a call."""
    body, span, deadline = pending.body, pending.span, pending.deadline
    # At least 1, because 0 means that there is no deadline.
    timeout_us = 0 if deadline.at_s == inf else max(1, int(deadline.left_s(now) * 1e6))
    pending.sent(worker, stream)
    if span is None:
        run = body.run(number, epoch, timeout_us)
    else:
        run = body.run(number, epoch, timeout_us, span.traceparent, span.tracestate)
    stream.send(run, body.deferred, pending.read_for)
