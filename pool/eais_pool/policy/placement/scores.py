"""What is known of each shape on each node, kept until the node changes. (Brain)

A demand changes one node, so of the next demand of a shape only those nodes are scored that
changed since its last one. Shapes that differ in memory alone share their scores: the measure
leaves memory out, and whoever chooses a node looks whether it has enough.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, TypeVar

import numpy as np

from eais_pool.policy.placement.cluster import Floats, Ints
from eais_pool.policy.placement.demands import Shape

NOWHERE: Final = -np.inf
"""The score of a node that has no room."""


class Rows(Protocol):
    """Nodes by row, and when each changed last: a `Cluster`, or a `Board`."""

    changed: Ints
    changes: int

    def fitting(self, shape: Shape, rows: Ints) -> Ints:
        """Those of `rows` that have room."""
        ...


R = TypeVar("R", bound=Rows)
R_contra = TypeVar("R_contra", bound=Rows, contravariant=True)


class Scoring(Protocol[R_contra]):
    """Says how good nodes are for a shape."""

    def score(self, cluster: R_contra, shape: Shape, rows: Ints, /) -> tuple[Floats, Ints]:
        """For each of `rows`, all of which have room: its score, and the device to take.

        The higher score is the better. The device counts where the shape wants one alone.
        """
        ...


@dataclass(slots=True)
class Line:
    """One shape on all nodes, as of change `at` of the cluster.

    Attributes:
        scores: one for each node, `NOWHERE` without room, but for memory.
        device: the one to take, where the shape wants one alone.
    """

    scores: Floats
    device: Ints
    at: int


class ScoreBook(Generic[R]):
    """The lines of the shapes met last."""

    def __init__(self, cluster: R, scoring: Scoring[R], most: int = 1024) -> None:
        self._cluster = cluster
        self._scoring = scoring
        self._most = most
        self._lines: OrderedDict[Shape, Line] = OrderedDict()

    def line(self, shape: Shape) -> Line:
        """The line of `shape` as of now. It is the book's: don't write to it."""
        shape = replace(shape, memory_mib=0) if shape.memory_mib else shape
        cluster, line = self._cluster, self._lines.get(shape)
        if line is None:
            line = self._new(shape)
        self._lines.move_to_end(shape)
        if line.at < cluster.changes:
            stale = np.flatnonzero(cluster.changed > line.at)
            line.scores[stale] = NOWHERE
            rows = cluster.fitting(shape, stale)
            if len(rows):
                line.scores[rows], line.device[rows] = self._scoring.score(cluster, shape, rows)
            line.at = cluster.changes
        return line

    def _new(self, shape: Shape) -> Line:
        if len(self._lines) >= self._most:
            self._lines.popitem(last=False)
        count = len(self._cluster.changed)
        line = Line(np.full(count, NOWHERE), np.zeros(count, np.int64), self._cluster.changes)
        rows = self._cluster.fitting(shape, np.arange(count))
        if len(rows):
            found = self._scoring.score(self._cluster, shape, rows)
            line.scores[rows], line.device[rows] = found
        self._lines[shape] = line
        return line
