"""What all client streams of a worker share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from eais_server.devices.driver import RuntimeSession
from eais_server.worker.admission import Admission
from eais_server.worker.alarm import Alarm
from eais_server.worker.counters import Counters
from eais_server.worker.failure_log import FailureLog
from eais_server.worker.holds import Holds
from eais_server.worker.outbox import Backlog
from eais_server.worker.runner import Runner
from eais_server.worker.service_time import ServiceTimes


class Late(Protocol):
    """A call that isn't answered in time."""

    def expire(self) -> None:
        """Its time is up."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Hub:
    """What all streams of a worker share.

    Attributes:
        clock: monotonic nanoseconds.
        run_timeout_s: the longest that any call may take, waiting included.
        alarm: tells calls that their time is up.
        held: told when the sessions in use changed.
        failures: told of calls that were run, or waited, in vain.
    """

    sessions: Mapping[str, RuntimeSession]
    runner: Runner
    backlog: Backlog
    times: ServiceTimes
    admission: Admission
    holds: Holds
    counters: Counters
    clock: Callable[[], int]
    run_timeout_s: float
    alarm: Alarm[Late]
    held: Callable[[], None]
    failures: FailureLog
