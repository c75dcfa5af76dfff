"""A target whose service times are known, in real time, to see what a load test says of it."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from eais_client.load.brain.plan import ModelLoad
from eais_client.load.generator.alarm import Alarm
from eais_client.load.target import Feeds, RequestFailed, ServerTimes, Split, TargetSpec
from eais_client.load.testing.null import SIGNATURE
from eais_client.load.testing.service import Service, Turn, known_of


class KnownTarget:
    """Its models give back their inputs, in a time that its settings, `Known`'s, say.

    A call is over when its turn's end has come, whatever threads do meanwhile: what the machine
    adds is the delay of one wake-up, never of those before it in a queue.
    """

    def __init__(self, spec: TargetSpec) -> None:
        self.signature = SIGNATURE
        self._settings = dict(spec.settings)
        self._service = Service(known_of(spec.settings))
        self._lock = threading.Lock()
        self._alarms: list[Alarm] = []
        self._split: ContextVar[Split | None] = ContextVar("split", default=None)

    def open(self, model: ModelLoad, timeout_s: float) -> KnownTarget:
        """Itself."""
        return self

    def call(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """The inputs, or what is near them."""
        turn, arrived = self._turn()
        if math.isinf(turn.end):
            threading.Event().wait()
        while (left := turn.end - time.monotonic()) > 0:
            time.sleep(left)
        return self._answer(turn, arrived, feeds)

    async def call_async(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """The inputs, or what is near them."""
        turn, arrived = self._turn()
        await self._sleep_until(turn.end)
        return self._answer(turn, arrived, feeds)

    def last_split(self) -> Split | None:
        """The wait for its turn, and its service."""
        return self._split.get()

    def about(self) -> Mapping[str, str]:
        """Its settings."""
        return self._settings

    def server_times(self, model: ModelLoad) -> ServerTimes | None:
        """None are kept."""
        return None

    def close(self) -> None:
        """Let go of the alarms."""
        for alarm in self._alarms:
            alarm.close()

    def _turn(self) -> tuple[Turn, float]:
        with self._lock:
            arrived = time.monotonic()
            turn = self._service.arrived(arrived)
        if turn.refused:
            raise RequestFailed(turn.refused, "as its settings say")
        return turn, arrived

    def _answer(self, turn: Turn, arrived: float, feeds: Feeds) -> Sequence[Any]:
        self._split.set(Split(queue_s=turn.begin - arrived, compute_s=turn.end - turn.begin))
        return [value + 1 if turn.wrong else value for value in feeds.values()]

    async def _sleep_until(self, moment: float) -> None:
        """A loop's own timers are exact to a millisecond only."""
        loop = asyncio.get_running_loop()
        alarm = self._alarms.pop() if self._alarms else Alarm()
        rung = asyncio.Event()
        loop.add_reader(alarm.fd, rung.set)
        alarm.set(moment)
        try:
            await rung.wait()
        finally:
            loop.remove_reader(alarm.fd)
            self._alarms.append(alarm)
