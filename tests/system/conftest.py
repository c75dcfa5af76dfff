"""One pool for the tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.stack import Stack, embedded_pool


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running embedded pool with four CPU cores to give away."""
    with embedded_pool(tmp_path_factory.mktemp("pool")) as made:
        yield made
