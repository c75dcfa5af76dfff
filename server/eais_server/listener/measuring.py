"""What the pool has measured here: one worker a device, on a share that nobody has.

Nothing of it is written down. The share is this host's to give: it is reserved here, and the pool
counts it as free; whoever is granted the device goes first (`make_way`). Without a line to the
pool there is nobody to measure for, so that all of it ends with the line.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from eais.device_type import WHOLE_MILLI
from eais.errors import EaisError, make_error
from eais.rpc.status import error_to_message
from eais.rpc.v1 import hosts_pb2, supervision_pb2
from eais_server.devices.driver import Reservation
from eais_server.listener import messages
from eais_server.listener.bench_worker import FOLDER, BenchWorker, Limits
from eais_server.listener.fetching import Fetching
from eais_server.listener.host import Host
from eais_server.listener.hosted import HostedShares
from eais_server.listener.lease import Share
from eais_server.listener.oom_kills import OomKills
from eais_server.listener.peers import Peers
from eais_server.process import Spawner, WorkerProcess
from eais_server.store import ManifestLimits, check_manifest
from eais_server.supervision.quarantine import Model

log = logging.getLogger(__name__)

FIRST_NUMBER: Final = 1 << 40
"""Of these workers; the supervision's begin with 1."""

Dial = Callable[[], AbstractAsyncContextManager[Peers]]


@dataclass(eq=False, slots=True)
class _Bench:
    """What is measured on a device: `place` is (study, share, runtime).

    `slower`: so many times as long runs take when all others that may share the device do.
    """

    place: tuple[str, int, str]
    name: str
    worker: BenchWorker
    slower: float


