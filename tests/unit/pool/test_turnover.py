"""Identities and the CA beside a disk that stands still."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from eais import tls
from eais_pool.authority import Authority
from eais_pool.owner import Keeper
from eais_pool.turnover import Turnover

LIFE = timedelta(hours=1)
WAIT_S = 20.0


def wall() -> datetime:
    return datetime.now(UTC)


class Slow(Keeper):
    """A keeper whose owner's disk takes as long as the test wants."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        super().__init__(authority, {}, LIFE, wall, tls.OwnLeaf(directory / "identity.pem"))
        self.began = threading.Event()
        self.goes_on = threading.Event()

    def refresh_or_log(self) -> None:
        self.began.set()
        assert self.goes_on.wait(WAIT_S)


def test_the_event_loop_goes_on_while_identities_are_written(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca", "pool", wall())
    keeper = Slow(tmp_path, authority)
    turnover = Turnover(authority, keeper, LIFE, wall)

    async def run() -> None:
        begun = asyncio.create_task(turnover.begin_roll())
        assert await asyncio.to_thread(keeper.began.wait, WAIT_S)
        # The new CA is announced already, and asked for again it is under way.
        assert turnover.state().phase == "ANNOUNCED"
        assert not await turnover.begin_roll()
        assert not begun.done()
        keeper.goes_on.set()
        assert await begun

    asyncio.run(run())
    turnover.close()
