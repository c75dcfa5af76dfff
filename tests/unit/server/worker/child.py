"""A real worker process, told what to do as a listener does, and client streams to it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from eais import channel, tls
from eais.credentials import client_credentials
from eais.errors import EaisError
from eais.identity import Identity
from eais.rpc import client, verbs
from eais.rpc.hello import hello
from eais.rpc.status import error_of_message, error_of_rpc
from eais.rpc.v1 import common_pb2, listener_pb2, supervision_pb2, value_pb2, worker_pb2
from eais.testing.values import decode_value, deferred_sizes, encode_value
from eais.transport.ring.handover import listening_socket
from eais.value import Deferred
from eais_pool.authority import Authority
from eais_server.control import Frames, to_frame
from eais_server.in_flight import Page
from eais_server.isolation import probe_level
from eais_server.process import WORKER_PROGRAM, worker_environment

POOL = "test-00000000"
INSTANCE = "ei-test"
TENANT = "acme"
EPOCH = 7
WAIT_S = 30.0


@dataclass
class WorkerChild:
    """A worker process and the listener's end of its control socket."""

    root: Path
    process: subprocess.Popen[bytes]
    control: socket.socket
    authority: Authority
    page: Page
    port: int = 0
    heartbeats: list[supervision_pb2.Heartbeat] = field(default_factory=list)
    runs: list[supervision_pb2.Runs] = field(default_factory=list)
    _frames: Frames = field(default_factory=Frames)
    _waiting: list[supervision_pb2.FromWorkerProcess] = field(default_factory=list)

    def tell(self, **kind: Any) -> None:
        """Send a ToWorkerProcess."""
        self.control.sendall(to_frame(supervision_pb2.ToWorkerProcess(**kind)))

    def heard(self, *kinds: str) -> Any:
        """The next message that is one of `kinds`; of others only
        heartbeats, and what runs a session, may come before it."""
        while True:
            while self._waiting:
                message = self._waiting.pop(0)
                found = str(message.WhichOneof("kind"))
                if found in kinds:
                    return getattr(message, found)
                match found:
                    case "heartbeat":
                        self.heartbeats.append(message.heartbeat)
                    case "runs":
                        self.runs.append(message.runs)
                    case _:
                        raise AssertionError(f"{kinds} expected, not {message}")
            data = self.control.recv(1 << 16)
            if not data:
                raise EOFError(f"the worker ended: {self.process.wait(WAIT_S)}, {self.log}")
            frames = self._frames.feed(data)
            self._waiting += map(supervision_pb2.FromWorkerProcess.FromString, frames)

    @property
    def log(self) -> str:
        """What the worker printed."""
        return (self.root / "log").read_text()

    def adopt(self, **changes: Any) -> supervision_pb2.Adopted:
        """Adopt, and keep the port."""
        self.tell(adopt=supervision_pb2.Adopt(**(self.adoption() | changes)))
        adopted: supervision_pb2.Adopted = self.heard("adopted")
        self.port = adopted.port
        return adopted

    def adoption(self) -> dict[str, Any]:
        """The fields of an Adopt that works."""
        return {
            "pool": POOL,
            "instance": INSTANCE,
            "tenant": TENANT,
            "epoch": EPOCH,
            "n": 1,
            "incarnation": 3,
            "address": "127.0.0.1",
            "threads": 1,
            "run_timeout_s": 60,
            "leaf": self.leaf(),
            "drivers": ["cpu"],
            "device": "cpu0",
            "milli": 1000,
            "cores": sorted(os.sched_getaffinity(0))[:1],
        }

    def leaf(self) -> supervision_pb2.Leaf:
        """A fresh leaf for this worker."""
        bundle = self.authority.bundle(Identity.worker(POOL, INSTANCE, 1), datetime.now(UTC))
        return supervision_pb2.Leaf(
            key_pem=bundle.key_pem, leaf_pem=bundle.leaf_pem, ca_pem=bundle.ca_pem
        )

    def load(
        self,
        model: bytes,
        *,
        from_path: bool = False,
        external: Mapping[str, bytes] | None = None,
        options: listener_pb2.SessionOptions | None = None,
        reference_only: bool = False,
    ) -> str:
        """Have a model loaded; its session. Raises the `EaisError` that a listener would."""
        session = self.ask_to_load(
            model,
            from_path=from_path,
            external=external,
            options=options,
            reference_only=reference_only,
        )
        self.heard_loaded(session)
        return session

    def ask_to_load(
        self,
        model: bytes,
        *,
        from_path: bool = False,
        external: Mapping[str, bytes] | None = None,
        options: listener_pb2.SessionOptions | None = None,
        reference_only: bool = False,
    ) -> str:
        """Put the files in a folder and say Load; the session's name."""
        files = {"": model, **(external or {})}
        spec = listener_pb2.SessionSpec(
            files=[
                listener_pb2.ModelFile(
                    location=name, size=len(data), sha256=hashlib.sha256(data).digest()
                )
                for name, data in files.items()
            ],
            options=options,
            from_path=from_path,
        )
        name = hashlib.sha256(os.urandom(8)).hexdigest()[:32]
        for location, data in files.items():
            path = self.root / "work" / name / (location or "model.onnx")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        load = supervision_pb2.Load(
            session=name, spec=spec, folder=name, reference_only=reference_only
        )
        self.tell(load=load)
        return name

    def heard_loaded(self, session: str) -> listener_pb2.Signature:
        """The answer to a Load; raises the `EaisError` that it failed with."""
        answer = self.heard("loaded", "load_failed")
        assert answer.session == session
        if isinstance(answer, supervision_pb2.LoadFailed):
            raise error_of_message(answer.error)
        signature: listener_pb2.Signature = answer.signature
        return signature

    def stream(self, bundle: tls.Bundle | None = None) -> ClientStream:
        """A client stream, as a front-end of the tenant unless `bundle` is another's."""
        return ClientStream(self.port, bundle or self.frontend(TENANT))

    def frontend(self, tenant: str) -> tls.Bundle:
        """A front-end's identity."""
        return self.authority.bundle(Identity.frontend(POOL, tenant, "fe"), datetime.now(UTC))

    def serve(self) -> None:
        """Let it answer Hellos."""
        self.tell(serve=supervision_pb2.Serve())

    def exit_code(self) -> int:
        """Wait for its end."""
        return self.process.wait(WAIT_S)


