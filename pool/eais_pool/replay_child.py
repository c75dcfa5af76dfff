"""The process that replays demand for `eais whatif`: `python -m eais_pool.replay_child`.

It is the manager's child, and ends with it. It opens no file and no socket: on standard input comes
one line that says what is asked, then one row of demand a line; on standard output goes the answer,
one JSON object. What it may take of CPU and memory is set before it reads anything.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from setproctitle import setproctitle

from eais.errors import EaisError, make_error
from eais.parent import end_with_parent
from eais_pool.brain.codec import from_json
from eais_pool.brain.ratio_records import DemandSeen
from eais_pool.sim.replay import Asked, Outcome, replayed, summed

TITLE: Final = "eais-whatif"
_NICE: Final = 10
_MANY: Final = 100
"""Instances, of which no more are told apart."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=TITLE, description="Replays demand; see eais whatif.")
    parser.add_argument("--parent-pid", type=int, required=True, help="end when this one does")
    parser.add_argument("--cpu-s", type=int, required=True, help="what it may take of CPU")
    parser.add_argument("--memory-mib", type=int, required=True, help="and of address space")
    return parser


def _be_bounded(cpu_s: int, memory_mib: int) -> None:
    """Have the kernel end this process when it takes more; it writes no file."""
    memory = memory_mib << 20
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, memory),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (limit, limit))
    os.nice(_NICE)


def outcomes(asked: Asked, rows: Iterable[str]) -> list[Outcome]:
    """All policies', of all instances together, then of each.

    Raises:
        EaisError: NOT_FOUND, nothing was recorded then; ARGUMENT, a policy can't be had.
    """
    found: list[Outcome] = []
    by_instance: dict[str, list[str]] = {}
    first = last = 0.0
    for row in rows:
        fact = from_json(DemandSeen, row)
        began = fact.ended - len(fact.seconds.arrived)
        first, last = min(first or began, began), max(last, fact.ended)
        by_instance.setdefault(fact.instance, []).append(row)
    for texts in by_instance.values():
        found += replayed([from_json(DemandSeen, text) for text in texts], asked)
    if not found:
        raise _nothing(asked, first, last)
    return [*summed(found), *(found if len(by_instance) <= _MANY else ())]


def _nothing(asked: Asked, first: float, last: float) -> EaisError:
    if not first:
        text = "nothing was recorded yet; it is, a minute at a time, where the pool decides a ratio"
        return make_error("NOT_FOUND", text)
    ago = [f"{max(0.0, asked.now - at) / 60:.0f} m" for at in (first, last)]
    text = f"nothing was recorded in that time, but from {ago[0]} until {ago[1]} ago"
    return make_error("NOT_FOUND", text)


def answer(lines: Iterable[str]) -> dict[str, Any]:
    """What is answered to what was read."""
    rows = iter(lines)
    try:
        asked = from_json(Asked, next(rows, ""))
        return {"lines": [asdict(each) for each in outcomes(asked, rows)]}
    except EaisError as error:
        return {"error": [error.reason, error.message, error.hint]}
    except MemoryError:
        return {"memory": True}


def main() -> int:
    """Read, replay, answer; the exit code."""
    setproctitle(TITLE)
    given = _parser().parse_args()
    _be_bounded(given.cpu_s, given.memory_mib)
    if not end_with_parent(given.parent_pid, signal.SIGKILL):
        return 0
    sys.stdout.write(json.dumps(answer(sys.stdin)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
