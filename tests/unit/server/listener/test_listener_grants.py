from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from eais import tls
from eais.errors import EaisError, make_error
from eais.identity import Identity
from eais.rpc.v1 import hosts_pb2
from eais_server.listener.daemon import Listener
from eais_server.listener.leases import ListenerFiles
from eais_server.listener.usage import Counters
from eais_server.process import Exit
from eais_server.testing import FaultyOps
from eais_server.testing.listener import Obedience
from eais_server.testing.listener_bench import ADDRESS, EI, POOL, ListenerBench

Run = Callable[[Coroutine[Any, Any, None]], None]


def share(n: int, milli: int = 1000) -> hosts_pb2.ShareGrant:
    return hosts_pb2.ShareGrant(n=n, device="cpu0", milli=milli)


def two_shares() -> list[hosts_pb2.ShareGrant]:
    return [share(n) for n in (1, 2)]


def on_disk(bench: ListenerBench) -> list[str]:
    # A name with a dot in front is a file that is being replaced right now.
    names = (path.name for path in (bench.directory / "leases").iterdir())
    return sorted(name for name in names if not name.startswith("."))


def counted(listener: Listener) -> Counters:
    record = listener.host.meter.total(EI)
    assert record is not None
    return record.counters


def counts(listener: Listener, bytes_in: int) -> Callable[[], bool]:
    return lambda: counted(listener).bytes_in == bytes_in


