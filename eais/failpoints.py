"""Named points at which a test lets a program die, as kill -9 would.

A point is `<what>.<step>`: what is being done, and how far it got. Without the option
`--test-failpoints` nobody listens at them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

Reach = Callable[[str], None]
"""Told of each point when it is reached."""


def nowhere(point: str) -> None:
    """Reach a point, and nothing happens."""


def die_at_named_in(file: Path) -> Reach:
    """Die of SIGKILL at the point that `file` names when it is reached; the name is gone then.

    Of one that is named several times, with spaces between, at the last of so many times. Without
    the file, at none.
    """

    def reach(point: str) -> None:
        try:
            named = file.read_text().split()
        except FileNotFoundError:
            return
        if named and named[0] == point:
            file.write_text(" ".join(named[1:]))
            if len(named) == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    return reach
