"""What the pool has measured on a host: over the wire, with workers that obey."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from eais.device_type import DeviceKind
from eais.rpc.v1 import hosts_pb2
from eais_server.devices.sim import SimDriver
from eais_server.supervision.quarantine import Model
from eais_server.testing.listener import CRASHES, ObedientWorker
from eais_server.testing.listener_bench import ListenerBench, spec

MODEL = b"a model"
Run = Callable[[Coroutine[Any, Any, None]], None]


def ask(bench: ListenerBench, number: int = 1, **changes: Any) -> None:
    """The pool wants a batch of acme's model timed on two cores."""
    fields: dict[str, Any] = {
        "study": "s1",
        "tenant": "acme",
        "spec": spec(MODEL),
        "device": "cpu0",
        "milli": 2000,
        "runtime": "onnxruntime/fp32",
        "batch": 1,
        "runs": 3,
        "within_ms": 1000,
    }
    batch = hosts_pb2.RunBatch(number=number, **(fields | changes))
    bench.manager.command(run_batch=batch)


async def failed(bench: ListenerBench, number: int = 1) -> str:
    said = await bench.manager.heard("batch_failed")
    assert said.number == number
    return str(said.error.reason)


def measuring(bench: ListenerBench) -> list[ObedientWorker]:
    """The live workers that measure."""
    workers = bench.spawner.workers.values()
    return [each for each in workers if each.measure and not each.fake.ended]


def test_batches_are_timed_by_one_worker_on_a_share_of_its_own(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.push(MODEL)
            ask(bench)
            measured = await bench.manager.heard("measured")
            assert (measured.study, measured.number) == ("s1", 1)
            assert list(measured.seconds) == [0.001] * 3
            ask(bench, 2, batch=8)
            assert (await bench.manager.heard("measured")).seconds[0] == 0.008
            (worker,) = measuring(bench)
            told = worker.measure
            assert told is not None
            assert (told.tenant, told.milli, len(told.cores)) == ("acme", 2000, 2)
            assert told.runtime.driver == "cpu"
            assert worker.fake.memory_bytes > 0
            # Another share is another worker's.
            ask(bench, 3, milli=1000)
            await bench.manager.heard("measured")
            (other,) = measuring(bench)
            assert other is not worker
            bench.manager.command(give_up=hosts_pb2.GiveUp(study="s1"))
            await bench.until(lambda: not measuring(bench))
            ask(bench, 4, milli=3000)
            await bench.manager.heard("measured")

    run(test())


@pytest.mark.parametrize(("milli", "times"), [(250, 4), (500, 2), (1000, 1)])
def test_a_part_of_a_device_is_timed_as_if_others_used_the_rest(
    bench: ListenerBench, run: Run, milli: int, times: int
) -> None:
    async def test() -> None:
        bench.drivers["sim"] = SimDriver({DeviceKind.GPU: 1})
        async with bench.granted():
            await bench.push(MODEL)
            [device] = SimDriver({DeviceKind.GPU: 1}).fingerprint()
            ask(bench, device=device.id, milli=milli, runtime=str(device.runtimes[0]), batch=2)
            measured = await bench.manager.heard("measured")
            assert list(measured.seconds) == [0.002 * times] * 3

    run(test())


def test_a_grant_goes_before_what_is_measured(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.push(MODEL)
            ask(bench, milli=3000)
            await bench.manager.heard("measured")
            bench.spawner.silent_at = {2}
            ask(bench, 2, milli=3000, batch=2)
            shares = [hosts_pb2.ShareGrant(n=1, device="cpu0", milli=3000)]
            bench.grant("ei-2", 1, shares=shares, address="127.64.9.17")
            assert await failed(bench, 2) == "NO_DEVICE"
            granted = await bench.manager.heard("granted")
            assert granted.instance == "ei-2"
            assert not measuring(bench)
            ask(bench, 3, milli=3000)
            assert await failed(bench, 3) == "NO_DEVICE"

    run(test())


def test_without_a_line_to_the_pool_nothing_is_measured(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.push(MODEL)
            ask(bench, milli=3000)
            await bench.manager.heard("measured")
            bench.manager.hang_up()
            await bench.until(lambda: not measuring(bench))
            await bench.manager.heard("join")
            ask(bench, 2, study="s2", milli=3000)
            await bench.manager.heard("measured")

    run(test())


def test_a_batch_that_runs_is_given_up(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.push(MODEL)
            bench.spawner.silent_at = {1}
            ask(bench)
            await bench.until(lambda: measuring(bench))
            bench.manager.command(give_up=hosts_pb2.GiveUp(study="another", device="cpu0"))
            bench.manager.command(give_up=hosts_pb2.GiveUp(study="s1", device="cpu0"))
            await bench.until(lambda: not measuring(bench))
            ask(bench, 2, study="s2", batch=2)
            assert (await bench.manager.heard("measured")).study == "s2"

    run(test())


def test_a_model_that_kills_its_workers_is_quarantined(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            await bench.push(CRASHES)
            for number in (1, 2):
                ask(bench, number, spec=spec(CRASHES))
                assert await failed(bench, number) == "MODEL_CRASHED"
            ask(bench, 3, spec=spec(CRASHES))
            assert await failed(bench, 3) == "MODEL_QUARANTINED"
            (record,) = listener.host.state.quarantine.records()
            assert record.model == Model("acme", spec(CRASHES).files[0].sha256.hex())
            assert record.stage == "load"

    run(test())


def test_a_large_batch_that_kills_a_worker_is_not_the_models_doing(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            await bench.push(MODEL)
            for number in (1, 2):
                ask(bench, number, batch=128)
                assert await failed(bench, number) == "MODEL_CRASHED"
            ask(bench, 3)
            await bench.manager.heard("measured")
            assert not listener.host.state.quarantine.records()

    run(test())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spec": spec(b"never sent")}, "MODEL_LOST"),
        ({"tenant": "another"}, "MODEL_LOST"),
        ({"device": "gpu0"}, "DEVICE_LOST"),
        ({"runtime": "none/fp32"}, "DEVICE_LOST"),
        ({"milli": 9000}, "ARGUMENT"),
        ({"spec": hosts_pb2.RunBatch().spec}, "MALFORMED_MESSAGE"),
    ],
)
def test_what_cannot_be_measured_is_said_and_holds_nothing(
    bench: ListenerBench, run: Run, changes: dict[str, Any], reason: str
) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.push(MODEL)
            ask(bench, **changes)
            assert await failed(bench) == reason
            assert not measuring(bench)
            ask(bench, 2, milli=3000)
            await bench.manager.heard("measured")

    run(test())


def test_a_second_tenant_is_measured_only_where_workers_are_isolated(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        bench.level = 1
        async with bench.granted():
            ask(bench, tenant="another")
            assert await failed(bench) == "ISOLATION_UNAVAILABLE"

    run(test())
