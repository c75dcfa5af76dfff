"""Turns on a shared device: processes that compute in batches on one core, as workers do.

`measure` gives

- turns_share_error_points: tenants with 1/4 and 3/4 of the core, both saturating it, for
  `SECONDS`, by their processes' CPU time as seen from here: the most that a share is off, in
  points, of three pairs of batch lengths (`PAIRS_US`); turns_share_percent: that of the one with
  1/4, for each pair;
- turns_third_moves_s: a third with as much as both together comes, and goes: from then on until the
  shares are within `CLOSE_POINTS` of what they should be, looked at over `WINDOW_S`, the longer
  of both;
- turns_idle_cost_percent: so many fewer batches of a busy one beside an idle one than alone, in
  the time in which no other process had the core, the median of `ROUNDS` pairs;
- handover_p50_us, handover_p90_us: from the last batch of a turn to the first of the next, of
  the pair with equal batches;
- free_take_ns: to begin and to end a batch while nobody else wants the device;
- overruns: what the keeper did against somebody's will: there is no reason to.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.devices.spinning import Child, Core, handovers_us, one_core, shares
from benchmarks.faults.__main__ import quantile
from eais_server.listener.cpu_waits import thread_look
from eais_server.turns.page import Seat
from eais_server.turns.turn import Turn

SECONDS: Final = 2.0
PAIRS_US: Final = ((1000, 1000), (200, 20_000), (20_000, 200))
SETTLE_S: Final = 0.3
CLOSE_POINTS: Final = 5.0
WINDOW_S: Final = 0.2
WATCHED_S: Final = 3.0
ROUNDS: Final = 9
ROUND_S: Final = 0.3
TAKES: Final = 100_000

ERROR_POINTS: Final = 2.0
MOVES_S: Final = 1.0
IDLE_PERCENT: Final = 2.0


def measure() -> dict[str, Any]:
    """The figures; takes a quarter of a minute."""
    with one_core() as core:
        found = {**_quarters(core), **_third(core), **_idle(core), "free_take_ns": _free_ns()}
        return {**found, "overruns": len(core.told)}


def missed(figures: dict[str, Any]) -> list[str]:
    """What is missed of the limits, in sentences."""
    limits = {
        "turns_share_error_points": ERROR_POINTS,
        "turns_third_moves_s": MOVES_S,
        "turns_idle_cost_percent": IDLE_PERCENT,
        "overruns": 0,
    }
    over = {name: limit for name, limit in limits.items() if figures[name] > limit}
    return [f"{name} = {figures[name]} > {limit:g}" for name, limit in over.items()]


def _quarters(core: Core) -> dict[str, Any]:
    quarter: list[float] = []
    took: list[float] = []
    for light_us, heavy_us in PAIRS_US:
        children = core.shared((250, light_us), (750, heavy_us))
        time.sleep(SETTLE_S)
        quarter.append(shares(children, SECONDS)[0])
        logs = [core.leave(child) for child in children]
        if light_us == heavy_us:
            took = handovers_us(logs)
    return {
        "turns_share_error_points": round(max(abs(part - 25) for part in quarter), 2),
        "turns_share_percent": [round(part, 2) for part in quarter],
        "handover_p50_us": round(quantile(took, 0.5)),
        "handover_p90_us": round(quantile(took, 0.9)),
    }


def _third(core: Core) -> dict[str, Any]:
    children = core.shared((250, 1000), (750, 5000))
    third = core.spawn(1000, 2000)
    time.sleep(SETTLE_S)
    core.join(third)
    third.say("run")
    came = _moves_s([*children, third], [12.5, 37.5, 50])
    third.say("pause")
    gone = _moves_s(children, [25, 75])
    for child in (third, *children):
        core.leave(child)
    return {"turns_third_moves_s": round(max(came, gone), 2)}


def _moves_s(children: Sequence[Child], wanted: Sequence[float]) -> float:
    """When the shares have come to be as wanted: the end of the first of two such windows."""
    began, good = time.monotonic(), 0
    while good < 2 and time.monotonic() - began < WATCHED_S:
        found = shares(children, WINDOW_S)
        close = all(abs(a - b) <= CLOSE_POINTS for a, b in zip(found, wanted, strict=True))
        good = good + 1 if close else 0
    return time.monotonic() - began - (WINDOW_S if good == 2 else 0)


def _idle(core: Core) -> dict[str, Any]:
    busy, idle = core.spawn(500, 1000), core.spawn(500, 1000)
    core.join(busy)
    busy.say("run")
    time.sleep(SETTLE_S)
    ratios: list[float] = []
    for _ in range(ROUNDS):
        alone = _batches_per_s(busy)
        core.join(idle)
        ratios.append(_batches_per_s(busy) / alone)
        core.leave(idle)
        idle = core.spawn(500, 1000)
    core.leave(busy)
    core.leave(idle)
    return {"turns_idle_cost_percent": round(100 * (1 - median(ratios)), 2)}


def _batches_per_s(child: Child) -> float:
    """In the time that other processes left it: the machine may have more to do."""
    began, before = _had_ns(child), child.count[0]
    time.sleep(ROUND_S)
    return 1e9 * (child.count[0] - before) / (_had_ns(child) - began)


def _had_ns(child: Child) -> int:
    """Time, but for what its threads waited for the core."""
    looks = map(thread_look, Path(f"/proc/{child.process.pid}/task").iterdir())
    return time.monotonic_ns() - sum(look.waited_ns for look in looks if look)


def _free_ns() -> int:
    seat = Seat()
    turn = Turn(seat.descriptors)
    began = time.thread_time_ns()
    for _ in range(TAKES):
        with turn:
            pass
    return (time.thread_time_ns() - began) // TAKES
