"""What all phases work on: a pool, its processes, the callers, and what was measured."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TypeVar

import eais
from benchmarks.context import context_of
from benchmarks.faults.callers import Callers
from benchmarks.faults.model import model
from benchmarks.faults.processes import Process, Sent, titled
from eais.errors import EaisError
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.system.stack import Stack, embedded_pool, op

T = TypeVar("T")

CALL_TIMEOUT_S = 20.0
SPARE = "eais-worker (spare)"

GIVE_UP_S = 40.0
"""Longer than any call waits: a recovery that takes longer isn't one."""


@dataclass
class Figures:
    """What the phases measured, in ms."""

    worker_ms: list[float] = field(default_factory=list)
    listener_ms: list[float] = field(default_factory=list)
    worker_freeze_ms: list[float] = field(default_factory=list)
    listener_freeze_ms: list[float] = field(default_factory=list)
    listener_freeze_recovery_ms: list[float] = field(default_factory=list)
    manager_ms: list[float] = field(default_factory=list)
    worker_kills: int = 0
    manager_kills: int = 0
    manager_errors: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Stand:
    """A running pool with one attached instance under load."""

    stack: Stack
    instance: str
    callers: Callers
    figures: Figures

    def find(self, title: str) -> Process | None:
        """The pool's process with that title."""
        return titled(self.stack.supervisor.pid, title)

    def wait_for(self, title: str) -> Process:
        """The same, waited for; RuntimeError when it doesn't come."""
        return self.wait_until(lambda: self.find(title), title)

    def wait_until(self, question: Callable[[], T | None], what: str) -> T:
        """Ask until the answer is true; RuntimeError when it isn't for `GIVE_UP_S`."""
        end = time.monotonic() + GIVE_UP_S
        while not (answer := question()):
            if time.monotonic() > end:
                raise RuntimeError(f"{what}: not in {GIVE_UP_S:g} s\n{self.stack.logs()}")
            pause(0.01)
        return answer

    def hosts(self) -> list[bool] | None:
        """Of each host, whether the manager reaches it; None: the manager doesn't answer."""
        try:
            return [host.reachable for host in self.stack.status().hosts]
        except (EaisError, OSError, KeyError, json.JSONDecodeError):
            return None

    def reachable(self) -> bool:
        """Whether the manager reaches the listener."""
        return any(self.hosts() or ())

    def worker(self) -> Process:
        """The instance's worker, waited for."""
        return self.wait_for(f"eais-worker {self.instance}")

    def kill_worker(self) -> None:
        """Kill -9 the instance's worker, and wait until calls are answered again."""
        victim, spare = self.worker(), self.find(SPARE)
        sent = victim.send(signal.SIGKILL)
        self.figures.worker_kills += 1
        took_ms = self.recovery_ms(sent, sent)
        self.figures.worker_ms.append(took_ms)
        waits = f"spare {spare.pid} since {spare.age_s():.1f} s" if spare else "no spare"
        print(f"worker {victim.pid} killed: {took_ms:.0f} ms ({waits})", file=sys.stderr)

    def recovery_ms(self, first: Sent, *gone: Sent) -> float:
        """From `first` to the first right answer that nothing of `gone` can have given."""
        ended = [sent.exited_s(GIVE_UP_S) for sent in gone]
        for sent in {id(sent): sent for sent in (first, *gone)}.values():
            sent.close()
        known = [moment for moment in ended if moment is not None]
        if len(known) < len(ended):
            raise RuntimeError("a killed process did not end")
        answered = self.callers.tally.answered_since(max(known), GIVE_UP_S)
        return ((answered or time.monotonic()) - first.at_s) * 1000


@contextmanager
def stand(root: Path, *, leaf_life_s: float | None = None) -> Iterator[Stand]:
    """A pool below `root` with one attached core, and callers that call it.

    `leaf_life_s`: of the pool's leaves; None: an hour.
    """
    with embedded_pool(root, leaf_life_s=leaf_life_s) as stack, context_of(stack):
        request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
        instance = stack.ask(verbs.POOL_ATTACH, request).instance.id
        options = [{"timeout_s": CALL_TIMEOUT_S}]
        with (
            eais.InferenceSession(model(), provider_options=options) as session,
            Callers(lambda feeds: session.run(None, feeds), CALL_TIMEOUT_S) as callers,
        ):
            yield Stand(stack, instance, callers, Figures())


def pause(seconds: float) -> None:
    """Let that time pass."""
    Event().wait(max(0.0, seconds))
