"""What turns over on the manager: its machine's identities, and the pool's CA."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from eais.errors import Unavailable
from eais.rpc.v1 import hosts_pb2
from eais_pool.authority import Authority
from eais_pool.brain import ca_roll
from eais_pool.owner import Keeper

log = logging.getLogger(__name__)


class Turnover:
    """Begins rolls of the CA, ends their phases in time, and has identities kept fresh.

    The CA is changed on the event loop, so that nothing is signed meanwhile. Identities are
    written on a thread: the owner's are on another disk than the pool's, which may stand still.
    """

    def __init__(
        self,
        authority: Authority,
        keeper: Keeper,
        leaf_life: timedelta,
        wall: Callable[[], datetime],
    ) -> None:
        self._authority = authority
        self._keeper = keeper
        self._leaf_life = leaf_life
        self._wall = wall
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="identities")

    async def begin_roll(self) -> bool:
        """Announce a new CA, durably; False if a roll is under way already.

        Raises:
            Unavailable: JOURNAL_UNAVAILABLE, it can't be written; nothing was begun.
        """
        try:
            self._authority.set_leaf_life(self._leaf_life, self._wall())
            begun = self._authority.begin_roll(self._wall())
        except OSError as error:
            log.error("a new CA can't be written: %s", error)
            raise Unavailable(
                "JOURNAL_UNAVAILABLE", "the new CA can't be written: the manager's disk failed"
            ) from None
        if begun:
            log.info("a new CA is announced; it signs from %s on", self._authority.roll.phase_ends)
            # The manager's own sockets trust the new one from now on.
            await self._refresh()
        return begun

    def close(self) -> None:
        """Write no more identities; what is being written is."""
        self._writer.shutdown(wait=True, cancel_futures=True)

    async def run(self) -> None:
        """Until cancelled, do what is due."""
        while True:
            await asyncio.sleep(self._keeper.interval_s)
            self.advance()
            await self._refresh()

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writer, self._keeper.refresh_or_log)

    def advance(self) -> None:
        """End the phase of a roll whose time is over, also while no manager ran."""
        try:
            self._authority.set_leaf_life(self._leaf_life, self._wall())
            if self._authority.advance(self._wall()):
                log.info("the roll of the CA is %s", self._authority.roll.phase)
        except OSError as error:
            log.error("the roll of the CA stays %s: %s", self._authority.roll.phase, error)

    def state(self) -> hosts_pb2.CaState:
        """How the CA stands now."""
        now = self._wall()
        phase_left, roll_left = ca_roll.left(self._authority.roll, now)
        return hosts_pb2.CaState(
            phase=self._authority.roll.phase.value,
            phase_left_s=_seconds(phase_left),
            roll_left_s=_seconds(roll_left),
            ca_left_s=_seconds(self._authority.ends - now),
            ca_ends_unix_s=round(self._authority.ends.timestamp()),
            ca_sha256=self._authority.signer_sha256,
        )


def _seconds(left: timedelta) -> int:
    """Rounded up, so that what isn't over isn't 0."""
    return max(0, -(-left // timedelta(seconds=1)))
