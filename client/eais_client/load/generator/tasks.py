"""Load made by the tasks of one event loop.

An event loop's own timers are exact to a millisecond only. So a thread sleeps until the next
request is due, and wakes the loop, which then sends all that are due.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Callable, Iterator, Sequence

from eais_client.load.generator.counts import Notes
from eais_client.load.generator.work import Request, Work


class TaskDriver:
    """The callers of a phase, tasks of a loop in a thread of its own."""

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        self._work = work
        self._loop = loop
        self._notes = Notes()
        self._numbers: Iterator[int] = itertools.count()
        self._under_way: dict[int, Request] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._chance = random.Random(work.seed)
        self._next = 0
        self._full_since: float | None = None
        self._free_at = work.begin
        self._ended = threading.Event()
        self._pacer = threading.Thread(target=self._pace, daemon=True, name="pacer")

    def start(self) -> None:
        """Begin."""
        if self._work.due is not None:
            self._pacer.start()
            return
        for _ in range(self._work.callers):
            asyncio.run_coroutine_threadsafe(self._closed(), self._loop)

    def join(self, until: float) -> None:
        """Wait for the last answers, until that moment at most; then let go of what is left."""
        work = self._work
        while self.running and work.now() < until:
            self._ended.wait(min(0.02, max(0.0, until - work.now())))

    @property
    def running(self) -> bool:
        """Whether an answer is waited for, or more is to be sent."""
        sending = not self._work.over() and not self._all_sent()
        return sending or bool(self._under_way)

    def notes(self) -> Sequence[Notes]:
        """What is noted."""
        return [self._notes]

    def under_way(self) -> list[Request]:
        """Requests that nothing was heard of."""
        return list(self._under_way.values())

    def cancel(self) -> None:
        """Let go of them."""
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._tasks])

    def _all_sent(self) -> bool:
        work, due = self._work, self._work.due
        if due is None or (work.live and work.now() < work.end):
            return False
        return self._next >= len(due)

    async def _closed(self) -> None:
        work = self._work
        await asyncio.sleep(max(0.0, work.begin - work.now()))
        for number in self._numbers:
            now = work.now()
            if now >= work.end or work.stopped.is_set():
                return
            await self._make(number, now, now)

    def _pace(self) -> None:
        number = 0
        while self._work.wait_for(number) is not None:
            self._loop.call_soon_threadsafe(self._send_due)
            # Where the loop was late it sends several at once.
            number = max(number + 1, self._next)

    def _send_due(self) -> None:
        """Send what is due, as far as there may be more under way."""
        work, due = self._work, self._work.due
        assert due is not None
        now = work.now()
        while self._next < len(due) and float(due[self._next]) <= now and not work.over():
            if len(self._tasks) >= work.callers:
                self._full_since = now if self._full_since is None else self._full_since
                return
            moment = float(due[self._next])
            self._begin(self._next, moment, max(self._free_at, work.begin))
            self._next += 1

    def _begin(self, number: int, due: float, free_at: float) -> None:
        task = self._loop.create_task(self._make(number, due, free_at))
        self._tasks.add(task)
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._full_since is not None:
            self._full_since, self._free_at = None, self._work.now()
            self._send_due()

    async def _make(self, number: int, due: float, free_at: float) -> None:
        work = self._work
        checks = work.check_share > 0 and self._chance.random() < work.check_share
        request = Request(work, self._notes, number, due, free_at, checks)
        request.model = work.model_of(number)
        self._under_way[number] = request
        try:
            await request.make_async()
        finally:
            self._under_way.pop(number, None)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Uvloop's where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


class LoopThread:
    """An event loop in a thread of its own, for as long as the process."""

    def __init__(self) -> None:
        self.loop = loop_factory()()
        thread = threading.Thread(target=self.loop.run_forever, daemon=True, name="loop")
        thread.start()
