"""kill -9 of the manager at each step of making a token and of using it.

A token is unused after it, or used: never half of either. The operator's repeated question gets
the token that there is.
"""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from eais import joining
from eais.errors import EaisError, Unavailable
from eais.identity import Role
from eais.rpc import verbs
from eais.rpc.v1 import hosts_pb2
from eais_pool.failpoints import STEPS, points
from tests.system.test_manager_crash import Pool, running

# From here on it is durable.
WRITTEN = STEPS[: STEPS.index("committed")]


def question() -> hosts_pb2.CreateTokenRequest:
    return hosts_pb2.CreateTokenRequest(
        op_id=str(uuid.uuid4()), purpose="frontend", tenant="default", name="box"
    )


async def token(pool: Pool, asked: hosts_pb2.CreateTokenRequest) -> hosts_pb2.CreateTokenReply:
    made: hosts_pb2.CreateTokenReply = await pool.retry(
        verbs.POOL_ADMIN_CREATE_TOKEN, asked, "management"
    )
    return made


async def outcome(made: hosts_pb2.CreateTokenReply) -> str:
    """The reason of a refusal, or what the leaf says."""
    where = f"{made.enrolment.address}:{made.enrolment.port}"
    try:
        joined = await asyncio.to_thread(joining.join, where, made.token, Role.FRONTEND)
    except EaisError as error:
        return error.reason
    return joined.leaf.identity.name


async def outcome_when_up(made: hosts_pb2.CreateTokenReply) -> str:
    while (found := await outcome(made)) == "POOL_UNREACHABLE":  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    return found


def test_a_token_is_made_or_not_at_each_step_of_making_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as pool:
            for point in points("token_requested"):
                asked = question()
                pool.die_at(point)
                with pytest.raises(Unavailable):
                    await pool.ask(verbs.POOL_ADMIN_CREATE_TOKEN, asked, "management")
                await pool.died()
                made = await token(pool, asked)
                assert await token(pool, asked) == made
                assert (point, await outcome_when_up(made)) == (point, "box")

    asyncio.run(run())


def test_a_token_is_unused_or_used_at_each_step_of_its_use(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as pool:
            for step, point in zip(STEPS, points("join_requested"), strict=True):
                made = await token(pool, question())
                pool.die_at(point)
                assert (point, await outcome(made)) == (point, "POOL_UNREACHABLE")
                await pool.died()
                right = "box" if step in WRITTEN else "TOKEN"
                assert (point, await outcome_when_up(made)) == (point, right)
                assert await outcome_when_up(made) == "TOKEN"

    asyncio.run(run())
