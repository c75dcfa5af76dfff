"""Sees whether a device still computes, from the worker that has a share of it.

Once a second the canary takes its turn among the calls; an answer that isn't the known one is the
device's failure. If its turn doesn't come, the same calls have been running for long: then it runs
beside them. A device that computes answers that, however long a model takes; one that hangs
doesn't.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from eais_server.devices.driver import PLAIN_RUN, RuntimeSession
from eais_server.worker.canary import EVERY_S, FEED, READY_S, Canary

log = logging.getLogger(__name__)

BESIDE_S: Final = 10.0
"""How long the known answer may take beside calls: they may keep the machine's cores busy."""


class DeviceWatch:
    """All on the event loop; `run` is to be a task.

    Args:
        canary: takes its turn among the calls.
        session: what it runs.
        hangs: told when nothing is answered any more, not even beside the calls.
        turn_s: for which it waits for the canary's turn.
        beside_s: for which it waits beside the calls.
    """

    def __init__(
        self,
        canary: Canary,
        session: RuntimeSession,
        hangs: Callable[[], None],
        turn_s: float = READY_S,
        beside_s: float = BESIDE_S,
    ) -> None:
        self._canary = canary
        self._session = session
        self._hangs = hangs
        self._turn_s, self._beside_s = turn_s, beside_s
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Until cancelled, or until the device hangs."""
        while True:
            if not await self._computes():
                break
            await asyncio.sleep(EVERY_S)
        log.error("the device answers nothing, whoever asks")
        self._hangs()

    async def _computes(self) -> bool:
        try:
            async with asyncio.timeout(self._turn_s):
                await self._canary.once()
        except TimeoutError:
            return await self._answers_beside()
        return True

    async def _answers_beside(self) -> bool:
        """Whether a run of the canary, on a thread of its own, ends; whatever it ends in."""
        ended = asyncio.Event()

        def run() -> None:
            try:
                self._session.prepare(PLAIN_RUN).execute([], dict(FEED))
            except Exception as error:  # noqa: BLE001 - it ended; a wrong answer is found in turn
                log.info("beside the calls: %s", error)
            with suppress(RuntimeError):  # the worker has ended meanwhile
                self._loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=run, name="beside", daemon=True).start()
        try:
            async with asyncio.timeout(self._beside_s):
                await ended.wait()
        except TimeoutError:
            return False
        return True
