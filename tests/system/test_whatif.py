"""A real pool records demand, and says what other policies would have made of it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import eais
from benchmarks.faults.processes import titled
from eais.errors import EaisError
from eais.identity import Identity
from eais.rpc import client, verbs
from eais.rpc.v1 import pool_pb2, whatif_pb2
from tests.system.stack import Stack, embedded_pool, eventually
from tests.system.test_ratio import attached, detach, measured
from tests.system.test_spine import OWN, feeds_of

CONFIG = """\
[listener]
cpu_cores = 1
"""
CALLS = 200
POLICIES = ("auto", "fixed:1:0", "knative:0.7,max=1")


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    with embedded_pool(tmp_path, CONFIG) as stack:
        monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
        yield stack


def replay(instance: str = "", *policies: str) -> whatif_pb2.ReplayRequest:
    return whatif_pb2.ReplayRequest(since_s=3600, instance=instance, policies=policies)


def recorded(stack: Stack) -> list[whatif_pb2.ReplayLine] | None:
    """What is said of the demand, once there is some."""
    try:
        return list(stack.ask(verbs.WHAT_IF_REPLAY, replay("", *POLICIES)).lines)
    except EaisError as error:
        if error.reason not in ("NOT_FOUND", "POOL_UNREACHABLE"):
            raise
        return None


def some_calls(session: eais.InferenceSession, pause: threading.Event) -> None:
    feeds = feeds_of(session, 1)
    for _ in range(CALLS):
        session.run(None, feeds)
        pause.wait(0.05)


def test_demand_is_recorded_over_a_restart_and_replayed(pool: Stack) -> None:
    model = OWN / "mul_1.onnx"
    measured(pool, model)
    made = attached(pool, "auto", slo_p99_us=500_000, ratio=pool_pb2.RatioPolicy(ratio="auto"))
    pause = threading.Event()
    with eais.InferenceSession(str(model), provider_options=[{"instance": made.id}]) as session:
        some_calls(session, pause)
        before = pool.manager_pid
        # What was seen since the last minute is handed over as it ends.
        os.kill(before, signal.SIGTERM)
        eventually(lambda: recorded(pool), "it is back, and knows what was seen before")
        eventually(pool.joined, "the listener is back")
        some_calls(session, pause)
    detach(pool, made.id)

    def all_of_it() -> list[whatif_pb2.ReplayLine] | None:
        found = recorded(pool)
        return found if found and found[0].calls > CALLS else None

    lines = eventually(all_of_it, "what came after the restart is recorded, too")
    together = [line for line in lines if not line.instance]
    assert [line.policy for line in together] == ["as it was", "oracle", *POLICIES]
    assert {line.instance for line in lines} == {"", made.id}
    was, oracle, auto, fixed, _ = together
    assert len({line.calls for line in together}) == 1
    assert was.calls <= 2 * CALLS + 1
    assert was.seconds >= 2 * CALLS * 0.05
    assert 0 < oracle.cost <= fixed.cost
    assert auto.cost == pytest.approx(was.cost, rel=0.5)
    assert titled(pool.manager_pid, "eais-whatif") is None

    others = pool.bundle(Identity.frontend(pool.pool, "nobody-yet", "f2"))
    with pytest.raises(EaisError, match="NOT_FOUND: nothing was recorded"):
        pool.ask(verbs.WHAT_IF_REPLAY, replay(), others)
    with pytest.raises(EaisError, match="there are auto, fixed"):
        pool.ask(verbs.WHAT_IF_REPLAY, replay("", "magic"))
    operator = pool.bundle(Identity.operator(pool.pool, "test"))
    with pool.dial(pool.endpoint("management"), operator) as channel:
        reply = client.call(
            channel,
            verbs.WHAT_IF_ADMIN_REPLAY,
            replay(made.id),
            timeout_s=30,
            unreachable="POOL_UNREACHABLE",
        )
    assert reply.lines[0].calls == was.calls
