"""A worker that measures one model on one share, from its start to its end.

It has no lease, no port and no leaf. It is confined as every worker is, and dies with the
listener. What it died of while it loaded or ran counts against its model; not if it ran several
items at once, since nobody asked for that but this pool.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from eais.errors import EaisError, make_error
from eais.rpc.status import error_of_message
from eais.rpc.v1 import hosts_pb2, supervision_pb2
from eais_server.control import AsyncControl, ControlBroken
from eais_server.listener import messages
from eais_server.listener.oom_kills import OomKills
from eais_server.process import Exit, Spawner, WorkerProcess
from eais_server.supervision import events as on
from eais_server.supervision.blame import LOAD_TIMEOUT, STUCK, doing

log = logging.getLogger(__name__)

FOLDER: Final = "model"
STARTS_WITHIN_S: Final = 30.0
"""Of its process, until it is a spare."""
RUNS_WITHIN_S: Final = 75.0
"""Beyond the time for a batch: a run that is ended late, and the first one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long it may take, in seconds; `level`: the isolation that it must have."""

    level: int
    load_s: float


class BenchWorker:
    """One such worker. Made by `start`; `end` must be called.

    Args:
        killed_by: told when its model killed it.
    """

    def __init__(
        self,
        spawner: Spawner,
        number: int,
        limits: Limits,
        oom_kills: OomKills,
        clock: Callable[[], float],
        killed_by: Callable[[on.ModelKilled], None],
    ) -> None:
        self._spawner = spawner
        self._number = number
        self._limits = limits
        self._oom_kills = oom_kills
        self._clock = clock
        self._killed_by = killed_by
        self._process: WorkerProcess | None = None
        self._control: AsyncControl | None = None
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._why = ""
        self._told: supervision_pb2.Measure | None = None
        self._batch = 1

    async def start(self) -> WorkerProcess:
        """Start the process, and wait until it is a spare.

        Raises:
            EaisError: PROCESS_FAILED.
        """
        self._process = process = self._spawner.spawn(self._number, self._exited)
        self._look(process)
        self._control = await AsyncControl.open(process.control)
        spare = await self._heard("spare", STARTS_WITHIN_S, "it didn't come up")
        if spare.isolation < self._limits.level:
            raise make_error("PROCESS_FAILED", f"a worker came up at level {spare.isolation}")
        return process

    async def measure(self, message: supervision_pb2.Measure, memory_bytes: int) -> None:
        """Have it load the model, with so much of the host's memory; 0: as any worker.

        Raises:
            EaisError: why that can't be measured; MODEL_CRASHED; MODEL_LOAD_TIMEOUT.
        """
        self._told = message
        if self._process is not None:
            self._spawner.limit_memory(self._process, memory_bytes)
        self._say(measure=message)
        answer = await self._heard("measurable", self._limits.load_s, LOAD_TIMEOUT)
        if answer.HasField("error"):
            raise error_of_message(answer.error)

    async def time(self, ask: hosts_pb2.RunBatch) -> list[float]:
        """Seconds of each run of a batch.

        Raises:
            EaisError: why it can't be run; MODEL_CRASHED; RUN_TIMEOUT.
        """
        if self._process is not None:
            self._look(self._process)
        self._batch = ask.batch
        batch = supervision_pb2.TimeBatch(
            number=ask.number, batch=ask.batch, runs=ask.runs, within_ms=ask.within_ms
        )
        self._say(time_batch=batch)
        within_s = ask.within_ms / 1000 + RUNS_WITHIN_S
        answer = await self._heard("batch_timed", within_s, STUCK)
        if answer.HasField("error"):
            raise error_of_message(answer.error)
        return list(answer.seconds)

    async def end(self) -> WorkerProcess | None:
        """Kill it, and wait for its exit; nothing of it is left then but its lines.

        Returns:
            Whose lines those are, at the first call that sees the exit.
        """
        process = self._process
        if process is None:
            return None
        self._spawner.kill(process, signal.SIGKILL)
        # Not awaited itself: who is cancelled here would cancel it.
        await asyncio.wait({self._exit})
        if self._process is None:
            return None
        self._process = None
        if self._control is not None:
            self._control.close()
        process.page.close()
        if process.counts:
            process.counts.close()
        process.seat.close()
        self._oom_kills.killed(self._number)
        return process

    def _exited(self, how: Exit) -> None:
        if not self._exit.done():
            self._exit.set_result(how)

    def _look(self, process: WorkerProcess) -> None:
        self._oom_kills.look(self._number, process.pid, self._clock())

    def _say(self, **kind: Any) -> None:
        try:
            if self._control is None:
                raise ControlBroken("it isn't there any more")
            self._control.send(supervision_pb2.ToWorkerProcess(**kind))
        except ControlBroken as error:
            log.info("the worker that measures: %s", error)
        except ValueError as error:
            text = f"the session spec is too large: {error}"
            raise make_error("MALFORMED_MESSAGE", text) from None

    async def _heard(self, kind: str, within_s: float, late: str) -> Any:
        """What it says of that kind; killed if it doesn't in time."""
        try:
            async with asyncio.timeout(within_s):
                return await self._next(kind)
        except TimeoutError:
            self._why = late
            raise await self._died() from None
        except ControlBroken as error:
            log.warning("the worker that measures: %s", error)
            raise await self._died() from None

    async def _next(self, kind: str) -> Any:
        assert self._control is not None
        while (message := await self._control.receive()) is not None:
            found = str(message.WhichOneof("kind"))
            if found == kind:
                return getattr(message, found)
            if found != "heartbeat":
                raise ControlBroken(f"said {found} in place of {kind}")
        raise ControlBroken("its socket ended")

    async def _died(self) -> EaisError:
        """Its end, and what that says of the model."""
        assert self._process is not None
        if self._why or self._control is None or not self._control.has_ended():
            self._spawner.kill(self._process, signal.SIGKILL)
        await asyncio.wait({self._exit})
        how = self._exit.result()
        in_flight = self._process.page.look()
        no_memory = self._oom_kills.killed(self._number)
        exited = messages.exited(
            self._number, how, in_flight, (), out_of_memory=no_memory, stopped=False
        )
        guilt = doing(self._why, exited) if in_flight.loading or in_flight.running else None
        if guilt is None or self._told is None:
            text = f"the worker that measured ended: {self._why or how}"
            return make_error("PROCESS_FAILED", text)
        return self._blamed(self._told, "load" if in_flight.loading else "run", guilt)

    def _blamed(self, told: supervision_pb2.Measure, stage: Any, how: dict[str, str]) -> EaisError:
        if self._batch == 1:
            model = messages.model_digest(messages.spec_bytes(told.spec))
            self._killed_by(on.ModelKilled(told.tenant, model, stage, how))
        if self._why == LOAD_TIMEOUT:
            return make_error("MODEL_LOAD_TIMEOUT", "it took too long to load")
        if self._why:
            return make_error("RUN_TIMEOUT", "a run didn't end")
        cause = how.get("cause") or how.get("signal", "")
        text = f"the model killed the worker that measured it ({stage}, {cause})"
        return make_error("MODEL_CRASHED", text)
