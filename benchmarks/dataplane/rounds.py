"""Paired rounds: whatever is compared is measured in turns, so that it meets the same machine."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.dataplane.arena import Process


def paired(sides: Sequence[Process], what: str, calls: int, rounds: int) -> list[list[float]]:
    """For each round the median seconds of a call of each side, the sides in alternating order."""
    for side in sides:
        side.took(what, max(1, calls // 10))
    found = []
    for number in range(rounds):
        order = list(range(len(sides)))
        if number % 2:
            order.reverse()
        medians = {side: median(sides[side].took(what, calls)) for side in order}
        found.append([medians[side] for side in range(len(sides))])
    return found


def column(rounds: Sequence[Sequence[float]], side: int) -> float:
    """The median of a side over all rounds."""
    return median(each[side] for each in rounds)


def over(
    rounds: Sequence[Sequence[float]], above: int, below: int, off: int | None = None
) -> float:
    """The median over rounds of (`above` - `off`) ÷ `below`."""
    ratios = [
        (each[above] - (each[off] if off is not None else 0.0)) / each[below] for each in rounds
    ]
    return median(ratios)
