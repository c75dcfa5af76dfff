"""The highest rate carried under an SLO: which trials find it, and how surely. (Brain)

A rate is carried if a share of the requests, `Goal.share`, is answered rightly within the SLO. The
search doubles the rate until that isn't so, halves the gap until trials are near the limit, and
then makes trials on both sides of it until `crossing` knows it well enough, or time is up.

    search = Search(Goal(slo_s=0.05))
    while trial := search.next():
        search.told(measured(trial))
    print(search.found().said)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from math import inf, sqrt
from typing import Any

from eais_client.load.brain.crossing import Blocks, Crossing, crossing
from eais_client.load.brain.trials import Goal, Trial, TrialResult, Verdict, verdict

_CLIMB_S = (2.0, 5.0)
_CLIMB_REQUESTS = 300
_TRIAL_S = (2.0, 60.0)
_LATE_BETWEEN = 10
_LATE_NEAR = 40
_TRIALS = 16
_TRIAL_SLOS = 200
_WIDE = 1.15
_ABOVE, _BELOW, _FURTHEST = 1.5, -1.0, 0.15
_KEPT_TRIES = 2
_SURE_TRIES = 3
_WARM_SLOS = 50
_WARM_S = (0.5, 10.0)


class Bound(StrEnum):
    """What the capacity is limited by."""

    SLO = "slo"
    """The target: beyond it too many are late."""
    GENERATOR = "generator"
    """The load couldn't be made: the target carries at least that."""
    HIGHEST = "highest"
    """What was asked: the target carries at least that."""
    LOWEST = "lowest"
    """Not even the lowest rate is carried."""
    TIME = "time"
    """The search was ended before it had an answer."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What was found, in requests a second.

    Attributes:
        per_s: the capacity; 0 if even the lowest rate isn't carried.
        low, high: of its interval; `high` is None if nothing is known to be too much.
        confidence: of the interval.
        bound: what limits it.
        precise: whether the interval is as narrow as was asked for.
        trials: in order.
        requests, seconds: that it took.
        said: all that in words.
    """

    per_s: float
    low: float
    high: float | None
    confidence: float
    bound: Bound
    precise: bool
    trials: tuple[TrialResult, ...]
    requests: int
    seconds: float
    said: str

    def data(self, goal: Goal) -> dict[str, Any]:
        """As a result document has it."""
        plain = {name: value for name, value in asdict(self).items() if name != "trials"}
        trials = [
            {
                "rate_per_s": each.rate_per_s,
                "due": each.due,
                "late": each.late,
                "seconds": each.seconds,
                "kept": each.kept,
            }
            for each in self.trials
        ]
        return {**plain, "slo_ms": 1000 * goal.slo_s, "share": goal.share, "trials": trials}


