"""What a stream's calls are told of their prospects: the shell around admission."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from math import inf

from eais.errors import EaisError
from eais_server.worker.admission import Admission, Promises, Prospect, busy
from eais_server.worker.calls import Asked
from eais_server.worker.runner import Runner
from eais_server.worker.service_time import ServiceTimes


@dataclass(eq=False, slots=True)
class StreamGate:
    """A `Gate` that asks the run queue and the measured times.

    Attributes:
        lane: whose turn a call would take.
        coming_s: run time of the stream's calls of which pieces are on their way: they were
            taken, and will wait before others that come in pieces. What is all here already
            doesn't wait for them.
        coming: how many those are.
        shut_until_s: any call that comes before then would wait too long, by what was found
            for one just now. It needn't be looked at: who sends far too much mustn't keep the
            worker from its work.
    """

    lane: Callable[[Asked], Hashable]
    frontend: Hashable
    runner: Runner
    times: ServiceTimes
    admission: Admission
    coming_s: float = 0.0
    coming: int = 0
    promises: Promises = field(default_factory=Promises)
    shut_until_s: float = 0.0
    cost_then_s: float = 0.0

    def cost_s(self, asked: Asked) -> float:
        """How long the call is expected to take a run thread, or the event loop."""
        kind = self.runner.inline.rights.kind(asked.session, asked.size)
        return kind.mean_s if kind else self.times.expected_s(asked.session, asked.size)

    def comes(self, cost_s: float) -> None:
        """A call was taken, and pieces of it are still on their way."""
        self.coming += 1
        self.coming_s += cost_s

    def arrived(self, cost_s: float) -> None:
        """Nothing of such a call is on its way any more."""
        self.coming -= 1
        # What rounding leaves over would have the stream never be idle again.
        self.coming_s = max(0.0, self.coming_s - cost_s) if self.coming else 0.0

    def refusal(self, asked: Asked, /) -> EaisError | None:
        """See `Gate`."""
        cost_s, now_s = self.cost_s(asked), self.runner.now_s
        wait_s = self._wait_s(cost_s, asked)
        waits = self.coming and asked.deferred
        first = not waits and not self.runner.waiting(self.lane(asked))
        idle = not waits and not self.runner.in_flight
        call = Prospect(wait_s, cost_s, asked.timeout_s or inf, first, idle)
        late_s = self.admission.late_s(call)
        if late_s <= 0:
            return None
        if not first and not asked.deferred:
            self.shut_until_s = now_s + self.admission.over_s(wait_s)
            self.cost_then_s = cost_s
        return busy(self._push_back_s(late_s, cost_s))

    def shut_s(self) -> float:
        """When to come back, if the gate is shut for any call now; else 0."""
        over_s = self.shut_until_s - self.runner.now_s
        if over_s <= 0:
            return 0.0
        return self._push_back_s(over_s, self.cost_then_s)

    def reopen(self) -> None:
        """A call of the stream left before its turn: there may be room."""
        self.shut_until_s = 0.0

    def busy(self, asked: Asked, /) -> EaisError:
        """See `Gate`."""
        cost_s = self.cost_s(asked)
        return busy(self._push_back_s(self._wait_s(cost_s, asked), cost_s))

    def _push_back_s(self, over_s: float, cost_s: float) -> float:
        return self.promises.next_s(over_s, cost_s / self.runner.threads, self.runner.now_s)

    def _wait_s(self, cost_s: float, asked: Asked) -> float:
        coming_s = self.coming_s if asked.deferred else 0.0
        return coming_s + self.runner.wait_s(self.lane(asked), self.frontend, cost_s)
