"""What becomes of single requests, and how it is noted and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from eais.errors import Unavailable
from eais_client.load.checking import Prepared
from eais_client.load.generator.counts import Counted, Notes
from eais_client.load.generator.reckoning import Reckoner
from eais_client.load.generator.request import Request
from eais_client.load.generator.work import OVERDUE_S, Called, Work
from eais_client.load.target import Feeds, RequestFailed, Split
from eais_client.load.testing.null import SIGNATURE

ONE = np.ones(1, np.float32)


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Scripted:
    """A caller that does what it is told to."""

    def __init__(self, does: Callable[[], Any], split: Split | None = None) -> None:
        self.signature = SIGNATURE
        self._does = does
        self._split = split

    def call(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        found: Sequence[Any] = self._does()
        return found

    async def call_async(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        found: Sequence[Any] = self._does()
        if isinstance(found, asyncio.Future):
            await found
        return found

    def last_split(self) -> Split | None:
        return self._split


class Stand:
    """One model, whose requests are due at 100 s."""

    def __init__(self, does: Callable[[], Any], split: Split | None = None) -> None:
        self.clock = Clock()
        self.notes = Notes()
        prepared = Prepared(({"x": ONE},), ((ONE,),), "exact")
        self.work = Work(
            models=[Called(Scripted(does, split), prepared)],
            models_of=np.zeros(1, np.int64),
            due=None,
            callers=1,
            begin=100.0,
            end=200.0,
            timeout_s=5.0,
            check_share=1.0,
            seed=1,
            now=self.clock,
        )

    def after(self, seconds: float, answer: Any) -> Any:
        self.clock.now += seconds
        return answer

    def request(self, *, due: float = 100.0, free_at: float = 100.0) -> Request:
        return Request(self.work, self.notes, 0, due, free_at, checks=True, model=0)

    def counted(self, *more: Notes) -> Counted:
        reckoner = Reckoner(["m"], 100.0, lambda: self.work.ended)
        return reckoner.counted([self.notes.taken(), *more])


def raising(error: Exception) -> Callable[[], Any]:
    def call() -> Any:
        raise error

    return call


def test_latency_counts_from_when_it_was_due_and_service_from_its_sending() -> None:
    stand = Stand(lambda: stand.after(0.2, [ONE]))
    stand.clock.now = 100.5
    stand.request().make()
    tally = stand.counted().model("m")
    assert (tally.sent, tally.answered, tally.checked) == (1, 1, 1)
    assert tally.latency.get_max_value() == pytest.approx(700_000, rel=0.001)
    assert tally.service.get_max_value() == pytest.approx(200_000, rel=0.001)


def test_who_was_free_is_late_and_who_was_not_was_blocked() -> None:
    stand = Stand(lambda: [ONE])
    stand.clock.now = 100.5
    stand.request(free_at=100.4).make()
    found = stand.counted()
    assert found.lag.get_max_value() == pytest.approx(100_000, rel=0.001)
    assert found.blocked.get_max_value() == pytest.approx(400_000, rel=0.001)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("UNAVAILABLE", "nobody there"), "UNAVAILABLE"),
        (RequestFailed("RESOURCE_EXHAUSTED", "full"), "RESOURCE_EXHAUSTED"),
        (TimeoutError(), "DEADLINE_EXCEEDED"),
        (ZeroDivisionError("by none"), "ZeroDivisionError"),
    ],
)
def test_a_failure_has_a_reason_and_no_latency(error: Exception, reason: str) -> None:
    stand = Stand(raising(error))
    stand.request().make()
    found = stand.counted()
    tally = found.model("m")
    assert tally.errors == {reason: 1}
    assert tally.texts[reason]
    assert tally.latency.get_total_count() == tally.service.get_total_count() == 0
    assert (found.interval(0).sent, found.interval(0).failed) == (1, 1)


def test_an_answer_after_its_time_is_a_failure() -> None:
    stand = Stand(lambda: stand.after(5.1, [ONE]))
    stand.request().make()
    assert stand.counted().model("m").errors == {"DEADLINE_EXCEEDED": 1}


@pytest.mark.parametrize("answer", [[ONE + 1], [], [ONE, ONE], None, 7])
def test_an_answer_that_differs_or_cant_be_read_is_wrong(answer: Any) -> None:
    stand = Stand(lambda: answer)
    stand.request().make()
    tally = stand.counted().model("m")
    assert (tally.answered, tally.wrong, tally.checked) == (0, 1, 1)
    assert tally.texts["WRONG"]


def test_where_time_went_is_counted_of_right_answers() -> None:
    split = Split(queue_s=0.1, compute_s=0.2, batch_size=3)
    stand = Stand(lambda: [ONE], split)
    stand.request().make()
    tally = stand.counted().model("m")
    assert tally.parts["queue"].get_max_value() == pytest.approx(100_000, rel=0.001)
    assert tally.parts["compute"].get_max_value() == pytest.approx(200_000, rel=0.001)
    assert tally.batch_size == 3


def test_a_request_whose_time_is_over_is_given_up_and_its_answer_counts_no_more() -> None:
    stand = Stand(lambda: late())
    overdue = Notes()

    def late() -> Any:
        stand.clock.now += 5.0 + 2 * OVERDUE_S
        for each in stand.work.given_up():
            each.give_up(overdue)
        assert stand.work.hung == {0}
        return [ONE]

    stand.request().make()
    tally = stand.counted(overdue).model("m")
    assert (tally.sent, tally.answered, dict(tally.errors)) == (1, 0, {"DEADLINE_EXCEEDED": 1})
    assert stand.work.hung == set()
    assert stand.work.under_way == {}


def test_one_that_still_has_time_is_not() -> None:
    stand = Stand(lambda: stand.work.given_up() or [ONE])
    stand.request().make()
    assert stand.counted().model("m").answered == 1


def test_a_task_whose_request_is_given_up_goes_on() -> None:
    async def scene() -> Counted:
        stand, overdue = Stand(lambda: asyncio.get_running_loop().create_future()), Notes()
        request = stand.request()
        task = asyncio.create_task(request.make_async())
        await asyncio.sleep(0)
        stand.clock.now += 6.0
        for each in stand.work.given_up():
            each.give_up(overdue)
            each.cancel()
        await task
        return stand.counted(overdue)

    assert asyncio.run(scene()).model("m").errors == {"DEADLINE_EXCEEDED": 1}


def test_a_task_that_is_ended_with_its_phase_leaves_its_request_under_way() -> None:
    async def scene() -> Stand:
        stand = Stand(lambda: asyncio.get_running_loop().create_future())
        task = asyncio.create_task(stand.request().make_async())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return stand

    stand = asyncio.run(scene())
    assert list(stand.work.under_way) == [0]
    assert stand.counted().models == {}


def test_what_was_due_before_measuring_began_is_not_counted() -> None:
    stand = Stand(lambda: [ONE])
    stand.request(due=99.9).make()
    assert stand.counted().model("m").answered == 0
