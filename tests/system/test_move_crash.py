"""kill -9 of the manager at each step of a move.

A real manager process dies at each point in turn and is started again, while two real listeners
live on. The instance ends up on the other host, with one lease, and the ledger is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eais import tls
from eais.identity import Identity
from eais.rpc import verbs
from eais.rpc.v1 import hosts_pb2, pool_pb2
from eais_pool.authority import Authority
from eais_pool.failpoints import points
from eais_pool.store import Store
from tests.system.test_manager_crash import LIMIT_S, Pool, detach, running

MOVE_POINTS = points("drain", "grant_accepted", "released")
SECOND = "h2"
# The manager is started again at each of them, on a machine that may be busy.
ALL_OF_THEM_S = 10 * LIMIT_S


@contextlib.asynccontextmanager
async def two_hosts(root: Path) -> AsyncIterator[Pool]:
    """A pool with its own listener and one more, both joined."""
    async with running(root, ALL_OF_THEM_S) as pool:
        second = await asyncio.to_thread(start_second, pool)
        try:
            await until(pool, lambda hosts: sum(host.reachable for host in hosts) == 2)
            yield pool
        finally:
            second.terminate()
            await asyncio.to_thread(second.wait, LIMIT_S)


def start_second(pool: Pool) -> subprocess.Popen[bytes]:
    authority = Authority.load(pool.state_dir / "ca")
    identity = Identity.listener(authority.pool, SECOND)
    directory = pool.root / SECOND
    tls.save_bundle(directory / "identity.pem", authority.bundle(identity, datetime.now(UTC)))
    where = [f"--state-dir={directory}", f"--pool-file={pool.ready_file}", "--bind=127.0.0.2"]
    return pool.run("eais_server.listener", *where)


async def until(pool: Pool, holds: Any) -> None:
    """Wait until it holds of the hosts."""
    request = hosts_pb2.PoolStatusRequest()
    while True:
        status = await pool.retry(verbs.POOL_ADMIN_STATUS, request, "management")
        if holds(status.hosts):
            return
        await asyncio.sleep(0.02)


def is_empty(host: str) -> Any:
    """Whether that host, which can be reached, has no instance any more."""
    return lambda hosts: any(h.host == host and h.reachable and not h.instances for h in hosts)


def leases_in(directory: Path) -> list[str]:
    """The instances whose leases are on a listener's disk."""
    return [path.stem for path in (directory / "leases").glob("*.json")]


async def moved(pool: Pool, made: pool_pb2.Instance, point: str) -> None:
    """Drain the instance's host with a manager that dies at `point`; it is elsewhere then."""
    pool.die_at(point)
    drain = hosts_pb2.DrainRequest(op_id=str(uuid.uuid4()), host=made.host)
    died = asyncio.create_task(pool.died())
    await pool.retry(verbs.POOL_ADMIN_DRAIN, drain, "management")
    await died
    await until(pool, is_empty(made.host))
    (now,) = await pool.instances()
    assert (now.id, now.state) == (made.id, pool_pb2.IN_USE)
    assert now.host != made.host
    assert now.epoch > made.epoch
    assert [worker.serving for worker in now.workers] == [True]
    await pool.settled()
    assert await pool.shares() == [(made.id, "GRANTED")]
    folders = {"local": pool.state_dir / "listener", SECOND: pool.root / SECOND}
    assert leases_in(folders[made.host]) == []
    assert leases_in(folders[now.host]) == [made.id]
    uncordon = hosts_pb2.CordonRequest(op_id=str(uuid.uuid4()), host=made.host)
    await pool.retry(verbs.POOL_ADMIN_CORDON, uncordon, "management")


def test_a_move_survives_a_death_at_each_of_its_steps(tmp_path: Path) -> None:
    async def run() -> None:
        async with two_hosts(tmp_path) as pool:
            request = pool_pb2.AttachRequest(op_id=str(uuid.uuid4()), type="cpu.1")
            made = (await pool.retry(verbs.POOL_ATTACH, request)).instance
            for point in MOVE_POINTS:
                (now,) = await pool.instances()
                await until(pool, lambda hosts: all(host.reachable for host in hosts))
                await moved(pool, now, point)
            await pool.retry(verbs.POOL_DETACH, detach(made))

    asyncio.run(run())
    lines = [row for row in ledger(tmp_path) if row.device_s]
    assert len({row.epoch for row in lines}) >= len(MOVE_POINTS) + 1
    # Nothing is charged twice. A lease whose host was still lost when the next one began ended when
    # that was lost: after its own death the manager hears hosts one after the other.
    for one, other in itertools.pairwise(lines):
        assert one.ended <= other.began


def ledger(root: Path) -> list[Any]:
    """What is charged for, in order."""
    store = Store(root / "pool" / "manager" / "journal.sqlite")
    store.replay()
    found = store.ledger_rows()
    store.close()
    return found