@contextlib.contextmanager
def worker_child(root: Path, *flags: str) -> Iterator[WorkerChild]:
    """Start a worker at the highest level that this host gives, and end it afterwards."""
    work = root / "work"
    work.mkdir()
    near, far = socket.socketpair()
    near.settimeout(WAIT_S)
    page = Page()
    with far, listening_socket() as rings, (root / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *WORKER_PROGRAM,
                f"--control-fd={far.fileno()}",
                f"--page-fd={page.descriptor}",
                f"--ring-fd={rings.fileno()}",
                f"--parent-pid={os.getpid()}",
                f"--dir={work}",
                f"--level={probe_level().level}",
                f"--secret-root={root}",
                *flags,
            ],
            cwd=work,
            env=worker_environment({}),
            pass_fds=(far.fileno(), page.descriptor, rings.fileno()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    authority = Authority.create(root / "ca", POOL, datetime.now(UTC))
    page.handed_down()
    child = WorkerChild(root, process, near, authority, page)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait(WAIT_S)
        near.close()
        page.close()
        shutil.rmtree(work, ignore_errors=True)


class ClientStream:
    """One `Worker.Stream`, blocking; a context manager."""

    def __init__(self, port: int, bundle: tls.Bundle) -> None:
        name = Identity.worker(POOL, INSTANCE, 1).dns_name
        assert name is not None
        self._channel = self.channel = grpc.secure_channel(
            f"127.0.0.1:{port}", client_credentials(bundle), channel.client_options(name)
        )
        self._requests: queue.SimpleQueue[worker_pb2.ToWorker | None] = queue.SimpleQueue()
        requests: Iterator[worker_pb2.ToWorker] = iter(self._requests.get, None)
        self._replies = client.stream(self._channel, verbs.WORKER_STREAM, requests)
        self._answers: dict[int, worker_pb2.Answer] = {}
        self._buffers: dict[tuple[int, int], bytearray] = {}
        self._last_id = 0
        self.draining = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Break the stream off."""
        self._requests.put(None)
        self._replies.cancel()
        self._channel.close()

    def finish(self) -> None:
        """Send nothing more, in order."""
        self._requests.put(None)

    def send(self, **fields: Any) -> None:
        """Send a ToWorker."""
        self._requests.put(worker_pb2.ToWorker(**fields))

    def receive(self) -> worker_pb2.ToClient | None:
        """The next ToClient; None at the end. Raises the `EaisError` of a refusal."""
        try:
            message: worker_pb2.ToClient = next(self._replies)
        except StopIteration:
            return None
        except grpc.RpcError as error:
            raise error_of_rpc(error, "WORKER_DIED") from None
        return message

    def greet(self) -> common_pb2.HelloReply:
        """Say Hello and wait for the answer."""
        self.send(hello=hello("test"))
        message = self.receive()
        assert message is not None
        assert message.HasField("hello")
        assert len(message.ListFields()) == 1
        return message.hello

    def begin(
        self,
        session: str,
        feed: Mapping[str, Any],
        *,
        outputs: Sequence[str] = (),
        wait_with: Callable[[worker_pb2.Piece], bool] = lambda _: True,
        **fields: Any,
    ) -> int:
        """Send a Run and those of its pieces that `wait_with` lets through; its id."""
        deferred = Deferred()
        inputs = [
            value_pb2.NamedValue(name=name, value=encode_value(value, deferred))
            for name, value in feed.items()
        ]
        self._last_id += 1
        known: dict[str, Any] = {
            "call_id": self._last_id,
            "instance": INSTANCE,
            "epoch": EPOCH,
            "session": session,
        }
        run = worker_pb2.Run(inputs=inputs, outputs=outputs, **(known | fields))
        self.send(runs=[run])
        for tensor, offset, data in deferred.pieces():
            piece = worker_pb2.Piece(
                call_id=run.call_id, tensor=tensor, offset=offset, data=bytes(data)
            )
            if wait_with(piece):
                self.send(pieces=[piece])
        return run.call_id

    def answer(self, call_id: int) -> worker_pb2.Answer:
        """Read on until that call's answer and all its pieces are here."""
        while not self._is_whole(call_id):
            message = self.receive()
            if message is None:
                raise EOFError("the stream ended without the answer")
            self.draining |= message.draining
            for answer in message.answers:
                assert answer.call_id not in self._answers
                self._answers[answer.call_id] = answer
            for piece in message.pieces:
                assert piece.call_id in self._answers
                buffer = self._buffers.setdefault((piece.call_id, piece.tensor), bytearray())
                assert piece.offset == len(buffer)
                buffer += piece.data
        return self._answers.pop(call_id)

    def _is_whole(self, call_id: int) -> bool:
        answer = self._answers.get(call_id)
        if answer is None:
            return False
        sizes = _deferred_sizes(answer)
        have = [len(self._buffers.get((call_id, i), b"")) for i in range(len(sizes))]
        return have == sizes

    def outputs(self, call_id: int) -> list[Any]:
        """The values that the call gave; raises the `EaisError` that it failed with."""
        answer = self.answer(call_id)
        if answer.HasField("error"):
            raise error_of_message(answer.error)
        sizes = _deferred_sizes(answer)
        buffers = iter([self._buffers.pop((call_id, i)) for i in range(len(sizes))])
        return [decode_value(value, buffers) for value in answer.outputs]

    def run(self, session: str, feed: Mapping[str, Any], **fields: Any) -> list[Any]:
        """Send a call and wait for its outputs."""
        return self.outputs(self.begin(session, feed, **fields))

    def failure(self, session: str, feed: Mapping[str, Any], **fields: Any) -> EaisError:
        """The error that a call fails with."""
        try:
            found = self.run(session, feed, **fields)
        except EaisError as error:
            return error
        raise AssertionError(f"it didn't fail: {found}")


def _deferred_sizes(answer: worker_pb2.Answer) -> list[int]:
    return [size for value in answer.outputs for size in deferred_sizes(value)]