def test_it_joins_with_what_it_has(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            (join,) = bench.manager.joins
            assert join.host == "local"
            assert join.boot_id == "boot"
            assert [(d.id, d.capacity_milli) for d in join.devices] == [("cpu0", 4000)]
            assert join.user_plane.server_name == "local.listener.pool-0a0b0c0d.internal"
            assert join.isolation == 2
            assert not join.leases

    run(test())


def test_a_grant_is_durable_before_it_is_answered(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            bench.grant()
            granted = await bench.manager.heard("granted")
            assert on_disk(bench) == ["ei-1.1.pem", "ei-1.json"]
            (worker,) = granted.workers
            assert worker.serving
            assert worker.incarnation == 1
            assert worker.isolation == 2
            assert worker.endpoint.server_name == "1.ei-1.pool-0a0b0c0d.internal"
            (live,) = bench.spawner.of(EI)
            assert live.said == ["adopt", "serve"]
            assert live.adopt is not None
            assert live.adopt.address == ADDRESS
            assert live.adopt.threads == 1
            (lease,) = [lease for lease, _ in bench.listener.host.files.leases()]
            assert lease.share(1).port == worker.endpoint.port
            assert lease.granted

    run(test())


def test_a_worker_is_given_no_more_memory_than_its_share_has(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            bench.grant(shares=two_shares())
            granted = await bench.manager.heard("granted")
            parts = {endpoint.memory_bytes for endpoint in granted.workers}
            assert {worker.fake.memory_bytes for worker in bench.spawner.of(EI)} == parts
            assert len(parts) == 1
            assert parts.pop() > 0
            assert {e.memory_enforcement for e in granted.workers} == {"forced"}

    run(test())


def test_the_same_grant_again_is_answered_again(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            bench.grant()
            again = await bench.manager.heard("granted")
            assert again.epoch == 5
            assert len(bench.spawner.of(EI)) == 1

    run(test())


def test_an_older_grant_is_refused(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            bench.grant(epoch=4)
            failed = await bench.manager.heard("grant_failed")
            assert (failed.epoch, failed.error.reason) == (4, "STALE_EPOCH")
            assert bench.listener.host.admission.leases[EI].epoch == 5

    run(test())


def test_a_newer_grant_ends_the_old_lease_first(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            (old,) = bench.spawner.of(EI)
            bench.grant(epoch=6)
            released = await bench.manager.heard("released")
            assert released.epoch == 5
            assert old.fake.ended
            granted = await bench.manager.heard("granted")
            assert granted.epoch == 6

    run(test())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"instance": "../x"}, "NAME"),
        ({"shares": []}, "ARGUMENT"),
        ({"epoch": 0}, "ARGUMENT"),
        ({"shares": [hosts_pb2.ShareGrant(n=1, device="gpu7", milli=1000)]}, "DEVICE_LOST"),
        ({"shares": [share(1, 9000)]}, "ARGUMENT"),
        ({"shares": [share(1, 3000), share(2, 3000)]}, "NO_DEVICE"),
        ({"shares": [share(1, 7)]}, "ARGUMENT"),
        ({"address": "10.0.0.1"}, "LOOPBACK_RANGE"),
        ({"vnic_driver": "veth"}, "ARGUMENT"),
    ],
)
def test_a_grant_that_cant_be_held_leaves_nothing(
    bench: ListenerBench, run: Run, change: dict[str, Any], reason: str
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            bench.grant(**change)
            failed = await bench.manager.heard("grant_failed")
            assert failed.error.reason == reason
            assert on_disk(bench) == []
            bench.grant(shares=[share(1, 4000)])
            assert (await bench.manager.heard("granted")).epoch == 5

    run(test())


def test_a_grant_without_a_leaf_fails(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            bench.manager.refuse_to_sign[EI] = make_error("CSR_REFUSED", "no")
            bench.grant()
            failed = await bench.manager.heard("grant_failed")
            assert failed.error.reason == "CSR_REFUSED"
            assert on_disk(bench) == []

    run(test())


def test_below_level_2_a_second_tenant_is_refused(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        bench.level = 1
        async with bench.granted():
            bench.grant("ei-2", 1, tenant="other", address="127.64.9.17")
            failed = await bench.manager.heard("grant_failed")
            assert failed.error.reason == "ISOLATION_UNAVAILABLE"

    run(test())


def test_two_tenants_have_two_processes(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            bench.grant("ei-2", 1, tenant="other", address="127.64.9.17")
            assert (await bench.manager.heard("granted")).tenant == "other"
            (mine,), (others,) = bench.spawner.of(EI), bench.spawner.of("ei-2")
            assert mine is not others
            assert mine.said.count("adopt") == others.said.count("adopt") == 1

    run(test())


def test_a_worker_that_isnt_confined_well_enough_is_never_adopted(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            bench.spawner.level = 1
            bench.spawner.end(1, Exit(None, 9))
            bench.grant()
            await bench.until(lambda: 3 in bench.spawner.started)
            assert bench.spawner.workers[2].said == []
            assert bench.spawner.started[2].signals == [9]

    run(test())


def test_a_revoked_lease_is_gone_after_its_workers(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            (worker,) = bench.spawner.of(EI)
            bench.revoke()
            released = await bench.manager.heard("released")
            assert released.epoch == 5
            assert worker.said[-1] == "drain"
            assert worker.fake.ended == Exit(0)
            assert on_disk(bench) == []
            assert bench.listener.host.admission.leases == {}

    run(test())


def test_a_share_is_released_only_after_the_exit_was_seen(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            bench.spawner.block("kill")
            bench.revoke(grace_ms=0)
            (worker,) = bench.spawner.of(EI)
            await bench.until(lambda: worker.fake.signals)
            assert EI in bench.listener.host.admission.leases
            bench.spawner.release("kill")
            assert (await bench.manager.heard("released")).epoch == 5

    run(test())


def test_what_isnt_held_is_released_at_once(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            bench.revoke("ei-9", epoch=3)
            released = await bench.manager.heard("released")
            assert (released.instance, released.epoch) == ("ei-9", 3)

    run(test())


def test_an_older_revocation_is_nothing(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            bench.revoke(epoch=4)
            bench.grant()
            assert (await bench.manager.heard("granted")).epoch == 5
            assert len(bench.spawner.of(EI)) == 1

    run(test())


def test_a_worker_that_dies_comes_back_at_its_port(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            (first,) = bench.spawner.of(EI)
            bench.spawner.end(first.fake.process.k, Exit(None, 9))
            workers = (await bench.manager.heard("workers")).workers
            while not workers[0].serving:
                workers = (await bench.manager.heard("workers")).workers
            (second,) = bench.spawner.of(EI)
            assert first.adopt is not None
            assert second.adopt is not None
            assert second.adopt.incarnation == workers[0].incarnation == 2
            assert second.adopt.port == workers[0].endpoint.port
            assert second.adopt.leaf == first.adopt.leaf

    run(test())


def test_a_port_that_was_taken_is_replaced_and_published(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            (first,) = bench.spawner.of(EI)
            (lease,) = bench.listener.host.admission.leases.values()
            old_port = lease.share(1).port
            bench.spawner.taken.add(old_port)
            bench.spawner.end(first.fake.process.k, Exit(None, 9))
            workers = (await bench.manager.heard("workers")).workers
            while not workers[0].serving:
                workers = (await bench.manager.heard("workers")).workers
            assert workers[0].endpoint.port not in (0, old_port)
            (kept,) = [lease for lease, _ in bench.listener.host.files.leases()]
            assert kept.share(1).port == workers[0].endpoint.port

    run(test())


def test_a_listener_that_comes_back_has_its_leases_without_the_manager(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running() as listener:
                bench.grant(shares=two_shares())
                granted = await bench.manager.heard("granted")
                place = listener.planes.place
            ports = [worker.endpoint.port for worker in granted.workers]
            await bench.manager.stop()
            async with bench.running(joins=False) as listener:
                assert listener.planes.place == place
                await bench.until(lambda: listener.host.admission.leases)
                lease = listener.host.admission.leases[EI]
                serving = lambda: all(w.serving for w in listener.host.endpoints(lease))  # noqa: E731
                await bench.until(serving)
                workers = listener.host.endpoints(lease)
                assert [worker.endpoint.port for worker in workers] == ports
                assert [worker.incarnation for worker in workers] == [2, 2]

    run(test())


def test_a_listener_that_comes_back_joins_with_its_leases(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running():
                bench.grant()
                await bench.manager.heard("granted")
            async with bench.running():
                (lease,) = bench.manager.joins[-1].leases
                assert (lease.instance, lease.epoch, lease.tenant) == (EI, 5, "acme")
                bench.revoke()
                await bench.manager.heard("released")
            async with bench.running():
                assert not bench.manager.joins[-1].leases

    run(test())


def test_a_damaged_lease_is_absent_and_can_be_granted_again(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running():
                bench.grant()
                await bench.manager.heard("granted")
            (bench.directory / "leases" / "ei-1.json").write_bytes(b"torn")
            async with bench.running():
                assert not bench.manager.joins[-1].leases
                bench.grant()
                assert (await bench.manager.heard("granted")).epoch == 5

    run(test())


def test_a_line_that_ends_is_dialled_again(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            bench.manager.hang_up()
            join = await bench.manager.heard("join")
            assert [lease.instance for lease in join.leases] == [EI]

    run(test())


def senders() -> list[str]:
    """gRPC's tasks that wait for something to send up a line."""
    names = [getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks()]
    return [name for name in names if name == "_consume_request_iterator"]


def test_nothing_goes_on_sending_up_a_line_that_ended(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            assert len(senders()) == 1
            for _ in range(3):
                bench.manager.hang_up()
                await bench.manager.heard("join")
            await bench.until(lambda: len(senders()) == 1)

    run(test())


def test_a_leaf_past_half_of_its_life_is_renewed(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            (worker,) = bench.spawner.of(EI)
            assert worker.adopt is not None
            await listener.renewal.once()
            await listener.workers.settled()
            assert worker.leaves == []
            bench.today += timedelta(minutes=45)
            await listener.renewal.once()
            await listener.workers.settled()
            bench.today -= timedelta(minutes=45)
            await bench.until(lambda: worker.leaves)
            assert worker.leaves[0].leaf_pem != worker.adopt.leaf.leaf_pem
            kept = tls.load_bundle(bench.directory / "leases" / "ei-1.1.pem")
            assert kept.leaf_pem == worker.leaves[0].leaf_pem

    run(test())


def test_a_leaf_that_is_refused_keeps_no_other_from_being_renewed(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            bench.grant("ei-2", address="127.64.9.17")
            await bench.manager.heard("granted")
            (worker,) = bench.spawner.of("ei-2")
            bench.manager.refuse_to_sign[EI] = make_error("NOT_FOUND", "no such worker")
            bench.today += timedelta(minutes=45)
            await listener.renewal.once()
            await listener.workers.settled()
            await bench.until(lambda: worker.leaves)

    run(test())


def test_what_was_used_is_told_and_outlives_workers_and_listeners(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running() as listener:
                bench.grant()
                await bench.manager.heard("granted")
                (worker,) = bench.spawner.of(EI)
                worker.say(heartbeat={"requests": 3, "bytes_in": 10, "busy_ns": 5})
                await bench.until(lambda: listener.host.meter.changed(0.0))
                await listener.upkeep.once()
                assert (await bench.manager.heard("usage")).epoch == 5
            async with bench.running() as listener:
                record = listener.host.meter.total(EI)
                assert record is not None
                assert (record.counters.requests, record.counters.busy_ns) == (3, 5)
                bench.revoke()
                usage = await bench.manager.heard("usage")
                assert usage.requests == 3

    run(test())


def test_a_worker_that_lies_of_what_it_counted_costs_nobody_the_listener(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        most = (1 << 64) - 1
        async with bench.granted() as listener:
            for n in (1, 2):
                await bench.until(lambda: bench.spawner.of(EI))
                (worker,) = bench.spawner.of(EI)
                worker.say(heartbeat={"requests": most, "bytes_in": 1})
                await bench.until(counts(listener, bytes_in=n))
                bench.spawner.end(worker.fake.process.k, Exit(None, 9))
            await listener.upkeep.once()
            assert counted(listener).requests == most
            bench.revoke()
            assert (await bench.manager.heard("released")).epoch == 5

    run(test())


def test_a_worker_that_says_much_doesnt_keep_the_loop_to_itself(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            (worker,) = bench.spawner.of(EI)
            for n in range(1, 2001):
                worker.say(heartbeat={"requests": n})
            heard = [0]
            while heard[-1] < 2000:
                await asyncio.sleep(0)
                heard.append(counted(listener).requests)
            assert max(after - before for before, after in pairwise(heard)) <= 2

    run(test())


def test_a_disk_that_fails_refuses_the_grant(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            leases = bench.directory / "leases"
            leases.rename(leases.with_name("away"))
            leases.write_text("no directory")
            bench.grant()
            failed = await bench.manager.heard("grant_failed")
            assert failed.error.reason == "STORE_UNAVAILABLE"
            leases.unlink()
            leases.with_name("away").rename(leases)
            bench.grant()
            assert (await bench.manager.heard("granted")).epoch == 5

    run(test())


def test_another_identity_is_no_listeners(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool():
            bundle = bench.bundle(Identity.manager(POOL))
            tls.save_bundle(bench.directory / "identity.pem", bundle)
            bench.spawner = Obedience(bench.directory / "workers")
            with pytest.raises(EaisError, match="CERT_IDENTITY"):
                Listener(bench.world())

    run(test())


@pytest.mark.parametrize(
    "said",
    [
        {"adopted": {"port": 4000}},
        {"spare": {"isolation": 2}},
        {"loaded": {"session": "nobody's"}},
        {"load_failed": {"session": "nobody's"}},
        {"stuck": {"session": "a"}},
        {"loaded": {"session": "x" * (9 << 20)}},
    ],
)
def test_a_worker_that_says_what_it_may_not_is_replaced(
    bench: ListenerBench, run: Run, said: dict[str, Any]
) -> None:
    async def test() -> None:
        async with bench.granted():
            (worker,) = bench.spawner.of(EI)
            worker.say(**said)
            await bench.until(lambda: worker.fake.ended)
            assert worker.fake.signals == [9]
            await bench.until(lambda: [w.said for w in bench.spawner.of(EI)] == [_COMES_UP])

    run(test())


_COMES_UP = ["adopt", "serve"]


def test_a_worker_that_talks_nonsense_is_replaced(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            (worker,) = bench.spawner.of(EI)
            assert worker.writer is not None
            worker.writer.write(b"\xff" * 64)
            await bench.until(lambda: worker.fake.ended)
            await bench.until(lambda: [w.said for w in bench.spawner.of(EI)] == [_COMES_UP])

    run(test())


def test_one_workers_words_reach_no_other_instance(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            bench.grant("ei-2", 1, tenant="other", address="127.64.9.17")
            await bench.manager.heard("granted")
            (mine,) = bench.spawner.of(EI)
            mine.say(heartbeat={"requests": 7})
            await bench.until(lambda: listener.host.meter.changed(0.0))
            other = listener.host.meter.total("ei-2")
            assert other is not None
            assert other.counters.requests == 0

    run(test())


async def leave_two_tenants_leases(bench: ListenerBench) -> None:
    """A listener took them at level 2 and is gone; the next one runs at level 1."""
    async with bench.running():
        bench.grant()
        await bench.manager.heard("granted")
        bench.grant("ei-2", 1, tenant="other", address="127.64.9.17")
        await bench.manager.heard("granted")
    bench.level = 1


def test_leases_of_two_tenants_arent_both_taken_up_below_level_2(
    bench: ListenerBench, run: Run
) -> None:
    """A host whose level fell between two lives of its listener."""

    async def test() -> None:
        async with bench.pool():
            await leave_two_tenants_leases(bench)
            async with bench.running():
                (lease,) = bench.manager.joins[-1].leases
                assert lease.tenant == "acme"
                assert on_disk(bench) == ["ei-1.1.pem", "ei-1.json"]

    run(test())


def test_a_lease_that_can_neither_be_held_nor_removed_stops_no_other(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool():
            await leave_two_tenants_leases(bench)
            async with bench.running(joins=False) as listener:
                read_only = FaultyOps()
                read_only.fail_at(0, errno.EROFS)
                listener.host.files = ListenerFiles(bench.directory, read_only)
                await bench.manager.heard("join")
                assert [lease.tenant for lease in bench.manager.joins[-1].leases] == ["acme"]
                assert "ei-2.json" in on_disk(bench)

    run(test())


def test_a_grant_while_the_old_lease_is_being_removed_waits_for_that(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            slow = threading.Event()
            disk = asyncio.create_task(listener.host.durable(slow.wait))
            bench.revoke()
            await bench.until(lambda: EI not in listener.host.admission.leases)
            bench.grant(epoch=6)
            bench.revoke("ei-9", epoch=1)
            # Commands are begun in their order, so the grant was.
            assert (await bench.manager.heard("released")).instance == "ei-9"
            slow.set()
            await disk
            assert (await bench.manager.heard("released")).epoch == 5
            assert (await bench.manager.heard("granted")).epoch == 6
            assert on_disk(bench) == ["ei-1.1.pem", "ei-1.json"]
            assert listener.host.inventory.reservation(EI, 1).milli == 1000

    run(test())
