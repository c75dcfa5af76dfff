"""Answers demands, one at a time: the best node within quotas, spread and affinity. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from eais_pool.policy import Refusal
from eais_pool.policy.placement.cluster import Cluster, Floats, Seat
from eais_pool.policy.placement.demands import Demand, Shape
from eais_pool.policy.placement.gradient import tightest
from eais_pool.policy.placement.scores import NOWHERE, Line, ScoreBook, Scoring


class Placer:
    """Seats demands in a cluster, which nobody else changes but by `Cluster`'s own methods.

    Args:
        quotas: the milli-devices that a tenant may have at most; who isn't named has no limit.
    """

    def __init__(
        self, cluster: Cluster, scoring: Scoring[Cluster], quotas: Mapping[str, int] | None = None
    ) -> None:
        self._cluster = cluster
        self._book = ScoreBook(cluster, scoring)
        self._quotas = quotas or {}

    def place(self, demand: Demand) -> Seat | Refusal:
        """Seat it; refused only if no node has room, within its quota and spread.

        ValueError if it has a seat already.
        """
        refused = self._over_quota(demand)
        if refused is not None:
            return refused
        found = best_row(self._cluster, demand, self._book.line(demand.shape))
        if found is None:
            return Refusal("NO_DEVICE", f"no node has room for {_text(demand.shape)} now")
        return seat_on(self._cluster, demand, *found)

    def release(self, demand_id: str) -> Seat:
        """The seat that it had, free again; KeyError if it had none."""
        return self._cluster.give_back(demand_id)

    def _over_quota(self, demand: Demand) -> Refusal | None:
        quota = self._quotas.get(demand.tenant)
        has = self._cluster.taken_milli(demand.tenant)
        if quota is None or has + demand.shape.device_milli <= quota:
            return None
        return Refusal(
            "QUOTA",
            f"tenant {demand.tenant} has {has} of {quota} milli-devices,"
            f" and asks for {demand.shape.device_milli} more",
        )


def best_row(cluster: Cluster, demand: Demand, line: Line) -> tuple[int, int] | None:
    """The row of the best node, and the device to take where it is one alone."""
    scores, memory = line.scores, demand.shape.memory_mib
    if demand.spread or demand.near:
        scores = _within(cluster, demand, scores)
    row = _top(scores)
    if row is not None and cluster.memory[row] < memory:
        row = _top(np.where(cluster.memory >= memory, scores, NOWHERE))
    return None if row is None else (row, int(line.device[row]))


def _top(scores: Floats) -> int | None:
    """The row of the highest score, of equal ones the first; None if there is no room."""
    row = int(scores.argmax()) if len(scores) else 0
    return row if len(scores) and scores[row] > NOWHERE else None


def seat_on(cluster: Cluster, demand: Demand, row: int, device: int) -> Seat:
    """Seat it on the node of that row: on `device`, or on the tightest ones that it wants."""
    shape = demand.shape
    if shape.devices == 0:
        devices: list[int] = []
    elif shape.devices == 1:
        devices = [device]
    else:
        devices = [int(n) for n in tightest(shape, cluster.left[row : row + 1])[0]]
    return cluster.take(demand, cluster.nodes[row].name, devices)


def _within(cluster: Cluster, demand: Demand, scores: Floats) -> Floats:
    """The scores, but for nodes that memory or its neighbours rule out."""
    scores = np.where(cluster.memory >= demand.shape.memory_mib, scores, NOWHERE)
    if demand.spread:
        members = cluster.group(demand.group)
        scores[[row for row, count in members.items() if count >= demand.spread]] = NOWHERE
    near = np.zeros(len(scores), np.bool_)
    near[list(cluster.group(demand.near))] = True
    if (scores[near] > NOWHERE).any():
        scores[~near] = NOWHERE
    return scores


def _text(shape: Shape) -> str:
    if not shape.devices:
        return f"{shape.cpu_milli} milli-cores and {shape.memory_mib} MiB"
    models = f" of {' or '.join(sorted(shape.models))}" if shape.models else ""
    return (
        f"{shape.devices} x {shape.milli} milli-devices{models}"
        f" with {shape.cpu_milli} milli-cores and {shape.memory_mib} MiB"
    )
