from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from errno import EIO, ENOSPC
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest

from eais.errors import EaisError
from eais.identity import Identity
from eais.rpc.client import acall
from eais.rpc.hello import hello
from eais.rpc.status import error_of_rpc
from eais.rpc.v1 import hosts_pb2, listener_pb2, supervision_pb2
from eais.rpc.verbs import (
    LISTENER_ADMIN_GREET,
    LISTENER_ADMIN_STATUS,
    LISTENER_GREET,
    LISTENER_LOCATE,
    LISTENER_OPEN,
    LISTENER_PUSH,
)
from eais_server.process import Exit
from eais_server.store import ModelStore
from eais_server.store.disk import Disk
from eais_server.supervision import State
from eais_server.supervision import events as on
from eais_server.testing import FaultyDisk
from eais_server.testing.listener import CRASHES, HANGS, REFUSED
from eais_server.testing.listener_bench import EI, POOL, Clock, ListenerBench, refusal, spec

Run = Callable[[Coroutine[Any, Any, None]], None]
MODEL = b"a model of some bytes"


def locate(instance: str = EI, epoch: int = 5) -> listener_pb2.LocateRequest:
    return listener_pb2.LocateRequest(instance=instance, epoch=epoch)


# Open and Push


def test_hash_first_then_push_then_open(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            (missing,) = (await bench.open(MODEL)).missing
            assert (missing.sha256, missing.size, missing.offset) == (
                sha256(MODEL).digest(),
                len(MODEL),
                0,
            )
            assert (await bench.push(MODEL)).size == len(MODEL)
            reply = await bench.open(MODEL)
            assert not reply.missing
            assert reply.session.signature.metadata.graph_name == MODEL.decode()
            assert [worker.serving for worker in reply.session.workers] == [True]
            (worker,) = bench.spawner.of(EI)
            assert worker.loaded == [reply.session.id]

    run(test())


class HaltingDisk(Disk):
    """Each write waits until it may go on."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.writing, self.go_on = threading.Semaphore(0), threading.Event()

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        self.writing.release()
        assert self.go_on.wait(60)
        super().write(fd, data, offset)


def put_disk(bench: ListenerBench, disk: Disk) -> None:
    """From now on the listener's store is on `disk`."""
    host = bench.listener.host
    host.store.close()
    root = bench.directory / "store"
    host.store = ModelStore(root, limit_bytes=1 << 20, clock=bench.clock, disk=disk)


def test_a_worker_comes_back_while_clients_hold_the_disk(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            session = await bench.opened(MODEL)
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
            disk = HaltingDisk(bench.directory / "store")
            put_disk(bench, disk)
            pushes = [asyncio.create_task(bench.push(b"model %d" % n)) for n in range(6)]
            try:
                await bench.until(lambda: disk.writing.acquire(blocking=False))
                await bench.until(lambda: disk.writing.acquire(blocking=False))
                (first,) = bench.spawner.of(EI)
                bench.spawner.end(first.fake.process.k, Exit(None, 9))
                await bench.until(
                    lambda: any(worker.loaded == [session.id] for worker in bench.spawner.of(EI))
                )
            finally:
                disk.go_on.set()
                await asyncio.gather(*pushes)

    run(test())


def test_an_open_session_is_answered_without_a_load(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            first = await bench.opened(MODEL)
            again = await bench.opened(MODEL)
            assert again == first
            (worker,) = bench.spawner.of(EI)
            assert worker.said.count("load") == 1

    run(test())


def test_opens_of_the_same_spec_share_one_load(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.open(MODEL)
            await bench.push(MODEL)
            replies = await asyncio.gather(*(bench.open(MODEL) for _ in range(5)))
            assert len({reply.session.id for reply in replies}) == 1
            (worker,) = bench.spawner.of(EI)
            assert worker.said.count("load") == 1

    run(test())


def test_another_option_is_another_session(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            first = await bench.opened(MODEL)
            other = spec(MODEL)
            other.options.execution_mode = 1
            request = listener_pb2.OpenRequest(instance=EI, epoch=5, spec=other)
            reply = await bench.call(LISTENER_OPEN, request)
            assert reply.session.id not in ("", first.id)

    run(test())


def test_the_spec_is_durable_before_the_answer(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            session = await bench.opened(MODEL)
            ((instance, (kept,)),) = listener.host.files.specs()
            assert (instance, kept.id, kept.tenant) == (EI, session.id, "acme")
            changed = await bench.manager.heard("sessions")
            while not changed.specs:
                changed = await bench.manager.heard("sessions")
            assert list(changed.specs) == [spec(MODEL)]

    run(test())


def test_a_disk_that_fails_keeps_nothing_and_says_so(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.open(MODEL)
            await bench.push(MODEL)
            specs = bench.directory / "specs"
            specs.rename(specs.with_name("away"))
            error = await refusal(bench.open(MODEL))
            assert error.reason == "STORE_UNAVAILABLE"
            specs.with_name("away").rename(specs)
            assert (await bench.open(MODEL)).session.id

    run(test())


def test_a_refused_model_isnt_kept(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            error = await refusal(bench.opened(REFUSED))
            assert error.reason == "MODEL_INVALID"
            assert error.metadata["onnxruntime_class"] == "InvalidGraph"
            assert list(listener.host.files.specs()) == []
            assert listener.host.book.count() == 0
            assert (await bench.opened(MODEL)).id

    run(test())


def test_a_model_that_kills_its_worker_isnt_kept_and_the_rest_comes_back(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.granted():
            good = await bench.opened(MODEL)
            error = await refusal(bench.opened(CRASHES))
            assert error.reason == "MODEL_CRASHED"
            assert error.metadata == {"stage": "load", "signal": "SIGSEGV"}
            await bench.until(lambda: [w.loaded for w in bench.spawner.of(EI)] == [[good.id]])
            assert (await bench.opened(MODEL)).id == good.id

    run(test())


def test_the_callers_deadline_ends_the_wait_alone(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            await bench.open(HANGS)
            await bench.push(HANGS)
            request = listener_pb2.OpenRequest(instance=EI, epoch=5, spec=spec(HANGS))
            async with bench.channel() as line:
                work = acall(
                    line, LISTENER_OPEN, request, timeout_s=0.05, unreachable="HOST_UNREACHABLE"
                )
                assert (await refusal(work)).reason == "DEADLINE_EXCEEDED"
            (worker,) = bench.spawner.of(EI)
            await bench.until(lambda: "load" in worker.said)
            assert worker.fake.signals == []
            bench.revoke(grace_ms=0)
            await bench.manager.heard("released")
            assert listener.host.book.count() == 0

    run(test())


def test_an_open_that_waits_is_told_when_the_lease_goes(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.open(HANGS)
            await bench.push(HANGS)
            waiting = asyncio.create_task(refusal(bench.open(HANGS)))
            (worker,) = bench.spawner.of(EI)
            await bench.until(lambda: "load" in worker.said)
            bench.revoke()
            assert (await waiting).reason == "DRAINING"

    run(test())


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (listener_pb2.ModelFile(sha256=b"short", size=1), "MALFORMED_MESSAGE"),
        (listener_pb2.ModelFile(sha256=b"x" * 32, size=1 << 40), "MODEL_TOO_LARGE"),
        (listener_pb2.ModelFile(location="x", sha256=b"x" * 32, size=1), "MALFORMED_MESSAGE"),
    ],
)
def test_a_manifest_is_judged_first(
    bench: ListenerBench, run: Run, file: listener_pb2.ModelFile, reason: str
) -> None:
    async def test() -> None:
        async with bench.granted():
            wanted = listener_pb2.SessionSpec(files=[file])
            request = listener_pb2.OpenRequest(instance=EI, epoch=5, spec=wanted)
            assert (await refusal(bench.call(LISTENER_OPEN, request))).reason == reason

    run(test())


def test_an_instance_has_only_so_many_sessions(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        bench.set(sessions_max=2)
        async with bench.granted():
            await bench.opened(b"one")
            await bench.opened(b"two")
            assert (await refusal(bench.open(b"three"))).reason == "QUOTA"
            assert (await bench.opened(b"one")).id

    run(test())


def test_an_ask_that_the_store_refuses_is_no_session(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        bench.set(sessions_max=2)
        async with bench.granted():
            disk = FaultyDisk(bench.directory / "store")
            put_disk(bench, disk)
            for reason, number in (("STORE_FULL", ENOSPC), ("STORE_UNAVAILABLE", EIO)):
                disk.fail_next("salt", OSError(number, ""))
                assert (await refusal(bench.open(MODEL))).reason == reason
            await bench.opened(b"one")
            lie = spec(b"one")
            lie.files[0].size += 1
            request = listener_pb2.OpenRequest(instance=EI, epoch=5, spec=lie)
            error = await refusal(bench.call(LISTENER_OPEN, request))
            assert error.reason == "DIGEST_MISMATCH"
            await bench.opened(b"two")

    run(test())


def wide(model: bytes, size: int) -> listener_pb2.OpenRequest:
    """An Open whose spec has so many bytes, by its options."""
    wanted = spec(model)
    wanted.options.config_entries["session.x"] = "v" * size
    return listener_pb2.OpenRequest(instance=EI, epoch=5, spec=wanted)


def test_sessions_stay_small_enough_to_be_told_to_the_pool(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.opened(MODEL)
            for part in (b"a", b"b"):
                await bench.open(part)
                await bench.push(part)
            assert (await bench.call(LISTENER_OPEN, wide(b"a", 5 << 20))).session.id
            error = await refusal(bench.call(LISTENER_OPEN, wide(b"b", 5 << 20)))
            assert error.reason == "QUOTA"
            specs = 0
            while specs < 2:
                specs = len((await bench.manager.heard("sessions")).specs)
            assert len(bench.manager.joins) == 1
            assert (await bench.open(b"b")).session.id

    run(test())


def test_signatures_count_as_they_come(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        big = b"s" * (7 << 20)  # the fake worker's signature is the model
        async with bench.granted() as listener:
            await bench.open(big)
            await bench.push(big, chunk=1 << 20)
            assert (await bench.open(big)).session.id
            error = await refusal(bench.call(LISTENER_OPEN, another(big)))
            assert error.reason == "QUOTA"
            (worker,) = bench.spawner.of(EI)
            await bench.until(lambda: len(worker.loaded) == 1)
            assert listener.host.book.count() == 1

    run(test())


def another(model: bytes) -> listener_pb2.OpenRequest:
    """An Open of the same model with another option."""
    return wide(model, 1)


def test_external_data_lies_where_the_model_names_it(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.open(MODEL)
            await bench.push(MODEL)
            wanted = spec(MODEL)
            wanted.files.add(location="parts/a.bin", sha256=sha256(b"data").digest(), size=4)
            request = listener_pb2.OpenRequest(instance=EI, epoch=5, spec=wanted)
            (missing,) = (await bench.call(LISTENER_OPEN, request)).missing
            assert missing.size == 4
            await bench.push(b"data")
            assert (await bench.call(LISTENER_OPEN, request)).session.id
            (worker,) = bench.spawner.of(EI)
            (part,) = worker.fake.process.directory.rglob("parts/a.bin")
            assert part.read_bytes() == b"data"

    run(test())


# Push


async def pushed(bench: ListenerBench, *chunks: listener_pb2.PushChunk) -> EaisError:
    """What a push of these chunks is refused with; it stays open after the last."""
    async with bench.channel() as line:
        call = line.stream_unary(
            LISTENER_PUSH.path,
            listener_pb2.PushChunk.SerializeToString,
            listener_pb2.PushReply.FromString,
        )
        with pytest.raises(grpc.RpcError) as error:
            await call(_and_then_nothing(chunks), timeout=20)
        return error_of_rpc(error.value, "HOST_UNREACHABLE")


async def _and_then_nothing(
    chunks: Sequence[listener_pb2.PushChunk],
) -> AsyncIterator[listener_pb2.PushChunk]:
    for chunk in chunks:
        yield chunk
    await asyncio.Event().wait()


def first_chunk(**changes: Any) -> listener_pb2.PushChunk:
    values: dict[str, Any] = {
        "instance": EI,
        "epoch": 5,
        "sha256": sha256(MODEL).digest(),
        "size": len(MODEL),
    }
    return listener_pb2.PushChunk(**(values | changes))


def test_a_push_that_never_begins_is_ended(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        bench.set(first_message_timeout_s=0.05)
        async with bench.granted():
            assert (await pushed(bench)).reason == "FIRST_MESSAGE_TIMEOUT"

    run(test())


def test_a_push_that_stalls_is_ended_and_can_be_resumed(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        bench.set(chunk_timeout_s=0.05)
        async with bench.granted():
            assert (await pushed(bench, first_chunk(data=MODEL[:8]))).reason == "DEADLINE_EXCEEDED"
            (missing,) = (await bench.open(MODEL)).missing
            assert missing.offset == 8

    run(test())


def test_a_push_of_what_another_sends_waits_for_that(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted(), bench.channel() as line:
            await bench.open(MODEL)
            stub: Any = line.stream_unary(
                LISTENER_PUSH.path,
                listener_pb2.PushChunk.SerializeToString,
                listener_pb2.PushReply.FromString,
            )
            calls = [stub() for _ in range(3)]
            for call in calls:
                await call.write(first_chunk(data=MODEL[:4]))
                # On the same connection, so it was begun.
                await acall(line, LISTENER_LOCATE, locate(), timeout_s=20, unreachable="X")
            for call in calls:
                with suppress(asyncio.InvalidStateError):  # it was answered already
                    await call.write(listener_pb2.PushChunk(offset=4, data=MODEL[4:]))
            assert [(await call).size for call in calls] == [len(MODEL)] * 3

    run(test())


class HaltingClock(Clock):
    """A clock that holds the store's threads up once it is armed."""

    def __init__(self) -> None:
        super().__init__()
        self.armed, self.reached, self.go_on = False, threading.Event(), threading.Event()

    def __call__(self) -> float:
        if self.armed and threading.current_thread() is not threading.main_thread():
            self.reached.set()
            self.go_on.wait()
        return super().__call__()


def test_a_push_that_is_cancelled_as_it_begins_leaves_no_upload(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        clock = bench.clock = HaltingClock()
        async with bench.granted() as listener, bench.channel() as line:
            await bench.open(MODEL)
            clock.armed = True
            stub: Any = line.stream_unary(
                LISTENER_PUSH.path,
                listener_pb2.PushChunk.SerializeToString,
                listener_pb2.PushReply.FromString,
            )
            push = stub()
            await push.write(first_chunk(data=MODEL[:4]))
            await asyncio.to_thread(clock.reached.wait)
            push.cancel()
            # On the same connection, so the cancel was seen before.
            await acall(line, LISTENER_LOCATE, locate(), timeout_s=20, unreachable="X")
            clock.armed = False
            clock.go_on.set()
            await bench.until(lambda: not listener.host.store.use().uploads)
            assert (await bench.opened(MODEL)).id

    run(test())


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([first_chunk(sha256=b"short")], "MALFORMED_MESSAGE"),
        ([first_chunk(size=1 << 40)], "MODEL_TOO_LARGE"),
        ([first_chunk(offset=4, data=b"x")], "CHUNK_GAP"),
        ([first_chunk(instance="ei-2")], "NOT_FOUND"),
        ([first_chunk(epoch=4)], "STALE_EPOCH"),
        ([first_chunk(data=b"x" * len(MODEL))], "DIGEST_MISMATCH"),
        ([first_chunk(data=b"x" * (len(MODEL) + 1))], "MODEL_TOO_LARGE"),
    ],
)
def test_a_push_that_is_refused(
    bench: ListenerBench, run: Run, chunks: list[listener_pb2.PushChunk], reason: str
) -> None:
    async def test() -> None:
        async with bench.granted():
            assert (await pushed(bench, *chunks)).reason == reason
            assert (await bench.opened(MODEL)).id

    run(test())


# Where the workers are


def test_a_worker_that_has_died_is_not_named_as_one_that_serves(
    bench: ListenerBench, run: Run
) -> None:
    """Its client sees the stream break and asks where to go, before its exit was seen here."""

    async def test() -> None:
        async with bench.granted() as listener:
            (worker,) = bench.spawner.of(EI)
            assert worker.writer is not None
            worker.writer.close()
            worker.fake.far_end.close()
            asked, seen = asyncio.Event(), listener.host.deaths_seen

            async def noted(instance: str) -> None:
                asked.set()
                await seen(instance)

            listener.host.deaths_seen = noted
            told = asyncio.create_task(bench.call(LISTENER_LOCATE, locate()))
            await bench.until(lambda: asked.is_set() or told.done())
            bench.spawner.end(worker.fake.process.k, Exit(None, signal.SIGKILL))
            (named,) = (await told).workers
            assert (named.incarnation, named.serving) != (1, True)

    run(test())


def test_what_runs_the_sessions_is_said_to_those_who_ask(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            opened = await bench.opened(MODEL)
            state = listener.host.state
            await bench.until(lambda: any(w.runs for w in state.workers.values()))
            assert not (await bench.call(LISTENER_LOCATE, locate())).sessions
            asked = listener_pb2.LocateRequest(instance=EI, epoch=5, sessions=True)
            (told,) = (await bench.call(LISTENER_LOCATE, asked)).sessions
            assert (told.id, told.model_sha256) == (opened.id, sha256(MODEL).digest())
            assert told.workers == [listener_pb2.SessionAt(n=1, runtime="obedience/fp32")]
            (worker,) = bench.spawner.of(EI)
            unused = listener_pb2.UnusedRuntime(runtime="x" * 1000, why="a\x1b[2Jb" + "y" * 1000)
            runs = supervision_pb2.Runs(session=opened.id, runtime="now", unused=[unused] * 100)
            worker.say(runs=runs)
            await bench.until(lambda: any(r.unused for r in running(state, opened.id)))
            (told,) = (await bench.call(LISTENER_LOCATE, asked)).sessions
            (there,) = told.workers
            assert (there.runtime, len(there.unused)) == ("now", 8)
            assert len(there.unused[0].runtime) == 64
            assert there.unused[0].why.startswith("a?[2Jb")
            assert len(there.unused[0].why) == 512

    run(test())


def test_a_session_is_open_where_it_can_be_and_the_answer_says_where_not(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        bench.set(cpu_cores=2)
        shares = [hosts_pb2.ShareGrant(n=n, device="cpu0", milli=1000) for n in (1, 2)]
        async with bench.granted(shares=shares):
            assert not (await bench.opened(MODEL)).not_on
            bench.spawner.refusing.add(2)
            opened = await bench.opened(MODEL + b"another")
            assert opened.not_on == [2]
            asked = listener_pb2.LocateRequest(instance=EI, epoch=5, sessions=True)
            told = (await bench.call(LISTENER_LOCATE, asked)).sessions
            (there,) = (s for s in told if s.id == opened.id)
            assert [at.n for at in there.workers] == [1, 2]
            refused = there.workers[1]
            assert (refused.runtime, refused.error.reason) == ("", "MODEL_INVALID")
            bench.spawner.refusing.add(1)
            error = await refusal(bench.opened(MODEL + b"a third"))
            assert error.reason == "MODEL_INVALID"

    run(test())


def running(state: State, session: str) -> list[on.Runs]:
    return [w.runs[session] for w in state.workers.values() if session in w.runs]


# Who may


def test_not_yours_is_not_there(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            stranger = Identity.frontend(POOL, "other", "box")
            foreign = await refusal(bench.call(LISTENER_LOCATE, locate(), stranger))
            absent = await refusal(bench.call(LISTENER_LOCATE, locate("ei-2"), stranger))
            assert (foreign.reason, foreign.message) == (absent.reason, absent.message)
            assert foreign.reason == "NOT_FOUND"
            request = listener_pb2.OpenRequest(instance=EI, epoch=5, spec=spec(MODEL))
            assert (await refusal(bench.call(LISTENER_OPEN, request, stranger))).reason == (
                "NOT_FOUND"
            )

    run(test())


@pytest.mark.parametrize(
    "who",
    [Identity.operator(POOL, "ops"), Identity.manager(POOL), Identity.listener(POOL, "other")],
)
def test_the_user_plane_is_front_ends_alone(bench: ListenerBench, run: Run, who: Identity) -> None:
    async def test() -> None:
        async with bench.granted():
            error = await refusal(bench.call(LISTENER_LOCATE, locate(), who))
            assert error.reason == "PERMISSION_DENIED"

    run(test())


@pytest.mark.parametrize(("epoch", "reason"), [(4, "STALE_EPOCH"), (6, "NO_WORKER")])
def test_the_epoch_is_checked(bench: ListenerBench, run: Run, epoch: int, reason: str) -> None:
    async def test() -> None:
        async with bench.granted():
            error = await refusal(bench.call(LISTENER_LOCATE, locate(epoch=epoch)))
            assert error.reason == reason
            assert (await refusal(bench.open(MODEL, epoch=epoch))).reason == reason

    run(test())


def test_each_service_is_on_its_own_plane(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            ops = Identity.operator(POOL, "ops")
            greeting = hello("test")
            async with bench.channel() as user, bench.channel(ops, management=True) as management:

                async def call(line: Any, verb: Any, request: Any) -> Any:
                    return await acall(line, verb, request, timeout_s=20, unreachable="X")

                assert (await call(user, LISTENER_GREET, greeting)).version == 1
                assert (await call(management, LISTENER_ADMIN_GREET, greeting)).version == 1
                status = hosts_pb2.ListenerStatusRequest()
                error = await refusal(call(user, LISTENER_ADMIN_STATUS, status))
                assert error.reason == "UNIMPLEMENTED"
                error = await refusal(call(management, LISTENER_GREET, greeting))
                assert error.reason == "UNIMPLEMENTED"

    run(test())


def test_the_status_says_what_is_held(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.opened(MODEL)
            await bench.until(lambda: bench.listener.host.state.spares())
            request, manager = hosts_pb2.ListenerStatusRequest(), Identity.manager(POOL)
            status = await bench.call(LISTENER_ADMIN_STATUS, request, manager, management=True)
            assert status.host == "local"
            assert [lease.instance for lease in status.leases] == [EI]
            assert (status.spares, status.sessions) == (1, 1)
            assert status.store_bytes == len(MODEL)
            assert status.store_limit_bytes == bench.config.store_limit_bytes

    run(test())


# Sessions live and die


def test_a_restarted_worker_has_its_sessions_before_it_serves(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.granted():
            sessions = [(await bench.opened(model)).id for model in (b"one", b"two")]
            (worker,) = bench.spawner.of(EI)
            bench.spawner.end(worker.fake.process.k, Exit(None, 9))
            await bench.until(lambda: "serve" in (bench.spawner.of(EI) or [worker])[0].said[2:])
            (again,) = bench.spawner.of(EI)
            assert again.said == ["adopt", "load", "load", "serve"]
            assert again.loaded == sessions

    run(test())


def test_sessions_outlive_the_listener(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running():
                bench.grant()
                await bench.manager.heard("granted")
                session = await bench.opened(MODEL)
            async with bench.running():
                again = await bench.opened(MODEL)
                assert (again.id, again.signature) == (session.id, session.signature)
                await bench.until(
                    lambda: [w.loaded for w in bench.spawner.of(EI)] == [[session.id]]
                )

    run(test())


def test_a_session_that_nobody_holds_is_dropped_in_time(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        bench.set(heartbeat_timeout_s=1e6)
        async with bench.granted() as listener:
            session = await bench.opened(MODEL)
            (worker,) = bench.spawner.of(EI)
            worker.say(held={"sessions": [session.id]})
            await bench.until(lambda: not listener.host.book.due(listener.host.clock() + 1e6))
            bench.clock.ahead_s += 10
            worker.say(held={"sessions": []})
            await bench.until(lambda: listener.host.book.due(listener.host.clock() + 1e6))
            await listener.upkeep.once()
            assert worker.loaded == [session.id]
            bench.clock.ahead_s += 601
            await listener.upkeep.once()
            await bench.until(lambda: not worker.loaded)
            assert list(listener.host.files.specs()) == []
            await bench.until(lambda: not list(worker.fake.process.directory.iterdir()))
            assert (await bench.opened(MODEL)).id == session.id

    run(test())


def test_a_session_outlives_its_lease_for_a_while(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            session = await bench.opened(MODEL)
            bench.revoke()
            await bench.manager.heard("released")
            bench.grant(epoch=6)
            await bench.manager.heard("granted")
            (worker,) = bench.spawner.of(EI)
            assert worker.said == ["adopt", "load", "serve"]
            assert worker.loaded == [session.id]

    run(test())


def test_a_session_opened_again_while_it_is_dropped_keeps_its_files(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        bench.set(store_limit_bytes=40, heartbeat_timeout_s=1e6)
        async with bench.granted() as listener:
            await bench.opened(MODEL)
            slow = threading.Event()
            disk = asyncio.create_task(listener.host.durable(slow.wait))
            bench.clock.ahead_s += 601
            dropping = asyncio.create_task(listener.openings.drop_idle())
            await bench.until(lambda: listener.host.book.count() == 0)
            opening = asyncio.create_task(bench.opened(MODEL))
            await bench.until(lambda: listener.host.book.count() == 1)
            slow.set()
            await asyncio.gather(disk, dropping, opening)
            big = first_chunk(sha256=sha256(bytes(30)).digest(), size=30, data=bytes(30))
            assert (await pushed(bench, big)).reason == "STORE_FULL"

    run(test())


def test_nothing_of_a_session_is_left_a_while_after_its_lease(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            await bench.opened(MODEL)
            bench.revoke()
            await bench.manager.heard("released")
            specs = bench.directory / "specs"
            await listener.upkeep.once()
            assert [path.name for path in specs.iterdir()] == ["ei-1.json"]
            bench.clock.ahead_s += 601
            await listener.upkeep.once()
            assert list(specs.iterdir()) == []
            assert listener.host.book.count() == 0

    run(test())


def test_a_damaged_model_costs_the_session_not_the_worker(
    bench: ListenerBench, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running():
                bench.grant()
                await bench.manager.heard("granted")
                await bench.opened(MODEL)
            for path in (bench.directory / "store").rglob("*"):
                if path.is_file() and path.stat().st_size == len(MODEL):
                    path.chmod(0o600)
                    path.write_bytes(b"x" * len(MODEL))
            async with bench.running() as listener:
                await bench.until(lambda: listener.host.book.count() == 0)
                await bench.until(lambda: "serve" in bench.spawner.of(EI)[0].said)
                assert (await bench.open(MODEL)).missing
                assert (await bench.opened(MODEL)).id

    with caplog.at_level(logging.CRITICAL):
        run(test())


def test_pins_of_lost_asks_end(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        bench.set(sessions_max=1, heartbeat_timeout_s=1e6)
        async with bench.granted() as listener:
            await bench.open(b"one")
            assert (await refusal(bench.open(b"two"))).reason == "QUOTA"
            bench.clock.ahead_s += 601
            (worker,) = bench.spawner.of(EI)
            worker.say(heartbeat={})
            await listener.upkeep.once()
            assert (await bench.open(b"two")).missing

    run(test())
