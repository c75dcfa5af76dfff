from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from eais_server.worker.alarm import Alarm
from eais_server.worker.deadlines import Deadline, Deadlines

Run = Callable[[Coroutine[Any, Any, None]], None]
STEPS = st.lists(st.tuples(st.sampled_from("agd"), st.integers(0, 50)), max_size=300)


@given(STEPS)
def test_what_is_due_is_what_was_added_and_not_given_up(steps: list[tuple[str, int]]) -> None:
    deadlines: Deadlines[int] = Deadlines()
    known: dict[int, Deadline[int]] = {}
    for number, (step, at) in enumerate(steps):
        if step == "a":
            known[number] = deadlines.add(float(at), number)
        elif step == "g" and known:
            gone = list(known)[at % len(known)]
            deadlines.give_up(known[gone])
            deadlines.give_up(known.pop(gone))
        elif step == "d":
            late = sorted((made.at_s, n) for n, made in known.items() if made.at_s <= at)
            found = deadlines.due(float(at))
            assert sorted((known.pop(n).at_s, n) for n in found) == late
        assert len(deadlines) == len(known)
        assert (deadlines.next_s is None) <= (not known)


def test_the_earliest_comes_first() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for at_s, item in ((3.0, "c"), (1.0, "a"), (9.0, "z"), (2.0, "b")):
        deadlines.add(at_s, item)
    assert deadlines.next_s == 1.0
    assert deadlines.due(5.0) == ["a", "b", "c"]
    assert deadlines.next_s == 9.0


def test_those_that_are_given_up_take_no_more_room_than_those_that_count() -> None:
    deadlines: Deadlines[int] = Deadlines()
    kept = [deadlines.add(600.0, number) for number in range(10)]
    for number in range(100_000):
        deadlines.give_up(deadlines.add(600.0, number))
        assert len(deadlines._heap) < 300
    assert len(deadlines) == len(kept)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_an_alarm_tells_each_once_in_order_whichever_was_set_first(run: Run) -> None:
    async def test() -> None:
        told: list[str] = []
        done = asyncio.Event()

        def late(item: str) -> None:
            told.append(item)
            if item == "last":
                done.set()

        alarm: Alarm[str] = Alarm(late)
        alarm.set(0.02, "last")
        alarm.give_up(alarm.set(0.01, "given up"))
        alarm.set(0.001, "first")
        async with asyncio.timeout(20):
            await done.wait()
        assert told == ["first", "last"]

    run(test())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_what_is_set_while_another_is_told_is_told_too(run: Run) -> None:
    async def test() -> None:
        told: list[int] = []
        done = asyncio.Event()

        def late(item: int) -> None:
            told.append(item)
            if item < 3:
                alarm.set(0.0, item + 1)
            else:
                done.set()

        alarm: Alarm[int] = Alarm(late)
        alarm.set(0.0, 1)
        alarm.give_up(alarm.set(0.0, 9))
        async with asyncio.timeout(20):
            await done.wait()
        assert told == [1, 2, 3]

    run(test())
