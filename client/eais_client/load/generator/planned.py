"""Which requests of a phase a process makes, and when; each of them can tell it of any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eais_client.load.brain.arrivals import due_to, mix, share
from eais_client.load.brain.plan import Closed, Driving, ModelLoad, Open, Phase
from eais_client.load.generator.counts import Counted

_APART: Final = 1_000_003
_MIXED: Final = 65_536
"""Requests whose models are drawn; then the same ones again."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What the process `index` of `of` does in a phase.

    Attributes:
        due: when its requests of an open loop are due, seconds from the phase's begin; None of a
            closed one.
        models_of: the model of each request, by its number.
        callers: of a closed loop; of an open one the most requests under way at once.
    """

    index: int
    of: int
    due: NDArray[np.float64] | None
    models_of: NDArray[np.int64]
    callers: int


def planned(
    phase: Phase, models: Sequence[ModelLoad], driving: Driving, index: int, of: int
) -> Planned:
    """The part of that process."""
    load = phase.load
    most = load.callers if isinstance(load, Closed) else driving.max_in_flight
    callers = most // of + (index < most % of)
    models_of = share(mix([model.weight for model in models], _MIXED, driving.seed), index, of)
    if isinstance(load, Closed):
        return Planned(index, of, None, models_of, callers)
    due = due_to(load, phase.warm_s + phase.seconds, driving.seed, index, of)
    return Planned(index, of, due, models_of, max(callers, 1))


def drawn_seed(seed: int, drawn: int) -> int:
    """The seed of a load, of which so many were drawn before; that of the first is `seed`."""
    return seed + _APART * drawn


def due_within(load: Open, seconds: float, seed: int) -> NDArray[np.float64]:
    """All requests of an open loop, of all processes; seconds from its begin."""
    return due_to(load, seconds, seed, 0, 1)


def count_due(
    made: Counted,
    due: NDArray[np.float64],
    models_of: NDArray[np.int64],
    names: Sequence[str],
    measured: tuple[float, float],
) -> None:
    """Add to `made` the requests that were due while was measured."""
    inside = (due >= measured[0]) & (due <= measured[1])
    models = np.resize(models_of, len(due))[inside] if len(due) else models_of[:0]
    for model, count in zip(*np.unique(models, return_counts=True), strict=True):
        made.model(names[int(model)]).due += int(count)
    seconds = np.floor(due[inside] - measured[0]).astype(np.int64)
    for second, count in zip(*np.unique(seconds, return_counts=True), strict=True):
        made.interval(int(second)).due += int(count)
