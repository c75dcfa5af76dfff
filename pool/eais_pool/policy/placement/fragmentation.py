"""How much of what is free is lost to a typical workload. (Brain)

A typical demand m, met with probability p_m, wants k_m devices, d_m milli-devices of each, and
cores. Let q_g be the probability that the next demand fits on a node and could use its device
g, of which r_g is left; let q be the probability that it takes any device of the node:

    q_g = Σ p_m · [m fits on the node, and r_g ≥ d_m]        q = Σ p_m · [m fits, k_m > 0]

The fragmentation of the node is what the next demand can't use, on average:

    F_n(M) = Σ_g r_g · (1 - q_g)

which is the sum over demands of Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing
Workloads with Fragmentation Gradient Descent", USENIX ATC 2023, with the sums exchanged.

It looks one demand ahead: a device that every tenth demand can use counts as nine tenths lost,
though some of the next ten will come. `Foresight` adds what no demand of the next `ahead` uses:

    L_n(M) = node · R · (1 - q)^ahead + device · Σ_g r_g · (1 - q_g)^ahead        R = Σ_g r_g

The first part is a price of cores: it grows as a node runs out of cores that its devices need,
and hardly at all as long as some of the typical demands still fit.

The p_m are added up in tables over (device model, cores left, milli-devices left), one for each
number k of devices: k devices have d left each if the k-th largest remainder is d at least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from eais_pool.policy.placement.cluster import Floats, Ints
from eais_pool.policy.placement.workload import Workload

_TABLE_MOST: Final = 1 << 16
"""Above so many milli-devices on one device, thresholds are searched for instead of looked up."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """What is added for demands after the next: see the module.

    Attributes:
        ahead: demands.
        node, device: weights of the two parts; both 0: the paper's measure alone.
    """

    ahead: int = 16
    node: float = 16.0
    device: float = 4.0


NO_FORESIGHT: Final = Foresight(1, 0.0, 0.0)


class Fragmentation:
    """The measure for one workload, on nodes that have device models of `models`."""

    def __init__(
        self, workload: Workload, models: tuple[str, ...], foresight: Foresight = Foresight()
    ) -> None:
        self._foresight = foresight
        wanting = [each for each in workload.typical if each.shape.devices]
        self._cpu: Ints = np.unique(np.array([each.shape.cpu_milli for each in wanting], np.int64))
        self._milli: Ints = np.unique(np.array([each.shape.milli for each in wanting], np.int64))
        self._counts = sorted({each.shape.devices for each in wanting})
        self._rows = len(self._cpu) + 1
        shape = (len(self._counts), len(models), self._rows, len(self._milli) + 1)
        met: Floats = np.zeros(shape)
        for each in wanting:
            place = (
                self._counts.index(each.shape.devices),
                [not each.shape.models or model in each.shape.models for model in models],
                int(np.searchsorted(self._cpu, each.shape.cpu_milli)) + 1,
                int(np.searchsorted(self._milli, each.shape.milli)) + 1,
            )
            met[place] += each.weight
        summed = met.cumsum(axis=2).cumsum(axis=3)
        self._tables = [table.ravel() for table in summed]
        top = int(self._milli[-1]) if len(self._milli) else 0
        self._levels: npt.NDArray[np.int8] | None = None
        if top < _TABLE_MOST and len(self._milli) < np.iinfo(np.int8).max:
            found = np.searchsorted(self._milli, np.arange(top + 1), side="right")
            self._levels = found.astype(np.int8)

    def of(self, model: Ints, cpu: Ints, left: Ints) -> Floats:
        """What is lost, in milli-devices.

        Args:
            model: (n,), indices of device models.
            cpu: (n,), milli-cores left.
            left: (n, devices), milli-devices left.
        """
        node, device = self._met(model, cpu, left)
        free: Floats = left.astype(np.float64)
        np.subtract(1.0, device, out=device)
        lost: Floats = np.einsum("ng,ng->n", free, device)
        foresight = self._foresight
        if foresight.device:
            later = np.einsum("ng,ng->n", free, _power(device, foresight.ahead))
            lost += foresight.device * later
        if foresight.node:
            later = free.sum(axis=1) * _power(1.0 - node, foresight.ahead)
            lost += foresight.node * later
        return lost

    def _met(self, model: Ints, cpu: Ints, left: Ints) -> tuple[Floats, Floats]:
        """The q and q_g of the module."""
        width = left.shape[1]
        level = self._level(left)
        ascending = np.sort(level, axis=1)
        row = model * self._rows + np.searchsorted(self._cpu, cpu, side="right")
        start = row * (len(self._milli) + 1)
        node: Floats = np.zeros(len(left))
        device: Floats = np.zeros(left.shape)
        for count, table in zip(self._counts, self._tables, strict=True):
            if count > width:
                break
            kth = ascending[:, width - count]
            node += table.take(start + kth)
            usable = level if count == 1 else np.minimum(level, kth[:, None])
            device += table.take(start[:, None] + usable)
        return node, device

    def _level(self, left: Ints) -> npt.NDArray[np.integer]:
        """How many of the sizes asked for are left there."""
        if self._levels is None:
            return np.searchsorted(self._milli, left, side="right")
        return self._levels[np.minimum(left, len(self._levels) - 1)]


def _power(base: Floats, exponent: int) -> Floats:
    """By squaring: several times as quick as a power of floats."""
    result: Floats | None = None
    while exponent:
        if exponent & 1:
            result = base if result is None else result * base
        exponent >>= 1
        if exponent:
            base = base * base
    return np.ones_like(base) if result is None else result
