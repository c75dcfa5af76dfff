"""What a stream's calls are told of their prospects: the shell around admission."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from math import inf

from eais.errors import EaisError
from eais_server.worker.admission import Admission, Prospect, busy
from eais_server.worker.calls import Asked
from eais_server.worker.runner import Runner
from eais_server.worker.service_time import ServiceTimes


@dataclass(eq=False, slots=True)
class StreamGate:
    """A `Gate` that asks the run queue and the measured times.

    Attributes:
        coming_s: run time of the stream's calls of which pieces are on their way: they were
            taken, and will wait before what comes now.
    """

    stream: Hashable
    frontend: Hashable
    runner: Runner
    times: ServiceTimes
    admission: Admission
    coming_s: float = 0.0

    def cost_s(self, asked: Asked) -> float:
        """How long the call is expected to take a run thread."""
        return self.times.expected_s(asked.session, asked.size)

    def refusal(self, asked: Asked, /) -> EaisError | None:
        """See `Gate`."""
        cost_s = self.cost_s(asked)
        prospect = Prospect(
            wait_s=self._wait_s(cost_s),
            cost_s=cost_s,
            left_s=asked.timeout_s or inf,
            first=not self.coming_s and not self.runner.waiting(self.stream),
            idle=not self.coming_s and not self.runner.in_flight,
        )
        return self.admission.refusal(prospect, self.runner.now_s)

    def busy(self, asked: Asked, /) -> EaisError:
        """See `Gate`."""
        cost_s = self.cost_s(asked)
        wait_s = self._wait_s(cost_s)
        return busy(self.admission.push_back_s(wait_s, cost_s, self.runner.now_s))

    def _wait_s(self, cost_s: float) -> float:
        return self.coming_s + self.runner.wait_s(self.stream, self.frontend, cost_s)
