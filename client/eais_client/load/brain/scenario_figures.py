"""What a scenario's steps did to the requests that were due meanwhile. (Brain)

A request belongs to the step within which it was due, whenever it was answered. One that failed,
or was answered wrongly, ranks behind all answers: a percentile that falls on it is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from eais_client.load.brain.plan import Stretch
from eais_client.load.record import Seen

WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Requests:
    """What became of some requests.

    Attributes:
        requests: that were due.
        lost: that failed, or were never answered; `reasons` has how many by which.
        wrong: that were answered wrongly.
        late: rightly, but after the SLO; None if there is none.
        p50_ms, p99_ms: from due to answered, of all; None where that is no answer.
        max_ms: of the right answers.
    """

    requests: int
    lost: int
    wrong: int
    late: int | None
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    reasons: dict[str, int]

    def data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "requests": self.requests,
            "lost": self.lost,
            "wrong": self.wrong,
            "late": self.late,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "max_ms": self.max_ms,
            "error_reasons": self.reasons,
        }


@dataclass(frozen=True, slots=True)
class StepResult:
    """A step that was done.

    Attributes:
        title: for people, "kill worker".
        began_s: since the scenario's begin.
        seconds: how long it lasted.
        said: what came of it.
        requests: those due from its begin to the next one's.
        failed: whether it couldn't be done, for which `said` has the reason.
    """

    title: str
    began_s: float
    seconds: float
    said: str
    requests: Requests
    failed: bool = False

    def data(self) -> dict[str, Any]:
        """For the result document."""
        return {
            "step": self.title,
            "began_s": round(self.began_s, 3),
            "seconds": round(self.seconds, 3),
            "said": self.said,
            "failed": self.failed,
            **self.requests.data(),
        }


def of_requests(seen: Iterable[Seen], slo_s: float | None) -> Requests:
    """The figures of these requests."""
    all_of = list(seen)
    right = sorted(each.took_s for each in all_of if not each.fault)
    reasons: dict[str, int] = {}
    for each in all_of:
        if each.fault and each.fault != WRONG:
            reasons[each.fault] = reasons.get(each.fault, 0) + 1
    return Requests(
        requests=len(all_of),
        lost=sum(reasons.values()),
        wrong=sum(each.fault == WRONG for each in all_of),
        late=None if slo_s is None else sum(took_s > slo_s for took_s in right),
        p50_ms=_percentile(right, len(all_of), 0.5),
        p99_ms=_percentile(right, len(all_of), 0.99),
        max_ms=_ms(right[-1]) if right else None,
        reasons=reasons,
    )


def within(seen: Iterable[Seen], begins: Sequence[float]) -> list[list[Seen]]:
    """The requests due from each of these ascending moments to the next; the last has no end."""
    made: list[list[Seen]] = [[] for _ in begins]
    for each in seen:
        place = sum(begin <= each.due for begin in begins) - 1
        if place >= 0:
            made[place].append(each)
    return made


def first_right(seen: Iterable[Seen], since: float) -> Seen | None:
    """Of the requests due after `since` the one that was rightly answered first; None: none was."""
    right = (each for each in seen if each.due > since and not each.fault)
    return min(right, key=lambda each: each.due + each.took_s, default=None)


def cut(stretches: Iterable[Stretch], seconds: float) -> tuple[Stretch, ...]:
    """The rate's first `seconds` of these."""
    made: list[Stretch] = []
    for each in stretches:
        part = min(each.seconds, seconds)
        if part <= 0:
            break
        end = each.from_per_s + (each.to_per_s - each.from_per_s) * part / each.seconds
        made.append(Stretch(part, each.from_per_s, end))
        seconds -= part
    return tuple(made)


def _percentile(right: Sequence[float], count: int, part: float) -> float | None:
    """By the nearest rank, of `count` requests of which those that aren't `right` come last."""
    place = max(0, math.ceil(part * count) - 1)
    return _ms(right[place]) if place < len(right) else None


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
