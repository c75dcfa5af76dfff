"""How `auto` chooses, against who looks at every candidate and knows what each would truly do.

For each of many random worlds (`worlds.py`) the chooser sees at most 20 batches a device, each
with 10 % noise, and then chooses. The exhaustive choice is the cheapest candidate that truly
meets the SLO. `measure` gives

- auto_top1_percent: worlds in which the same candidate was chosen, or one of equal cost that
  meets the SLO;
- auto_regret_percent: what was chosen costs so much more than the best, on average; a choice
  that misses the SLO counts as 100 %, as if it had been paid for nothing;
- auto_missed_slo_percent: worlds with such a choice;
- auto_contested_percent, auto_contested_top1_percent, auto_contested_regret_percent: worlds in
  which what costs least doesn't do, and the same figures of these alone;
- auto_doubling_cost_percent: as `auto` weighs shares that double, what it could choose best costs
  so much more than the best of all eighths and all numbers of cores;
- auto_same_kind_percent: worlds in which it is of the best one's kind;
- auto_batches_mean, auto_batches_most: batches run of a device;
- cheapest_regret_percent, quickest_regret_percent: of who always takes the type of least cost,
  and of who always takes what answers one caller soonest, by the same rules.

Constants of the policy were set on worlds below `REPORTED`; those reported are above.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.devices.worlds import JITTER, World, drawn
from benchmarks.ending import ending
from eais_pool.policy.choosing import Candidate, choose
from eais_pool.policy.measuring import Measuring, on_event
from eais_pool.policy.measuring_events import Began, Limits, Measured, RunBatch

BATCHES = 20
REPORTED = 1_000_000
"""The number of the first world that is reported on."""
TOP1_PERCENT = 95.0
REGRET_PERCENT = 3.0
HAIR = 1e-9
"""Costs that differ by less, as a share, are equal."""
_DIGEST = "0" * 64


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the chooser did in one world."""

    world: World
    best: Candidate
    chosen: Candidate
    batches: list[int]

    def regret(self, chosen: Candidate) -> float:
        """What a choice costs beyond the best, as a share of it; 1 if it misses the SLO."""
        if not self.world.meets(chosen):
            return 1.0
        return self.world.cost(chosen) / self.world.cost(self.best) - 1

    @property
    def doubling(self) -> float:
        """What the best costs beyond the best of all that is sold."""
        sold = self.world.best_of_all_sold()
        return self.world.cost(self.best) / self.world.cost(sold or self.best) - 1

    @property
    def cheapest(self) -> Candidate:
        """What who looks at prices alone takes."""
        return min(self.world.admitted, key=self.world.cost)

    @property
    def quickest(self) -> Candidate:
        """What who looks at speed alone takes: the least p99 of one caller."""
        return min(self.world.admitted, key=lambda each: self.world.p99_s(each, 0.0))

    @property
    def top1(self) -> bool:
        """Whether the choice is as good as the best."""
        return self.regret(self.chosen) <= HAIR


def measure(worlds: int = 3000, first: int = REPORTED) -> dict[str, float]:
    """The figures of so many worlds, from that number on."""
    found = [outcome for n in range(worlds) if (outcome := outcome_of(first + n)) is not None]
    used = [batches for each in found for batches in each.batches]
    contested = [each for each in found if each.regret(each.cheapest) > HAIR]
    return {
        "auto_top1_percent": _percent([each.top1 for each in found]),
        "auto_regret_percent": _percent([each.regret(each.chosen) for each in found]),
        "auto_missed_slo_percent": _percent([not each.world.meets(each.chosen) for each in found]),
        "auto_contested_percent": _percent([each in contested for each in found]),
        "auto_contested_top1_percent": _percent([each.top1 for each in contested]),
        "auto_contested_regret_percent": _percent([each.regret(each.chosen) for each in contested]),
        "auto_doubling_cost_percent": _percent([each.doubling for each in found]),
        "auto_same_kind_percent": _percent(
            [each.chosen.runner.kind is each.best.runner.kind for each in found]
        ),
        "auto_worlds": len(found),
        "auto_batches_mean": round(fmean(used), 2),
        "auto_batches_most": max(used),
        "cheapest_regret_percent": _percent([each.regret(each.cheapest) for each in found]),
        "quickest_regret_percent": _percent([each.regret(each.quickest) for each in found]),
    }


def outcome_of(seed: int) -> Outcome | None:
    """What the chooser does in the world of that number; None if nothing can meet its SLO."""
    world = drawn(seed)
    best = world.best()
    if best is None:
        return None
    state, batches = measured(world, random.Random(f"noise {seed}"))
    choice = choose(world.demand, world.candidates, state.curves(), world.prices)
    assert choice.chosen is not None
    return Outcome(world, best, choice.chosen.candidate, batches)


def measured(world: World, chance: random.Random) -> tuple[Measuring, list[int]]:
    """All that the chooser sees of a world, and how many batches each device ran for it."""
    limits = Limits(batches=BATCHES, seconds=1e9)
    state = Measuring(_DIGEST, world.devices, world.prices, demand=world.demand, limits=limits)
    waiting = on_event(state, Began(), 0.0)
    counts = dict.fromkeys((device.id for device in world.devices), 0)
    while waiting:
        asked = waiting.pop(0)
        if isinstance(asked, RunBatch):
            counts[asked.device] += 1
            truth = world.truths[asked.runner].seconds(asked.batch, asked.share_milli)
            took = truth * max(0.05, chance.gauss(1.0, JITTER))
            waiting += on_event(state, Measured(asked, took), 0.0)
    return state, list(counts.values())


def _percent(values: Sequence[float]) -> float:
    return round(100 * fmean(values), 3)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; exit status 1 if a limit isn't met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worlds", type=int, default=3000)
    parser.add_argument("--first", type=int, default=REPORTED)
    given = parser.parse_args(argv)
    figures = measure(given.worlds, given.first)
    return ending(figures, missed(figures), as_json=given.json)


def missed(figures: Mapping[str, float]) -> list[str]:
    """What is missed of the limits, in sentences."""
    found = []
    if figures["auto_top1_percent"] < TOP1_PERCENT:
        found.append(f"auto_top1_percent is below {TOP1_PERCENT:g}")
    if figures["auto_regret_percent"] > REGRET_PERCENT:
        found.append(f"auto_regret_percent is above {REGRET_PERCENT:g}")
    return found


if __name__ == "__main__":
    sys.exit(main())
