"""What was used, asked of a real pool whose manager dies meanwhile."""

from __future__ import annotations

import os
import signal
import time

import pytest

import eais
from eais.errors import EaisError
from eais.identity import Identity
from eais.rpc import verbs
from eais.rpc.v1 import ledger_pb2, pool_pb2
from tests.system.stack import Stack, eventually, op
from tests.system.test_spine import OWN, feeds_of

CALLS = 20
SLACK_S = 1.0
"""Of a rate: between a reply that was got and the moment that it says."""


def used(stack: Stack, instance: str) -> ledger_pb2.UsageLine | None:
    request = ledger_pb2.UsageRequest(since_s=3600, by=["tenant", "instance", "kind"])
    try:
        lines = stack.ask(verbs.LEDGER_USAGE, request).lines
    except EaisError:
        return None  # the manager is just coming back
    return next((line for line in lines if line.instance == instance), None)


def test_calls_are_counted_once_and_lease_time_goes_on_over_the_managers_death(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    before = time.monotonic()
    made = stack.ask(verbs.POOL_ATTACH, pool_pb2.AttachRequest(op_id=op(), type="cpu.1")).instance
    began = time.monotonic()
    session = eais.InferenceSession(str(OWN / "mul_1.onnx"))
    feeds = feeds_of(session, 1)
    for number in range(CALLS):
        session.run(None, feeds)
        if number == CALLS // 2:
            os.kill(stack.manager_pid, signal.SIGKILL)

    def all_counted() -> ledger_pb2.UsageLine | None:
        line = used(stack, made.id)
        return line if line and line.requests >= CALLS else None

    eventually(all_counted, "all calls are counted")
    eventually(stack.joined, "the listener is back")
    ended = time.monotonic()
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))
    after = time.monotonic()
    line = used(stack, made.id)
    assert line is not None
    assert (line.tenant, line.kind, line.requests) == ("default", "cpu", CALLS)
    assert ended - began - SLACK_S <= line.device_s <= after - before + SLACK_S
    assert line.cost == pytest.approx(0.02 * line.device_s / 3600)
    others = stack.bundle(Identity.frontend(stack.pool, "nobody-yet", "f2"))
    request = ledger_pb2.UsageRequest(since_s=3600, by=["instance"])
    assert not stack.ask(verbs.LEDGER_USAGE, request, others).lines
