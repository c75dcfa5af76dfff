"""The shell around the supervision: processes, their sockets, the timer.

`tell` hands an event to the brain at once; what it asks for is done by one task
(`run`), each action before the next, so that what must be durable is durable
before anything follows from it.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from eais.errors import EaisError
from eais.rpc.v1 import supervision_pb2
from eais_server.control import AsyncControl, ControlBroken
from eais_server.listener import messages
from eais_server.listener.cpu_waits import CpuWaits
from eais_server.listener.figures import Figures
from eais_server.listener.hosted import HostedShares
from eais_server.listener.inventory import Inventory
from eais_server.listener.live_worker import LiveWorker
from eais_server.listener.needs import Deeds, Said
from eais_server.listener.oom_kills import OomKills
from eais_server.listener.shared import SharedDevices
from eais_server.listener.silent import SilentWorkers
from eais_server.listener.speech import event_of
from eais_server.listener.usage import Counters
from eais_server.process import Exit, Spawner
from eais_server.supervision import State, on_event
from eais_server.supervision import actions as do
from eais_server.supervision import events as on

log = logging.getLogger(__name__)

# Between the end of a worker's socket and its exit; longer than that, it lives without one.
_EXIT_FOLLOWS_S = 1.0
# A timer that comes later than this says that this process was stopped, not the workers.
_STALL_S = 1.0


@dataclass(frozen=True, slots=True)
class _NewLeaf:
    """Goes the same way as the brain's actions, so that it follows the worker's adoption."""

    instance: str
    n: int
    leaf: supervision_pb2.Leaf


class Workers:
    """All worker processes of this listener.

    Args:
        state: the supervision's; only `tell` changes it.
        spawner: starts and kills them.
        clock: seconds, monotonic.
        level: the isolation level that they must have.
        oom_kills: tells the kernel's kills for want of memory.
        cpu_waits: tells whether workers that say nothing wait for a CPU.
        hosted: their shares that processes of this host serve; None: there are none.
        shared: has them take turns; None: no device is shared.

    Attributes:
        figures: what is counted of them.
    """

    def __init__(
        self,
        state: State,
        spawner: Spawner,
        deeds: Deeds,
        *,
        clock: Callable[[], float],
        level: int,
        oom_kills: OomKills | None = None,
        cpu_waits: CpuWaits | None = None,
        hosted: HostedShares | None = None,
        shared: SharedDevices | None = None,
    ) -> None:
        self.state = state
        self._spawner, self._deeds = spawner, deeds
        self._clock = clock
        self._level = level
        self._oom_kills = oom_kills or OomKills()
        self._hosted = hosted or HostedShares(Inventory({}), state)
        self._shared = shared or SharedDevices(Inventory({}), self.tell)
        waits = cpu_waits or CpuWaits()
        self._silent = SilentWorkers(state, self.tell, waits, self._shared, clock)
        self.figures = Figures()
        self._live: dict[int, LiveWorker] = {}
        self._todo: asyncio.Queue[do.Action | _NewLeaf] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loads = 0

    def tell(self, event: on.Event) -> None:
        """Something happened; what follows is done soon, in order."""
        now = self._clock()
        for action in on_event(self.state, event, now):
            self._todo.put_nowait(action)
        self._set_timer(now)

    async def run(self) -> None:
        """Do what is asked for, until cancelled."""
        try:
            while True:
                await self._do(await self._todo.get())
                self._todo.task_done()
        finally:
            self._close()

    async def deaths_seen(self, instance: str) -> None:
        """Wait until the supervision knows which of the instance's workers have died by now.

        A client sees its stream break, and may ask what of, before this process has looked.
        """
        seats = {w.id for w in self.state.workers.values() if w.seat and w.seat[0] == instance}
        for live in [self._live[k] for k in seats & self._live.keys()]:
            if live.is_ending():
                with suppress(TimeoutError):
                    # Not `wait_for`: in Python 3.11 it forgets that it is cancelled meanwhile.
                    async with asyncio.timeout(2 * _EXIT_FOLLOWS_S):
                        await live.buried.wait()

    async def settled(self) -> None:
        """Wait until nothing is left to be done; for tests."""
        await self._todo.join()

    def _close(self) -> None:
        if self._timer:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _set_timer(self, now: float) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        wake = self.state.next_wake(now)
        if wake != float("inf"):
            delay = max(0.0, wake - now)
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake, now + delay)

    def _wake(self, due: float) -> None:
        """Time has passed. After a stall of our own, let what workers said meanwhile go first."""
        self._timer, now = None, self._clock()
        if now - due > _STALL_S:
            log.warning("this process was stopped for %.1f s", now - due)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_STALL_S, self._wake, now + _STALL_S)
        else:
            self.tell(on.Tick())

    def metrics_ports(self) -> dict[tuple[str, int], int]:
        """Where the metrics of workers are on loopback, by instance and number."""
        seats = {w.id: w.seat for w in self.state.workers.values() if w.seat}
        ports = {seats.get(k): live.metrics_port for k, live in self._live.items()}
        return {seat: port for seat, port in ports.items() if seat and port}

    # actions

    async def _do(self, action: do.Action | _NewLeaf) -> None:
        if isinstance(action, Said):
            await self._with(action)
            return
        match action:
            case _NewLeaf():
                self._send_leaf(action)
            case do.Spawn(worker):
                # It holds the loop up: what was just told and asked is sent and begun before.
                await asyncio.sleep(0)
                self._spawn(worker)
            case do.Kill(worker, why):
                self._kill(worker, why)
            case do.WatchCpu() | do.AskCpu():
                await self._silent.look(action, self._live.get(action.worker))
            case _:
                await self._deeds.outcome(action)

    async def _with(self, action: Said) -> None:
        """Do something with a worker; if that fails, the worker is at an end."""
        live = self._live.get(action.worker)
        if live is None or live.control is None:
            return  # it exited meanwhile, which the brain is told
        try:
            with suppress(ControlBroken):  # `_attend` waits for its exit
                await self._say(live, live.control, action)
        except (OSError, EaisError) as error:
            self.tell(on.WorkerAstray(action.worker, f"the listener failed it: {error}"))

    async def _say(self, live: LiveWorker, control: AsyncControl, action: do.Action) -> None:
        to = supervision_pb2.ToWorkerProcess
        match action:
            case do.Adopt():
                adopt = await self._deeds.adoption(action)
                live.counts_for(adopt.instance, adopt.epoch)
                self._hosted.tell(adopt, live.process, adopt.instance, adopt.n)
                self._spawner.limit_memory(live.process, adopt.process_memory_bytes)
                self._shared.adopted(adopt, live.process)
                control.send(to(adopt=adopt))
                live.adopted_at = self._clock()
            case do.Check():
                if check := self._deeds.check(action):
                    control.send(to(check=check))
            case do.RecordPort():
                await self._deeds.record_port(action)
            case do.Load():
                self._task(self._load(live, control, action))
            case do.Unload():
                control.send(to(unload=messages.unload(action)))
                self._task(self._clear(live, action.session))
            case do.NameSuspects():
                control.send(to(suspects=messages.suspects(action)))
            case do.Serve():
                control.send(to(serve=supervision_pb2.Serve()))
            case do.Drain():
                grace = supervision_pb2.Drain(grace_ms=round(action.grace_s * 1000))
                control.send(to(drain=grace))

    def renew(self, instance: str, n: int, leaf: supervision_pb2.Leaf) -> None:
        """Give the worker in that seat, if there is one, its new key and leaf."""
        self._todo.put_nowait(_NewLeaf(instance, n, leaf))

    def _send_leaf(self, action: _NewLeaf) -> None:
        held = self.state.leases.get(action.instance)
        slot = held.slots.get(action.n) if held else None
        live = self._live.get(slot.worker) if slot else None
        if live and live.control:
            with suppress(ControlBroken):  # it is at its end, and `_attend` sees to that
                live.control.send(supervision_pb2.ToWorkerProcess(leaf=action.leaf))

    async def _load(self, live: LiveWorker, control: AsyncControl, action: do.Load) -> None:
        self._loads += 1
        self._shared.loads(action.worker, loading=True)
        name = f"{action.session[:8]}-{self._loads}"
        live.folders[action.session] = name
        try:
            folder = live.process.directory / name
            spec = await self._deeds.place(action.instance, action.session, folder)
            if spec is None:
                raise EaisError("SESSION_UNKNOWN", "nobody wants the session any more")
            await self._hosted.ready(action.worker, spec)
            load = supervision_pb2.Load(
                session=action.session,
                spec=spec,
                folder=name,
                reference_only=self.state.reference_only(action.instance, action.session),
            )
            control.send(supervision_pb2.ToWorkerProcess(load=load))
        except ControlBroken:
            log.info("worker %s ended before its load began", action.worker)
        except EaisError as error:
            refused = on.LoadRefused(action.worker, action.session, messages.failure(error))
            self.tell(refused)
        except OSError as error:
            log.error("session %s can't be laid out: %s", name, error)
            failed = on.Failure("STORE_UNAVAILABLE", "the back-end's disk failed")
            self.tell(on.LoadRefused(action.worker, action.session, failed))
        except ValueError as error:
            failed = on.Failure("MALFORMED_MESSAGE", f"the session spec is too large: {error}")
            self.tell(on.LoadRefused(action.worker, action.session, failed))

    async def _clear(self, live: LiveWorker, session: str) -> None:
        """Take a session's links away; what the worker has open stays its own."""
        name = live.folders.pop(session, "")
        if name:
            folder = live.process.directory / name
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    # processes

    def _spawn(self, worker: int) -> None:
        exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        try:
            process = self._spawner.spawn(worker, lambda how: _settle(exited, how))
        except EaisError as error:
            log.error("no worker can be started: %s", error)
            self.tell(on.WorkerExited(worker, code=1, why=str(error)))
            return
        log.info("worker %s started, pid %s", worker, process.pid)
        self._live[worker] = live = LiveWorker(process, exited)
        self._oom_kills.look(worker, process.pid, self._clock())
        self._task(self._attend(worker, live))

    def _kill(self, worker: int, why: str) -> None:
        live = self._live.get(worker)
        if live and not live.exit.done():
            level = logging.INFO if self.state.stopping else logging.WARNING
            by_turns = self._shared.is_stopped(worker)
            live.stopped = not by_turns and self._spawner.is_stopped(live.process)
            by = ", after somebody stopped it" if live.stopped else ""
            log.log(level, "worker %s is killed: %s%s", worker, why, by)
            self._spawner.kill(live.process, signal.SIGKILL)

    async def _attend(self, worker: int, live: LiveWorker) -> None:
        """From its start to its exit: all that the worker said comes before the exit."""
        live.control = await AsyncControl.open(live.process.control)
        heard = asyncio.create_task(self._listen(worker, live.control))
        both: set[asyncio.Future[Any]] = {heard, live.exit}
        _, other = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if other:
            await asyncio.wait(other, timeout=_EXIT_FOLLOWS_S)
        if not live.exit.done():
            self.tell(on.WorkerAstray(worker, "its socket ended"))
        how = await live.exit
        heard.cancel()
        live.control.close()
        self._bury(worker, live, how)

    def _bury(self, worker: int, live: LiveWorker, how: Exit) -> None:
        log.info("worker %s exited: %s", worker, how)
        del self._live[worker]
        seated = self.state.workers.get(worker)
        in_flight, answered = live.look()
        if seated and seated.seat and live.page_name:
            self._deeds.beat(seated.seat[0], worker, live.counted(Counters()), live.page_name)
        live.close_pages()
        self._hosted.gone(live.process)
        self._shared.gone(live.process)
        no_memory = self._oom_kills.killed(worker)
        self._silent.forget(worker)
        exited = messages.exited(
            worker, how, in_flight, answered, out_of_memory=no_memory, stopped=live.stopped
        )
        self.figures.ended(how, out_of_memory=no_memory)
        self.tell(exited)
        live.buried.set()
        if seated and seated.seat:
            self._deeds.gone(*seated.seat, worker)

    async def _listen(self, worker: int, control: AsyncControl) -> None:
        try:
            while message := await control.receive():
                self._hear(worker, message)
                # What came together is received without a wait: one worker that says much must
                # not keep the loop from all others.
                await asyncio.sleep(0)
        except ControlBroken as error:
            log.warning("worker %s: %s", worker, error)

    def _hear(self, worker: int, message: supervision_pb2.FromWorkerProcess) -> None:
        match message.WhichOneof("kind"):
            case "heartbeat":
                self._on_beat(worker, message.heartbeat)
            case "held":
                self._on_held(worker, message.held)
            case "adopted":
                self.figures.adopted(self._live[worker], message.adopted, self._clock())
                self.tell(event_of(worker, message, self._level))
            case _:
                self.tell(event_of(worker, message, self._level))

    def _on_beat(self, worker: int, beat: supervision_pb2.Heartbeat) -> None:
        live, known = self._live[worker], self.state.workers.get(worker)
        self.figures.beat(live, self._clock())
        self._oom_kills.look(worker, live.process.pid, self._clock())
        if known and known.seat:
            counted = live.counted(messages.counters(beat))
            self._deeds.beat(known.seat[0], worker, counted, live.page_name)
            found, answered = live.look()
            self._shared.loads(worker, loading=bool(known.loading or found.loading))
            if answered:
                self.tell(on.RunsAnswered(worker, answered))
        self.tell(on.Beat(worker, beat.turns))

    def _on_held(self, worker: int, held: supervision_pb2.Held) -> None:
        known = self.state.workers.get(worker)
        if known and known.seat:
            self._deeds.holds(*known.seat, held.sessions)

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("BUG: supervision", exc_info=task.exception())


def _settle(future: asyncio.Future[Exit], how: Exit) -> None:
    if not future.done():
        future.set_result(how)
