"""Once a second, what instances did goes to their controllers, and their decisions to the pump."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from eais.errors import Unavailable
from eais_pool.brain.ratios import Ratios
from eais_pool.pump import Pump

log = logging.getLogger(__name__)

PERIOD_S = 1.0


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
        told = self._clock()
        while True:
            await asyncio.sleep(max(0.0, told + PERIOD_S - self._clock()))
            # A machine that is busy may have let several go by.
            seconds = max(1, round((self._clock() - told) / PERIOD_S))
            told += seconds * PERIOD_S
            for event in self._ratios.on_second(self._pump.state, self._clock(), seconds):
                try:
                    await self._pump.submit(event)
                except Unavailable as error:
                    log.warning("%s", error)
