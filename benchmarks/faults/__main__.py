"""Kill and freeze what a real embedded pool is made of while 8 threads call without pause.

Three phases: the worker is killed every 2 s and the listener once; the manager is killed every
5 s and, while it is away, a worker; then worker and listener are frozen. `--json` prints one
object on one line, whose keys are:

calls, lost (raised, or answered past the caller's deadline), wrong, worker_kills, manager_kills,
worker_recovery_p99_ms and listener_recovery_ms (kill to the first right answer that the killed
can't have given; the worst), manager_errors (calls lost and sessions not opened while managers
died), worker_freeze_detect_ms (SIGSTOP to the frozen worker's end; the worst),
listener_freeze_detect_ms (SIGSTOP to the manager saying that the host can't be reached; the
worst), listener_freeze_recovery_ms (SIGSTOP of a listener that isn't woken up to the first right
answer of what the supervisor started in its place, its watchdog's 10 s and a second look
included; calls go on until it is ended, so no limit is set). The exit status is 1 if a limit
isn't met.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.ending import ending
from benchmarks.faults import phases
from benchmarks.faults.callers import Tally
from benchmarks.faults.stand import Figures, Stand, stand

PHASES: tuple[Callable[[Stand, float], None], ...] = (
    phases.dying_workers,
    phases.dying_manager,
    phases.frozen_peers,
)
AT_MOST = {
    "lost": 0,
    "wrong": 0,
    "manager_errors": 0,
    "worker_recovery_p99_ms": 1500,
    "listener_recovery_ms": 5000,
    "worker_freeze_detect_ms": 2000,
    "listener_freeze_detect_ms": 2000,
}


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all don't exceed; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def report(tally: Tally, figures: Figures, seconds: float) -> dict[str, Any]:
    """The figures by name."""
    return {
        "benchmark": "faults",
        "seconds_per_phase": seconds,
        "calls": tally.calls,
        "lost": tally.lost,
        "wrong": tally.wrong,
        "worker_kills": figures.worker_kills,
        "manager_kills": figures.manager_kills,
        "worker_recovery_p50_ms": round(quantile(figures.worker_ms, 0.5)),
        "worker_recovery_p99_ms": round(quantile(figures.worker_ms, 0.99)),
        "listener_recovery_ms": round(max(figures.listener_ms, default=0.0)),
        "manager_errors": sum(figures.manager_errors.values()),
        "manager_recovery_p99_ms": round(quantile(figures.manager_ms, 0.99)),
        "worker_freeze_detect_ms": round(max(figures.worker_freeze_ms, default=0.0)),
        "listener_freeze_detect_ms": round(max(figures.listener_freeze_ms, default=0.0)),
        "listener_freeze_recovery_ms": round(max(figures.listener_freeze_recovery_ms, default=0.0)),
        "freezes": len(figures.worker_freeze_ms) + len(figures.listener_freeze_ms),
        "slowest_call_ms": round(tally.slowest_s * 1000),
        "errors": dict(tally.errors + figures.manager_errors),
    }


def missed(found: dict[str, Any], seconds: float) -> list[str]:
    """Which figures don't meet their limit; kills only when the phases are long enough."""
    at_least = {"worker_kills": 25, "manager_kills": 10} if seconds >= 60 else {}
    return [
        *(f"{key} = {found[key]} > {most}" for key, most in AT_MOST.items() if found[key] > most),
        *(
            f"{key} = {found[key]} < {least}"
            for key, least in at_least.items()
            if found[key] < least
        ),
    ]


def measure(seconds: float, root: Path) -> dict[str, Any]:
    """Run all phases on a pool below `root`."""
    with stand(root) as made:
        for phase in PHASES:
            phase(made, seconds)
            print(f"{phase.__name__}: {made.callers.tally.calls} calls", file=sys.stderr)
    return report(made.callers.tally, made.figures, seconds)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N", help="of each phase")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave logs and state there")
    args = parser.parse_args()
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
        found = measure(args.seconds, args.keep)
    else:
        with tempfile.TemporaryDirectory(prefix="eais-faults-") as folder:
            found = measure(args.seconds, Path(folder))
    return ending(found, missed(found, args.seconds), as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
