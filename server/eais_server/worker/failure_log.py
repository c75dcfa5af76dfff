"""Says in the log which traced calls failed: where their trace ends.

A span of the worker's own would reach nobody: it may make no connection out. What a call cost
here is in its answer, and so in its client's span.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from eais.telemetry.trace import parse_traceparent
from eais.transport.parts import RunPart

log = logging.getLogger(__name__)

MOST_A_SECOND: Final = 10
"""Lines: a client can have any number of calls fail."""


class FailureLog:
    """A line for each call that failed and is recorded where it comes from, within bounds.

    Args:
        clock: monotonic nanoseconds.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._second = 0
        self._said = 0

    def failed(self, run: RunPart, reason: str) -> None:
        """The call was answered with an error of that reason."""
        context = parse_traceparent(run.traceparent) if run.traceparent else None
        if context is None or not context.sampled or not self._has_room():
            return
        log.info(
            "a call failed: %s",
            reason,
            extra={"reason": reason, "trace_id": context.trace_id},
        )

    def _has_room(self) -> bool:
        second = self._clock() // 1_000_000_000
        if second != self._second:
            self._second, self._said = second, 0
        self._said += 1
        return self._said <= MOST_A_SECOND
