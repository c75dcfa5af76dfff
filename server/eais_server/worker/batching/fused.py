"""Calls that run as one, on a run thread or on the event loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from eais.errors import EaisError, make_error
from eais.transport.parts import RunPart
from eais_server.devices.driver import PreparedRun
from eais_server.worker.batching.joining import join, split
from eais_server.worker.batching.kinds import CallKind
from eais_server.worker.execution import Execution, Result

log = logging.getLogger(__name__)


class Call(Protocol):
    """What is known of a call that runs with others."""

    @property
    def run(self) -> RunPart:
        """The call."""
        ...

    @property
    def buffers(self) -> tuple[memoryview, ...]:
        """Its deferred tensors."""
        ...

    @property
    def prepared(self) -> PreparedRun:
        """What runs it alone."""
        ...

    @property
    def ready_ns(self) -> int:
        """When all of it was here."""
        ...

    @property
    def ends_ns(self) -> int | None:
        """When nobody waits for it any more."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of calls that were to run as one.

    Attributes:
        results: of each.
        took_ns: what their one run took; 0: there was none, and each was run alone.
        failed: it was tried, and an error came of it.
    """

    results: list[Result]
    took_ns: int = 0
    failed: bool = False


def run_together(
    execution: Execution,
    kind: CallKind,
    calls: Sequence[Call],
    prepared: PreparedRun,
    clock: Callable[[], int],
) -> Outcome | None:
    """Run calls of a kind as one; doesn't raise.

    If that fails each runs alone, so that an error is that of the call that has it. None: the
    run was ended, by another thread.
    """
    now = clock()
    if any(call.ends_ns is not None and now >= call.ends_ns for call in calls):
        return Outcome(_apart(execution, calls, clock))
    try:
        return _together(execution, kind, calls, prepared, clock)
    except (EaisError, MemoryError) as error:
        log.info("a batch of %d failed: %s", len(calls), error)
    except Exception:
        # The edge of the thread: what each says alone is answered.
        log.exception("BUG: a batch raised")
    if prepared.terminated:
        return None
    return Outcome(_apart(execution, calls, clock), failed=True)


def _together(
    execution: Execution,
    kind: CallKind,
    calls: Sequence[Call],
    prepared: PreparedRun,
    clock: Callable[[], int],
) -> Outcome:
    feed = join(kind, [(call.run, call.buffers) for call in calls])
    begun = clock()
    outputs = prepared.execute(kind.outputs, feed)
    took_ns = clock() - begun
    parts = split(outputs, len(calls), kind.rows)
    if parts is None:
        raise make_error("RUN_FAILED", "the outputs of a batch aren't its calls' rows")
    # Each is said to have taken as long as it did, and the worker as long as all of it did.
    share_ns = took_ns // len(calls)
    results = [
        execution.answered(
            call.run, call.buffers, own, max(0, begun - call.ready_ns), took_ns, len(calls)
        )._replace(compute_ns=share_ns)
        for call, own in zip(calls, parts, strict=True)
    ]
    return Outcome(results, max(took_ns, 1))


def _apart(execution: Execution, calls: Sequence[Call], clock: Callable[[], int]) -> list[Result]:
    return [
        execution.run(
            call.run, call.buffers, call.prepared, max(0, clock() - call.ready_ns), call.ends_ns
        )
        for call in calls
    ]