class Measurements:
    """What is measured on this host.

    Args:
        spawner: of workers.
        dial: opens the ways to other listeners.
        level: the isolation that workers must have.
        hosted: shares that processes of this host serve.
    """

    def __init__(
        self,
        host: Host,
        spawner: Spawner,
        dial: Dial,
        level: int,
        hosted: HostedShares,
        oom_kills: OomKills | None = None,
    ) -> None:
        self._host = host
        self._spawner = spawner
        self._dial = dial
        self._hosted = hosted
        self._limits = Limits(level, host.config.limits.load_timeout_s)
        self._oom_kills = oom_kills or OomKills()
        self._numbers = itertools.count(FIRST_NUMBER)
        self._benches: dict[str, _Bench] = {}
        # What is being done on a device, and for which command.
        self._jobs: dict[str, tuple[asyncio.Task[None], hosts_pb2.RunBatch]] = {}

    async def run_batch(self, ask: hosts_pb2.RunBatch) -> None:
        """Time a batch; says Measured or BatchFailed, unless it is given up meanwhile."""
        if ask.device in self._jobs:
            self._say_failed(ask, make_error("BUSY", "another batch runs there"))
            return
        job = asyncio.create_task(self._run(ask))
        self._jobs[ask.device] = (job, ask)
        await asyncio.wait({job})

    async def give_up(self, message: hosts_pb2.GiveUp) -> None:
        """End what is measured for a study, on a device or on all."""
        for device in [message.device] if message.device else self._devices():
            bench, job = self._benches.get(device), self._jobs.get(device)
            studies = {bench.place[0] if bench else "", job[1].study if job else ""}
            if message.study in studies:
                await self._end(device)

    async def make_way(self, devices: Iterable[str]) -> None:
        """End what is measured on these devices, of which shares are wanted."""
        for device in set(devices):
            _, ask = self._jobs.get(device, (None, None))
            await self._end(device)
            if ask is not None:
                self._say_failed(ask, make_error("NO_DEVICE", "the device was wanted"))

    async def close(self) -> None:
        """End all of it: nobody waits for it any more."""
        for device in self._devices():
            await self._end(device)

    def _devices(self) -> list[str]:
        return list({**self._benches, **self._jobs})

    async def _end(self, device: str) -> None:
        job, _ = self._jobs.get(device, (None, None))
        if job is not None:
            job.cancel()
            await asyncio.wait({job})
        await self._put_away(device)

    async def _put_away(self, device: str) -> None:
        """The worker is gone, then its share free, then its model unpinned."""
        bench = self._benches.get(device)
        if bench is None:
            return
        ended = await bench.worker.end()
        if ended is not None:
            self._hosted.gone(ended)
        if self._benches.get(device) is not bench:
            return
        del self._benches[device]
        self._host.inventory.free_share(bench.name, 1)
        await self._host.for_client(self._host.store.unpin, bench.name)

    async def _run(self, ask: hosts_pb2.RunBatch) -> None:
        try:
            bench = await self._bench_for(ask)
            seconds = [bench.slower * s for s in await bench.worker.time(ask)]
        except EaisError as error:
            log.info("%s isn't measured on %s: %s", _what(ask), ask.device, error)
            if error.reason in _ENDED:
                await self._put_away(ask.device)
            del self._jobs[ask.device]
            self._say_failed(ask, error)
        except asyncio.CancelledError:
            del self._jobs[ask.device]
            raise
        except Exception:
            # The pool waits for an answer, whatever it is.
            log.exception("BUG: measuring")
            await self._put_away(ask.device)
            del self._jobs[ask.device]
            self._say_failed(ask, make_error("BUG", "the listener failed on this"))
        else:
            del self._jobs[ask.device]
            said = hosts_pb2.Measured(study=ask.study, number=ask.number, seconds=seconds)
            self._host.report(hosts_pb2.HostReport(measured=said))

    async def _bench_for(self, ask: hosts_pb2.RunBatch) -> _Bench:
        """The worker for it, which has loaded the model."""
        place, bench = (ask.study, ask.milli, ask.runtime), self._benches.get(ask.device)
        if bench is not None and bench.place == place:
            return bench
        await self._put_away(ask.device)
        await self._check(ask)
        number = next(self._numbers)
        name, share = f"measuring-{number}", Share(1, ask.device, ask.milli)
        reserved = self._host.inventory.reserve_share(name, share)
        clock, tell = self._host.clock, self._host.tell
        worker = BenchWorker(self._spawner, number, self._limits, self._oom_kills, clock, tell)
        # Nobody else is there now: what it has by right is its part of the time.
        slower = WHOLE_MILLI / ask.milli if reserved.turns else 1.0
        bench = self._benches[ask.device] = _Bench(place, name, worker, slower)
        try:
            await self._bring(ask, name)
            process = await worker.start()
            await self._place(ask, process)
            told = self._told(ask, reserved)
            self._hosted.tell(told, process, name, share.n)
            await self._hosted.ready(number, ask.spec)
            await worker.measure(told, reserved.process_memory_bytes)
        except EaisError:
            await self._put_away(ask.device)
            raise
        log.info("%s is measured on %s of %s", _what(ask), ask.milli, ask.device)
        return bench

    async def _check(self, ask: hosts_pb2.RunBatch) -> None:
        device = self._host.inventory.info(ask.device).id
        self._host.admission.check_grant(ask.device, ask.tenant, 0, frozenset())
        model = Model(ask.tenant, messages.model_digest(messages.spec_bytes(ask.spec)))
        failure = self._host.state.quarantine.refusal(model, self._host.clock())
        if failure:
            raise messages.error_of(failure)
        await self._hosted.check_image(device, ask.spec)

    async def _bring(self, ask: hosts_pb2.RunBatch, name: str) -> None:
        """Have the tenant's model here, pinned."""
        store, files = self._host.store, messages.manifest(ask.spec)
        check_manifest(files, ManifestLimits(model_max_bytes=self._host.config.model_max_bytes))
        await self._host.for_client(store.pin, name, ask.tenant, files)
        missing = await self._host.for_client(store.missing, ask.tenant, files)
        if not missing:
            return
        async with self._dial() as peers:
            fetching = Fetching(self._host, peers, ask.sources, ask.tenant, lambda: None)
            for file in missing:
                if not await fetching.fetch(file):
                    raise make_error("MODEL_LOST", "the tenant's model isn't on this host")

    async def _place(self, ask: hosts_pb2.RunBatch, process: WorkerProcess) -> None:
        folder, files = process.directory / FOLDER, messages.manifest(ask.spec)
        await asyncio.to_thread(self._host.store.place, ask.tenant, files, folder)

    def _told(self, ask: hosts_pb2.RunBatch, share: Reservation) -> supervision_pb2.Measure:
        known = self._host.inventory.runtimes(ask.device)
        found = [each for each in messages.runtimes(known) if _text(each) == ask.runtime]
        if not found:
            text = f"{ask.device} has no runtime {ask.runtime[:64]!r}"
            raise make_error("DEVICE_LOST", text)
        return supervision_pb2.Measure(
            tenant=ask.tenant,
            spec=ask.spec,
            folder=FOLDER,
            device=share.device,
            milli=share.milli,
            threads=share.threads,
            cores=share.cores,
            memory_bytes=share.memory_bytes,
            words=share.words,
            runtime=found[0],
        )

    def _say_failed(self, ask: hosts_pb2.RunBatch, error: EaisError) -> None:
        failed = hosts_pb2.BatchFailed(
            study=ask.study, number=ask.number, error=error_to_message(error)
        )
        self._host.report(hosts_pb2.HostReport(batch_failed=failed))


_ENDED: Final = frozenset({"PROCESS_FAILED", "MODEL_CRASHED", "MODEL_LOAD_TIMEOUT", "RUN_TIMEOUT"})
"""After these there is no worker any more, or none that could go on."""


def _what(ask: hosts_pb2.RunBatch) -> str:
    return messages.model_digest(messages.spec_bytes(ask.spec))[:12]


def _text(runtime: supervision_pb2.Runtime) -> str:
    return f"{runtime.name}/{runtime.precision}"
