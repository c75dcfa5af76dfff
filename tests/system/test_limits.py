"""Bindings of a real pool that end by themselves: what their programs and owners are told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import eais
from benchmarks.faults.model import SMALL, Question, model
from eais.errors import AttachmentLost, EaisError
from eais.rpc import verbs
from eais.rpc.v1 import ledger_pb2, pool_pb2
from tests.system.stack import Stack, embedded_pool, eventually, op

CONFIG = "[listener]\ncpu_cores = 2\n[prices]\ncpu = 360.0\n"
PER_S = 0.1
TICK_S = 1.0
SLOW_S = 30.0


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with embedded_pool(tmp_path_factory.mktemp("pool"), CONFIG) as stack:
        yield stack


@pytest.fixture(autouse=True)
def _context(pool: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(pool.config))


def attached(pool: Stack, **limits: float) -> str:
    said = pool_pb2.BindingLimits(**limits)  # type: ignore[arg-type]
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1", limits=said)
    return str(pool.ask(verbs.POOL_ATTACH, request).instance.id)


def session_of(instance: str) -> eais.InferenceSession:
    return eais.InferenceSession(model(), provider_options=[{"instance": instance}])


def called_until_lost(session: eais.InferenceSession) -> EaisError:
    question, end = Question(0, SMALL), time.monotonic() + SLOW_S
    while time.monotonic() < end:
        try:
            assert question.answers(session.run(None, question.feeds))
        except EaisError as error:
            return error
    raise AssertionError("it goes on")


def gone(pool: Stack, instance: str) -> pool_pb2.Instance:
    def is_gone() -> pool_pb2.Instance | None:
        shown = pool.instance(instance)
        return shown if shown.state == pool_pb2.DELETED else None

    return eventually(is_gone, "it is detached", SLOW_S)


def no_shares(pool: Stack) -> None:
    used = [share for device in pool.status().devices for share in device.shares]
    eventually(lambda: None if used else True, "nothing is left of it")


def test_a_program_is_told_that_its_time_is_over_and_its_owner_can_ask_why(pool: Stack) -> None:
    instance = attached(pool, ttl_ms=4000)
    left = pool.instance(instance).binding
    assert left.limits.ttl_ms == 4000
    with session_of(instance) as session:
        error = called_until_lost(session)
    assert isinstance(error, AttachmentLost)
    assert error.reason == "TTL_OVER"
    assert "attach again" in error.hint
    shown = gone(pool, instance)
    assert shown.reason == "TTL_OVER"
    no_shares(pool)


def test_a_budget_is_spent_and_hardly_more(pool: Stack) -> None:
    instance = attached(pool, budget=3 * PER_S)
    with session_of(instance) as session:
        assert called_until_lost(session).reason == "BUDGET_SPENT"
    gone(pool, instance)
    usage = ledger_pb2.UsageRequest(since_s=3600.0, by=["instance"])
    lines = pool.ask(verbs.LEDGER_USAGE, usage).lines
    [cost] = [line.cost for line in lines if line.instance == instance]
    assert cost >= 3 * PER_S
    # A tick that is late on a busy machine costs more, but none is as late as that.
    assert cost < (3 + 10 * TICK_S) * PER_S


def test_calls_keep_it_and_silence_ends_it(pool: Stack) -> None:
    instance = attached(pool, idle_ms=5000)
    question = Question(0, SMALL)
    with session_of(instance) as session:
        for _ in range(5):
            assert question.answers(session.run(None, question.feeds))
            eventually(lambda: _idle_left(pool, instance) < 3.5 or None, "it is idle for a while")
        assert pool.instance(instance).state == pool_pb2.IN_USE
        assert gone(pool, instance).reason == "IDLE_DETACHED"


def _idle_left(pool: Stack, instance: str) -> float:
    return float(pool.instance(instance).binding.idle_left_s)


def test_a_manager_that_was_killed_meanwhile_ends_it_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded_pool(tmp_path, CONFIG) as pool:
        monkeypatch.setenv("EAIS_CONFIG_DIR", str(pool.config))
        instance = attached(pool, ttl_ms=3000)
        os.kill(pool.manager_pid, signal.SIGKILL)
        assert _back(pool, instance).reason == "TTL_OVER"


def _back(pool: Stack, instance: str) -> pool_pb2.Instance:
    def is_gone() -> pool_pb2.Instance | None:
        try:
            shown = pool.instance(instance)
        except (EaisError, OSError, KeyError):
            return None
        return shown if shown.state == pool_pb2.DELETED else None

    return eventually(is_gone, "it is detached", SLOW_S)
