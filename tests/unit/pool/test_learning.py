"""A manager that was started anew knows what the one before it had learned."""

from __future__ import annotations

import math
from dataclasses import replace

from eais_pool.brain.codec import from_json, to_json
from eais_pool.brain.events import RatioChosen
from eais_pool.brain.learning import Learner, seen_of
from eais_pool.brain.ratio_records import DemandSeen
from eais_pool.brain.ratios import Ratios
from tests.unit.pool.rig import SETTINGS
from tests.unit.pool.test_ratios import QUICK, Live

MINUTES = 4


def demand(second: int) -> int:
    """Calm, a surge every two minutes, and nothing at all for a while."""
    if second % 200 > 170:
        return 0
    return 300 if second % 120 < 15 else 10 + round(5 * math.sin(second / 7))


def restarted(live: Live) -> Ratios:
    """New controllers in the place of the old ones, as a new manager makes them."""
    live.ratios = Ratios(replace(SETTINGS, **QUICK), live.activities)  # type: ignore[arg-type]
    assert live.ratios.begin(live.shell.state) == {live.name}
    return live.ratios


def told_again(live: Live) -> list[DemandSeen]:
    """What was handed over, as the journal says it."""
    return [from_json(DemandSeen, to_json(fact)) for fact in live.seen]


def run(live: Live, seconds: range) -> None:
    for second in seconds:
        live.go_by(1, calls=demand(second))


def decided(live: Live) -> list[RatioChosen]:
    return [replace(each, instance="") for each in live.chosen]


def test_one_that_was_started_anew_decides_as_one_that_was_not() -> None:
    one, other = Live(), Live()
    run(one, range(60 * MINUTES))
    run(other, range(60 * MINUTES))
    for event in other.ratios.on_stop(other.shell.state, other.shell.now):
        other.seen += event.seen
    before = len(one.chosen)
    ratios = restarted(other)
    for fact in told_again(other):
        ratios.remember(fact)
    ratios.recall()
    run(one, range(60 * MINUTES, 60 * MINUTES + 240))
    run(other, range(60 * MINUTES, 60 * MINUTES + 240))
    assert len(one.chosen) > before
    assert decided(one) == decided(other)
    assert one.ratios.attach_s == other.ratios.attach_s
    assert not other.seen[-1].fresh


def test_without_its_past_it_would_decide_otherwise() -> None:
    one, other = Live(), Live()
    run(one, range(60 * MINUTES))
    run(other, range(60 * MINUTES))
    restarted(other).recall()
    run(one, range(60 * MINUTES, 60 * MINUTES + 240))
    run(other, range(60 * MINUTES, 60 * MINUTES + 240))
    assert decided(one) != decided(other)


def test_while_it_is_told_it_decides_and_what_it_saw_meanwhile_is_added() -> None:
    live = Live()
    run(live, range(60 * MINUTES))
    past = told_again(live)
    ratios = restarted(live)
    live.go_by(100, calls=10)
    for fact in past:
        ratios.remember(fact)
    live.go_by(25, calls=10)
    ratios.recall()
    live.go_by(70, calls=10)
    live.chosen.clear()
    live.go_by(70, calls=400)
    learner: Learner | None = None
    decisions = []
    for fact in live.seen:
        assert fact is live.seen[0] or not fact.fresh
        if learner is None or fact.fresh:
            learner = Learner(fact.basis)
        learner.revise(fact.basis)
        decisions += [learner.see(seen) for seen in seen_of(fact)]
    made = live.chosen[0].decision
    assert made == decisions[made.second - 1]


def test_one_that_was_stopped_meanwhile_begins_anew() -> None:
    live = Live()
    run(live, range(120))
    ratios = restarted(live)
    live.pool.ask("stop", live.name)
    live.pool.deliver()
    live.go_by(1)
    for fact in told_again(live):
        ratios.remember(fact)
    ratios.recall()
    live.pool.ask("start", live.name)
    live.pool.deliver()
    before = len(live.seen)
    live.go_by(70, calls=10)
    assert live.seen[before].fresh
