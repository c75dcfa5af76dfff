"""The context of a pool that a benchmark brought up, in force in this process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from tests.system.stack import Stack


@contextlib.contextmanager
def context_of(stack: Stack) -> Iterator[None]:
    """Have sessions made here find the pool of `stack`."""
    before = os.environ.get("EAIS_CONFIG_DIR")
    os.environ["EAIS_CONFIG_DIR"] = str(stack.config)
    try:
        yield
    finally:
        del os.environ["EAIS_CONFIG_DIR"]
        if before is not None:
            os.environ["EAIS_CONFIG_DIR"] = before
