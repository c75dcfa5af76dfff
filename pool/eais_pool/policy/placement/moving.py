"""Defragmentation: what to move where, so that less is lost. (Brain)

Each move is the one that lowers the measure most: by what leaving gains at one node, and by what
arriving costs at another. All are made on a copy of the cluster, one after the other, so each
has room once those before it were made, and the measure falls with each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from eais_pool.policy.placement.cluster import Cluster, Floats, Ints, Seat
from eais_pool.policy.placement.demands import Shape
from eais_pool.policy.placement.fragmentation import Fragmentation
from eais_pool.policy.placement.gradient import Gradient
from eais_pool.policy.placement.placer import best_row, seat_on
from eais_pool.policy.placement.scores import ScoreBook


@dataclass(frozen=True, slots=True)
class Move:
    """One demand's seat, for another.

    Attributes:
        gain: by how much the cluster's fragmentation falls, in milli-devices.
    """

    before: Seat
    after: Seat
    gain: float


@dataclass(frozen=True, slots=True)
class _Step:
    seat: Seat
    row: int
    device: int
    gain: float


def defragmentation(
    cluster: Cluster,
    fragmentation: Fragmentation,
    *,
    most: int,
    least_gain: float = 1.0,
    may_move: Callable[[Seat], bool] = lambda _: True,
) -> list[Move]:
    """Moves to be made in this order; `cluster` stays as it is.

    Args:
        most: moves.
        least_gain: of a move, in milli-devices: moving isn't free.
        may_move: whether a seat may be given up.
    """
    plan = cluster.copy()
    book = ScoreBook(plan, Gradient(fragmentation, tie_break=0.0))
    moves: list[Move] = []
    while len(moves) < most:
        step = _best(plan, fragmentation, book, [seat for seat in plan.seats if may_move(seat)])
        if step is None or step.gain < least_gain:
            break
        plan.give_back(step.seat.demand.id)
        after = seat_on(plan, step.seat.demand, step.row, step.device)
        moves.append(Move(step.seat, after, step.gain))
    return moves


def _best(
    plan: Cluster, fragmentation: Fragmentation, book: ScoreBook[Cluster], seats: Sequence[Seat]
) -> _Step | None:
    """The move that gains most; seats that couldn't beat it on any node aren't tried."""
    best: _Step | None = None
    leaving = _leaving(plan, fragmentation, seats)
    tops: dict[Shape, float] = {}
    for n in np.argsort(-leaving, kind="stable").tolist():
        seat, demand = seats[n], seats[n].demand
        line = book.line(demand.shape)
        if demand.shape not in tops:
            tops[demand.shape] = float(line.scores.max())
        if best is not None and leaving[n] + tops[demand.shape] <= best.gain:
            continue
        found = best_row(plan, demand, line, without=plan.index(seat.node))
        if found is None:
            continue
        gain = float(leaving[n] + line.scores[found[0]])
        if best is None or gain > best.gain:
            best = _Step(seat, *found, gain)
    return best


def _leaving(plan: Cluster, fragmentation: Fragmentation, seats: Sequence[Seat]) -> Floats:
    """By how much the measure falls as each of `seats` is given up."""
    rows: Ints = np.array([plan.index(seat.node) for seat in seats], np.int64)
    cpu, left = plan.cpu[rows], plan.left[rows]
    for n, seat in enumerate(seats):
        cpu[n] += seat.demand.shape.cpu_milli
        left[n, list(seat.devices)] += seat.demand.shape.milli
    before = fragmentation.of_all(plan)[rows]
    return before - fragmentation.of(plan.model[rows], cpu, left)
