"""A listener to test against: a real one as a process, a manager, and workers that obey.

`start_listener` runs the real program. `FakeManager` is the manager's management
plane over real mTLS, recording what it is told. `obey` is what stands in for a
worker's program behind a `FakeSpawner`: it does what a worker does, without a
runtime; what the model's bytes say decides how its load goes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import grpc.aio

from eais import channel, tls
from eais.credentials import server_credentials
from eais.identity import Identity
from eais.rpc.hello import hello_reply
from eais.rpc.server import Binding, Caller, generic_handlers, stream, unary
from eais.rpc.v1 import common_pb2, hosts_pb2, listener_pb2, supervision_pb2
from eais.rpc.verbs import HOSTS_LINK, HOSTS_RENEW, HOSTS_SIGN_WORKER
from eais_server.control import Frames, to_frame
from eais_server.in_flight import Marks
from eais_server.process import Exit
from eais_server.testing.process import FakeSpawner, FakeWorker

CRASHES: Final = b"crashes"
"""A model whose load kills the worker by SIGSEGV."""
REFUSED: Final = b"refused"
"""A model whose load fails with MODEL_INVALID."""
HANGS: Final = b"hangs"
"""A model whose load never ends."""

Sign = Callable[[Identity, bytes], bytes]
"""Makes the leaf (PEM) of an identity for a signing request (PEM)."""


# A worker's program


@dataclass(slots=True)
class ObedientWorker:
    """What a test sees of a worker that does as it is told; a batch above `largest` kills it."""

    fake: FakeWorker
    adopt: supervision_pb2.Adopt | None = None
    loaded: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    leaves: list[supervision_pb2.Leaf] = field(default_factory=list)
    writer: asyncio.StreamWriter | None = None
    measure: supervision_pb2.Measure | None = None
    largest: int = 64
    marks: Marks = field(init=False)

    def __post_init__(self) -> None:
        self.marks = self.fake.process.page.marks()

    def say(self, **kind: Any) -> None:
        """Send a FromWorkerProcess to the listener."""
        assert self.writer is not None
        self.writer.write(to_frame(supervision_pb2.FromWorkerProcess(**kind)))


class Obedience(FakeSpawner):
    """A spawner whose workers come up, adopt, load, serve and drain as real ones do.

    Attributes:
        workers: all that were started, by number.
        level: that they say they are confined to.
        taken: ports that can't be bound.
        refusing: numbers of workers, of any instance, that refuse every model.
        silent_at: sizes of batches that are measured for ever.
        unfit: why checks of devices fail, by device; those that aren't named pass.
        model_of: the name of the model file in a load's folder.
    """

    def __init__(self, workers: Path, *, level: int = 2) -> None:
        super().__init__(workers)
        self.workers: dict[int, ObedientWorker] = {}
        self.level = level
        self.taken: set[int] = set()
        self.refusing: set[int] = set()
        self.silent_at: set[int] = set()
        self.unfit: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, k: int, on_exit: Callable[[Exit], None]) -> Any:
        """As `Spawner`; the worker's program begins to run."""
        process = super().spawn(k, on_exit)
        worker = self.workers[k] = ObedientWorker(self.started[k])
        task = asyncio.get_running_loop().create_task(self._live(k, worker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return process

    def of(self, instance: str) -> list[ObedientWorker]:
        """The live workers of an instance."""
        found = [w for w in self.workers.values() if w.adopt and not w.fake.ended]
        return [w for w in found if w.adopt and w.adopt.instance == instance]

    async def _live(self, k: int, worker: ObedientWorker) -> None:
        far = worker.fake.far_end.dup()
        reader, worker.writer = await asyncio.open_unix_connection(sock=far)
        worker.say(spare=supervision_pb2.Spare(isolation=self.level))
        frames = Frames()
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                for frame in frames.feed(data):
                    message = supervision_pb2.ToWorkerProcess.FromString(frame)
                    self._obey(k, worker, message)
        worker.writer.close()

    def _obey(
        self, k: int, worker: ObedientWorker, message: supervision_pb2.ToWorkerProcess
    ) -> None:
        kind = str(message.WhichOneof("kind"))
        worker.said.append(kind)
        match kind:
            case "adopt":
                self._adopt(k, worker, message.adopt)
            case "check":
                why = self.unfit.get(message.check.device)
                error = common_pb2.Error(reason="DEVICE_LOST", message=why) if why else None
                worker.say(checked=supervision_pb2.Checked(error=error))
            case "load":
                self._load(k, worker, message.load)
            case "unload":
                with suppress(ValueError):  # one that it refused
                    worker.loaded.remove(message.unload.session)
            case "leaf":
                worker.leaves.append(message.leaf)
            case "drain":
                self.end(k, Exit(0))
            case "measure":
                self._measure(k, worker, message.measure)
            case "time_batch":
                self._time(k, worker, message.time_batch)

    def _adopt(self, k: int, worker: ObedientWorker, adopt: supervision_pb2.Adopt) -> None:
        worker.adopt = adopt
        port = adopt.port or 40_000 + k
        if port in self.taken:
            error = common_pb2.Error(reason="PORT", message=f"port {port} is taken")
            worker.say(adopted=supervision_pb2.Adopted(error=error))
        else:
            worker.say(adopted=supervision_pb2.Adopted(port=port))

    def _measure(self, k: int, worker: ObedientWorker, measure: supervision_pb2.Measure) -> None:
        worker.measure = measure
        model = (worker.fake.process.directory / measure.folder / "model.onnx").read_bytes()
        worker.marks.load_begins("measured")
        if model == CRASHES:
            self.end(k, Exit(None, signal.SIGSEGV))
        elif model != HANGS:
            worker.marks.load_ended()
            worker.say(measurable=supervision_pb2.Measurable())

    def _time(self, k: int, worker: ObedientWorker, ask: supervision_pb2.TimeBatch) -> None:
        """A batch of n takes n ms; more than `largest` is its end, of none it never hears."""
        if ask.batch > worker.largest:
            worker.marks.run_begins("measured")
            self.end(k, Exit(None, signal.SIGSEGV))
        elif ask.batch not in self.silent_at:
            seconds = [ask.batch / 1000] * ask.runs
            timed = supervision_pb2.BatchTimed(number=ask.number, seconds=seconds)
            worker.say(batch_timed=timed)

    def _load(self, k: int, worker: ObedientWorker, load: supervision_pb2.Load) -> None:
        model = (worker.fake.process.directory / load.folder / "model.onnx").read_bytes()
        worker.marks.load_begins(load.session)
        if model not in (CRASHES, HANGS):
            worker.marks.load_ended()
        if model == CRASHES:
            self.end(k, Exit(None, signal.SIGSEGV))
        elif model == REFUSED or (worker.adopt and worker.adopt.n in self.refusing):
            error = common_pb2.Error(
                reason="MODEL_INVALID", message="no", onnxruntime_class="InvalidGraph"
            )
            failed = supervision_pb2.LoadFailed(session=load.session, error=error)
            worker.say(load_failed=failed)
        elif model != HANGS:
            worker.loaded.append(load.session)
            metadata = listener_pb2.ModelMetadata(graph_name=model.decode(errors="replace"))
            signature = listener_pb2.Signature(metadata=metadata)
            loaded = supervision_pb2.Loaded(session=load.session, signature=signature)
            worker.say(loaded=loaded)
            worker.say(runs=supervision_pb2.Runs(session=load.session, runtime="obedience/fp32"))

    def end(self, k: int, how: Exit) -> None:
        """As `FakeSpawner`; what the worker said before its end is still heard."""
        writer = self.workers[k].writer
        if writer and not self.workers[k].fake.ended:
            writer.close()
        super().end(k, how)


# The manager


class FakeManager:
    """The manager's management plane: grants what the test says, signs, records reports.

    Attributes:
        identity: its own; the CA certificates in it go with every leaf that it signs.
        lines: of each line that was made, the end of the leaf that it was made with.
    """

    def __init__(self, pool: str, identity: tls.Bundle, sign: Sign) -> None:
        self._pool = pool
        self.identity = identity
        self._sign = sign
        self._server: grpc.aio.Server | None = None
        self._commands: asyncio.Queue[hosts_pb2.HostCommand | None] = asyncio.Queue()
        self._reports: asyncio.Queue[hosts_pb2.HostReport] = asyncio.Queue()
        self.joins: list[hosts_pb2.Join] = []
        self.lines: list[datetime] = []
        # Instance -> what SignWorker raises for it.
        self.refuse_to_sign: dict[str, Exception] = {}
        # What Renew raises.
        self.refuse_to_renew: Exception | None = None
        # Who has called Renew.
        self.renewed_by: list[Identity] = []

    async def start(self, pool_file: Path) -> None:
        """Serve, and say where in `pool_file`."""
        bindings: list[Binding] = [
            stream(HOSTS_LINK, self._link),
            unary(HOSTS_SIGN_WORKER, self._sign_worker),
            unary(HOSTS_RENEW, self._renew),
        ]
        self._server = grpc.aio.server(options=channel.server_options(channel.LINE_KEEPALIVE))
        self._server.add_generic_rpc_handlers(generic_handlers(self._pool, bindings))
        credentials = server_credentials(lambda: self.identity)
        port = self._server.add_secure_port("127.0.0.1:0", credentials)
        await self._server.start()
        self._say_where(pool_file, port)

    def _say_where(self, pool_file: Path, port: int) -> None:
        name = self.identity.identity.dns_name
        plane = {"address": "127.0.0.1", "port": port, "server_name": name}
        pool_file.write_text(json.dumps({"pool": self._pool, "user": plane, "management": plane}))

    async def stop(self) -> None:
        """Go away; lines end."""
        if self._server:
            await self._server.stop(0)

    def command(self, **kind: Any) -> None:
        """Send a HostCommand down the line."""
        self._commands.put_nowait(hosts_pb2.HostCommand(**kind))

    def hang_up(self) -> None:
        """End the line that there is."""
        self._commands.put_nowait(None)

    async def heard(self, kind: str) -> Any:
        """The next report of that kind; others that come before it are passed over."""
        while True:
            report = await self.next_report()
            if report.WhichOneof("kind") == kind:
                return getattr(report, kind)

    async def next_report(self) -> hosts_pb2.HostReport:
        """The next report, whatever it says."""
        return await self._reports.get()

    async def _link(
        self, reports: AsyncIterator[hosts_pb2.HostReport], caller: Caller
    ) -> AsyncIterator[hosts_pb2.HostCommand]:
        first = await anext(reports)
        assert first.HasField("hello"), first
        self.lines.append(caller.leaf_end)
        yield hosts_pb2.HostCommand(hello=hello_reply("fake-manager"))
        listening = asyncio.create_task(self._listen(reports))
        try:
            while command := await self._next_command(listening):
                yield command
        finally:
            listening.cancel()

    async def _next_command(self, listening: asyncio.Task[None]) -> hosts_pb2.HostCommand | None:
        """None when the line is to end: by `hang_up`, or because the host has left it."""
        command = asyncio.create_task(self._commands.get())
        try:
            await asyncio.wait((command, listening), return_when=asyncio.FIRST_COMPLETED)
            return command.result() if command.done() else None
        finally:
            command.cancel()  # or it would take the next line's

    async def _listen(self, reports: AsyncIterator[hosts_pb2.HostReport]) -> None:
        async for report in reports:
            if report.HasField("join"):
                self.joins.append(report.join)
            self._reports.put_nowait(report)
            if report.HasField("moving"):
                return

    async def _sign_worker(
        self, request: hosts_pb2.SignWorkerRequest, caller: Caller
    ) -> hosts_pb2.SignWorkerReply:
        if request.instance in self.refuse_to_sign:
            raise self.refuse_to_sign[request.instance]
        identity = Identity.worker(self._pool, request.instance, request.n)
        leaf = self._sign(identity, request.csr_pem)
        return hosts_pb2.SignWorkerReply(leaf_pem=leaf, ca_pem=self.identity.ca_pem)

    async def _renew(
        self, request: common_pb2.RenewRequest, caller: Caller
    ) -> common_pb2.RenewReply:
        if self.refuse_to_renew is not None:
            raise self.refuse_to_renew
        self.renewed_by.append(caller.identity)
        leaf = self._sign(caller.identity.enrolled, request.csr_pem)
        reply = common_pb2.RenewReply(leaf_pem=leaf, ca_pem=self.identity.ca_pem)
        if request.enrolment_csr_pem:
            reply.enrolment_pem = self._sign(caller.identity, request.enrolment_csr_pem)
        return reply


# The real program


@dataclass(frozen=True, slots=True)
class ListenerProcess:
    """A listener that runs as a process of its own."""

    process: subprocess.Popen[bytes]
    directory: Path
    log: Path

    def stop(self, timeout_s: float = 10.0) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL; its workers end with it."""
        self.process.kill()
        self.process.wait()


def start_listener(
    directory: Path, pool_file: Path, *, flags: Sequence[str] = (), **settings: object
) -> ListenerProcess:
    """Run the listener of `directory`; `settings` are fields of `ListenerConfig`.

    Its output goes to `listener.log` beside its directory. Call it on the main thread: the
    listener ends when that thread does.
    """
    log = directory.with_name(f"{directory.name}.log")
    variables = {f"EAIS_{name.upper()}": str(value) for name, value in settings.items()}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "eais_server.listener",
                f"--state-dir={directory}",
                f"--pool-file={pool_file}",
                f"--parent-pid={os.getpid()}",
                *flags,
            ],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    return ListenerProcess(process, directory, log)
