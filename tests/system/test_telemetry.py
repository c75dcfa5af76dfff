"""What a real pool tells of itself: metrics, health, activity, logs."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

import eais
from eais.errors import EaisError
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais.telemetry.places import PLACE_FILE
from tests.system.stack import Stack, embedded_pool, eventually, op
from tests.unit.server.runtime import models


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return str(answer.read().decode())


def series(port: int) -> dict[str, float]:
    """Name and labels as they are written, to the value."""
    found = {}
    for family in text_string_to_metric_families(get(port, "/metrics")):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def port_of(directory: Path) -> int:
    return int(json.loads((directory / PLACE_FILE).read_text())["port"])


def lines_of(stack: Stack) -> list[dict[str, Any]]:
    """Every line of every program's log, of which those before the settings are text."""
    texts = [path.read_text() for path in stack.state.glob("*.log")]
    lines = [line for text in texts for line in text.splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    tables = ("manager", "listener", "supervisor")
    config = "\n".join(f'[{table}]\nlog_format = "json"' for table in tables)
    with embedded_pool(tmp_path_factory.mktemp("pool"), config) as stack:
        yield stack


def test_a_call_is_seen_in_metrics_activity_and_at_the_workers_page(
    pool: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(pool.config))
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = pool.ask(verbs.POOL_ATTACH, request).instance
    session = eais.InferenceSession(models.relu())
    for _ in range(20):
        assert session.run(None, {"x": np.ones(2, np.float32)})[0].tolist() == [1, 1]
    with pytest.raises(EaisError):
        session.run(None, {"x": np.ones(3, np.float32)})

    manager, listener = port_of(pool.state / "manager"), port_of(pool.state / "listener")
    assert series(manager)["eais_manager_instances{state=IN_USE}"] == 1
    assert series(manager)["eais_manager_hosts{state=reachable}"] == 1
    shown = series(listener)
    assert shown["eais_listener_manager_connected{}"] == 1
    assert shown["eais_listener_workers{state=SERVING}"] == 1
    assert shown["eais_listener_adoption_seconds_count{}"] == 1
    assert shown["eais_rpc_calls_total{reason=OK,service=Listener,verb=Open}"] >= 1
    (target,) = json.loads(get(listener, "/workers"))
    assert target["labels"]["eais_instance"] == made.id
    worker = int(target["targets"][0].rpartition(":")[2])
    shown = series(worker)
    assert shown["eais_worker_calls_total{reason=OK}"] == 20
    failed = [name for name in shown if name.startswith("eais_worker_calls_total{")]
    assert len(failed) == 2
    for port in (manager, listener, worker):
        assert get(port, "/livez") == get(port, "/readyz") == "ok\n"

    def busy() -> pool_pb2.Activity | None:
        session.run(None, {"x": np.ones(2, np.float32)})
        asked = pool_pb2.DescribeRequest(instance=made.id)
        activity = pool.ask(verbs.POOL_DESCRIBE, asked).instance.activity
        known = activity.calls_per_s and activity.p99_ms and activity.frontend_cpu
        return activity if known else None

    activity = eventually(busy, "its activity is told")
    assert 0 < activity.p50_ms <= activity.p99_ms
    assert 0 < activity.frontend_cpu <= 1
    session.close()
    pool.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))
    eventually(lambda: get(listener, "/workers") == "[]" or None, "the worker's target is gone")


def test_all_programs_log_json_with_the_same_fields(pool: Stack) -> None:
    lines = lines_of(pool)
    programs = {line["program"] for line in lines}
    assert programs >= {"eais-manager", "eais-listener"}
    for line in lines:
        assert {"time", "program", "level", "logger", "message"} <= line.keys()
    hosts = {line.get("host") for line in lines if line["program"] == "eais-listener"}
    assert None not in hosts
