"""Shares come to a lease that is held, and leave it, while its other workers serve."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from eais.errors import Unavailable
from eais.identity import Identity
from eais.rpc.v1 import hosts_pb2
from eais_server.listener.lease import Share
from eais_server.listener.leases import ListenerFiles
from eais_server.testing import FaultyOps
from eais_server.testing.listener_bench import EI, POOL, ListenerBench

MODEL = b"a model"
Run = Callable[[Coroutine[Any, Any, None]], None]


def share(n: int, milli: int = 1000) -> hosts_pb2.ShareGrant:
    return hosts_pb2.ShareGrant(n=n, device="cpu0", milli=milli)


def take(bench: ListenerBench, *numbers: int, epoch: int = 5) -> None:
    revoke = hosts_pb2.Revoke(instance=EI, epoch=epoch, drain_grace_ms=1000, shares=numbers)
    bench.manager.command(revoke=revoke)


async def workers(bench: ListenerBench, *numbers: int) -> hosts_pb2.WorkersChanged:
    """The first report that says that just these serve."""
    while True:
        changed: hosts_pb2.WorkersChanged = await bench.manager.heard("workers")
        serving = [worker.n for worker in changed.workers if worker.serving]
        if serving == list(numbers) and len(changed.workers) == len(numbers):
            return changed


def test_a_share_is_added_with_the_sessions_that_are_there(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        bench.set(cpu_cores=4)
        async with bench.granted() as listener:
            opened = await bench.opened(MODEL)
            bench.grant(shares=[share(1), share(2, 2000)])
            changed = await workers(bench, 1, 2)
            assert [each.share_milli for each in changed.workers] == [1000, 2000]
            assert all(worker.loaded == [opened.id] for worker in bench.spawner.of(EI))
            (lease,) = [found for found, _ in listener.host.files.leases()]
            assert [(each.n, each.proven) for each in lease.shares] == [(1, True), (2, True)]
            bench.grant(shares=[share(1), share(2, 2000)])
            take(bench, 1)
            await workers(bench, 2)

    run(test())


def test_a_share_that_is_taken_frees_its_device_once_its_worker_is_gone(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        bench.set(cpu_cores=2)
        async with bench.granted(shares=[share(1), share(2)]) as listener:
            first = bench.spawner.of(EI)[0]
            take(bench, 1)
            take(bench, 1)
            await workers(bench, 2)
            assert first.said[-1] == "drain"
            await bench.until(lambda: (EI, 1) not in listener.grants.leaves)
            bench.grant("ei-2", shares=[share(1)], address="127.64.9.17")
            granted = await bench.manager.heard("granted")
            assert granted.instance == "ei-2"
            (lease,) = [found for found, _ in listener.host.files.leases() if found.instance == EI]
            assert [each.n for each in lease.shares] == [2]

    run(test())


def test_a_share_for_which_there_is_no_room_fails_and_nothing_else(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        bench.set(cpu_cores=1)
        async with bench.granted() as listener:
            bench.grant(shares=[share(1), share(2)])
            failed = await bench.manager.heard("share_failed")
            assert (failed.instance, failed.epoch, failed.n) == (EI, 5, 2)
            assert failed.error.reason == "NO_DEVICE"
            assert len(listener.host.admission.leases[EI].shares) == 1
            assert (await bench.opened(MODEL)).id

    run(test())


def test_a_share_that_is_taken_and_isnt_there_is_said_to_be_gone(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        bench.set(cpu_cores=1)
        async with bench.granted():
            bench.grant(shares=[share(1), share(2)])
            await bench.manager.heard("share_failed")
            take(bench, 2, 3)
            gone = await bench.manager.heard("shares_gone")
            assert (gone.instance, gone.epoch, list(gone.shares)) == (EI, 5, [2, 3])

    run(test())


def test_a_share_that_is_taken_while_it_comes_is_taken_when_it_is_there(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        bench.set(cpu_cores=2)
        async with bench.granted() as listener:
            slow = threading.Event()
            disk = asyncio.create_task(listener.host.durable(slow.wait))
            bench.grant(shares=[share(1), share(2)])
            take(bench, 2)
            bench.revoke("ei-9", epoch=1)
            # Commands are begun in their order, so those were.
            assert (await bench.manager.heard("released")).instance == "ei-9"
            slow.set()
            await disk
            await workers(bench, 1)
            await bench.until(lambda: len(listener.host.admission.leases[EI].shares) == 1)
            bench.grant("ei-2", shares=[share(1)], address="127.64.9.17")
            assert (await bench.manager.heard("granted")).instance == "ei-2"

    run(test())


def test_a_share_without_a_leaf_fails_and_its_device_is_free(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        bench.set(cpu_cores=2)
        async with bench.granted() as listener:
            bench.manager.refuse_to_sign[EI] = Unavailable("BUSY", "later")
            bench.grant(shares=[share(1), share(2)])
            failed = await bench.manager.heard("share_failed")
            assert failed.error.reason == "BUSY"
            del bench.manager.refuse_to_sign[EI]
            bench.grant(shares=[share(1), share(2)])
            await workers(bench, 1, 2)
            assert len(listener.host.admission.leases[EI].shares) == 2

    run(test())


def test_an_added_worker_that_refuses_a_model_costs_its_share_alone(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        bench.set(cpu_cores=2)
        async with bench.granted() as listener:
            opened = await bench.opened(MODEL)
            bench.spawner.refusing.add(2)
            bench.grant(shares=[share(1), share(2)])
            failed = await bench.manager.heard("share_failed")
            assert (failed.n, failed.error.reason) == (2, "MODEL_INVALID")
            await bench.until(lambda: len(listener.host.admission.leases[EI].shares) == 1)
            assert (await bench.opened(MODEL)).id == opened.id
            assert [kept.id for kept in listener.host.book.of(EI)] == [opened.id]

    run(test())


def test_what_comes_and_what_leaves_is_known_to_the_listener_that_comes_back(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        bench.set(cpu_cores=3)
        async with bench.pool():
            async with bench.running():
                bench.grant(shares=[share(1), share(2)])
                await bench.manager.heard("granted")
                await bench.opened(MODEL)
                bench.spawner.refusing.add(3)
                bench.manager.refuse_to_sign[EI] = Unavailable("BUSY", "later")
                bench.grant(shares=[share(1), share(2), share(3)])
                await bench.manager.heard("share_failed")
                files = bench.listener.host.files
                (lease,) = [found for found, _ in files.leases()]
            files.save_lease(lease.with_share(Share(1, "cpu0", 1000, leaving=True)))
            del bench.manager.refuse_to_sign[EI]
            async with bench.running():
                changed = await workers(bench, 2)
                assert len(changed.workers) == 1
                bench.grant(shares=[share(2), share(4)])
                await workers(bench, 2, 4)

    run(test())


def test_a_lease_that_ends_takes_the_shares_that_come_with_it(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        bench.set(cpu_cores=2)
        async with bench.granted() as listener:
            bench.grant(shares=[share(1), share(2)])
            bench.revoke()
            released = await bench.manager.heard("released")
            assert released.instance == EI
            bench.grant("ei-2", shares=[share(1, 2000)], address="127.64.9.17")
            await bench.manager.heard("granted")
            assert not [key for key in listener.grants.leaves if key[0] == EI]

    run(test())


def test_a_share_that_can_not_be_written_down_fails(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        bench.set(cpu_cores=2)
        async with bench.granted() as listener:
            whole, read_only = listener.host.files, FaultyOps()
            read_only.fail_at(0, errno.EROFS)
            listener.host.files = ListenerFiles(bench.directory, read_only)
            bench.grant(shares=[share(1), share(2)])
            failed = await bench.manager.heard("share_failed")
            assert failed.error.reason == "STORE_UNAVAILABLE"
            assert [each.n for each in listener.host.admission.leases[EI].shares] == [1]
            listener.host.files = whole
            bench.grant(shares=[share(1), share(2)])
            await workers(bench, 1, 2)

    run(test())


def test_a_share_whose_end_can_not_be_written_down_is_there_again_with_its_key(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        bench.set(cpu_cores=2)
        async with bench.pool():
            async with bench.running() as listener:
                bench.grant(shares=[share(1), share(2)])
                await bench.manager.heard("granted")
                read_only = FaultyOps()
                read_only.fail_at(0, errno.EROFS)
                listener.host.files = ListenerFiles(bench.directory, read_only)
                take(bench, 2)
                await workers(bench, 1)
                await bench.until(lambda: (EI, 2) not in listener.grants.leaves)
            async with bench.running():
                await workers(bench, 1, 2)

    run(test())


def test_a_share_that_never_served_and_lost_its_device_costs_itself_alone(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        bench.set(cpu_cores=2)
        async with bench.pool():
            async with bench.running() as listener:
                bench.grant(shares=[share(1)])
                await bench.manager.heard("granted")
                files = listener.host.files
                (lease,) = [found for found, _ in files.leases()]
            more = (Share(2, "gone0", 1000, proven=False), Share(3, "cpu0", 1000, leaving=True))
            files.save_lease(replace(lease, shares=(*lease.shares, *more)))
            files.save_leaf(EI, 2, bench.bundle(Identity.worker(POOL, EI, 2)))
            async with bench.running() as listener:
                await workers(bench, 1)
                assert list(listener.grants.leaves) == [(EI, 1)]

    run(test())
