from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eais_pool.authority import Authority
from eais_server.testing.listener_bench import POOL, ListenerBench


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("pool") / "ca", POOL, datetime.now(UTC))


@pytest.fixture
def bench(tmp_path: Path, authority: Authority) -> ListenerBench:
    return ListenerBench(tmp_path, authority)


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a test's coroutine, which must not take long."""

    async def whole(work: Coroutine[Any, Any, None]) -> None:
        await asyncio.wait_for(work, 30)
        # Sockets that were closed last are let go in the loop's next turns, while there are any.
        for _ in range(3):
            await asyncio.sleep(0)

    def within(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run(whole(work))

    return within
