"""What types ask of a board, and what is expected to be asked for. (Brain)

Expected is what was asked for so far (`eais_pool.policy.asked`), and as long as that is little,
what is stated here: as if each kind of device had been asked for `PRIOR` times already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais_pool.policy.asked import Counts
from eais_pool.policy.placement.boards import Board
from eais_pool.policy.placement.demands import Shape
from eais_pool.policy.placement.workload import Workload

PRIOR: Final[dict[int, float]] = {125: 2, 250: 4, 500: 4, 1_000: 4, 2_000: 1, 4_000: 1}
"""How often sizes are expected, in milli-devices; whole devices or cores, and parts of one."""


def shape_of(kind: str, milli: int) -> Shape:
    """Units of a board that `milli` of a kind are; and, of accelerators, the cores beside."""
    beside = 0 if kind == DeviceKind.CPU else milli
    whole = milli >= WHOLE_MILLI
    count, each = (milli // WHOLE_MILLI, WHOLE_MILLI) if whole else (1, milli)
    return Shape(beside, 0, count, each)


def workload_of(board: Board, learned: Counts) -> Workload:
    """What is expected of a board."""
    counts: dict[Shape, float] = {}
    mine = ((milli, count) for kind, milli, count in learned if kind == board.kind)
    for milli, count in (*PRIOR.items(), *mine):
        shape = shape_of(board.kind, milli)
        shape = replace(shape, models=board.mixes_for(shape))
        counts[shape] = counts.get(shape, 0.0) + count
    return Workload.counted(counts)


def pieces(shape: Shape, kind: str) -> Iterable[int]:
    """The shares that a shape becomes, in milli-devices: cores are one that spans them."""
    if kind == DeviceKind.CPU:
        return (shape.device_milli,)
    return (shape.milli,) * shape.devices
