"""What goes on beside the calls: instances and sessions come and go, processes are killed."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import eais
from benchmarks.faults.processes import titled
from benchmarks.soak.calls import CALL_TIMEOUT_S
from benchmarks.soak.models import SMALL, Question, affine
from eais.errors import EaisError, RemoteError, Unavailable
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.system.stack import Stack, op

T = TypeVar("T")

PERSIST_S = 60.0
AGAIN_S = 0.05
MODELS = 6
KILL_WORKER_EVERY_S = 5.0
ADOPT_WITHIN_S = 30.0


@dataclass
class Done:
    """What was done; changed under `lock` alone. `failed` by text: what should have gone well."""

    attaches: int = 0
    sessions: int = 0
    uploads: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, name: str) -> None:
        """One more of `name`."""
        with self.lock:
            setattr(self, name, getattr(self, name) + 1)

    def fail(self, what: str, error: Exception) -> None:
        """Something didn't go well."""
        with self.lock:
            self.failed[f"{what}: {type(error).__name__}: {error}"[:200]] += 1


@dataclass(frozen=True)
class Doings:
    """All that goes on beside the calls, on one pool."""

    stack: Stack
    done: Done = field(default_factory=Done)
    terms: Iterator[int] = field(default_factory=lambda: itertools.count(1000))

    def attach(self) -> str:
        """A new core's instance, IN_USE."""
        ident = ""

        def ask() -> str:
            nonlocal ident
            ident = ident or op()
            try:
                request = pool_pb2.AttachRequest(op_id=ident, type="cpu.1")
                return str(self.stack.ask(verbs.POOL_ATTACH, request).instance.id)
            except RemoteError:
                ident = ""
                raise
            except Unavailable as error:
                # Stored as the operation's answer: only another operation can do better.
                ident = "" if error.reason in ("HOST_UNREACHABLE", "NO_DEVICE") else ident
                raise

        return persistently(ask)

    def detach(self, instance: str) -> None:
        """Undo it."""
        request = pool_pb2.InstanceRequest(op_id=op(), instance=instance)
        persistently(lambda: self.stack.ask(verbs.POOL_DETACH, request))

    def one_life(self) -> None:
        """Attach, send a model that is new, ask it, detach."""
        instance, term = self.attach(), next(self.terms)
        try:
            persistently(lambda: self._ask_once(instance, term))
            self.done.count("uploads")
        finally:
            self.detach(instance)
        self.done.count("attaches")

    def one_session(self, instance: str) -> None:
        """Open one of a few models on an instance, ask it, close it."""
        term = 100 + self.done.sessions % MODELS
        persistently(lambda: self._ask_once(instance, term))
        self.done.count("sessions")

    def _ask_once(self, instance: str, term: int) -> None:
        options = [{"instance": instance, "timeout_s": CALL_TIMEOUT_S}]
        question = Question(1 << 20, SMALL, term)
        with eais.InferenceSession(affine(term), provider_options=options) as session:
            if not question.answered_by(session.run(None, question.feeds)):
                raise ValueError(f"a wrong answer of model {term}")

    def pid_of(self, title: str) -> int | None:
        """The pool's process of that title, if it is there."""
        found = titled(self.stack.supervisor.pid, title)
        return found.pid if found else None

    def kill(self, title: str) -> None:
        """Kill -9 the pool's process of that title, if it is there, and wait for another."""
        root = self.stack.supervisor.pid
        found = titled(root, title)
        if found is None:
            return
        sent = found.send(signal.SIGKILL)
        ended = sent.exited_s(ADOPT_WITHIN_S)
        sent.close()
        with self.done.lock:
            self.done.kills[title.split()[0]] += 1
        until = time.monotonic() + ADOPT_WITHIN_S
        while ended is not None and time.monotonic() < until:
            if titled(root, title):
                return
            threading.Event().wait(AGAIN_S)
        raise RuntimeError(f"no {title} after one was killed")


def persistently(ask: Callable[[], T]) -> T:
    """Ask until it isn't refused as what may go well later, for `PERSIST_S`."""
    until = time.monotonic() + PERSIST_S
    while True:
        try:
            return ask()
        except EaisError as error:
            if not error.retryable or time.monotonic() > until:
                raise
        threading.Event().wait(AGAIN_S)


@contextmanager
def going_on(done: Done, **works: tuple[Callable[[], None], float]) -> Iterator[None]:
    """Each (work, pause in seconds) again and again on a thread of its own, in the block."""
    stop = threading.Event()

    def work_on(name: str, work: Callable[[], None], pause_s: float) -> None:
        while not stop.wait(pause_s):
            try:
                work()
            except Exception as error:  # noqa: BLE001 - any exception is a failure, and counted
                done.fail(name, error)

    threads = [threading.Thread(target=work_on, args=(name, *work)) for name, work in works.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
