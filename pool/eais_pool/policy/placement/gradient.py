"""Down the gradient of fragmentation: the place that makes it grow the least. (Brain)

The score of a place is by how much the measure falls when the demand is put there, less
`tie_break` times what is left of the node afterwards, as a share of a large node's cores and
devices. That settles ties, and near ties, for the node that is nearest to full (best fit);
without it, or with ties broken at random, allocation falls by some points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from eais_pool.policy.placement.cluster import Cluster, Floats, Ints
from eais_pool.policy.placement.demands import Shape
from eais_pool.policy.placement.fragmentation import Fragmentation
from eais_pool.policy.placement.scores import NOWHERE

LARGE_CPU_MILLI: Final = 128_000
LARGE_DEVICE_MILLI: Final = 8_000
"""A large node: the unit of what is left of one."""
TIE_BREAK_MILLI: Final = 100.0


@dataclass(frozen=True, slots=True)
class Gradient:
    """Scores places by what they do to `fragmentation`.

    Attributes:
        tie_break: in milli-devices, for a large node that is left empty.
        large_milli: the milli-devices of a large node.
    """

    fragmentation: Fragmentation
    tie_break: float = TIE_BREAK_MILLI
    large_milli: int = LARGE_DEVICE_MILLI

    def score(self, cluster: Cluster, shape: Shape, rows: Ints) -> tuple[Floats, Ints]:
        """See `Scoring`."""
        return self.of(shape, cluster.model[rows], cluster.cpu[rows], cluster.left[rows])

    def of(self, shape: Shape, model: Ints, cpu: Ints, left: Ints) -> tuple[Floats, Ints]:
        """Scores of nodes that have so much left, and have room; and which device to take."""
        if shape.devices == 1:
            which, device = _places(shape, left)
            after = left[which]
            after[np.arange(len(which)), device] -= shape.milli
        else:
            which, device = np.arange(len(left)), np.zeros(len(left), np.int64)
            after = left_after(shape, left)
        cpu_after = cpu[which] - shape.cpu_milli
        lost = self.fragmentation.of(
            np.concatenate((model, model[which])),
            np.concatenate((cpu, cpu_after)),
            np.concatenate((left, after)),
        )
        values = self.value(lost[which] - lost[len(left) :], cpu_after, after)
        if shape.devices != 1:
            return values, device
        table: Floats = np.full(left.shape, NOWHERE)
        table[which, device] = values
        return table.max(axis=1), table.argmax(axis=1)

    def value(self, gain: Floats, cpu: Ints, left: Ints) -> Floats:
        """What places are worth that lower the measure by `gain`, and leave so much."""
        rest = cpu / LARGE_CPU_MILLI + left.sum(axis=1) / self.large_milli
        value: Floats = gain - rest * (self.tie_break / 2)
        return value


def left_after(shape: Shape, left: Ints) -> Ints:
    """What is left once a shape of several devices, or none, has taken those of least room."""
    if not shape.devices:
        return left
    after, devices = left.copy(), tightest(shape, left)
    taken = np.take_along_axis(left, devices, axis=1) - shape.milli
    np.put_along_axis(after, devices, taken, axis=1)
    return after


def tightest(shape: Shape, left: Ints) -> Ints:
    """The devices of least room that will do, (rows, `shape.devices`); all rows have room."""
    room = np.where(left >= shape.milli, left, np.iinfo(np.int64).max)
    devices: Ints = np.argsort(room, axis=1, kind="stable")
    return devices[:, : shape.devices]


def _places(shape: Shape, left: Ints) -> tuple[Ints, Ints]:
    """Rows and devices to try; of devices that have as much left, the first."""
    fits = left >= shape.milli
    for n in range(1, left.shape[1]):
        fits[:, n] &= (left[:, :n] != left[:, n : n + 1]).all(axis=1)
    which, device = np.nonzero(fits)
    return which, device
