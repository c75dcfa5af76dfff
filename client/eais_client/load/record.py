"""What was counted while load was on, as the processes that made it tell and it is added up.

Latencies are in histograms of microseconds. A failed request, and one that was answered wrongly,
has no latency: it is counted, and figures rank it behind every answer.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hdrh.histogram import HdrHistogram

from eais_client.load.brain.plan import Driving, Phase

LOWEST_US: Final = 1
HIGHEST_US: Final = 3_600_000_000
DIGITS: Final = 3
INTERVAL_DIGITS: Final = 2
"""Of the histogram of a second: there are thousands of them, each of 26 KB at this precision."""
PARTS: Final = ("encode", "line", "wire", "queue", "batch", "compute", "decode")
"""Of a request's time, in the order in which they are passed; see `Split`."""


def new_histogram(digits: int = DIGITS) -> HdrHistogram:
    """Of 1 µs to an hour, to so many digits."""
    return HdrHistogram(LOWEST_US, HIGHEST_US, digits)


class Seen(NamedTuple):
    """One request, for who must know of each.

    Attributes:
        due: when, seconds of the monotonic clock.
        took_s: from then to its answer, or failure.
        fault: "" if it was rightly answered, WRONG, UNANSWERED, or the reason of its failure.
    """

    due: float
    took_s: float
    fault: str = ""


def count_within(histogram: HdrHistogram, seconds: float) -> int:
    """How many of its values are at most so long, as far as it tells values apart."""
    bound, count = seconds * 1e6, 0
    for found in histogram.get_recorded_iterator():
        if histogram.get_lowest_equivalent_value(found.value_iterated_to) > bound:
            break
        count += found.count_at_value_iterated_to
    return count


@dataclass(slots=True)
class Tally:
    """What became of the requests of one model over a phase.

    Attributes:
        due: requests that were to be sent (of a closed loop: that were sent).
        sent: requests that were.
        answered: with an answer that is right, or wasn't checked.
        checked: answers that were compared with a reference.
        wrong: of those the ones that differ.
        unanswered: neither answered nor failed when the phase was over.
        done: right answers that came while it was measured, whenever they were due, in the warm
            part too: throughput is theirs, for a backlog that is worked off later is none.
        errors: reason -> requests that failed so.
        texts: reason -> what one of them said.
        latency: of `answered`, from the moment when they were due.
        service: of `answered`, from their sending.
        failing: of errors, from the moment when they were due.
        parts: name of `PARTS` -> histogram; none where the target doesn't tell.
        batch_size: sum over the answers whose parts are known.
    """

    due: int = 0
    sent: int = 0
    answered: int = 0
    checked: int = 0
    wrong: int = 0
    unanswered: int = 0
    done: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    texts: dict[str, str] = field(default_factory=dict)
    latency: HdrHistogram = field(default_factory=new_histogram)
    service: HdrHistogram = field(default_factory=new_histogram)
    failing: HdrHistogram = field(default_factory=new_histogram)
    parts: dict[str, HdrHistogram] = field(default_factory=dict)
    batch_size: int = 0


@dataclass(slots=True)
class Interval:
    """What became of the requests of all models that were due within one second of a phase.

    Attributes are those of `Tally`; `failed` is the sum of its `errors`. `done` came within this
    second, whenever it was due.
    """

    due: int = 0
    sent: int = 0
    answered: int = 0
    wrong: int = 0
    failed: int = 0
    unanswered: int = 0
    done: int = 0
    latency: HdrHistogram = field(default_factory=lambda: new_histogram(INTERVAL_DIGITS))


@dataclass(frozen=True, slots=True)
class Usage:
    """What processes used within a second of a phase, both sides.

    Attributes:
        second: since the phase began to be measured; the warm part's are negative.
        client_cores, server_cores: CPU time ÷ time; None if it isn't known.
        client_rss_mb, server_rss_mb: memory at its end, 10^6 bytes.
    """

    second: int
    client_cores: float
    client_rss_mb: float
    server_cores: float | None = None
    server_rss_mb: float | None = None


@dataclass(slots=True)
class PhaseRecord:
    """All that was counted in a phase.

    Attributes:
        target: the target's name.
        phase: what was asked for.
        began_unix_s: when measuring began.
        seconds: how long was measured: less than asked for if it was ended before.
        models: name -> its requests.
        intervals: second of the phase in which requests were due -> what became of them.
        lag: µs by which requests were sent late though a caller was free: the generator's fault.
        blocked: µs for which requests waited for a free caller: the target's, or a bound's.
        usage: one for each second.
        server_unseen: why the server's usage isn't known; "" if it is.
        server_parts: name of `PARTS` -> seconds a request, from the server's own account; none
            if it keeps none.
        faults: what went wrong with the generator itself, for people.
        interrupted: whether it was ended before its time.
        driving: how the load was made.
    """

    target: str
    phase: Phase
    began_unix_s: float
    seconds: float = 0.0
    models: dict[str, Tally] = field(default_factory=dict)
    intervals: dict[int, Interval] = field(default_factory=dict)
    lag: HdrHistogram = field(default_factory=new_histogram)
    blocked: HdrHistogram = field(default_factory=new_histogram)
    usage: list[Usage] = field(default_factory=list)
    server_unseen: str = ""
    server_parts: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    interrupted: bool = False
    driving: Driving = field(default_factory=Driving)
