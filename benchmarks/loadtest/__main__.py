"""How right what a load test says is, and how much load a core makes.

Percentiles of an open loop are compared with those that its target is known to have: service
times of a lognormal and an exponential distribution, and a target that stalls for a second in
five. Rates are those at a target that answers at once, divided by the CPU time that was used.

`--json` prints one object on one line, whose keys are: error_DISTRIBUTION_DRIVER (the greatest
relative error of p50, p90, p95, p99 and p99.9); error_stalls_DRIVER (of p90 to p99.9);
stall_p99_ms, stall_p99_told_ms and stall_p99_closed_ms (what it is, what the open loop says, and
what a closed loop of one caller says of the same target); omitted_seen (whether the open loop's
is right and the closed loop's isn't); closed_DRIVER_per_core_s and open_DRIVER_per_core_s
(requests a second of CPU time); lag_RATE_DRIVER_p50_ms, …_p99_ms and …_kept (by how much
requests were sent late); load_before (of the machine). The exit status is 1 if an error is more
than 2 %, a rate below 20 000, or an omitted wait wasn't seen.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.ending import ending
from benchmarks.loadtest import accuracy, rate
from eais_client.load.brain.plan import Driver

MOST_ERROR: Final = 0.02
LEAST_PER_CORE_S: Final = 20_000.0
OPEN_PER_S: Final = 20_000.0
RATES: Final = (100, 1_000, 5_000, 10_000)
DISTRIBUTIONS: Final = ("lognormal", "exponential")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loadtest", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each accuracy run")
    asked = parser.parse_args(argv)
    figures: dict[str, Any] = {"load_before": os.getloadavg()[0]}
    for driver in Driver:
        figures |= _accuracy(driver, asked.seconds)
        figures |= _rates(driver, asked.seconds / 5)
    return ending(figures, missed(figures), as_json=asked.json)


def _accuracy(driver: Driver, seconds: float) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in DISTRIBUTIONS:
        found = accuracy.distribution(name, driver, seconds)
        made[f"error_{name}_{driver}"] = round(max(each.error for each in found), 4)
    stalled = accuracy.stalls(driver, seconds)
    made[f"error_stalls_{driver}"] = round(max(each.error for each in stalled), 4)
    if driver is Driver.THREADS:
        p99 = next(each for each in stalled if each.share == 0.99)
        closed = accuracy.closed_p99_ms(driver, seconds)
        made["stall_p99_ms"], made["stall_p99_told_ms"] = p99.is_ms, p99.told_ms
        made["stall_p99_closed_ms"] = closed
        made["omitted_seen"] = p99.error <= MOST_ERROR and closed < p99.is_ms / 2
    return made


def _rates(driver: Driver, seconds: float) -> dict[str, Any]:
    made: dict[str, Any] = {
        f"closed_{driver}_per_core_s": round(rate.closed(driver, seconds).per_core_s),
        f"open_{driver}_per_core_s": round(
            rate.opened(driver, OPEN_PER_S, seconds).per_core_s,
        ),
    }
    for per_s in RATES:
        found = rate.opened(driver, per_s, seconds)
        made[f"lag_{per_s}_{driver}_p50_ms"] = round(found.lag_ms(0.5), 3)
        made[f"lag_{per_s}_{driver}_p99_ms"] = round(found.lag_ms(0.99), 3)
        made[f"lag_{per_s}_{driver}_kept"] = found.kept
    return made


def missed(figures: dict[str, Any]) -> list[str]:
    """What isn't as it must be, a sentence each."""
    said = [
        f"{name} is {value:.1%}, which is more than {MOST_ERROR:.0%}"
        for name, value in figures.items()
        if name.startswith("error_") and value > MOST_ERROR
    ]
    said += [
        f"{name} is {value}, which is less than {LEAST_PER_CORE_S:.0f}"
        for name, value in figures.items()
        if name.endswith("_per_core_s") and value < LEAST_PER_CORE_S
    ]
    if not figures["omitted_seen"]:
        said.append(
            f"p99 under stalls is {figures['stall_p99_ms']:.0f} ms; the open loop says "
            f"{figures['stall_p99_told_ms']:.0f} ms, the closed loop "
            f"{figures['stall_p99_closed_ms']:.0f} ms"
        )
    return said


if __name__ == "__main__":
    sys.exit(main())
