"""Whether the capacity that a search finds is the one that theory says.

The target serves one call at a time, each for the same time, and calls come as a Poisson process:
a queue M/D/1, whose capacity under an SLO is known in closed form. Load, clocks and threads are
real. The search is given nothing but the SLO.

`--json` prints one object on one line: service_ms, slo_ms, share; capacity_per_s, low_per_s,
high_per_s, precise: what was found, and its 95 % interval; closed_form_per_s, error_percent;
requests, trials, seconds: what that took; late_schedules: trials whose load wasn't made when it was
due; bound and said: in words; load_before (of the machine).
The exit status is 1 if the error is more than 5 %, or something else than the SLO bound the search.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.ending import ending
from benchmarks.loadtest.stand import known
from eais_client.load.brain import md1
from eais_client.load.brain.capacity import Capacity, Search
from eais_client.load.brain.plan import Driver, Driving, ModelLoad
from eais_client.load.brain.schedule import schedule_verdict
from eais_client.load.brain.trials import Goal, phase_of, result_of
from eais_client.load.checking import Prepared, write_prepared
from eais_client.load.generator.processes import Generators

MOST_ERROR_PERCENT: Final = 5.0
_MODEL: Final = ModelLoad("m", "")


def searched(goal: Goal, service_ms: float, driver: Driver) -> Capacity:
    """What a search finds at a server of constant speed."""
    target = known(distribution="constant", mean_ms=service_ms, servers=1)
    search = Search(goal)
    x = np.zeros(1, np.float32)
    with (
        tempfile.TemporaryDirectory() as folder,
        Generators([target], [_MODEL], Driving(driver=driver)) as made,
    ):
        write_prepared(Path(folder) / "m", Prepared(({"x": x},), ((x,),), "exact"))
        made.prepare({"m": Path(folder) / "m"})
        while trial := search.next():
            record = made.run(0, phase_of(trial))
            kept = schedule_verdict(record).kept
            search.told(result_of(trial, record, goal.slo_s, kept=kept))
    return search.found()


def figures(goal: Goal, service_ms: float, found: Capacity) -> dict[str, Any]:
    """What was found, beside what theory says."""
    known_per_s = md1.capacity(service_ms / 1000, goal.slo_s, goal.share)
    return {
        "benchmark": "loadtest_capacity",
        "service_ms": service_ms,
        "slo_ms": 1000 * goal.slo_s,
        "share": goal.share,
        "capacity_per_s": round(found.per_s, 1),
        "low_per_s": round(found.low, 1),
        "high_per_s": None if found.high is None else round(found.high, 1),
        "precise": found.precise,
        "closed_form_per_s": round(known_per_s, 1),
        "error_percent": round(100 * (found.per_s / known_per_s - 1), 2),
        "requests": found.requests,
        "trials": len(found.trials),
        "late_schedules": sum(not each.kept for each in found.trials),
        "seconds": round(found.seconds, 1),
        "bound": found.bound.value,
        "said": found.said,
    }


def missed(found: dict[str, Any]) -> list[str]:
    """What isn't as it must be, a sentence each."""
    said = []
    if found["bound"] != "slo":
        said.append(f"nothing is shown: the search was bound by {found['bound']}")
    if abs(found["error_percent"]) > MOST_ERROR_PERCENT:
        said.append(
            f"the capacity found, {found['capacity_per_s']}/s, is {found['error_percent']} % off "
            f"the closed form's {found['closed_form_per_s']}/s"
        )
    return said


def main(argv: Sequence[str] | None = None) -> int:
    """Search, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.loadtest.capacity", description=__doc__
    )
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--service-ms", type=float, default=2.0, help="of each call (2)")
    parser.add_argument("--slo-ms", type=float, default=20.0, help="for 99 %% of the calls (20)")
    parser.add_argument("--seconds", type=float, default=400.0, help="at most (400)")
    parser.add_argument("--driver", type=Driver, default=Driver.THREADS, help="of the load")
    asked = parser.parse_args(argv)
    goal = Goal(slo_s=asked.slo_ms / 1000, first_per_s=50.0, budget_s=asked.seconds)
    before = {"load_before": os.getloadavg()[0]}
    found = before | figures(goal, asked.service_ms, searched(goal, asked.service_ms, asked.driver))
    return ending(found, missed(found), as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
