"""What a live instance does under a load that triples, halves and stops, and what it costs.

A Poisson load of a real model, to an instance of `--ratio auto` that may have two workers: eighths
of a core, or shares of a simulated GPU. `live` says how; figures:

- calls, lost, wrong: of which answers are compared with onnxruntime's in this process;
- late_percent: of calls, those answered later than `slo_s` after they were due, but for those
  that were due within `attach_delay_s` after the load began or tripled (late_percent_of_all: of
  all of them); late_before_attach_percent: of just those;
- attach_delay_s: stated before; attach_longest_s: from asking for more to when it served;
- switches: how often what served became something else; kinds_used, served: what that was;
- final_workers: after the load has stopped, asleep_s: how long that took;
- cost: as the ledger has it, in the unit of prices; oracle_cost: of who knows the calls of each
  ten seconds, and switches free of charge and at once (`judging`); cost_over_oracle;
- core_per_s, speeds: calls a second of a core, and of a unit of each size within the SLO.

`--json` prints one object on one line, `--picture` draws the seconds. The exit status is 1 if a
limit isn't met.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.elastic import judging, live, picture
from benchmarks.ending import ending
from eais.device_type import type_text
from eais_pool.policy.ratio.control import Amount

ATTACH_DELAY_S: Final = 6.0
"""Until a rise is seen, what it takes serves, and what came meanwhile is answered."""
PHASE_S: Final = 75.0


def figures(run: live.Run) -> dict[str, Any]:
    """All of them."""
    rises = _rises(run)
    late = judging.lateness(run.loaded.calls, live.SLO_S, rises, ATTACH_DELAY_S)
    served = [amount for _, amount in run.recorded.served]
    kinds = sorted({amount.kind.value for amount in served if amount.kind and amount.units})
    oracle = judging.oracle_cost(arrivals(run), run.recorded.offers, live.MOST)
    return {
        "calls": len(run.loaded.calls),
        "lost": sum(run.loaded.lost.values()),
        "lost_for": run.loaded.lost,
        "wrong": run.loaded.wrong,
        "slo_s": live.SLO_S,
        "attach_delay_s": ATTACH_DELAY_S,
        "attach_longest_s": round(max(_attach_s(run), default=0.0), 1),
        "late_percent": round(late.percent, 3),
        "late_percent_of_all": round(late.percent_of_all, 3),
        "late_before_attach_percent": round(100 * late.excused_late / max(1, late.excused), 1),
        "sent_late_ms": round(1e3 * max(each.sent - each.due for each in run.loaded.calls), 1),
        "switches": judging.switches(served),
        "kinds_used": len(kinds),
        "kinds": kinds,
        "served": [str(amount) for amount, _ in itertools.groupby(served)],
        "final_workers": run.loaded.workers,
        "asleep_s": round(run.loaded.asleep_s, 1),
        "cost": round(run.loaded.cost, 6),
        "oracle_cost": round(oracle, 6),
        "cost_over_oracle": round(run.loaded.cost / oracle, 3),
        "phases": {each.name: round(each.per_s, 2) for each in run.phases},
        "core_per_s": round(1 / live.core_s(run.profiles), 1),
        "speeds": {
            type_text(each.kind, each.unit_milli): round(each.unit_per_s, 1)
            for each in run.recorded.offers
        },
    }


def arrivals(run: live.Run) -> list[int]:
    """Calls that were due in each second of the load."""
    counts = [0] * round(sum(phase.seconds for phase in run.phases))
    for call in run.loaded.calls:
        counts[min(int(call.due - run.loaded.begin), len(counts) - 1)] += 1
    return counts


def missed(found: dict[str, Any]) -> list[str]:
    """What is missed of the limits, in sentences."""
    most = {"lost": 0, "wrong": 0, "final_workers": 0, "late_percent": 1.0}
    most["attach_longest_s"] = ATTACH_DELAY_S
    least = {"switches": 3, "kinds_used": 2}
    above = [f"{name} is above {limit:g}" for name, limit in most.items() if found[name] > limit]
    below = [f"{name} is below {limit}" for name, limit in least.items() if found[name] < limit]
    return above + below


def _rises(run: live.Run) -> list[float]:
    found, at, before = [], run.loaded.begin, 0.0
    for phase in run.phases:
        if phase.per_s > before:
            found.append(at)
        at, before = at + phase.seconds, phase.per_s
    return found


def _attach_s(run: live.Run) -> list[float]:
    """For each decision that asked for more: until that, or something else, served."""
    found = []
    for record in run.recorded.decided:
        wanted, before = record.decision.requested, record.decision.observed
        if not wanted.units or record.failed or not _is_more(wanted, before):
            continue
        later = (at for at, serves in run.recorded.served if at > record.at and serves != before)
        found += [at - record.at for at in itertools.islice(later, 1)]
    return found


def _is_more(wanted: Amount, before: Amount) -> bool:
    return wanted.kind is not before.kind or wanted.share_milli > before.share_milli


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--phase-s", type=float, default=PHASE_S, help="seconds of each phase")
    parser.add_argument("--seed", type=int, default=1, help="of when calls come")
    parser.add_argument("--picture", type=Path, metavar="SVG", help="draw it")
    args = parser.parse_args()
    run = live.run(args.phase_s, args.seed)
    found = {"benchmark": "elastic", **figures(run)}
    if args.picture:
        args.picture.write_text(picture.drawn(run, ATTACH_DELAY_S), encoding="utf-8")
    return ending(found, missed(found), as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
