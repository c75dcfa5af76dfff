from __future__ import annotations

from pathlib import Path

import pytest

from eais_client.cli.testing import FakeOutside


@pytest.fixture
def eais(tmp_path: Path) -> FakeOutside:
    """The command line of a user with one context."""
    outside = FakeOutside(tmp_path)
    outside.know_the_pool()
    return outside


@pytest.fixture
def nowhere(tmp_path: Path) -> FakeOutside:
    """The command line of a user who knows no pool."""
    return FakeOutside(tmp_path)
