"""An attach that waits, over the wire: how it stands, its grant, and callers that go away."""

from __future__ import annotations

from pathlib import Path

from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_pool.brain.records import OpRecord, OpVerb
from eais_pool.brain.state import PoolState
from eais_pool.brain.waiting_records import Waiting
from eais_pool.presence import GONE_AFTER_S, Presence
from eais_pool.testing import RunningManager
from tests.unit.pool.test_service import caller, on_manager, op


def test_it_hears_how_it_stands_until_it_is_granted(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        async with caller(running) as owner:
            held = await owner.attach("cpu.4")
            request = pool_pb2.AttachRequest(op_id=op(), type="cpu.4", wait_ms=60_000)
            waits = (await owner.ask(verbs.POOL_ATTACH, request)).instance
            assert (waits.state, waits.line.position, waits.line.length) == (pool_pb2.BOUND, 1, 1)
            described = pool_pb2.DescribeRequest(instance=waits.id)
            assert (await owner.ask(verbs.POOL_DESCRIBE, described)).instance.line == waits.line
            listed = (await owner.ask(verbs.POOL_LIST, pool_pb2.ListRequest())).instances
            assert [each.HasField("line") for each in listed] == [False, True]
            detach = pool_pb2.InstanceRequest(op_id=op(), instance=held.id)
            await owner.ask(verbs.POOL_DETACH, detach)
            while (found := (await owner.ask(verbs.POOL_ATTACH, request)).instance).HasField(
                "line"
            ):
                pass
            assert (found.id, found.state) == (waits.id, pool_pb2.IN_USE)
            again = (await owner.ask(verbs.POOL_ATTACH, request)).instance
            assert again == found

    on_manager(tmp_path, test)


def test_its_time_is_over(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        async with caller(running) as owner:
            await owner.attach("cpu.4")
            request = pool_pb2.AttachRequest(op_id=op(), type="cpu.4", wait_ms=10)
            refused = await owner.refused(verbs.POOL_ATTACH, request)
            assert (refused.reason, refused.retryable) == ("NO_DEVICE", True)
            assert "position 1 of 1 in line" in refused.message

    on_manager(tmp_path, test)


def test_who_asks_for_a_start_waits_as_well(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        async with caller(running) as owner:
            mine = await owner.attach("cpu.4", no_start=True)
            await owner.attach("cpu.4")
            start = pool_pb2.InstanceRequest(op_id=op(), instance=mine.id, wait_ms=60_000)
            assert (await owner.ask(verbs.POOL_START, start)).instance.HasField("line")
            stop = pool_pb2.InstanceRequest(op_id=op(), instance=mine.id)
            assert (await owner.ask(verbs.POOL_STOP, stop)).instance.state == pool_pb2.BOUND
            refused = await owner.refused(verbs.POOL_START, start)
            assert refused.reason == "CANCELLED"

    on_manager(tmp_path, test)


def test_a_caller_is_gone_that_has_not_asked_for_a_while() -> None:
    now = 0.0
    presence = Presence(lambda: now)
    state, keys = PoolState(), [("acme", "one"), ("acme", "two")]
    for key in keys:
        waits = Waiting(0.0, 99.0)
        state.ops[key] = OpRecord(*key, OpVerb.ATTACH, (), "ei-1", 0.0, waits=waits)
        state.line[key] = None
    presence.heard(keys[0])
    assert presence.gone(state) == frozenset()
    now = GONE_AFTER_S - 1
    presence.heard(keys[1])
    assert presence.gone(state) == frozenset()
    now = GONE_AFTER_S
    assert presence.gone(state) == {keys[0]}
    del state.line[keys[0]]
    assert presence.gone(state) == frozenset()
