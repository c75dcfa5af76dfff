"""The worker process: does what the listener says on the control socket, until it ends."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Final

import setproctitle

from eais.errors import EaisError, make_error
from eais.model_digest import model_digest
from eais.rpc.status import error_of_message, error_to_message
from eais.rpc.v1 import supervision_pb2
from eais.telemetry.logs import bind
from eais_server.control import ControlBroken, ControlSocket
from eais_server.count_page import Tally
from eais_server.devices.hosted import HostedDevice
from eais_server.in_flight import Marks
from eais_server.turns.turn import Turn
from eais_server.worker.adoption import Adoption, Drivers, adopt, pin
from eais_server.worker.bench import Bench
from eais_server.worker.canary import open_canary
from eais_server.worker.checking import check
from eais_server.worker.choosing_runtime import Choice
from eais_server.worker.counters import HEARTBEAT_S, Counters, Reporter
from eais_server.worker.device_watch import DeviceWatch
from eais_server.worker.loading import Loader
from eais_server.worker.messages import runs_message, signature_message
from eais_server.worker.phase import PHASE_TABLE, Phase, PhaseEvent

log = logging.getLogger(__name__)

TITLE: Final = "eais-worker"
MAX_SIGNATURE_BYTES: Final = 8 << 20


class Worker:
    """One worker's life, from spare to exit; see `eais_server.worker.phase`.

    Args:
        control: the inherited socket.
        marks: where it is written what is loaded and run, before it is.
        directory: below which the listener links models.
        isolation: the level in force.
        drivers: name to what makes the device driver.
        rings: where clients come for rings; None: there are none.
        turn: how it takes turns, should it share a device; None: it can't be told to.
        tally: where answers are counted by model; None: nowhere that outlives it.
    """

    def __init__(
        self,
        control: ControlSocket,
        marks: Marks,
        directory: Path,
        isolation: int,
        drivers: Drivers,
        rings: socket.socket | None = None,
        turn: Turn | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._control = control
        self._marks = marks
        self._isolation = isolation
        self._drivers = drivers
        self._rings = rings
        self._turn = turn
        self._phase = Phase.SPARE
        self._adoption: Adoption | None = None
        self._loop = asyncio.get_running_loop()
        self._inbox: asyncio.Queue[supervision_pb2.ToWorkerProcess | None] = asyncio.Queue()
        self._counters = Counters(tally=tally or Tally())
        self._reporter = Reporter(control, self._counters, self._end)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loader = Loader(marks, directory)
        self._bench = Bench(marks, directory, drivers)

    async def run(self) -> None:
        """Serve until drained, or until the listener is gone.

        Raises:
            IllegalMove, ValueError: the listener broke the order of messages; a bug.
        """
        self._go_round()
        self._reporter.start()
        setproctitle.setproctitle(f"{TITLE} (spare)")
        self._reporter.say(spare=supervision_pb2.Spare(isolation=self._isolation))
        threading.Thread(target=self._listen, name="control", daemon=True).start()
        while (message := await self._inbox.get()) is not None:
            await self._on_message(message)
        self._reporter.close()

    def _go_round(self) -> None:
        self._counters.turns += 1
        self._loop.call_later(HEARTBEAT_S / 2, self._go_round)

    def _listen(self) -> None:
        """Hand messages to the event loop; on a thread, since the socket blocks."""
        try:
            while (message := self._control.receive()) is not None:
                self._loop.call_soon_threadsafe(self._inbox.put_nowait, message)
        except (ControlBroken, OSError) as error:
            log.error("the control socket failed: %s", error)
        # Nothing is left to work for: lease, models and port were the listener's.
        self._end()

    def _end(self) -> None:
        """Any thread."""
        self._loop.call_soon_threadsafe(self._inbox.put_nowait, None)

    async def _on_message(self, message: supervision_pb2.ToWorkerProcess) -> None:
        kind = str(message.WhichOneof("kind"))
        self._phase = PHASE_TABLE.after(self._phase, PhaseEvent(kind))
        match kind:
            case "adopt":
                await self._adopt(message.adopt)
            case "load":
                self._task(self._load(message.load))
            case "unload":
                self._unload(message.unload)
            case "suspects":
                self._adopted.plane.suspect(message.suspects)
            case "leaf":
                self._adopted.renew(message.leaf)
            case "measure":
                self._task(self._measure(message.measure))
            case "time_batch":
                self._task(self._time_batch(message.time_batch))
            case "check":
                threading.Thread(
                    target=self._check, args=(message.check,), name="check", daemon=True
                ).start()
            case "serve":
                self._adopted.plane.open()
                self._task(self._sing(self._adopted))
            case _:
                self._task(self._drain(message.drain.grace_ms / 1000))

    @property
    def _adopted(self) -> Adoption:
        if self._adoption is None:
            raise ValueError("the listener goes on with a worker whose adoption failed")
        return self._adoption

    async def _sing(self, adopted: Adoption) -> None:
        """See for ourselves that calls are answered, until the end; not where nothing runs but
        what an operator provided.
        """
        if isinstance(adopted.driver, HostedDevice):
            adopted.plane.has_canary = False
            return
        try:
            # Not on the loader's thread: a model may take it for minutes.
            session = await asyncio.to_thread(open_canary, adopted.driver, adopted.share)
        except EaisError as error:
            log.error("this worker can't load the smallest of models: %s", error)
            if error.reason == "DEVICE_LOST" and adopted.watched:
                self._device_lost(error)
            return
        if not adopted.watched:
            await adopted.plane.canary(session).run()
            return
        canary = adopted.plane.canary(session, self._device_lost)
        await DeviceWatch(canary, session, self._device_hangs).run()

    def _device_lost(self, error: EaisError) -> None:
        """Any thread, which goes no further: what it was to answer isn't answered here.

        The listener ends this process; clients send their calls again.
        """
        log.error("the device failed: %s", error)
        self._reporter.say(device_lost=error_to_message(error))
        threading.Event().wait()

    def _device_hangs(self) -> None:
        """The listener knows what runs, and ends this process."""
        self._reporter.say(stuck=supervision_pb2.Stuck())

    def _check(self, message: supervision_pb2.Check) -> None:
        """On a thread of its own, which the device may keep for ever."""
        error = check(message, self._drivers)
        told = error_to_message(error) if error else None
        self._reporter.say(checked=supervision_pb2.Checked(error=told))

    def _task(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _adopt(self, message: supervision_pb2.Adopt) -> None:
        setproctitle.setproctitle(f"{TITLE} {message.instance}")
        bind(
            instance=message.instance,
            tenant=message.tenant,
            epoch=message.epoch,
            worker=message.n,
        )
        try:
            adoption = adopt(
                message,
                self._drivers,
                self._reporter,
                self._counters,
                self._marks,
                self._rings,
                self._turn if message.turns else None,
                self._device_lost,
            )
            await adoption.bind(message.pool, message.address, message.port)
        except EaisError as error:
            self._reporter.say(adopted=supervision_pb2.Adopted(error=error_to_message(error)))
            return
        self._adoption = adoption
        shown = adoption.pages.port if adoption.pages else 0
        told = supervision_pb2.Adopted(port=adoption.port, metrics_port=shown)
        self._reporter.say(adopted=told)

    async def _measure(self, message: supervision_pb2.Measure) -> None:
        setproctitle.setproctitle(f"{TITLE} (measuring)")
        bind(tenant=message.tenant)
        pin(message.cores)
        error = await self._bench.open(message)
        why = None if error is None else error_to_message(error)
        self._reporter.say(measurable=supervision_pb2.Measurable(error=why))

    async def _time_batch(self, message: supervision_pb2.TimeBatch) -> None:
        try:
            seconds = await self._bench.time(message)
            timed = supervision_pb2.BatchTimed(number=message.number, seconds=seconds)
        except EaisError as error:
            failed = error_to_message(error)
            timed = supervision_pb2.BatchTimed(number=message.number, error=failed)
        self._reporter.say(batch_timed=timed)

    async def _load(self, message: supervision_pb2.Load) -> None:
        adopted, name = self._adopted, message.session
        try:
            session, together = adopted.sessions.get(name), None
            is_new = session is None
            if session is None:
                self._counters.tally.opened(name, model_digest(message.spec))
                session, together = await self._loader.open(adopted, message)
                adopted.plane.batch(name, together)
            loaded = supervision_pb2.Loaded(
                session=name, signature=signature_message(session.signature)
            )
            _check_size(loaded)
        except EaisError as error:
            failed = supervision_pb2.LoadFailed(session=name, error=error_to_message(error))
            self._reporter.say(load_failed=failed)
            return
        adopted.sessions[name] = session
        self._reporter.say(loaded=loaded)
        self._say_runs(adopted, name)
        if is_new:
            before = adopted.choices.get(name)
            await self._loader.improve(adopted, message, together)
            if adopted.choices.get(name) != before:
                self._say_runs(adopted, name)

    def _say_runs(self, adopted: Adoption, name: str) -> None:
        self._reporter.say(runs=runs_message(name, adopted.choices.get(name, Choice())))

    def _unload(self, message: supervision_pb2.Unload) -> None:
        self._adopted.sessions.pop(message.session, None)
        self._adopted.choices.pop(message.session, None)
        self._counters.tally.closed(message.session)
        self._adopted.plane.forget(message.session)
        if message.HasField("error"):
            self._adopted.plane.refuse(message.session, error_of_message(message.error))

    async def _drain(self, grace_s: float) -> None:
        if self._adoption is not None:
            until_s = self._loop.time() + grace_s
            self._adoption.plane.drain()
            try:
                async with asyncio.timeout_at(until_s):
                    await self._adoption.plane.drained()
            except TimeoutError:
                log.warning("calls are still running after %s s; they end here", grace_s)
            # The last answers may still be on their way.
            await self._adoption.close(max(0.0, until_s - self._loop.time()))
        self._end()


def _check_size(loaded: supervision_pb2.Loaded) -> None:
    # A model's metadata may be of any size; the control socket's messages aren't.
    if loaded.ByteSize() > MAX_SIGNATURE_BYTES:
        raise make_error(
            "MODEL_TOO_LARGE",
            f"the names and metadata alone have {loaded.ByteSize()} bytes; "
            f"at most {MAX_SIGNATURE_BYTES}",
        )
