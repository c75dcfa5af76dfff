"""Load made by the tasks of one event loop.

In an open loop nobody waits for the next request but an alarm: when it goes off all that are due
are sent, a task each.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from eais_client.load.generator.alarm import Alarm
from eais_client.load.generator.counts import Notes
from eais_client.load.generator.request import Request
from eais_client.load.generator.work import Work, nothing

_LOOK_EVERY_S: Final = 0.02
_CLOSES_WITHIN_S: Final = 5.0


class TaskDriver:
    """The callers of a phase, tasks of a loop in a thread of its own."""

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        self._work = work
        self._loop = loop
        self._notes = Notes()
        self._numbers: Iterator[int] = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._chance = random.Random(work.seed)
        self._next = 0
        self._full = self._blocked = False
        self._free_at = work.begin
        self._alarm: Alarm | None = None

    def start(self) -> None:
        """Begin."""
        self._loop.call_soon_threadsafe(
            self._begin_closed if self._work.due is None else self._begin_open
        )

    def join(self, until: float) -> None:
        """Wait for the last answers, until that moment at most."""
        work = self._work
        while self.running and (left := until - work.now()) > 0:
            time.sleep(min(_LOOK_EVERY_S, left))

    @property
    def running(self) -> bool:
        """Whether an answer is waited for, or more is to be sent."""
        sending = not self._work.over() and not self._all_sent()
        return sending or bool(self._work.under_way)

    def notes(self) -> Sequence[Notes]:
        """What is noted."""
        return [self._notes]

    def let_go(self, requests: Sequence[Request]) -> None:
        """Of requests that were given up: their callers may go on."""
        for request in requests:
            self._loop.call_soon_threadsafe(request.cancel)

    def close(self) -> None:
        """After the phase: let go of requests that nothing was heard of."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_CLOSES_WITHIN_S)

    async def _close(self) -> None:
        self._work.on_change = nothing
        if self._alarm is not None:
            self._loop.remove_reader(self._alarm.fd)
            self._alarm.close()
            self._alarm = None
        for task in self._tasks:
            task.cancel()

    def _all_sent(self) -> bool:
        work, due = self._work, self._work.due
        if due is None or (work.live and work.now() < work.end):
            return False
        return self._next >= len(due)

    def _begin_closed(self) -> None:
        for _ in range(self._work.callers):
            self._keep(self._loop.create_task(self._closed()))

    async def _closed(self) -> None:
        work = self._work
        await asyncio.sleep(max(0.0, work.begin - work.now()))
        for number in self._numbers:
            now = work.now()
            if now >= work.end or work.stopped.is_set():
                return
            await self._request(number, now, now).make_async()

    def _begin_open(self) -> None:
        self._alarm = Alarm()
        self._loop.add_reader(self._alarm.fd, self._send_due)
        self._work.on_change = self._wake
        self._send_due()

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._send_due)

    def _send_due(self) -> None:
        """Send what is due, as far as there may be more under way; be woken for the next."""
        if self._alarm is None:
            return
        work, due, now = self._work, self._work.due, self._work.now()
        assert due is not None
        wake_at = math.inf
        while self._next < len(due) and not work.over():
            moment = float(due[self._next])
            if moment > now:
                wake_at = moment
                break
            if len(self._tasks) >= work.callers:
                # Tasks that haven't come to call yet are this loop's own delay, no answer's.
                self._full = True
                self._blocked = len(work.under_way) >= work.callers
                break
            request = self._request(self._next, moment, self._free_at)
            self._keep(self._loop.create_task(request.make_async()))
            self._next += 1
        self._alarm.set(wake_at)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._full:
            self._full = False
            if self._blocked:
                self._free_at = self._work.now()
            self._send_due()

    def _request(self, number: int, due: float, free_at: float) -> Request:
        work = self._work
        checks = work.checks(due, self._chance)
        return Request(work, self._notes, number, due, free_at, checks, work.model_of(number))


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
