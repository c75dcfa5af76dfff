"""What the ratio controller costs and how late it leaves calls, beside others' autoscalers.

`--trace FILE` is recorded demand (`traces`), of which `--days` are taken, jittered by each of
`--seeds`. The queue, what is late, and what the oracle is, are in `eais_pool.sim.queue_model`; a
unit serves 10 calls a second. The controller sees the past only: the days before the first of
`--days`, of which no figure is taken, and none of them with `--cold`. Figures:

- cost_over_oracle, late_percent, switches_per_hour: of the controller, means over seeds;
- spread.…: the lowest and highest of each over seeds;
- oracle_units_mean: what the oracle has, on average;
- baselines.NAME.…: the same of others' autoscalers with the same queue, delay and demand;
- front: the names of those that no other beats in both cost and lateness;
- stranded_…: of `--dlrm FILE`, see `stages`.

`--json` prints one object on one line. The exit status is 1 if a limit for the attach delay, of 1,
15 or 60 s, isn't met; other delays have none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from benchmarks.ending import ending
from benchmarks.ratio import picture, settings, stages, traces
from eais.device_type import DeviceKind
from eais_pool.policy.ratio.control import Amount, RatioController, Seen
from eais_pool.policy.ratio.offers import Offer
from eais_pool.policy.ratio.scaling import Economy
from eais_pool.sim.autoscalers import fixed
from eais_pool.sim.queue_model import Outcome, Scales, oracle, served

UNIT_PER_S: Final = 10.0
STRANDED_PERCENT: Final = 2.0


@dataclass(frozen=True)
class Goal:
    """Limits with an attach delay; of `late_percent` the operator tells the controller."""

    cost: float
    late_percent: float
    switches_per_hour: float


GOALS: Final = {
    1: Goal(1.20, 0.05, 60.0),
    15: Goal(1.45, 0.3, float("inf")),
    60: Goal(1.45, 1.0, float("inf")),
}


def ours(attach_s: int, late_percent: float) -> Scales:
    """The controller, with GPU eighths that serve 10 calls a second each."""
    kind, milli = DeviceKind.GPU, 125
    offer = Offer(kind, milli, UNIT_PER_S, price_per_h=2.5 / 8, attach_s=attach_s)
    controller = RatioController([offer], Economy(late_target=late_percent / 100))

    def policy(arrived: float, waiting: float, ready: int, requested: int) -> int:
        seen = Seen(arrived, waiting, Amount(kind, ready, milli))
        return controller.see(seen).requested.units

    return policy


def measured(
    make: Callable[[], Scales],
    demands: Sequence[Sequence[int]],
    bests: Sequence[float],
    attach_s: int,
    begin: int = 0,
) -> dict[str, list[float]]:
    """The three figures of one policy, for each demand from second `begin` on."""
    found: dict[str, list[float]] = {
        "cost_over_oracle": [],
        "late_percent": [],
        "switches_per_hour": [],
    }
    for demand, best in zip(demands, bests, strict=True):
        outcome: Outcome = served(demand, make(), attach_s, UNIT_PER_S, begin)
        found["cost_over_oracle"].append(outcome.unit_s / best)
        found["late_percent"].append(outcome.late_percent)
        found["switches_per_hour"].append(outcome.switches_per_hour)
    return found


def means(figures: dict[str, list[float]]) -> dict[str, float]:
    """Over seeds, to what is worth reading."""
    return {name: round(fmean(values), 4) for name, values in figures.items()}


def on_trace(args: argparse.Namespace, late_percent: float) -> dict[str, Any]:
    """All figures of the demand."""
    trace = traces.read(args.trace)
    counts = traces.days(trace, *args.days)
    demands = [traces.jittered(counts, seed) for seed in range(args.seeds)]
    bests = [oracle(demand, UNIT_PER_S) for demand in demands]
    past = [] if args.cold else traces.days(trace, 0, args.days[0] - 1).tolist()
    mine = measured(
        lambda: ours(args.attach_delay, late_percent),
        [past + demand for demand in demands],
        bests,
        args.attach_delay,
        len(past),
    )
    found: dict[str, Any] = {
        **means(mine),
        "spread": {name: [round(min(v), 4), round(max(v), 4)] for name, v in mine.items()},
        "attach_delay_s": args.attach_delay,
        "late_target_percent": late_percent,
        "learned_days": len(past) // traces.DAY_S,
        "seeds": args.seeds,
        "seconds": len(counts),
        "calls": int(counts.sum()),
        "oracle_units_mean": round(fmean(bests) / len(counts), 4),
    }
    if not args.alone:
        found["baselines"] = _of_others(args, counts, demands, bests)
        points = _points(found)
        found["front"] = picture.front(points)
        if args.picture:
            title = f"{args.trace.name}, {args.attach_delay} s to attach"
            args.picture.write_text(picture.drawn(points, title), encoding="utf-8")
    return found


def _of_others(
    args: argparse.Namespace,
    counts: traces.Counts,
    demands: Sequence[Sequence[int]],
    bests: Sequence[float],
) -> dict[str, Any]:
    delay = args.attach_delay
    makers: dict[str, Callable[[], Scales]] = dict(settings.SETTINGS)
    for name, per_s in (("mean", counts.mean()), ("peak", counts.max())):
        units = -int(-per_s // UNIT_PER_S)
        makers[f"static_{name}"] = partial(fixed, units)
    most = -int(-counts.max() // UNIT_PER_S)
    return {
        name: means(measured(partial(_at_most, make, most), demands, bests, delay))
        for name, make in makers.items()
    }


def _at_most(make: Callable[[], Scales], units: int) -> Scales:
    """Others' may ask for what the highest second needs, as whoever sets them up would say."""
    policy = make()
    return lambda *seen: min(policy(*seen), units)


