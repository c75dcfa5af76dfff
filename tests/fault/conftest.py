"""The catalogue of hostile inputs: one marked test a row, and what holds around each.

A row is a test marked `hostile(name)`; docs/hostile-inputs.md has its line. While a module
asks for `stack`, each of its tests is surrounded by `undisturbed`: the other tenant's call
on its old stream is answered rightly straight after, nothing that was heard says what it
must not, and the listener's and workers' memory and descriptors return.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np
import pytest

import eais
from eais import tls
from eais.rpc import verbs
from eais.rpc.v1 import common_pb2, pool_pb2
from tests.fault.bystander import CANARY, Bystander
from tests.fault.catalogue import documented
from tests.fault.heard import Heard, RecordedChannel
from tests.fault.measures import check_back, measured
from tests.fault.wire import Wire
from tests.system.stack import Stack, embedded_pool, eventually, op
from tests.unit.server.runtime import models

# Small bounds, so that rows meet them soon.
CONFIG = """
[listener]
cpu_cores = 6
chunk_timeout_s = 2
model_max_bytes = 33554432
"""
PROPERTY = "hostile"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "hostile(name): a row of docs/hostile-inputs.md")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A report knows no markers: each row's name travels as a property."""
    for item in items:
        for mark in item.iter_markers("hostile"):
            item.user_properties.append((PROPERTY, mark.args[0]))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many rows were answered as the page says, and which were not."""
    results: dict[str, set[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            for key, row in getattr(report, "user_properties", ()):
                if key == PROPERTY:
                    results.setdefault(row, set()).add(outcome)
    if results:
        terminalreporter.write_line(_summary(results))


# Of the rows that were left out: more say that it was a part of the catalogue that was asked for.
_NAMED = 5


def _summary(results: dict[str, set[str]]) -> str:
    rows = documented()
    failed = sorted(row for row, found in results.items() if found & {"failed", "error"})
    done = [row for row in rows if results.get(row) == {"passed"}]
    other = [row for row in rows if row not in failed and row not in done]
    line = f"hostile inputs: {len(rows)} rows, {len(done)} answered as documented"
    line += f"; failed: {', '.join(failed)}" if failed else ""
    if len(other) > _NAMED:
        return f"{line}; not run: {len(other)}"
    return line + (f"; not run: {', '.join(other)}" if other else "")


@dataclass(frozen=True)
class RecordedStack(Stack):
    """A running pool, of whose answers everything is heard."""

    heard: Heard

    def dial(self, endpoint: common_pb2.Endpoint, bundle: tls.Bundle | None) -> grpc.Channel:
        """As `Stack.dial`, with the replies heard."""
        channel = super().dial(endpoint, bundle)
        return cast("grpc.Channel", RecordedChannel(channel, self.heard))


@pytest.fixture(scope="module")
def pool_config() -> str:
    """The pool's configuration file; a module may have its own."""
    return CONFIG


@pytest.fixture(scope="module")
def heard() -> Heard:
    """What callers were told; `say` what a test hears by another way than the wire."""
    return Heard()


@pytest.fixture(scope="module")
def quiet_stack(tmp_path_factory: pytest.TempPathFactory, pool_config: str) -> Iterator[Stack]:
    """The module's pool, unheard: for the bystander, whose own names are its own."""
    with embedded_pool(tmp_path_factory.mktemp("pool"), pool_config) as made:
        yield made


@pytest.fixture(scope="module")
def bystander(quiet_stack: Stack) -> Iterator[Bystander]:
    """The other tenant, there before any row and after all."""
    made = Bystander(quiet_stack)
    yield made
    made.check()
    made.leave()


@pytest.fixture(scope="module")
def stack(quiet_stack: Stack, heard: Heard, bystander: Bystander) -> Stack:
    """The module's pool as its hostile callers reach it."""
    heard.secrets |= {str(quiet_stack.state), CANARY, bystander.instance.id}
    return RecordedStack(quiet_stack.state, quiet_stack.config, quiet_stack.supervisor, heard)


@pytest.fixture(scope="module")
def instance(stack: Stack) -> Iterator[pool_pb2.Instance]:
    """One instance of the pool's owner for all rows of a module."""
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    yield made
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


@pytest.fixture
def wire(stack: Stack, heard: Heard, instance: pool_pb2.Instance) -> Iterator[Wire]:
    """A connection to the instance's worker, past its handshake, whose frames a test writes."""
    with Wire(instance.workers[0].endpoint, stack.frontend()) as made:
        yield made
    for frame in made.frames:
        heard.say(frame.payload)


@pytest.fixture
def client_home(stack: Stack, instance: pool_pb2.Instance, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment in which our own client and command line find the pool and instance."""
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    monkeypatch.setenv("EAIS_INSTANCE", instance.id)
    # The client's lines stay open for its next session: what they need is there before a row,
    # and so is the shared memory to which a line goes over when it has been made.
    with eais.InferenceSession(models.dataset("mul_1")) as session:
        session.run(None, {"X": np.ones((3, 2), np.float32)})
        eventually(lambda: session.stats().transport == "ring" or None, "the line is a ring")
    return stack.config


@pytest.fixture(autouse=True)
def undisturbed(
    request: pytest.FixtureRequest, heard: Heard, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Around each row: nothing is told that must not be, nobody else notices, nothing stays."""
    heard.clear()
    if "stack" not in request.fixturenames:
        yield
        heard.check()
        return
    supervisor = request.getfixturevalue("stack").supervisor.pid
    other: Bystander = request.getfixturevalue("bystander")
    for fixture in {"instance", "client_home"} & set(request.fixturenames):
        request.getfixturevalue(fixture)
    before = measured(supervisor)
    yield
    other.check()
    heard.say(caplog.text)
    heard.check()
    check_back(supervisor, before)
