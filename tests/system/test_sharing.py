"""Instances that share one core of a real pool, by turns: whatever becomes of one, others go on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest

import eais
from benchmarks.context import context_of
from benchmarks.faults.processes import titled
from eais.errors import EaisError
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.system.stack import Stack, embedded_pool, eventually, op
from tests.system.test_batching import WIDE, local, model

CONFIG = '[listener]\ncpu_cores = 1\nsimulate = "gpu=1"\n'
MODEL = model("plain")
FEED = {"x": np.random.default_rng(3).standard_normal((8, WIDE), np.float32)}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One with a single core."""
    root = tmp_path_factory.mktemp("sharing")
    with embedded_pool(root, CONFIG) as made, context_of(made):
        yield made


class Tenant:
    """An instance, and a thread that calls it all the time."""

    def __init__(self, stack: Stack, kind: str, right: Any) -> None:
        self._right = right
        request = pool_pb2.AttachRequest(op_id=op(), type=kind)
        self.made = stack.ask(verbs.POOL_ATTACH, request).instance
        options = [{"instance": self.made.id, "timeout_s": 60.0}]
        self.session = eais.InferenceSession(MODEL, provider_options=options)
        self.answers = 0
        self.wrong: list[object] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._call)
        self._thread.start()

    def _call(self) -> None:
        while not self._over.is_set():
            try:
                (got,) = self.session.run(None, FEED)
            except EaisError as error:
                self.wrong.append(error)
                return
            if not np.array_equal(got, self._right):
                self.wrong.append(got)
            self.answers += 1

    def goes_on(self) -> None:
        """It is answered from now on."""
        until = self.answers + 20
        eventually(lambda: self.answers >= until or None, f"{self.made.type} is answered", 60.0)

    def end(self, stack: Stack) -> None:
        """Let the instance go."""
        self._over.set()
        self._thread.join()
        self.session.close()
        gone = pool_pb2.InstanceRequest(op_id=op(), instance=self.made.id)
        stack.ask(verbs.POOL_DETACH, gone)


@contextmanager
def tenants(stack: Stack, *kinds: str) -> Iterator[list[Tenant]]:
    (right,) = local(MODEL).run(None, FEED)
    with ExitStack() as undo:
        made = []
        for kind in kinds:
            made.append(Tenant(stack, kind, right))
            undo.callback(made[-1].end, stack)
        yield made
        assert [each.wrong for each in made] == [[]] * len(kinds)


def worker(stack: Stack, tenant: Tenant) -> int:
    title = f"eais-worker {tenant.made.id}"
    return eventually(lambda: titled(stack.supervisor.pid, title), "its worker").pid


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_both_that_share_a_device_are_answered(stack: Stack, kind: str) -> None:
    with tenants(stack, f"{kind}.1-4", f"{kind}.3-4") as pair:
        for each in pair:
            each.goes_on()
        (first, second) = (each.made.workers[0] for each in pair)
        assert first.device == second.device
        kept = "forced" if kind == "cpu" else "cooperative"
        assert {first.enforcement, second.enforcement} == {kept}
        if kind == "cpu":
            one, other = (os.sched_getaffinity(worker(stack, each)) for each in pair)
            assert one == other
            assert len(one) == 1


def test_one_that_is_killed_or_stopped_doesnt_stop_the_other(stack: Stack) -> None:
    with tenants(stack, "cpu.1-4", "cpu.3-4") as (victim, other):
        other.goes_on()
        pid = worker(stack, victim)
        os.kill(pid, signal.SIGKILL)
        other.goes_on()
        victim.goes_on()
        os.kill(worker(stack, victim), signal.SIGSTOP)
        other.goes_on()
        victim.goes_on()


def test_a_core_in_pieces_is_nobodys_whole_core(stack: Stack) -> None:
    with tenants(stack, "cpu.1-8"), pytest.raises(EaisError) as caught:
        stack.ask(verbs.POOL_ATTACH, pool_pb2.AttachRequest(op_id=op(), type="cpu"))
    assert caught.value.reason == "NO_DEVICE"
    assert caught.value.retryable
