"""What is typically asked for: shapes, and how often each is met. (Brain)"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from eais_pool.policy.placement.demands import Shape


@dataclass(frozen=True, slots=True)
class Typical:
    """A shape and the share of demands that have it, above 0 and at most 1."""

    shape: Shape
    weight: float

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise ValueError(f"weight = {self.weight}: must be above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class Workload:
    """The typical demands; their weights sum up to 1."""

    typical: tuple[Typical, ...]

    def __post_init__(self) -> None:
        total = math.fsum(each.weight for each in self.typical)
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"weights: sum up to {total}, not to 1")

    @classmethod
    def of(cls, shapes: Iterable[Shape], cover: float = 0.95) -> Workload:
        """The most frequent of `shapes` that make up `cover` of them at least.

        Memory is left out, as the measure of fragmentation leaves it out. ValueError for no
        shapes at all.
        """
        return cls.counted(Counter(replace(shape, memory_mib=0) for shape in shapes), cover)

    @classmethod
    def counted(cls, counts: Mapping[Shape, float], cover: float = 0.95) -> Workload:
        """The same, of shapes and how often each was met, which may be in parts of one."""
        wanted, kept, total = cover * sum(counts.values()), list[tuple[Shape, float]](), 0.0
        for shape, count in sorted(counts.items(), key=_order):
            if kept and total >= wanted:
                break
            kept.append((shape, count))
            total += count
        return cls(tuple(Typical(shape, count / total) for shape, count in kept))


def _order(item: tuple[Shape, float]) -> tuple[object, ...]:
    """The most frequent first; a total order, so that what is kept hangs on no input's order."""
    shape, count = item
    return (-count, shape.cpu_milli, shape.devices, shape.milli, sorted(shape.models))
