"""Calls that come while nothing runs, and are run on the event loop before anything else is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eais.transport.parts import RunPart
from eais_server.devices.driver import PLAIN_RUN, RuntimeSession
from eais_server.in_flight import Marks
from eais_server.turns.turn import Turn
from eais_server.worker.batching.batches import Batches
from eais_server.worker.batching.fused import Whole, run_together
from eais_server.worker.batching.kinds import CallKind
from eais_server.worker.execution import Result
from eais_server.worker.inline import Kind
from eais_server.worker.inline_runs import InlineRuns


class CallsAtOnce:
    """Runs calls that never were in a queue; only while the runner `is_free`.

    Args:
        inline: where they run.
        batches: told of those that ran as one.
        marks: where it is written what runs, before it does.
        clock: monotonic nanoseconds.
        turn: of the device; None: it isn't shared.
    """

    def __init__(
        self,
        inline: InlineRuns,
        batches: Batches,
        marks: Marks,
        clock: Callable[[], int],
        turn: Turn | None,
    ) -> None:
        self._inline = inline
        self._batches = batches
        self._marks = marks
        self._clock = clock
        self._turn = turn

    def run(self, run: RunPart, session: RuntimeSession, kind: Kind) -> Result | None:
        """Run a call; None: it lasted, and is to be submitted."""
        name = run.session
        self._marks.run_begins(name)
        result = self._inline.run(run, self._inline.prepared(name, session), kind)
        self._marks.run_ended(name, answered=result is not None and not result.reason)
        if self._turn is not None:
            self._turn.rest()
        return result

    def run_together(
        self, kind: CallKind, runs: Sequence[RunPart], session: RuntimeSession
    ) -> list[Result]:
        """Run calls of a kind as one.

        None of them has a result if that lasted, or failed: they are to be run one by one.
        """
        name, now = kind.session, self._clock()
        prepared = self._inline.prepared(name, session)
        calls = [Whole(run, now) for run in runs]
        self._marks.run_begins(name)
        bare, clock = self._inline.execution, self._clock
        outcome = self._inline.watched(
            name, prepared, lambda: run_together(bare, kind, calls, prepared, clock)
        )
        results = outcome.results if outcome is not None else []
        self._marks.run_ended(name, answered=bool(results))
        if outcome is not None:
            self._batches.ran(kind, calls, outcome, lambda: session.prepare(PLAIN_RUN))
        if self._turn is not None:
            self._turn.rest()
        return results
