"""Once a second, what instances did goes to their controllers, and their decisions to the pump.

After a start they are told what was seen before it, a part of each second, so that decisions go on
meanwhile; a short past is told before the first one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

from eais.errors import Unavailable
from eais_pool.brain.codec import from_json
from eais_pool.brain.ratio_records import DemandSeen
from eais_pool.brain.ratios import Ratios
from eais_pool.pump import Pump

log = logging.getLogger(__name__)

PERIOD_S = 1.0
AT_FIRST_S: Final = 1.0
"""So long the past is told before anything is decided."""
A_SECOND_S: Final = 0.2
"""Of each second, after that."""
STOP_S: Final = 0.5
MADE_UP_FOR_S: Final = 30
"""A machine that stood still for longer, as one that was suspended, saw nothing of that time."""


def gone_by(told: float, now: float) -> tuple[int, float]:
    """Seconds to tell of, and until when that is; several if the machine is busy."""
    seconds = max(1, round((now - told) / PERIOD_S))
    if seconds > MADE_UP_FOR_S:
        log.warning("nothing was seen for %d s: the machine stood still", seconds)
        return 1, now
    return seconds, told + seconds * PERIOD_S


class RatioLoop:
    """Runs the controllers of one pool.

    Args:
        clock: seconds.
    """

    def __init__(self, ratios: Ratios, pump: Pump, clock: Callable[[], float]) -> None:
        self._ratios = ratios
        self._pump = pump
        self._clock = clock

    async def run(self) -> None:
        """Go on until cancelled."""
        past = self._past()
        recalls = await self._recall(past, AT_FIRST_S)
        told = self._clock()
        while True:
            await asyncio.sleep(max(0.0, told + PERIOD_S - self._clock()))
            seconds, told = gone_by(told, self._clock())
            for event in self._ratios.on_second(self._pump.state, self._clock(), seconds):
                try:
                    await self._pump.submit(event)
                except Unavailable as error:
                    log.warning("%s", error)
            recalls = recalls and await self._recall(past, A_SECOND_S)

    async def stop(self) -> None:
        """Hand over what was seen since the last minute, before the pump refuses it."""
        for event in self._ratios.on_stop(self._pump.state, self._clock()):
            try:
                async with asyncio.timeout(STOP_S):
                    await self._pump.submit(event)
            except (Unavailable, TimeoutError) as error:
                log.warning("what was seen in the last minute is lost: %s", error)

    async def _past(self) -> AsyncIterator[DemandSeen]:
        """What was handed over before, of the instances that are decided about now."""
        wanted = {f'{{"instance":"{name}",' for name in self._ratios.begin(self._pump.state)}
        if not wanted:
            return
        async for text in self._pump.demand():
            if f"{text.partition(',')[0]}," in wanted:
                yield from_json(DemandSeen, text)

    async def _recall(self, past: AsyncIterator[DemandSeen], seconds: float) -> bool:
        """Tell of the past for so long; whether more of it is left."""
        until = self._clock() + seconds
        try:
            async for fact in past:
                self._ratios.remember(fact)
                if self._clock() >= until:
                    return True
                await asyncio.sleep(0)
        except Unavailable as error:
            log.warning("what was seen before isn't known: %s", error)
        self._ratios.recall()
        return False
