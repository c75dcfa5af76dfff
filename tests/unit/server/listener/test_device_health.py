"""A whole listener whose devices fail."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from eais.device_type import DeviceKind
from eais.rpc.v1 import common_pb2, hosts_pb2
from eais_pool.authority import Authority
from eais_server.devices.sim import FAULTS_FILE, SimDriver
from eais_server.listener.health_file import HealthFile
from eais_server.supervision.device import Device, DeviceHealth
from eais_server.testing.listener import ObedientWorker
from eais_server.testing.listener_bench import EI, ListenerBench

Run = Callable[[Coroutine[Any, Any, None]], None]
GPU, OTHER = "sim-gpu0", "sim-gpu1"
SHARES = [hosts_pb2.ShareGrant(n=1, device=GPU, milli=1000)]


@pytest.fixture
def bench(tmp_path: Path, authority: Authority) -> ListenerBench:
    made = ListenerBench(tmp_path, authority)
    made.drivers["sim"] = SimDriver({DeviceKind.GPU: 2}, faults=made.directory / FAULTS_FILE)
    return made


async def serving(bench: ListenerBench) -> ObedientWorker:
    """The instance's worker, once it serves."""
    await bench.until(lambda: any("serve" in w.said for w in bench.spawner.of(EI)))
    (worker,) = bench.spawner.of(EI)
    return worker


def loses(worker: ObedientWorker) -> None:
    worker.say(device_lost=common_pb2.Error(reason="DEVICE_LOST", message="it vanished"))


async def health(bench: ListenerBench) -> tuple[str, str, str]:
    said = await bench.manager.heard("device_health")
    return said.device, said.health, said.reason


def test_a_device_that_passes_serves_again(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted(shares=SHARES):
            worker = await serving(bench)
            assert worker.adopt is not None
            assert worker.adopt.watched
            loses(worker)
            assert await health(bench) == (GPU, "suspect", "it vanished")
            assert await health(bench) == (GPU, "ok", "")
            await bench.until(lambda: worker.fake.ended)
            assert await serving(bench) is not worker

    run(test())


def test_a_bad_device_is_said_at_once_and_at_every_join(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running():
                bench.grant(shares=SHARES)
                await bench.manager.heard("granted")
                bench.spawner.unfit[GPU] = "41, not 42"
                loses(await serving(bench))
                assert await health(bench) == (GPU, "suspect", "it vanished")
                assert await health(bench) == (GPU, "bad", "41, not 42")
                await bench.until(lambda: not bench.spawner.of(EI))
            async with bench.running(joins=False):
                join = await bench.manager.heard("join")
                found = {d.id: (d.health, d.health_reason) for d in join.devices}
                assert found == {"cpu0": ("ok", ""), GPU: ("bad", "41, not 42"), OTHER: ("ok", "")}
                assert not bench.spawner.of(EI)

    run(test())


def test_an_operators_check_brings_it_back(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted(shares=SHARES):
            bench.spawner.unfit[GPU] = "wrong"
            loses(await serving(bench))
            await health(bench)
            assert await health(bench) == (GPU, "bad", "wrong")
            bench.manager.command(check_device=hosts_pb2.CheckDevice(device=GPU))
            assert await health(bench) == (GPU, "bad", "wrong")
            bench.spawner.unfit.clear()
            bench.manager.command(check_device=hosts_pb2.CheckDevice(device=GPU))
            assert await health(bench) == (GPU, "ok", "")
            await serving(bench)

    run(test())


def test_a_device_that_its_driver_says_is_lost_is_checked_and_bad(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            (bench.directory / FAULTS_FILE).write_text(f"{GPU} vanish 0\n")
            bench.grant(shares=SHARES)
            failed = await bench.manager.heard("grant_failed")
            assert failed.error.reason == "DEVICE_LOST"
            (bench.directory / FAULTS_FILE).unlink()

    run(test())


def test_cores_are_not_watched(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            worker = await serving(bench)
            assert worker.adopt is not None
            assert not worker.adopt.watched
            assert set(bench.listener.host.state.devices) == {GPU, OTHER}

    run(test())


def restored(path: Path) -> dict[str, tuple[DeviceHealth, bool]]:
    devices = [Device(GPU), Device(OTHER)]
    HealthFile(path).restore(devices)
    return {device.id: (device.health, device.wanted) for device in devices}


def test_what_was_suspect_is_checked_by_the_next_listener(tmp_path: Path) -> None:
    file = HealthFile(tmp_path / "devices.json")
    rows = [(GPU, DeviceHealth.SUSPECT, "so"), ("gone", DeviceHealth.BAD, "so")]
    file.save([*rows, (OTHER, DeviceHealth.HEALTHY, "")])
    assert restored(tmp_path / "devices.json") == {
        GPU: (DeviceHealth.SUSPECT, True),
        OTHER: (DeviceHealth.HEALTHY, False),
    }


def test_a_damaged_file_has_all_devices_checked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "devices.json").write_bytes(b"{")
    (tmp_path / "devices.json").chmod(0o600)
    found = restored(tmp_path / "devices.json")
    assert set(found.values()) == {(DeviceHealth.SUSPECT, True)}
    assert "damaged" in caplog.text
