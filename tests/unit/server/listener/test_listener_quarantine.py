"""A whole listener whose models kill their workers."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Callable, Coroutine
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from eais.files import DiskOps
from eais.identity import Identity
from eais.rpc.v1 import hosts_pb2, listener_pb2
from eais.rpc.verbs import LISTENER_ADMIN_STATUS, LISTENER_OPEN
from eais_server.process import Exit
from eais_server.testing.listener import CRASHES, ObedientWorker
from eais_server.testing.listener_bench import EI, POOL, ListenerBench, refusal, spec

Run = Callable[[Coroutine[Any, Any, None]], None]
MODEL, OTHER = b"a model", b"another model"
SEGV, KILL = Exit(None, signal.SIGSEGV), Exit(None, signal.SIGKILL)


async def worker_with(bench: ListenerBench, *sessions: str) -> ObedientWorker:
    """The worker of the instance, once it has these sessions and serves."""

    def found() -> bool:
        return any(
            set(sessions) <= set(w.loaded) and "serve" in w.said for w in bench.spawner.of(EI)
        )

    await bench.until(found)
    (worker,) = bench.spawner.of(EI)
    return worker


def end(bench: ListenerBench, worker: ObedientWorker, how: Exit, *running: str) -> None:
    """The worker dies while these sessions run."""
    for session in running:
        worker.marks.run_begins(session)
    bench.spawner.end(worker.fake.process.k, how)


async def ended(bench: ListenerBench, worker: ObedientWorker) -> None:
    """Wait for its exit."""
    await bench.until(lambda: worker.fake.ended)


async def killed_twice_by_runs(bench: ListenerBench) -> str:
    """The innocent session, beside one that died alone, twice."""
    good, bad = (await bench.opened(OTHER)).id, (await bench.opened(MODEL)).id
    for _ in range(2):
        end(bench, await worker_with(bench, good, bad), SEGV, bad)
    await worker_with(bench, good)
    return good


async def status(bench: ListenerBench) -> hosts_pb2.ListenerStatusReply:
    operator, request = Identity.operator(POOL, "op"), hosts_pb2.ListenerStatusRequest()
    reply: hosts_pb2.ListenerStatusReply = await bench.call(
        LISTENER_ADMIN_STATUS, request, operator, management=True
    )
    return reply


def test_the_second_death_of_a_load_quarantines(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            good = await bench.opened(MODEL)
            assert (await refusal(bench.opened(CRASHES))).reason == "MODEL_CRASHED"
            assert (await refusal(bench.opened(CRASHES))).reason == "MODEL_QUARANTINED"
            worker = await worker_with(bench, good.id)
            before = list(worker.said)
            error = await refusal(bench.opened(CRASHES))
            assert error.reason == "MODEL_QUARANTINED"
            assert (error.metadata["deaths"], error.metadata["signal"]) == ("2", "SIGSEGV")
            assert worker.said == before

    run(test())


def test_a_quarantined_model_isnt_even_asked_for(bench: ListenerBench, run: Run) -> None:
    """Other options make another session of it, and no other model; nothing is to be sent."""

    async def test() -> None:
        async with bench.granted() as listener:
            for _ in range(2):
                await refusal(bench.opened(CRASHES))
            wanted = spec(CRASHES)
            wanted.options.execution_mode = 1
            request = listener_pb2.OpenRequest(instance=EI, epoch=5, spec=wanted)
            error = await refusal(bench.call(LISTENER_OPEN, request))
            assert error.reason == "MODEL_QUARANTINED"
            assert listener.host.book.count() == 0

    run(test())


def test_a_quarantine_is_there_after_a_restart(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running():
                bench.grant()
                await bench.manager.heard("granted")
                for _ in range(2):
                    await refusal(bench.opened(CRASHES))
            async with bench.running() as listener:
                await bench.until(lambda: listener.host.admission.leases)
                error = await refusal(bench.open(CRASHES))
                assert error.reason == "MODEL_QUARANTINED"

    run(test())


def test_a_model_that_dies_running_is_forgotten_and_the_rest_comes_back(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            good = await killed_twice_by_runs(bench)
            await bench.until(lambda: listener.host.book.count() == 1)
            error = await refusal(bench.open(MODEL))
            assert error.reason == "MODEL_QUARANTINED"
            assert error.metadata["stage"] == "run"
            await listener.workers.settled()
            ((_, kept),) = listener.host.files.specs()
            assert [session.id for session in kept] == [good]

    run(test())


def test_kills_from_outside_quarantine_nothing(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            session = (await bench.opened(MODEL)).id
            for _ in range(5):
                end(bench, await worker_with(bench, session), KILL, session)
            await worker_with(bench, session)
            assert (await bench.open(MODEL)).session.id == session
            assert listener.host.state.quarantine.records() == ()

    run(test())


@pytest.mark.parametrize("stopped", [True, False])
def test_a_hang_counts_unless_somebody_stopped_the_worker(
    bench: ListenerBench, run: Run, stopped: bool
) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            session = (await bench.opened(MODEL)).id
            for _ in range(2):
                worker = await worker_with(bench, session)
                worker.marks.run_begins(session)
                if stopped:
                    bench.spawner.kill(worker.fake.process, signal.SIGSTOP)
                worker.say(stuck={"session": session})
                await ended(bench, worker)
            if stopped:
                await worker_with(bench, session)
                assert listener.host.state.quarantine.records() == ()
            else:
                await bench.until(lambda: listener.host.book.count() == 0)
                assert (await refusal(bench.open(MODEL))).reason == "MODEL_QUARANTINED"

    run(test())


def test_an_answer_between_two_deaths_is_seen_by_the_heartbeat(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            session = (await bench.opened(MODEL)).id
            for _ in range(3):
                worker = await worker_with(bench, session)
                end(bench, worker, SEGV, session)
                await bench.until(lambda: listener.host.state.quarantine.records())
                worker = await worker_with(bench, session)
                worker.marks.run_begins(session)
                worker.marks.run_ended(session, answered=True)
                worker.say(heartbeat={"turns": 1})
                await bench.until(lambda: not listener.host.state.quarantine.records())

    run(test())


def test_suspects_are_named_to_the_next_worker(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            one, two = (await bench.opened(MODEL)).id, (await bench.opened(OTHER)).id
            end(bench, await worker_with(bench, one, two), SEGV, one, two)
            worker = await worker_with(bench, one, two)
            assert worker.said.index("suspects") < worker.said.index("serve")

    run(test())


def test_an_operator_sees_what_is_quarantined(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            await refusal(bench.opened(CRASHES))
            assert list((await status(bench)).quarantined) == []
            await refusal(bench.opened(CRASHES))
            (found,) = (await status(bench)).quarantined
            assert found.digest == sha256(CRASHES).digest()
            assert (found.tenant, found.deaths, found.stage) == ("acme", 2, "load")
            assert (found.signal, found.ends_in_s) == ("SIGSEGV", 24 * 3600)

    run(test())


def test_who_asks_at_once_is_told_what_its_worker_died_of(bench: ListenerBench, run: Run) -> None:
    """Its stream broke, and the exit was seen by nobody yet."""

    async def test() -> None:
        async with bench.granted():
            session = (await bench.opened(MODEL)).id
            end(bench, await worker_with(bench, session), SEGV, session)
            worker = await worker_with(bench, session)
            worker.marks.run_begins(session)
            assert worker.writer
            worker.writer.close()
            worker.fake.far_end.close()
            asked = asyncio.create_task(refusal(bench.open(MODEL)))
            await status(bench)  # by then the Open has come
            bench.spawner.end(worker.fake.process.k, SEGV)
            assert (await asked).reason == "MODEL_QUARANTINED"

    run(test())


def test_a_quarantine_ends(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        bench.set(quarantine_h=1.0)
        async with bench.granted() as listener:
            good = await killed_twice_by_runs(bench)
            (worker,) = bench.spawner.of(EI)
            bench.clock.ahead_s += 3601.0
            worker.say(heartbeat={"turns": 1})
            assert (await bench.open(MODEL)).session.id
            assert good in worker.loaded
            assert listener.host.state.quarantine.records() == ()

    run(test())


class NoListKept(DiskOps):
    """Keeps all but the list of models that killed workers."""

    def rename(self, source: Path | str, target: Path | str, dir_fd: int | None = None) -> None:
        if Path(target).name == "quarantine.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().rename(source, target, dir_fd)


def test_a_disk_that_fails_lifts_nothing(
    bench: ListenerBench, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        bench.disk = NoListKept()
        async with bench.granted():
            assert (await refusal(bench.opened(CRASHES))).reason == "MODEL_CRASHED"
            assert (await refusal(bench.opened(CRASHES))).reason == "MODEL_QUARANTINED"
            assert (await refusal(bench.opened(CRASHES))).reason == "MODEL_QUARANTINED"
        assert "which models killed workers can't be written down" in caplog.text

    run(test())
