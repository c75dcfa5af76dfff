"""Every certificate of a pool turns over under calls, its CA too, and no call fails for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import eais
from eais import tls
from eais.identity import Identity
from eais.rpc import client, verbs
from eais.rpc.v1 import hosts_pb2, pool_pb2
from tests.system.stack import Stack, embedded_pool, eventually, op

LEAF_LIFE_S = 8.0
CALLERS = 3
# Two phases of a leaf's life each, and what a loaded machine is late by.
ROLL_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    root = tmp_path_factory.mktemp("turnover")
    with embedded_pool(root, leaf_life_s=LEAF_LIFE_S) as stack:
        yield stack


@pytest.fixture
def instance(pool: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[pool_pb2.Instance]:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(pool.config))
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    made = pool.ask(verbs.POOL_ATTACH, pool_pb2.AttachRequest(op_id=op(), type="cpu.1")).instance
    yield made
    pool.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


def doubling() -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


@dataclass
class Callers:
    """Threads that call until they are told to stop, each answer checked."""

    session: eais.InferenceSession
    stop: threading.Event = field(default_factory=threading.Event)
    failures: list[Exception] = field(default_factory=list)
    calls: list[int] = field(default_factory=lambda: [0] * CALLERS)

    def call(self, n: int) -> None:
        while not self.stop.is_set():
            x = np.array([float(self.calls[n] % 4096)], dtype=np.float32)
            try:
                (y,) = self.session.run(None, {"x": x})
                if y != x + x:
                    raise AssertionError(f"{x} doubled is not {y}")
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is counted
                self.failures.append(error)
            self.calls[n] += 1

    def __enter__(self) -> Callers:
        self.threads = [threading.Thread(target=self.call, args=(n,)) for n in range(CALLERS)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)


def ca(pool: Stack) -> hosts_pb2.CaState:
    return pool.status().ca


def roll(pool: Stack) -> hosts_pb2.RollCaReply:
    operator = pool.bundle(Identity.operator(pool.pool, "test"))
    with pool.dial(pool.endpoint("management"), operator) as channel:
        reply: hosts_pb2.RollCaReply = client.call(
            channel,
            verbs.POOL_ADMIN_ROLL_CA,
            hosts_pb2.RollCaRequest(),
            timeout_s=10,
            unreachable="POOL_UNREACHABLE",
        )
    return reply


def leaves(pool: Stack, instance: pool_pb2.Instance) -> dict[str, tls.Bundle]:
    """What is in the files now, by whose it is."""
    listener = pool.state / "listener"
    files: dict[str, Path] = {
        "manager": pool.state / "manager" / "identity.pem",
        "listener": listener / "identity.pem",
        "worker": listener / "leases" / f"{instance.id}.1.pem",
        "frontend": pool.config / "contexts" / "local" / "frontend.pem",
    }
    return {who: tls.load_bundle(file) for who, file in files.items()}


def manager_log(pool: Stack) -> str:
    return (pool.state / "manager.log").read_text()


@pytest.mark.slow
def test_all_leaves_and_the_ca_turn_over_under_calls(
    pool: Stack, instance: pool_pb2.Instance
) -> None:
    before = leaves(pool, instance)
    old = before["manager"].ca_pem
    issued = {
        who: manager_log(pool).count(f"{b.identity.uri}: a leaf") for who, b in before.items()
    }
    with eais.InferenceSession(doubling()) as session, Callers(session) as callers:
        reply = roll(pool)
        assert (reply.begun, reply.ca.phase) == (True, "ANNOUNCED")
        assert 0 < reply.ca.phase_left_s <= LEAF_LIFE_S
        assert not roll(pool).begun
        phases = {reply.ca.phase}
        seen: dict[str, set[bytes]] = {who: {b.leaf_pem} for who, b in before.items()}

        def over() -> bool | None:
            phases.add(ca(pool).phase)
            for who, bundle in leaves(pool, instance).items():
                seen[who].add(bundle.leaf_pem)
            with eais.InferenceSession(doubling()) as other:
                assert other.run(None, {"x": np.ones(1, np.float32)})[0] == 2
            now = leaves(pool, instance)
            one = all(len(tls.load_certificates(b.ca_pem)) == 1 for b in now.values())
            return True if ca(pool).phase == "STEADY" and one else None

        eventually(over, "the old CA is dropped everywhere", ROLL_WITHIN_S)
        calls = sum(callers.calls)
        eventually(lambda: True if sum(callers.calls) > calls + 100 else None, "calls go on")
    assert callers.failures == []
    assert phases == {"STEADY", "ANNOUNCED", "RETIRING"}
    assert {who: len(found) >= 3 for who, found in seen.items()} == dict.fromkeys(seen, True)
    after = leaves(pool, instance)
    assert all(bundle.ca_pem == after["manager"].ca_pem != old for bundle in after.values())
    # Nobody was late: the manager had to step in for none of them.
    assert issued["frontend"] == manager_log(pool).count(
        f"{before['frontend'].identity.uri}: a leaf"
    )
    assert issued["listener"] == manager_log(pool).count(
        f"{before['listener'].identity.uri}: a leaf"
    )
    assert "is lost" not in manager_log(pool)
    assert all(host.reachable for host in pool.status().hosts)
