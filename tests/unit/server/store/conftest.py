from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _all_closed(tmp_path: Path) -> Iterator[None]:
    """No test leaves a file or directory of its own open."""
    yield
    assert not list(opened_below(tmp_path))


def opened_below(root: Path) -> Iterator[str]:
    for descriptor in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):  # the listing's own
            target = str(descriptor.readlink())
            if target.startswith(f"{root}/"):
                yield target