def _points(found: dict[str, Any]) -> picture.Points:
    all_of_them = {"eais": found, **found["baselines"]}
    return {
        name: (each["cost_over_oracle"], each["late_percent"]) for name, each in all_of_them.items()
    }


def missed(found: dict[str, Any]) -> list[str]:
    """What is missed of the limits, in sentences."""
    said = []
    goal = GOALS.get(found.get("attach_delay_s", 0))
    if goal is not None:
        for name, most in (
            ("cost_over_oracle", goal.cost),
            ("late_percent", goal.late_percent),
            ("switches_per_hour", goal.switches_per_hour),
        ):
            if found[name] > most:
                said.append(f"{name} is above {most:g}")
    if found.get("stranded_percent", 0.0) > STRANDED_PERCENT:
        said.append(f"stranded_percent is above {STRANDED_PERCENT:g}")
    return said


def _days(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trace", type=Path, help="recorded demand")
    parser.add_argument("--days", type=_days, default=(0, 10**6), help="such as 7-13")
    parser.add_argument("--attach-delay", type=int, default=1, metavar="S")
    parser.add_argument("--seeds", type=int, default=3, help="of jitter (3)")
    parser.add_argument(
        "--late-target",
        type=float,
        metavar="PERCENT",
        help="of calls, what may be late (the limit for the attach delay, or 0.05)",
    )
    parser.add_argument("--cold", action="store_true", help="without the days before to learn from")
    parser.add_argument("--alone", action="store_true", help="without others' autoscalers")
    parser.add_argument("--picture", type=Path, metavar="SVG", help="draw cost against lateness")
    parser.add_argument("--dlrm", type=Path, help="the DLRM trace, for both stages")
    parser.add_argument("--json", action="store_true", help="one object on one line")
    args = parser.parse_args(argv)
    found: dict[str, Any] = {"benchmark": "ratio"}
    if args.trace:
        goal = GOALS.get(args.attach_delay)
        found |= on_trace(args, args.late_target or (goal.late_percent if goal else 0.05))
    if args.dlrm:
        found |= stages.stranded(stages.read(args.dlrm))
    if len(found) == 1:
        found["skipped"] = "neither --trace nor --dlrm was given"
    return ending(found, missed(found), as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
