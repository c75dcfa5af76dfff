"""The shell around the supervision, alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from eais_server.listener.workers import Workers
from eais_server.process import OnExit, WorkerProcess
from eais_server.supervision import State
from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from eais_server.testing.process import FakeSpawner

Run = Callable[[Coroutine[Any, Any, None]], None]


class NotingSpawner(FakeSpawner):
    """Notes when a worker is started."""

    def __init__(self, workers: Path, noted: list[str]) -> None:
        super().__init__(workers)
        self._noted = noted

    def spawn(self, k: int, on_exit: OnExit) -> WorkerProcess:
        self._noted.append("started")
        return super().spawn(k, on_exit)


class LastDeed:
    """All that is asked for beside the workers themselves is that their end is told."""

    def __init__(self) -> None:
        self.all_gone = asyncio.Event()

    async def outcome(self, action: do.Action) -> None:
        assert action == do.AllGone()
        self.all_gone.set()


def test_what_waits_on_the_loop_goes_before_the_start_of_a_process(
    tmp_path: Path, run: Run
) -> None:
    """It holds the loop up, and the one that starts is only a spare."""

    async def test() -> None:
        noted: list[str] = []
        spawner = NotingSpawner(tmp_path, noted)
        deeds: Any = LastDeed()
        workers = Workers(State(), spawner, deeds, clock=lambda: 0.0, level=2)
        workers.tell(on.Tick())
        doing = asyncio.create_task(workers.run())
        asyncio.get_running_loop().call_soon(noted.append, "waited")
        await workers.settled()
        assert noted == ["waited", "started"]
        workers.tell(on.ShutdownAsked(0.0))
        await deeds.all_gone.wait()
        doing.cancel()
        await asyncio.wait({doing})
        spawner.close()

    run(test())
