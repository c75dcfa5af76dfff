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

    def within(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run(asyncio.wait_for(work, 30))

    return within
