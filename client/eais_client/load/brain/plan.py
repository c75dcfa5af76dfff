"""What load there is to be: who calls, when, and for how long. (Brain)

In a *closed* loop a number of callers each wait for their answer before they call again: how much
is asked depends on how fast it is answered. In an *open* loop requests are due at moments that no
answer has an influence on, as those of independent users are; latency counts from that moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Spacing(StrEnum):
    """How the gaps between the requests of an open loop are distributed."""

    CONSTANT = "constant"
    POISSON = "poisson"
    GAMMA = "gamma"


class Driver(StrEnum):
    """What makes requests within a process."""

    THREADS = "threads"
    TASKS = "tasks"


@dataclass(frozen=True, slots=True)
class Closed:
    """So many callers, over all processes; each calls again as soon as it is answered."""

    callers: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Seconds in which the rate, requests a second, goes evenly from one to the other."""

    seconds: float
    from_per_s: float
    to_per_s: float


@dataclass(frozen=True, slots=True)
class Open:
    """Requests are due whatever becomes of those before.

    Attributes:
        spacing: how gaps are distributed about the rate's.
        stretches: the rate over time, from the phase's begin on, its warm part included.
        burst: of GAMMA: the variance of gaps ÷ the square of their mean. 1 is POISSON, 0 CONSTANT.
        moments: when each request is due, seconds from the begin, ascending; then `stretches`
            and `spacing` say nothing. A trace with a timestamp for each request.
    """

    spacing: Spacing = Spacing.POISSON
    stretches: tuple[Stretch, ...] = ()
    burst: float = 1.0
    moments: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Phase:
    """One measurement of one target.

    Attributes:
        name: for people, "20/s" or "8 callers".
        load: what is asked.
        seconds: how long is measured.
        warm_s: how long the load is on before that; what is due then isn't counted.
    """

    name: str
    load: Closed | Open
    seconds: float
    warm_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """A model, and its share of the requests.

    Attributes:
        name: for people, unique in a plan: the file's name without its suffix.
        path: the file; "" if a server has the model, by `name`.
        weight: of all requests `weight` ÷ the sum of all weights are of this model.
    """

    name: str
    path: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Driving:
    """How the load is made.

    Attributes:
        driver: threads, or tasks of one event loop, in each process.
        processes: that share the load.
        max_in_flight: requests of an open loop under way at once, over all processes; what is due
            beyond waits for one to be answered, and its latency counts that.
        timeout_s: after which a request has failed, counted from its sending.
        check_share: of the answers, 0 to 1, that are compared with a reference.
        seed: of the gaps, of the mix of models, and of which answers are checked.
    """

    driver: Driver = Driver.THREADS
    processes: int = 1
    max_in_flight: int = 256
    timeout_s: float = 30.0
    check_share: float = 0.05
    seed: int = 1
