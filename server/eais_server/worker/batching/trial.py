"""A trial: calls that were made are run again, together and each alone, and compared.

In the background, in steps, so that callers' runs take turns with it; nobody gets its answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from eais.errors import EaisError
from eais.transport.parts import Buffer, RunPart
from eais.value import Array
from eais_server.devices.driver import PreparedRun
from eais_server.worker.batching.joining import is_same, join, part, shows_something, split
from eais_server.worker.batching.kinds import CallKind

log = logging.getLogger(__name__)

STEP_NS: Final = 1_000_000
"""So long a step goes on with short runs."""
QUICK_NS: Final = 20_000_000
"""What takes less is timed once more: the first run of a shape makes its plans."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a trial found.

    Attributes:
        shown: whether answers were compared, of inputs that could show anything at all; else
            nothing is said.
        failed: a run of it did: that may be the doing of one of its calls.
        same: whether the answers were the same to the bit.
        alone_ns: what a call's run took alone, one of so many that followed each other.
        together_ns: what the run of all took.
    """

    shown: bool
    failed: bool = False
    same: bool = False
    alone_ns: float = 0.0
    together_ns: int = 0


@dataclass(eq=False)
class Trial:
    """A trial of some calls of a kind.

    Args:
        cost_s: what a call takes alone, by estimate.
        check: it is of a size that is in use.
        prepared: what runs them; for this alone.
        clock: monotonic nanoseconds.

    Attributes:
        run_s: what the run that goes on, or the next one, takes, by estimate.
        left: how many of the calls are to be run alone, after that.
        found: what came out, once `step` says that it is over.
    """

    kind: CallKind
    calls: Sequence[tuple[RunPart, Sequence[Buffer]]]
    prepared: PreparedRun
    clock: Callable[[], int]
    cost_s: float = 0.0
    check: bool = False
    run_s: float = field(init=False)
    left: int = field(init=False)
    found: Finding = field(default=Finding(shown=False), init=False)

    def __post_init__(self) -> None:
        self.size = self.left = len(self.calls)
        self.run_s = self.size * self.cost_s
        self._steps = self._work()

    def step(self) -> bool:
        """Do a part of it, on a run thread; whether it is over."""
        begun = self.clock()
        while self.clock() - begun < STEP_NS:
            try:
                if next(self._steps):
                    return False
            except StopIteration:
                return True
            except (EaisError, MemoryError) as error:
                log.info("a trial of a batch of %d failed: %s", self.size, error)
                self.found = Finding(shown=False, failed=True)
                return True
            except Exception:
                # The edge of the thread. What can't be tried isn't used.
                log.exception("BUG: a trial of a batch raised")
                self.found = Finding(shown=False, failed=True)
                return True
        return False

    def _work(self) -> Iterator[bool]:
        """True ends a step, so that what follows begins as a call does: after something else."""
        feed, rows = join(self.kind, self.calls), self.kind.rows
        # What came in isn't kept for it.
        self.calls = ()
        if not shows_something(feed, self.size):
            return
        yield False
        whole, together_ns = self._run(feed)
        yield True
        if together_ns < QUICK_NS:
            _, together_ns = self._run(feed)
            yield True
        apart = split(whole, self.size, rows)
        took: list[int] = []
        self.run_s = self.cost_s
        for index in range(self.size):
            self.left -= 1
            alone, alone_ns = self._run(part(feed, index, rows))
            took.append(alone_ns)
            if apart is None or not is_same(alone, apart[index]):
                self.found = Finding(shown=True, together_ns=together_ns)
                return
            yield False
        self.found = Finding(True, same=True, alone_ns=_mean(took), together_ns=together_ns)

    def _run(self, feed: dict[str, Array]) -> tuple[list[Any], int]:
        begun = self.clock()
        outputs = self.prepared.execute(self.kind.outputs, feed)
        return outputs, self.clock() - begun


def _mean(took: Sequence[int]) -> float:
    """Of runs that followed each other: the first comes after something else, as a batch does.

    Of the others the median counts, since the machine may have held one up.
    """
    first, *others = took
    usual = sorted(others)[len(others) // 2]
    return (first + usual * len(others)) / len(took)
