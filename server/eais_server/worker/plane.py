"""The worker's data plane: admits the tenant's streams, and ends them when it drains."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from eais.channel import SLOW_CONSUMER_S
from eais.errors import EaisError, UsageError
from eais.rpc.caller import Caller
from eais.rpc.hello import hello_reply
from eais.rpc.raw_stream import StreamLink
from eais.rpc.v1 import supervision_pb2
from eais_server.devices.driver import RuntimeSession
from eais_server.in_flight import Marks
from eais_server.turns.turn import Turn
from eais_server.worker.admission import Admission, busy
from eais_server.worker.alarm import Alarm
from eais_server.worker.batching.batches import Batchable
from eais_server.worker.calls import NOT_HERE, Budget, CallLimits, Gate, Service, StreamCalls
from eais_server.worker.canary import READY_S, STREAM, Canary
from eais_server.worker.connection import BACKLOG_BYTES, Connection
from eais_server.worker.counters import Counters, Reporter
from eais_server.worker.execution import answer_it
from eais_server.worker.failure_log import FailureLog
from eais_server.worker.holds import Holds
from eais_server.worker.hub import Hub, Late
from eais_server.worker.outbox import Backlog, Lane
from eais_server.worker.runner import CANCEL_GRACE_S, Runner
from eais_server.worker.service_time import ServiceTimes

SOFTWARE: Final = "eais-worker"
MAX_STREAMS: Final = 256
_STREAM_PUSH_BACK_S: Final = 1.0
DEFAULT_QUEUE_LIMIT_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """Bounds of the data plane.

    Attributes:
        first_message_timeout_s: for a stream's Hello.
        slow_consumer_s: that answers may wait for a client that takes none.
        cancel_grace_s: for a run to stop after it was told to.
        run_timeout_s: for any call, waiting included.
        queue_limit_s: that a call may wait for a run thread, by estimate.
        slo_s: what callers want of the 99th percentile; 0: they haven't said.
    """

    run_timeout_s: float
    queue_limit_s: float = DEFAULT_QUEUE_LIMIT_S
    first_message_timeout_s: float = 5.0
    slow_consumer_s: float = SLOW_CONSUMER_S
    slo_s: float = 0.0
    cancel_grace_s: float = CANCEL_GRACE_S
    calls: CallLimits = field(default_factory=CallLimits)


class DataPlane:
    """All client streams of one worker. All on the event loop.

    Args:
        tenant: whose front-ends are let in; to others there is nothing here.
        sessions: what is loaded, as it is at each question.
        marks: where it is written what runs.
        turn: how turns on a shared device are taken; None: the device isn't shared.
        lost: as of `Execution`.

    Attributes:
        has_canary: whether calls are answered at all times, so that their want says something.
    """

    def __init__(
        self,
        tenant: str,
        service: Service,
        incarnation: int,
        threads: int,
        sessions: dict[str, RuntimeSession],
        reporter: Reporter,
        counters: Counters,
        marks: Marks,
        settings: PlaneSettings,
        turn: Turn | None = None,
        lost: Callable[[EaisError], None] = answer_it,
    ) -> None:
        self._tenant = tenant
        self._service = service
        self._hello = hello_reply(SOFTWARE, incarnation)
        self._sessions = sessions
        self._reporter = reporter
        self._settings = settings
        self._budget = Budget(settings.calls.held_bytes)
        self._connections: set[Connection] = set()
        # Those that said Hello before it was to be answered.
        self._early: set[Connection] = set()
        self._streams = Budget(MAX_STREAMS)
        self._quiet = asyncio.Event()
        self._ready = self._draining = False
        self.has_canary = True
        self._loop = asyncio.get_running_loop()
        self._hub = Hub(
            sessions=sessions,
            runner=Runner(
                threads,
                settings.calls.waiting,
                settings.queue_limit_s,
                may_run=_has_room,
                stuck=self._stuck,
                idle=self._check_quiet,
                marks=marks,
                grace_s=settings.cancel_grace_s,
                slo_s=settings.slo_s,
                turn=turn,
                lost=lost,
            ),
            backlog=Backlog(BACKLOG_BYTES),
            times=ServiceTimes(),
            admission=Admission(settings.queue_limit_s),
            holds=Holds(),
            counters=counters,
            clock=time.monotonic_ns,
            run_timeout_s=settings.run_timeout_s,
            alarm=Alarm(_expire),
            held=self._held,
            failures=FailureLog(time.monotonic_ns),
        )

    def open(self) -> None:
        """Answer Hellos from now on; until then clients wait."""
        if self._ready:
            return
        self._ready = True
        for connection in list(self._early):
            self.greeted(connection)
        self._look()

    def canary(
        self, session: RuntimeSession, lost: Callable[[EaisError], None] | None = None
    ) -> Canary:
        """What has `session` run among the calls; `lost` as of `Canary`."""
        hub = self._hub
        return Canary(session, hub.runner, hub.counters, hub.clock, lost)

    @property
    def not_ready(self) -> str:
        """Why no call should be sent here now; "" if none is a reason."""
        if self._draining:
            return "DRAINING"
        if not self._ready:
            return "it doesn't serve yet"
        if not self.has_canary:
            return ""
        age_ms = self._hub.counters.canary_age_ms(self._hub.clock())
        if not age_ms or age_ms > READY_S * 1000:
            return f"nothing was answered for {READY_S:g} s"
        return ""

    @property
    def streams(self) -> int:
        """Client streams that have said Hello."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """Calls that wait or run, the canary among them."""
        return self._hub.runner.in_flight

    @property
    def waiting(self) -> int:
        """Of them, those that wait."""
        return self._hub.runner.waiting_jobs

    def suspect(self, message: supervision_pb2.Suspects) -> None:
        """Run these sessions' calls one at a time, alone."""
        holds_s = {suspect.session: suspect.hold_ms / 1000 for suspect in message.suspects}
        self._hub.runner.suspect(holds_s)

    def batch(self, session: str, how: Batchable | None) -> None:
        """The session's calls may run together so; None: each runs alone."""
        if how is not None:
            self._hub.runner.batches.opened(session, how)

    def forget(self, session: str) -> None:
        """It isn't loaded any more: keep nothing of it."""
        self._hub.runner.inline.forget(session)
        self._hub.runner.batches.closed(session)

    def refuse(self, session: str, error: EaisError) -> None:
        """End the session's calls, those that run too, with `error`."""
        self._hub.runner.refuse(session, error)

    def drain(self) -> None:
        """Refuse new calls; streams end with their last answer."""
        self._draining = True
        for connection in self._connections:
            connection.drain()
        self.open()
        self._check_quiet()

    async def drained(self) -> None:
        """Wait until no stream is open and no run goes on."""
        await self._quiet.wait()

    def admit(self, caller: Caller) -> None:
        """NOT_FOUND for front-ends of other tenants: there is nothing here."""
        if caller.identity.tenant != self._tenant:
            raise UsageError("NOT_FOUND", NOT_HERE)

    def stream(self, caller: Caller, link: StreamLink) -> Connection:
        """Serve `Worker.Stream`: NOT_FOUND as `admit`, BUSY when there are too many."""
        self.admit(caller)
        # Text keeps its hash, which is asked for several times at each call.
        frontend = caller.identity.uri
        if not self._streams.take(frontend, 1):
            raise busy(_STREAM_PUSH_BACK_S)

        def calls(gate: Gate) -> StreamCalls:
            limits = self._settings.calls
            return StreamCalls(self._service, self._sessions, self._budget, limits, frontend, gate)

        timeout_s = self._settings.first_message_timeout_s
        return Connection(self._hub, self, link, frontend, calls, timeout_s)

    def greeted(self, connection: Connection) -> None:
        """A stream's client said Hello."""
        if not self._ready:
            self._early.add(connection)
            return
        self._early.discard(connection)
        self._connections.add(connection)
        connection.serve(self._hello)
        if self._draining:
            connection.drain()

    def left(self, connection: Connection) -> None:
        """A stream is gone."""
        self._early.discard(connection)
        self._connections.discard(connection)
        self._streams.give(connection.frontend, 1)
        self._check_quiet()

    def _look(self) -> None:
        """End streams whose clients don't read, now and from time to time."""
        limit_s = self._settings.slow_consumer_s
        self._loop.call_later(limit_s / 8, self._look)
        # Of a stream that is ended here it may be heard at once that it left.
        for connection in list(self._connections):
            connection.look(limit_s)

    def _check_quiet(self) -> None:
        if self._draining and not self._streams.held and not self._hub.runner.in_flight:
            self._quiet.set()

    def _held(self) -> None:
        self._reporter.say_newest("held", supervision_pb2.Held(sessions=self._hub.holds.in_use))

    def _stuck(self, session: str) -> None:
        self._reporter.say(stuck=supervision_pb2.Stuck(session=session))


def _expire(late: Late) -> None:
    late.expire()


def _has_room(stream: Hashable) -> bool:
    return stream is STREAM or (isinstance(stream, Lane) and stream.has_room)
