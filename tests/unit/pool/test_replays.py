"""The children that replay demand: their answers, their bounds, and that none is left."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eais.errors import EaisError, Unavailable
from eais_pool.brain.codec import to_json
from eais_pool.replay_child import answer
from eais_pool.replays import Limits, Replays
from eais_pool.sim.replay import Asked
from tests.unit.pool.sim.test_replay import END, row

ASKED = Asked(0, END, END, ("fixed:1:0",))


async def rows_of(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def endless() -> AsyncIterator[str]:
    while True:
        yield to_json(row([8.0] * 60))


def children() -> set[str]:
    """Processes of this one that are there, dead ones that nobody reaped included."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {pid for task in tasks for pid in task.read_text().split()}


def replay(limits: Limits, asked: Asked, rows: AsyncIterator[str]) -> list[dict[str, Any]]:
    before = children()
    try:
        return asyncio.run(Replays(limits).run(to_json(asked), rows))
    finally:
        assert children() == before


def test_a_child_answers_what_was_asked_and_is_gone() -> None:
    found = replay(Limits(), ASKED, rows_of(to_json(row([8.0] * 60))))
    assert [each["policy"] for each in found[:3]] == ["as it was", "oracle", "fixed:1:0"]
    assert found == answer([to_json(ASKED), to_json(row([8.0] * 60))])["lines"]
    assert json.dumps(found)


def test_nothing_recorded_says_when_there_was_something() -> None:
    with pytest.raises(EaisError, match="NOT_FOUND: nothing was recorded yet"):
        replay(Limits(), ASKED, rows_of())
    asked = Asked(END - 7200, END - 3600, END)
    text = "nothing was recorded in that time, but from 1 m until 0 m ago"
    with pytest.raises(EaisError, match=text):
        replay(Limits(), asked, rows_of(to_json(row([8.0] * 60))))


def test_one_that_takes_too_much_cpu_is_ended() -> None:
    rows = (to_json(row([8.0 + n % 7] * 60, ended=END - 60 * n)) for n in reversed(range(1000)))
    asked = Asked(END - 80_000, END, END, ("auto", "min=1", "min=2", "min=3"))
    with pytest.raises(EaisError, match=r"REPLAY_LIMIT: .* 1 s of CPU"):
        replay(Limits(cpu_s=1), asked, rows_of(*rows))


def test_one_that_takes_too_much_memory_is_ended() -> None:
    big = to_json(row([8.0] * 2_000_000))
    with pytest.raises(EaisError, match=r"REPLAY_LIMIT: .* 160 MiB"):
        replay(Limits(memory_mib=160), ASKED, rows_of(big))


def test_one_that_takes_too_long_is_ended() -> None:
    with pytest.raises(EaisError, match="REPLAY_LIMIT: the replay took longer than 1 s"):
        replay(Limits(wall_s=1.0), ASKED, endless())


def test_who_goes_away_leaves_no_child() -> None:
    async def gone() -> None:
        before, begun = children(), asyncio.Event()

        async def told() -> AsyncIterator[str]:
            begun.set()
            async for each in endless():
                yield each

        task = asyncio.create_task(Replays().run(to_json(ASKED), told()))
        await begun.wait()
        assert len(children() - before) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert children() == before

    asyncio.run(gone())


def test_each_caller_has_one_and_all_of_them_a_few() -> None:
    replays = Replays(Limits(at_once=2))
    with replays.place("a"):
        with pytest.raises(Unavailable, match="BUSY: a replay of yours"), replays.place("a"):
            pass
        with (
            replays.place("b"),
            pytest.raises(Unavailable, match="BUSY: 2 replays"),
            replays.place("c"),
        ):
            pass
    with replays.place("a"), replays.place("c"):
        pass


SCRIPT = """
import asyncio
from eais_pool.replays import Replays
from tests.unit.pool.test_replays import ASKED, children, endless, to_json

async def rows():
    async for row in endless():
        print(*children(), flush=True)
        yield row

asyncio.run(Replays().run(to_json(ASKED), rows()))
"""


def test_a_manager_that_is_killed_takes_its_child_with_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, parent.stdout as said:
        handle = os.pidfd_open(int(said.readline()))
        os.kill(parent.pid, signal.SIGKILL)
        ended, _, _ = select.select([handle], [], [], 60.0)
        os.close(handle)
    assert ended
