"""What a real manager shows of itself on loopback."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from eais.errors import EaisError
from eais.rpc import verbs
from eais.rpc.client import acall
from eais.rpc.v1 import pool_pb2
from eais.telemetry import metrics as m
from eais.telemetry.places import PLACE_FILE
from eais_pool.testing import FakeHost, RunningManager, in_process_manager, joined_host

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def shown(running: RunningManager) -> Series:
    _, text = await asyncio.to_thread(get, running.manager.pages.port, "/metrics")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(series: Series, metric: m.Metric, **labels: str) -> float | None:
    return series.get((metric.name, frozenset(labels.items())))


async def attach(running: RunningManager, type_: str) -> None:
    async with running.channel("user", running.frontend()) as channel:
        request = pool_pb2.AttachRequest(op_id=str(uuid4()), type=type_)
        await acall(
            channel, verbs.POOL_ATTACH, request, timeout_s=20, unreachable="POOL_UNREACHABLE"
        )


def test_instances_shares_hosts_verbs_and_the_journal(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            asyncio.timeout(60),
            in_process_manager(tmp_path) as running,
            joined_host(running, FakeHost()),
        ):
            before = await shown(running)
            assert of(before, m.INSTANCES, state="IN_USE") == 0
            assert of(before, m.HOSTS, state="reachable") == 1
            await attach(running, "cpu.1")
            with pytest.raises(EaisError) as refused:
                await attach(running, "gpu.7000")
            after = await shown(running)
            assert of(after, m.INSTANCES, state="IN_USE") == 1
            device = {"host": "h1", "device": "cpu0", "kind": "cpu", "simulated": "true"}
            assert of(after, m.SHARES, **device, state="GRANTED") == 1000
            attached = {"service": "Pool", "verb": "Attach"}
            assert of(after, m.RPC, **attached, reason="OK") == 1
            assert of(after, m.RPC, **attached, reason=refused.value.reason) == 1
            writes = after["eais_manager_journal_write_seconds_count", frozenset()]
            assert writes > before["eais_manager_journal_write_seconds_count", frozenset()]
            assert of(after, m.JOURNAL_FAILED) == 0
            assert of(after, m.READY) == 1
            assert of(after, m.WATCHERS) == 0

    asyncio.run(run())


def test_it_is_ready_while_its_journal_can_be_written_and_keeps_its_port(tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), in_process_manager(tmp_path) as running:
            port = running.manager.pages.port
            place = json.loads((running.ready_file.parent / "manager" / PLACE_FILE).read_text())
            assert place == {"address": "127.0.0.1", "port": port}
            assert await asyncio.to_thread(get, port, "/readyz") == (200, "ok\n")
            running.manager.pump.fault = "the disk is full"
            assert await asyncio.to_thread(get, port, "/readyz") == (503, "the disk is full\n")
            assert (await asyncio.to_thread(get, port, "/livez"))[0] == 200
        async with asyncio.timeout(60), in_process_manager(tmp_path) as again:
            assert again.manager.pages.port == port

    asyncio.run(run())
