"""A pool that goes away under calls, and comes back: nothing is lost, nothing is silent."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import eais
from benchmarks.faults.processes import titled
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_client.fallback import MARK
from eais_client.testing.conformance import own_models
from tests.system.stack import Stack, embedded_pool, eventually, op

MUL = own_models()["mul_1"]
# A listener that was killed is back in seconds, more where others use the machine.
BACK_S = 120.0


@dataclass
class Pool:
    """An embedded pool that can be ended and begun again."""

    stack: Stack
    process: subprocess.Popen[bytes]

    def end(self) -> None:
        """End all of it, in order."""
        self.process.terminate()
        self.process.wait(60)

    def kill(self) -> None:
        """Kill the supervisor, the manager and the listener, one after the other."""
        found = [titled(self.process.pid, name) for name in ("eais-manager", "eais-listener")]
        for pid in [self.process.pid, *(each.pid for each in found if each is not None)]:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(60)

    def begin(self) -> None:
        """Begin it again where it was."""
        with (self.stack.state / "supervisor.log").open("ab") as log:
            env = {key: value for key, value in os.environ.items() if not key.startswith("EAIS_")}
            self.process = subprocess.Popen(
                self.process.args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env
            )


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    with embedded_pool(tmp_path) as stack:
        monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
        monkeypatch.setenv("EAIS_FALLBACK", "local")
        monkeypatch.setenv("EAIS_FALLBACK_AFTER_S", "1")
        request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
        made = stack.ask(verbs.POOL_ATTACH, request).instance
        monkeypatch.setenv("EAIS_INSTANCE", made.id)
        running = Pool(stack, stack.supervisor)
        try:
            yield running
        finally:
            running.end()


@dataclass
class Callers:
    """Threads that call and compare, until told to stop."""

    session: eais.InferenceSession
    answered: int = 0
    wrong: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Callers:
        self._here: Any = onnxruntime.InferenceSession(MUL)
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call, args=(n,)) for n in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.ended.set()
        for thread in self._threads:
            thread.join(BACK_S)

    def _call(self, number: int) -> None:
        turn = 0
        while not self.ended.wait(0.002):
            turn += 1
            feed = {"X": np.full((3, 2), number * 1000 + turn, np.float32)}
            try:
                answer = self.session.run(None, feed)[0]
                same = answer.tobytes() == self._here.run(None, feed)[0].tobytes()
                fault = "" if same else f"another answer to {feed}"
            except Exception as error:  # noqa: BLE001 - whatever a caller gets is the finding
                fault = f"{type(error).__name__}: {error}"
            with self._lock:
                self.answered += 1
                self.wrong += [fault] if fault else []

    def more(self) -> None:
        """Wait until each has been answered again."""
        was = self.answered
        eventually(lambda: True if self.answered > was + 40 else None, "answers", BACK_S)


def until(done: Any, what: str) -> None:
    eventually(lambda: True if done() else None, what, BACK_S)


@pytest.mark.parametrize("how", ["end", "kill"])
def test_a_pool_goes_away_under_calls_and_comes_back(
    pool: Pool, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "eais_client.fallback")
    with eais.InferenceSession(MUL) as session, Callers(session) as callers:
        callers.more()
        assert not session.fallback_active
        getattr(pool, how)()
        until(lambda: session.fallback_active, "the session runs here")
        callers.more()
        assert session.get_providers() == ["CPUExecutionProvider", MARK]
        pool.begin()
        until(lambda: not session.fallback_active, "the session is back at the pool")
        callers.more()
        assert session.get_providers() == ["CPUExecutionProvider"]
        callers.ended.set()
    assert callers.wrong == []
    stats = session.stats()
    assert stats.pool_calls + stats.local_calls == callers.answered
    assert stats.local_calls > 0
    assert stats.falls == stats.returns
    said = [record.message for record in caplog.records if record.name == "eais_client.fallback"]
    assert len(said) == stats.falls + stats.returns
    assert "can't be reached" in said[0]
    assert "is back" in said[-1]


def test_a_program_starts_without_its_pool_and_finds_it_later(pool: Pool) -> None:
    pool.end()
    with eais.InferenceSession(MUL) as session, Callers(session) as callers:
        assert session.fallback_active
        callers.more()
        pool.begin()
        until(lambda: not session.fallback_active, "the session is at the pool")
        callers.more()
        callers.ended.set()
    assert callers.wrong == []
    assert session.stats().pool_calls > 0


def test_without_the_fallback_the_same_program_fails(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EAIS_FALLBACK")
    pool.end()
    with pytest.raises(eais.errors.Unavailable):
        eais.InferenceSession(MUL)
