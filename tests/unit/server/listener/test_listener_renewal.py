"""The listener's own leaf, its line to the manager, and its workers' leaves turn over."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eais import tls
from eais.errors import make_error
from eais.identity import Identity
from eais_pool.authority import Authority
from eais_server.listener.daemon import Listener
from eais_server.testing.listener_bench import EI, POOL, ListenerBench

Run = Callable[[Coroutine[Any, Any, None]], None]


def own(bench: ListenerBench) -> tls.Bundle:
    return tls.load_bundle(bench.directory / "identity.pem")


def holds(listener: Listener, name: str) -> bool:
    return name in listener.host.admission.leases


def lacks(listener: Listener, name: str) -> bool:
    return not holds(listener, name)


async def renewed_own(bench: ListenerBench, listener: Listener) -> None:
    """The time comes, and a later one at which it is not due again."""
    bench.today += timedelta(minutes=45)
    await listener.renewal.once()
    bench.today -= timedelta(minutes=45)


def test_the_own_leaf_is_renewed_past_half_of_its_life(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running() as listener:
            before = own(bench)
            await listener.renewal.once()
            assert own(bench) == before
            await renewed_own(bench, listener)
            after = own(bench)
            assert after.leaf_pem != before.leaf_pem
            assert after.key_pem != before.key_pem
            assert after.identity == before.identity

    run(test())


def test_keys_that_a_killed_listener_left_are_removed_at_the_next_start(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool():
            left, fresh = (bench.directory / f".identity.pem.{n}.part" for n in (61, 59))
            for n, path in ((61, left), (59, fresh)):
                path.write_bytes(b"a private key")
                written = bench.today.timestamp() - n
                os.utime(path, (written, written))
            async with bench.running():
                parts = sorted(bench.directory.glob(".identity.pem.*"))
            assert parts == [fresh]

    run(test())


def test_servers_show_the_new_leaf_and_the_line_is_made_with_it(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            await renewed_own(bench, listener)
            await bench.manager.heard("moving")
            join = await bench.manager.heard("join")
            assert [lease.instance for lease in join.leases] == [EI]
            assert bench.manager.lines[-1] == own(bench).not_after
            assert bench.manager.lines[-1] > bench.manager.lines[0]
            bench.revoke()
            assert (await bench.manager.heard("released")).epoch == 5

    run(test())


def test_nothing_reported_is_lost_over_a_move(bench: ListenerBench, run: Run) -> None:
    """What is reported while the listener moves is heard, once, and after the Join if later."""
    bench.set(heartbeat_timeout_s=60.0)
    moves = 4

    async def test() -> None:
        async with bench.granted() as listener:
            for n in range(moves):
                name = f"ei-{n + 2}"
                bench.grant(name, address=f"127.64.9.{n + 20}")
                await bench.until(partial(holds, listener, name))
                bench.revoke(name, grace_ms=0)
                moving = asyncio.create_task(renewed_own(bench, listener))
                await bench.until(partial(lacks, listener, name))
                await moving
            said: list[str] = []
            while said.count("released") < moves or said.count("moving") < moves:
                report = await bench.manager.next_report()
                said.append(str(report.WhichOneof("kind")))
            assert said.count("released") == moves
            assert said.index("moving") < said.index("join")

    run(test())


def test_calls_that_are_being_answered_on_the_old_line_are_answered(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            lease = listener.host.admission.leases[EI]
            asking = [asyncio.create_task(listener.grants.new_leaf(lease, 1)) for _ in range(8)]
            await renewed_own(bench, listener)
            await bench.manager.heard("moving")
            for bundle in await asyncio.gather(*asking):
                assert bundle.identity == Identity.worker(POOL, EI, 1)

    run(test())


def test_a_leaf_that_somebody_else_put_there_is_taken_too(
    bench: ListenerBench, authority: Authority, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running() as listener:
            life = timedelta(minutes=62)
            who = Identity.listener(POOL, "local")
            other = authority.bundle(who, bench.today, life)
            tls.save_bundle(bench.directory / "identity.pem", other)
            await listener.renewal.once()
            await bench.manager.heard("join")
            assert bench.manager.lines[-1] == other.not_after

    run(test())


def test_a_renewal_that_is_refused_is_tried_again_and_costs_no_line(
    bench: ListenerBench, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running() as listener:
            before = own(bench)
            bench.manager.refuse_to_renew = make_error("CERT_EXPIRED", "ended")
            for _ in range(3):
                await renewed_own(bench, listener)
            assert own(bench) == before
            assert listener.link.joined.is_set()
            bench.manager.refuse_to_renew = None
            await renewed_own(bench, listener)
            assert own(bench) != before

    with caplog.at_level(logging.WARNING):
        run(test())
    assert caplog.text.count("the listener's leaf isn't renewed") == 1


def test_without_a_manager_the_leaf_stays(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running() as listener:
            before = own(bench)
            await bench.manager.stop()
            await bench.until(lambda: not listener.link.joined.is_set())
            await renewed_own(bench, listener)
            assert own(bench) == before

    run(test())


def test_a_leaf_that_cannot_be_written_is_used_all_the_same(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted() as listener:
            before = own(bench)
            (worker,) = bench.spawner.of(EI)
            with unwritable(bench.directory / "identity.pem"):
                await renewed_own(bench, listener)
            await bench.manager.heard("join")
            assert bench.manager.lines[-1] > before.not_after
            await bench.until(lambda: worker.leaves)

    run(test())


class unwritable:
    """The file's directory is open to others, which is refused; then it is as it was."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        self.kept = self.path.read_bytes()
        self.path.parent.chmod(0o755)  # of which tls.save_bundle says UnsafePath, root or not

    def __exit__(self, *exc: object) -> None:
        self.path.parent.chmod(0o700)


def test_workers_get_the_cas_that_are_trusted_now(
    tmp_path: Path, bench: ListenerBench, authority: Authority, run: Run
) -> None:
    other = Authority.create(tmp_path / "other", POOL, bench.today)

    async def test() -> None:
        async with bench.granted() as listener:
            (worker,) = bench.spawner.of(EI)
            both = authority.ca_pem + other.ca_pem
            bench.manager.identity = replace(bench.manager.identity, ca_pem=both)
            await renewed_own(bench, listener)
            await bench.until(lambda: worker.leaves)
            assert worker.leaves[0].ca_pem == both
            assert own(bench).ca_pem == both

    run(test())


def test_leaves_of_seconds_are_renewed_again_and_again(bench: ListenerBench, run: Run) -> None:
    bench.leaf_life = timedelta(seconds=3)
    bench.set(heartbeat_timeout_s=60.0)

    async def test() -> None:
        async with bench.granted() as listener:
            (worker,) = bench.spawner.of(EI)
            await renewed_own(bench, listener)

            def time_passes() -> bool:
                bench.today = datetime.now(UTC)
                return len(set(bench.manager.lines)) >= 4 and len(worker.leaves) >= 3

            await bench.until(time_passes)
            assert len({leaf.leaf_pem for leaf in worker.leaves}) == len(worker.leaves)
            assert listener.link.joined.is_set()

    run(test())