class Search:
    """A search under way: the `next` trial, what of it is `told`, and what is `found` so far."""

    def __init__(self, goal: Goal) -> None:
        self.goal = goal
        self._late_share = 1 - goal.share
        self._told: list[TrialResult] = []
        self._known: Crossing | None = None

    def next(self) -> Trial | None:
        """The trial to make now; None if the search is over."""
        rate = self._rate()
        if rate is None:
            return None
        warm_s = min(max(_WARM_S[0], _WARM_SLOS * self.goal.slo_s), _WARM_S[1])
        left_s = self.goal.budget_s - self._spent_s - warm_s
        seconds = min(self._seconds(rate), left_s)
        return Trial(rate, seconds, warm_s) if seconds >= _TRIAL_S[0] else None

    def told(self, result: TrialResult) -> None:
        """A trial was made."""
        self._told.append(result)
        near = [(each.rate_per_s, each.blocks) for each in self._told if each.kept]
        self._known = crossing(near, self._late_share, self.goal.confidence)

    def found(self) -> Capacity:
        """What is known now."""
        known, carried, too_much = self._within(), self._carried, self._too_much
        if known is not None:
            return self._capacity(Bound.SLO, known.per_s, known.low, known.high)
        if too_much is None:
            bound = Bound.HIGHEST if carried >= self.goal.high_per_s else Bound.TIME
            return self._capacity(bound, carried, carried, None)
        if not carried:
            bound = Bound.LOWEST if too_much <= self.goal.low_per_s else Bound.TIME
            return self._capacity(bound, 0.0, 0.0, too_much)
        if too_much in self._walls:
            return self._capacity(Bound.GENERATOR, carried, carried, None)
        return self._capacity(Bound.SLO, sqrt(carried * too_much), carried, too_much)

    def _rate(self) -> float | None:
        goal, carried, too_much = self.goal, self._carried, self._too_much
        if not self._told:
            return min(max(goal.first_per_s, goal.low_per_s), goal.high_per_s)
        if self._again():
            return self._told[-1].rate_per_s
        if too_much is None:
            return None if carried >= goal.high_per_s else min(2 * carried, goal.high_per_s)
        if not carried:
            return None if too_much <= goal.low_per_s else max(too_much / 2, goal.low_per_s)
        if too_much / carried > _WIDE:
            return sqrt(carried * too_much)
        if too_much in self._walls:
            return None
        if known := self._within():
            return None if self._is_precise(known) else self._near(known)
        if too_much / carried > 1 + goal.precision:
            return sqrt(carried * too_much)
        unsure = (rate for rate in (carried, too_much) if self._verdict(rate) is Verdict.UNSURE)
        return next(unsure, None)

    def _again(self) -> bool:
        """Whether the last trial is to be repeated, since much hangs on it and it isn't sure."""
        rate = self._told[-1].rate_per_s
        tries = sum(each.rate_per_s == rate for each in self._told)
        if not self._counts(self._told[-1]):
            return tries < _KEPT_TRIES
        last = rate >= self.goal.high_per_s or (rate <= self.goal.low_per_s and self._over(rate))
        return last and tries < _SURE_TRIES and self._verdict(rate) is not Verdict.CARRIED

    def _near(self, known: Crossing) -> float:
        """A rate above the crossing, then one below: where the odds are e^1.5 and e^-1 of there.

        Further above, as there more is late, which tells more.
        """
        off = _ABOVE if len(self._told) % 2 else _BELOW
        rate = known.per_s * (1 + max(-_FURTHEST, min(_FURTHEST, off / known.slope)))
        return min(max(rate, self.goal.low_per_s), self.goal.high_per_s)

    def _seconds(self, rate: float) -> float:
        if self._too_much is None or not self._carried:
            return min(max(_CLIMB_REQUESTS / rate, _CLIMB_S[0]), _CLIMB_S[1])
        late = _LATE_NEAR if self._too_much / self._carried <= _WIDE else _LATE_BETWEEN
        wanted = max(late / self._late_share / rate, _TRIAL_SLOS * self.goal.slo_s)
        return min(max(wanted, _TRIAL_S[0]), _TRIAL_S[1])

    def _within(self) -> Crossing | None:
        """The crossing, if it is where rates may be, and below what couldn't be made."""
        known = self._known
        most = min([self.goal.high_per_s, *self._walls])
        return known if known and self.goal.low_per_s <= known.per_s < most else None

    def _is_precise(self, known: Crossing) -> bool:
        reach = max(known.high - known.per_s, known.per_s - known.low)
        return known.trials >= _TRIALS and reach <= self.goal.precision * known.per_s

    @property
    def _spent_s(self) -> float:
        return sum(each.seconds for each in self._told)

    @property
    def _walls(self) -> list[float]:
        """Rates that the generator couldn't make."""
        made = {each.rate_per_s for each in self._told if self._counts(each)}
        return [each.rate_per_s for each in self._told if each.rate_per_s not in made]

    def _counts(self, result: TrialResult) -> bool:
        """Whether a trial says whether its rate is carried.

        Latency counts what the generator was late by: what is good nevertheless is good.
        """
        return result.kept or (result.due > 0 and result.late <= self._late_share * result.due)

    @property
    def _too_much(self) -> float | None:
        rates = {each.rate_per_s for each in self._told if self._counts(each)}
        return min([*filter(self._over, rates), *self._walls], default=None)

    @property
    def _carried(self) -> float:
        """The highest rate that may be carried, below what is too much; 0 if none."""
        least = self._too_much or inf
        rates = {each.rate_per_s for each in self._told if self._counts(each)}
        return max((rate for rate in rates if rate < least), default=0.0)

    def _over(self, rate: float) -> bool:
        said, blocks = self._verdict(rate), self._blocks(rate)
        if said is not Verdict.UNSURE:
            return said is Verdict.TOO_MUCH
        due, late = sum(due for due, _ in blocks), sum(late for _, late in blocks)
        return due >= _CLIMB_REQUESTS and late > self._late_share * due

    def _verdict(self, rate: float) -> Verdict:
        return verdict(self._blocks(rate), self._late_share)

    def _blocks(self, rate: float) -> Blocks:
        at = (each for each in self._told if each.rate_per_s == rate and self._counts(each))
        return tuple(block for each in at for block in each.blocks)

    def _capacity(self, bound: Bound, per_s: float, low: float, high: float | None) -> Capacity:
        # Plain numbers, as JSON takes them: a fit's are numpy's.
        per_s, low, high = float(per_s), float(low), None if high is None else float(high)
        off = max(per_s - low, (high or inf) - per_s)
        found = Capacity(
            per_s=per_s,
            low=low,
            high=high,
            confidence=self.goal.confidence,
            bound=bound,
            precise=bound is Bound.SLO and off <= 1.001 * self.goal.precision * per_s,
            trials=tuple(self._told),
            requests=sum(each.due for each in self._told),
            seconds=self._spent_s,
            said="",
        )
        return replace(found, said=said(found, self.goal))


def said(found: Capacity, goal: Goal) -> str:
    """What was found, in words."""
    share, slo = f"{100 * goal.share:g} %", f"{1000 * goal.slo_s:g} ms"
    least = f"at least {found.per_s:.4g}/s"
    if found.bound is Bound.LOWEST:
        return f"even at {goal.low_per_s:.4g}/s fewer than {share} are answered within {slo}"
    if found.bound is Bound.HIGHEST:
        return f"{least}, the highest rate asked for: {share} are answered within {slo}"
    if found.bound is Bound.GENERATOR:
        return f"{least}: beyond that the generator, and not the target, is the limit"
    if found.bound is Bound.TIME:
        return f"{goal.budget_s:g} s were too short; {least} so far"
    text = (
        f"{found.per_s:.4g}/s with {share} answered within {slo}; "
        f"{100 * found.confidence:g} % interval {found.low:.4g} to {found.high:.4g}/s"
    )
    if found.precise:
        return text
    return f"{text}, wider than the ± {100 * goal.precision:g} % asked for: give it more time"
