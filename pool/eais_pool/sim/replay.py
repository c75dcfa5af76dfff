"""Recorded demand, replayed by one policy after the other: cost, lateness, switches. (Brain)

Rows of one instance are joined to one stretch of seconds. All policies see it from a day before the
time that is asked of, and are counted within it: what was known then, they may know.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from eais.errors import UsageError
from eais_pool.brain.learning import seen_of
from eais_pool.brain.ratio_records import Basis, DemandSeen
from eais_pool.policy.ratio.control import Amount, Seen
from eais_pool.sim.fleet import Fleet, Market, Want
from eais_pool.sim.planners import Oracle, Planner, planner_of, want_of
from eais_pool.sim.policy_names import Changes, PolicyName
from eais_pool.sim.queue_model import Calls

LEARN_S: Final = 86_400.0
AS_IT_WAS: Final = "as it was"
ORACLE: Final = "oracle"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is replayed: of which time (ledger time, now included), and by what policies."""

    since: float
    until: float
    now: float
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one policy.

    Attributes:
        instance: "": all together.
        cost: of what served, in the unit of the pool's prices.
        calls, late: that came, and of them those that waited for longer than they may.
        switches: seconds in which what served became something else.
        seconds: that were counted.
    """

    policy: str
    instance: str
    cost: float = 0.0
    calls: float = 0.0
    late: float = 0.0
    switches: int = 0
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class _Second:
    basis: Basis
    seen: Seen
    counted: bool
    fresh: bool


class _Account:
    """Adds up what one policy costs."""

    def __init__(self, slack_s: int) -> None:
        self.market, self.waiting = Market(), Calls(slack_s)
        self._cost = self._calls = self._late = 0.0
        self._switches = self._seconds = 0
        self._served: Want | None = None

    def count(self, second: _Second, serving: Want, late: float) -> None:
        """A second, in which that served, and so many were found to be late."""
        switched = self._served is not None and serving != self._served
        self._served = dict(serving)
        if second.counted:
            self._cost += self.market.cost(serving)
            self._calls += second.seen.arrived
            self._late += late
            self._switches += switched
            self._seconds += 1

    def outcome(self, policy: str, instance: str) -> Outcome:
        """What it comes to."""
        sums = (self._cost, self._calls, self._late, self._switches, self._seconds)
        return Outcome(policy, instance, *sums)


def replayed(facts: Sequence[DemandSeen], asked: Asked) -> list[Outcome]:
    """One instance's: as it was, the oracle's, and each policy's; [] if nothing is to be counted.

    Raises:
        UsageError: a policy needs what wasn't there.
    """
    seconds = list(_seconds(facts, asked))
    counted = [each for each in seconds if each.counted]
    if not counted:
        return []
    instance, bases = facts[0].instance, list({id(s.basis): s.basis for s in seconds}.values())
    peak = max(each.seen.arrived for each in seconds)
    found = [_recorded(seconds, instance), _oracle(counted, instance)]
    for text in asked.policies:
        try:
            name = PolicyName.parse(text)
            planner = planner_of(name, bases, peak)
            found.append(_by(planner, name.changes, seconds).outcome(text, instance))
        except ValueError as error:
            raise UsageError("ARGUMENT", f"{text}: {error}") from None
    return found


def _seconds(facts: Sequence[DemandSeen], asked: Asked) -> Iterator[_Second]:
    for fact in facts:
        seen = seen_of(fact)
        first = fact.ended - len(seen)
        for number, each in enumerate(seen):
            at = first + number + 1
            if asked.since - LEARN_S < at <= asked.until:
                counted, fresh = at > asked.since, fact.fresh and not number
                yield _Second(fact.basis, each, counted, fresh)


def _slack_s(seconds: Sequence[_Second]) -> int:
    return max(1, math.ceil(seconds[-1].basis.economy.slack_s))


def _recorded(seconds: Sequence[_Second], instance: str) -> Outcome:
    account = _Account(_slack_s(seconds))
    for second in seconds:
        _say(account.market, second.basis)
        before = account.waiting.late
        account.waiting.wait(second.seen.arrived, second.seen.waiting)
        account.count(second, want_of(second.seen.observed), account.waiting.late - before)
    return account.outcome(AS_IT_WAS, instance)


def _oracle(seconds: Sequence[_Second], instance: str) -> Outcome:
    arrivals = [each.seen.arrived for each in seconds]
    oracle = Oracle(arrivals, [each.basis for each in seconds])
    account = _Account(_slack_s(seconds))
    for number, second in enumerate(seconds):
        _say(account.market, second.basis)
        want = {size: units for size, units in oracle.at(number).items() if units}
        per_s = sum(units * account.market.per_s(size) for size, units in want.items())
        before = account.waiting.late
        account.waiting.serve(second.seen.arrived, per_s)
        account.count(second, want, account.waiting.late - before)
    return account.outcome(ORACLE, instance)


def _by(planner: Planner, changes: Changes, seconds: Sequence[_Second]) -> _Account:
    account = _Account(_slack_s(seconds))
    fleet, basis = Fleet(account.market), seconds[0].basis
    _say(account.market, basis, changes)
    fleet.start(planner.begin(want_of(seconds[0].seen.observed)))
    for number, second in enumerate(seconds):
        if second.basis is not basis:
            basis = second.basis
            _say(account.market, basis, changes)
        if second.fresh and number:
            planner.forget()
        fleet.begin(number)
        seen, before = second.seen, account.waiting.late
        waiting = account.waiting.serve(seen.arrived, fleet.per_s)
        account.count(second, fleet.serving, account.waiting.late - before)
        told = Seen(seen.arrived, waiting, Amount(), seen.front_end_load, seen.front_end_cores)
        want = planner.decide(second.basis, fleet, told)
        if want != fleet.asked:
            fleet.ask(number, want)
    return account


def _say(market: Market, basis: Basis, changes: Changes | None = None) -> None:
    market.say(basis.offers, basis.bounds.cpu_price_per_h)
    if changes is not None:
        market.say(changes.of(basis).offers, basis.bounds.cpu_price_per_h)


def summed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Of all instances together, in the order in which policies come."""
    sums: dict[str, Outcome] = {}
    for each in outcomes:
        before = sums.get(each.policy, Outcome(each.policy, ""))
        sums[each.policy] = Outcome(
            each.policy,
            "",
            before.cost + each.cost,
            before.calls + each.calls,
            before.late + each.late,
            before.switches + each.switches,
            before.seconds + each.seconds,
        )
    return list(sums.values())
