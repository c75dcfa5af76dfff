"""A listener whose disk is full or read-only: calls go on, what needs the disk is refused or waits.

A real pool, its listener's directory on a small file system of its own.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

import eais
from benchmarks.faults.processes import titled
from eais.errors import EaisError
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.fault.damage import filled, read_only, small_disk
from tests.fault.test_disk_models import answer, die
from tests.system.stack import Stack, embedded_pool, eventually, op
from tests.system.test_store_full import attach, model_of


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    state = tmp_path / "state"
    with ExitStack() as held:
        held.enter_context(small_disk(state / "listener", "24m"))
        state.chmod(0o700)
        stack = held.enter_context(embedded_pool(tmp_path, "[listener]\ncpu_cores = 2\n"))
        attach(stack, monkeypatch)
        yield stack


def refusal(deed: Callable[[], object]) -> EaisError:
    with pytest.raises(EaisError) as caught:
        deed()
    return caught.value


def check_refusals(pool: Stack) -> None:
    """A new model and a new grant are refused by name; neither says where."""
    upload = refusal(lambda: eais.InferenceSession(model_of(2, seed=7)))
    assert upload.reason == "STORE_FULL"
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    grant = refusal(lambda: pool.ask(verbs.POOL_ATTACH, request))
    assert grant.reason in {"STORE_FULL", "STORE_UNAVAILABLE"}
    for error in (upload, grant):
        assert str(pool.state) not in str(error)


def test_full(pool: Stack) -> None:
    disk = pool.state / "listener"
    with eais.InferenceSession(model_of(2)) as session:
        right = answer(session)
        with filled(disk):
            check_refusals(pool)
            assert answer(session) == right
        with eais.InferenceSession(model_of(2, seed=7)) as other:
            assert answer(other)
        assert pool.ask(verbs.POOL_ATTACH, pool_pb2.AttachRequest(op_id=op(), type="cpu.1"))


@pytest.mark.parametrize("dies", ["eais-worker ei-", "eais-listener"])
def test_a_death_on_a_full_disk(pool: Stack, dies: str) -> None:
    """A call waits for its worker, and the worker for space; nothing is dropped for it."""
    disk = pool.state / "listener"
    with eais.InferenceSession(model_of(2)) as session, ThreadPoolExecutor(1) as thread:
        right = answer(session)
        with filled(disk):
            die(pool, dies)
            waiting = thread.submit(answer, session)
            eventually(lambda: said(pool, "No space left") or None, "the disk's fault is said")
            assert not waiting.done()
        assert waiting.result(60) == right
        sessions = list((disk / "specs").glob("*.json"))
        assert len(sessions) == 1


def test_a_start_on_a_read_only_disk(pool: Stack) -> None:
    """It starts, and its pool knows it; workers come when they can."""
    with eais.InferenceSession(model_of(2)) as session, ThreadPoolExecutor(1) as thread:
        right = answer(session)
        # A disk that somebody writes to doesn't become read-only.
        pool.supervisor.send_signal(signal.SIGSTOP)
        die(pool, "eais-listener")
        with read_only(pool.state / "listener"):
            pool.supervisor.send_signal(signal.SIGCONT)
            waiting = thread.submit(answer, session)
            refused = "a worker can't be started: Read-only"
            eventually(lambda: said(pool, refused) or None, "the disk's fault is said")
            eventually(pool.joined, "the listener is back")
            assert not waiting.done()
            back = titled(pool.supervisor.pid, "eais-listener")
        assert waiting.result(60) == right
        assert titled(pool.supervisor.pid, "eais-listener") == back


def said(pool: Stack, text: str) -> bool:
    return text in (pool.state / "listener.log").read_text()
