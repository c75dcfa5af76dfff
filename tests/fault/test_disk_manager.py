"""A manager on a disk that is full or read-only: it starts, serves what it knows, changes nothing.

A real manager process with its state on a small disk of its own, and a real listener on another.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from eais.errors import Unavailable
from eais.rpc import verbs
from eais.rpc.v1 import hosts_pb2, pool_pb2
from tests.fault.damage import filled, read_only, small_disk
from tests.system.test_manager_crash import (
    LIMIT_S,
    Pool,
    attach,
    attached_once,
    detach,
    joined,
    running,
)


@contextlib.asynccontextmanager
async def pool_on_a_small_disk(root: Path) -> AsyncIterator[Pool]:
    state_dir = Pool(root).state_dir
    with small_disk(state_dir, "2m"), small_disk(state_dir / "listener", "200m"):
        async with running(root) as pool:
            await joined(pool)
            yield pool


async def killed(pool: Pool) -> None:
    assert pool.manager is not None
    pool.manager.kill()
    await asyncio.to_thread(pool.manager.wait, LIMIT_S)


async def refused(pool: Pool, made: pool_pb2.Instance) -> None:
    """A change is refused by name, and without a path."""
    with pytest.raises(Unavailable) as caught:
        await pool.ask(verbs.POOL_DETACH, detach(made))
    assert caught.value.reason == "JOURNAL_UNAVAILABLE"
    assert str(pool.root) not in str(caught.value)


async def heard(pool: Pool) -> hosts_pb2.PoolStatusReply:
    """The manager's answer, once it serves."""
    reply: hosts_pb2.PoolStatusReply = await pool.retry(
        verbs.POOL_ADMIN_STATUS, hosts_pb2.PoolStatusRequest(), "management"
    )
    return reply


@pytest.mark.parametrize("how", [filled, read_only])
def test_it_starts_and_waits(
    tmp_path: Path, how: Callable[[Path], AbstractContextManager[None]]
) -> None:
    async def run() -> None:
        async with pool_on_a_small_disk(tmp_path) as pool:
            made = await attached_once(pool, attach())
            await killed(pool)
            with how(pool.state_dir):
                pool.start()
                await heard(pool)
                assert [each.id for each in await pool.instances()] == [made.id]
                (there,) = await pool.instances()
                assert (there.state, there.workers) == (made.state, made.workers)
                await refused(pool, made)
                await killed(pool)
            # The manager must not have the disk open while it is made writable, only then.
            pool.start()
            await pool.settled()
            assert await pool.held() == [(made.id, 1)]
            await pool.retry(verbs.POOL_DETACH, detach(made))

    asyncio.run(run())


def test_space_is_enough_for_it_to_go_on(tmp_path: Path) -> None:
    """Of a manager that started on a full disk, and of one whose disk filled up; no restart."""

    async def run() -> None:
        async with pool_on_a_small_disk(tmp_path) as pool:
            made = await attached_once(pool, attach())
            with filled(pool.state_dir):
                await refused(pool, made)
                assert len(await pool.instances()) == 1
                await killed(pool)
                pool.start()
                await heard(pool)
                await refused(pool, made)
            request = detach(made)
            gone = (await pool.retry(verbs.POOL_DETACH, request)).instance
            assert gone.state == pool_pb2.DELETED
            await pool.settled()
            again = await attached_once(pool, attach())
            with filled(pool.state_dir):
                await refused(pool, again)
                status = await heard(pool)
                assert [host.reachable for host in status.hosts] == [True]
            await pool.retry(verbs.POOL_DETACH, detach(again))

    asyncio.run(run())


def test_a_damaged_journal_is_no_start(tmp_path: Path) -> None:
    async def run() -> None:
        async with pool_on_a_small_disk(tmp_path) as pool:
            await attached_once(pool, attach())
            await killed(pool)
            log = pool.state_dir / "manager" / "journal.sqlite-wal"
            log.write_bytes(log.read_bytes()[:-4096])
            pool.start()
            assert pool.manager is not None
            assert await asyncio.to_thread(pool.manager.wait, LIMIT_S) == 2
            said = (tmp_path / "eais_pool.manager.log").read_text().splitlines()[-1]
            assert said.startswith("error: JOURNAL_CORRUPT: ")
            assert "rows after" in said

    asyncio.run(run())
