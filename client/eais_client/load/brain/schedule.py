"""Whether the load of an open loop was made when it was due. (Brain)

A request that is sent late though somebody was free to send it is *late*: the generator's own
fault. One that waited since as many as may be were under way is *blocked*: the target's, or that
bound's. Both count in its latency, which is why a late generator makes figures worse, never
better; this says by how much they can be wrong.

The bound for lateness is the greater of two. 10 % of the 99th percentile of service times: then
the 99th percentile of latencies is wrong by about as much at most. And 1 ms: a thread that sleeps
is woken within 0.1 ms on an idle machine, and within about 1 ms on one whose cores are all busy
with the target; where answers take less than 10 ms that is what can be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hdrh.histogram import HdrHistogram

from eais_client.load.brain.plan import Closed, Driver
from eais_client.load.record import PhaseRecord, count_within, new_histogram

FLOOR_US: Final = 1000.0
SHARE: Final = 0.1
"""Of the 99th percentile of service times."""
BUSY: Final = 0.8
"""CPU time ÷ time of a process of Python that has nothing left: one thread at a time runs in it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a schedule was kept, and that in words, with figures."""

    kept: bool
    said: str


def schedule_verdict(record: PhaseRecord) -> Verdict:
    """Of one phase; a closed loop has no schedule, and keeps it."""
    if isinstance(record.phase.load, Closed):
        return Verdict(True, "a closed loop has no schedule: callers call as they are answered")
    if record.faults:
        return Verdict(False, f"a process that makes load failed: {record.faults[0]}")
    sent = record.lag.get_total_count()
    if not sent:
        return _without_any(record)
    bound_us = lateness_bound_us(record)
    within = _words_ms(_p99(record.lag))
    if _p99(record.lag) <= bound_us:
        kept = f"99 % of {sent} requests were sent within {within} of their time"
        return Verdict(True, kept + _blocked(record) + _never_sent(record))
    late = sent - count_within(record.lag, bound_us / 1e6)
    said = (
        f"{_percent(late, sent)} of {sent} requests were sent more than {_words_ms(bound_us)} "
        f"late, 1 % more than {within}, which their latency counts"
    )
    return Verdict(False, f"{said}: {_why(record)}" + _never_sent(record))


def _without_any(record: PhaseRecord) -> Verdict:
    due = _due(record)
    if not due or record.interrupted:
        return Verdict(True, "nothing was due")
    return Verdict(False, f"none of {due} that were due was sent: {_why(record)}")


def lateness_bound_us(record: PhaseRecord) -> float:
    """By how much the 99th percentile may be late."""
    service = new_histogram()
    for tally in record.models.values():
        service.add(tally.service)
    return max(FLOOR_US, SHARE * _p99(service))


def _why(record: PhaseRecord) -> str:
    """What held the generator up, and what to do."""
    used = [each.client_cores for each in record.usage if each.second >= 0]
    cores = sum(used) / len(used) if used else 0.0
    processes, driver = record.driving.processes, record.driving.driver
    many = "1 process" if processes == 1 else f"{processes} processes"
    if cores < BUSY * processes:
        return (
            f"the load's {many} used {cores:.2f} cores, so something else held the CPU; "
            "make the load on another machine, or on cores of its own (taskset)"
        )
    other = " or --driver tasks" if driver is Driver.THREADS else ""
    return (
        f"the load's {many} used {cores:.2f} cores and could do no more; "
        f"try --processes {processes + 1}{other}"
    )


def _blocked(record: PhaseRecord) -> str:
    blocked = record.blocked
    sent = blocked.get_total_count()
    waited = sent - count_within(blocked, FLOOR_US / 1e6)
    if not waited:
        return ""
    return (
        f"; {_percent(waited, sent)} waited, up to {_words_ms(blocked.get_max_value())}, for one "
        f"of {record.driving.max_in_flight} under way to be answered, which their latency counts"
    )


def _never_sent(record: PhaseRecord) -> str:
    due, sent = _due(record), sum(tally.sent for tally in record.models.values())
    if record.interrupted or sent >= due:
        return ""
    return f"; {due - sent} of {due} that were due were never sent, and count as unanswered"


def _due(record: PhaseRecord) -> int:
    return sum(tally.due for tally in record.models.values())


def _p99(histogram: HdrHistogram) -> float:
    return float(histogram.get_value_at_percentile(99.0))


def _percent(part: int, whole: int) -> str:
    share = 100.0 * part / whole
    return f"{share:.1f} %" if share >= 0.1 else f"{share:.2g} %"


def _words_ms(us: float) -> str:
    return f"{us / 1000:.3g} ms"
