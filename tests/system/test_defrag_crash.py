"""kill -9 of the manager at each step of a defragmentation.

A real manager process dies at each point in turn and is started again, while two real listeners
live on. The list of moves is done all the same, and nothing is left of it but that.
"""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

from eais.rpc import verbs
from eais.rpc.v1 import hosts_pb2, pool_pb2
from eais_pool.failpoints import points
from tests.system.test_manager_crash import Pool, detach
from tests.system.test_move_crash import SECOND, leases_in, two_hosts, until

# Of the events of a move itself `test_move_crash` has all points.
OF_A_MOVE = ("grant_accepted.received", "grant_accepted.committed", "released.committed")
DEFRAG_POINTS = (*points("defrag"), *OF_A_MOVE)


async def attached_on(pool: Pool, host: str, other: str) -> pool_pb2.Instance:
    """An instance of half of the cores on that host of the two."""
    await cordon(pool, other, cordoned=True)
    request = pool_pb2.AttachRequest(op_id=str(uuid.uuid4()), type="cpu.2")
    made: pool_pb2.Instance = (await pool.retry(verbs.POOL_ATTACH, request)).instance
    await cordon(pool, other, cordoned=False)
    assert made.host == host
    return made


async def four_are_had(pool: Pool, host: str) -> None:
    """All cores of that host are free; and that somebody wants so many is learned."""
    request = pool_pb2.AttachRequest(op_id=str(uuid.uuid4()), type="cpu.4")
    made = (await pool.retry(verbs.POOL_ATTACH, request)).instance
    assert made.host == host
    await pool.retry(verbs.POOL_DETACH, detach(made))


async def cordon(pool: Pool, host: str, *, cordoned: bool) -> None:
    request = hosts_pb2.CordonRequest(op_id=str(uuid.uuid4()), host=host, cordoned=cordoned)
    await pool.retry(verbs.POOL_ADMIN_CORDON, request, "management")


async def defragmented(pool: Pool, point: str) -> hosts_pb2.DefragMove:
    """Have it done by a manager that dies at `point`; the one move of it."""
    await until(pool, lambda hosts: all(host.reachable for host in hosts))
    pool.die_at(point)
    died = asyncio.create_task(pool.died())
    found = await done(pool)
    await died
    # A manager that has just begun may not have heard of all hosts when it plans: it says so.
    while found.left_out:
        assert not found.moves
        await until(pool, lambda hosts: all(host.reachable for host in hosts))
        found = await done(pool)
    assert len(found.moves) == 1
    move: hosts_pb2.DefragMove = found.moves[0]
    return move


async def done(pool: Pool) -> hosts_pb2.DefragReply:
    """Have it done, by whichever manager is there."""
    request = hosts_pb2.DefragRequest(op_id=str(uuid.uuid4()))
    while True:
        found: hosts_pb2.DefragReply = await pool.retry(
            verbs.POOL_ADMIN_DEFRAG, request, "management"
        )
        if found.over:
            return found
        await asyncio.sleep(0.05)


def test_the_list_is_done_whenever_the_manager_dies(tmp_path: Path) -> None:
    async def run() -> None:
        async with two_hosts(tmp_path) as pool:
            made = [
                await attached_on(pool, "local", SECOND),
                await attached_on(pool, SECOND, "local"),
            ]
            folders = {"local": pool.state_dir / "listener", SECOND: pool.root / SECOND}
            for point in DEFRAG_POINTS:
                move = await defragmented(pool, point)
                assert (move.state, move.why) == ("done", ""), point
                await pool.settled()
                now = await pool.instances()
                assert {each.host for each in now} == {move.to}
                assert all(each.state == pool_pb2.IN_USE for each in now)
                assert sorted(await pool.shares()) == sorted((e.id, "GRANTED") for e in made)
                assert leases_in(folders[move.origin]) == []
                await four_are_had(pool, move.origin)
                gone = next(each for each in made if each.id == move.instance)
                await pool.retry(verbs.POOL_DETACH, detach(gone))
                made.remove(gone)
                made.append(await attached_on(pool, move.origin, move.to))
            for each in made:
                await pool.retry(verbs.POOL_DETACH, detach(each))

    asyncio.run(run())
