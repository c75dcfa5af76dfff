"""Calls that run as one, on a run thread or on the event loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from eais.errors import EaisError, make_error
from eais.transport.parts import RunPart
from eais_server.devices.driver import PreparedRun
from eais_server.worker.batching.joining import join, split
from eais_server.worker.batching.kinds import CallKind
from eais_server.worker.execution import Execution, Result, late, take

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
    def ready_ns(self) -> int:
        """When all of it was here."""
        ...

    @property
    def ends_ns(self) -> int | None:
        """When nobody waits for it any more."""
        ...


class Whole(NamedTuple):
    """A call that is run when it comes in: all of it in one message, and in time."""

    run: RunPart
    ready_ns: int
    buffers: tuple[memoryview, ...] = ()
    ends_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of calls that were to run as one.

    Attributes:
        results: of each; [] if they are to be run each alone.
        took_ns: what their one run took; 0: there was none.
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

    If that fails, there are no results: each is to run alone, so that an error is that of the
    call that has it. Calls whose time is up are answered so and aren't run. It is the number of
    all that was tried: another call's inputs take their place, unless that is half of them or
    more; then each is to run alone, too. None: the run was ended, by another thread.
    """
    now = clock()
    expired = [call for call in calls if call.ends_ns is not None and now >= call.ends_ns]
    if 2 * len(expired) >= len(calls):
        return Outcome([])
    try:
        if not expired:
            return _together(execution, kind, calls, calls, prepared, clock)
        live = next(call for call in calls if call not in expired)
        given = [live if call in expired else call for call in calls]
        outcome = _together(execution, kind, calls, given, prepared, clock)
        return _with_expired(execution, calls, outcome, expired)
    except (EaisError, MemoryError) as error:
        log.info("a batch of %d failed: %s", len(calls), error)
    except Exception:
        # The edge of the thread: what each says alone is answered.
        log.exception("BUG: a batch raised")
    return None if prepared.terminated else Outcome([], failed=True)


def _together(
    execution: Execution,
    kind: CallKind,
    calls: Sequence[Call],
    given: Sequence[Call],
    prepared: PreparedRun,
    clock: Callable[[], int],
) -> Outcome:
    feed = join(kind, [(call.run, call.buffers) for call in given])
    if execution.turn is not None:
        take(execution.turn, prepared)
    begun = clock()
    try:
        outputs = prepared.execute(kind.outputs, feed)
    finally:
        took_ns = clock() - begun
        if execution.turn is not None:
            execution.turn.give()
    count = len(calls)
    parts = split(outputs, count, kind.rows)
    if parts is None:
        raise make_error("RUN_FAILED", "the outputs of a batch aren't its calls' rows")
    # Each is said to have taken as long as it did, and the worker as long as all of it did.
    share_ns = took_ns // count
    results: list[Result] = []
    for call, own in zip(calls, parts, strict=True):
        waited_ns = begun - call.ready_ns
        result = execution.answered(call.run, call.buffers, own, waited_ns, took_ns, count)
        results.append(Result(result.answer, "", waited_ns, share_ns))
    return Outcome(results, max(took_ns, 1))


def _with_expired(
    execution: Execution, calls: Sequence[Call], outcome: Outcome, expired: Sequence[Call]
) -> Outcome:
    results: list[Result] = []
    for call, result in zip(calls, outcome.results, strict=True):
        if call in expired:
            told = execution.failed(call.run, call.buffers, late(), result.queue_ns, 0)
            results.append(told._replace(compute_ns=result.compute_ns))
        else:
            results.append(result)
    return Outcome(results, outcome.took_ns)
