"""Free cores that lie apart are brought together under live calls, so that more of them are had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from benchmarks.faults.callers import Callers
from eais.errors import EaisError
from eais.rpc import verbs
from eais.rpc.v1 import hosts_pb2, pool_pb2
from tests.system.stack import Host, Stack, embedded_pool, eventually, further_host, op
from tests.system.test_drain import TIMEOUT_S, admin, drained, go_on, session_on

CONFIG = "[listener]\ncpu_cores = 2\n[manager]\ntick_s = 0.25\n"


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    with embedded_pool(tmp_path / "pool", CONFIG) as made:
        monkeypatch.setitem(os.environ, "EAIS_CONFIG_DIR", str(made.config))
        yield made


@pytest.fixture
def second(stack: Stack, tmp_path: Path) -> Iterator[Host]:
    with further_host(stack, tmp_path / "hosts", "h2", "127.0.0.2") as made:
        eventually(lambda: len(stack.status().hosts) == 2 or None, "both hosts joined")
        yield made


def attach(stack: Stack, type: str, said: pool_pb2.Neighbours | None = None) -> pool_pb2.Instance:
    policy = pool_pb2.InstancePolicy(neighbours=said) if said else None
    request = pool_pb2.AttachRequest(op_id=op(), type=type, policy=policy)
    made: pool_pb2.Instance = stack.ask(verbs.POOL_ATTACH, request).instance
    return made


@contextmanager
def attached_on(stack: Stack, host: str) -> Iterator[str]:
    """An instance of one core on that host."""
    others = [use.host for use in stack.status().hosts if use.host != host]
    for other in others:
        cordon(stack, other, cordoned=True)
    made = attach(stack, "cpu.1")
    for other in others:
        cordon(stack, other, cordoned=False)
    assert made.host == host
    yield made.id
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


def cordon(stack: Stack, host: str, *, cordoned: bool) -> None:
    request = hosts_pb2.CordonRequest(op_id=op(), host=host, cordoned=cordoned)
    admin(stack, verbs.POOL_ADMIN_CORDON, request)


def test_two_cores_apart_become_two_of_one_host_and_no_call_is_lost(
    stack: Stack, second: Host
) -> None:
    with ExitStack() as left:
        names = [left.enter_context(attached_on(stack, host)) for host in ("local", second.name)]
        with pytest.raises(EaisError, match=r"no back-end has room for cpu\.2 now"):
            attach(stack, "cpu.2")
        sessions = [left.enter_context(session_on(name)) for name in names]
        callers = [
            left.enter_context(Callers(partial(session.run, None), 20.0)) for session in sessions
        ]
        dry = admin(stack, verbs.POOL_ADMIN_DEFRAG, hosts_pb2.DefragRequest(dry_run=True))
        assert [room.after_milli for room in dry.rooms] == [2000]
        assert {stack.instance(name).host for name in names} == {"local", "h2"}
        request = hosts_pb2.DefragRequest(op_id=op())
        begun = admin(stack, verbs.POOL_ADMIN_DEFRAG, request)
        assert [move.instance for move in begun.moves] == [move.instance for move in dry.moves]
        eventually(
            lambda: admin(stack, verbs.POOL_ADMIN_DEFRAG, request).over or None, "over", TIMEOUT_S
        )
        (move,) = admin(stack, verbs.POOL_ADMIN_DEFRAG, hosts_pb2.DefragRequest(show=True)).moves
        assert (move.state, move.why) == ("done", "")
        assert {stack.instance(name).host for name in names} == {move.to}
        for each in callers:
            go_on(each)
        drained(stack, move.origin)
        larger = attach(stack, "cpu.2")
        assert larger.host == move.origin
        stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=larger.id))
    for each in callers:
        assert (each.tally.lost, each.tally.wrong) == (0, 0), each.tally.errors


def test_who_is_to_be_apart_is_started_and_stays_so(stack: Stack, second: Host) -> None:
    web = pool_pb2.Neighbours(spread="web", strict=True)
    made = [attach(stack, "cpu.1", web) for _ in range(2)]
    assert {each.host for each in made} == {"local", "h2"}
    with pytest.raises(EaisError, match="apart from others of web"):
        attach(stack, "cpu.1", web)
    near = attach(stack, "cpu.1", pool_pb2.Neighbours(near=made[1].id, strict=True))
    assert near.host == made[1].host
    request = hosts_pb2.DefragRequest(dry_run=True)
    assert list(admin(stack, verbs.POOL_ADMIN_DEFRAG, request).moves) == []
    for each in (*made, near):
        stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=each.id))
