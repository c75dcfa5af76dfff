"""When the requests of an open loop are due, and of which model each is. (Brain)

Requests are the points of a process whose rate changes with time. Points at rate 1 are drawn
first: evenly spaced, each in the middle of its unit, so that as many are due as the rate comes
to; or with gaps that are exponential (Poisson's process) or gamma distributed, of shape 1 / burst
and mean 1, whose squared coefficient of variation is `burst`. Then time is stretched so that the
rate becomes the one that is asked for: a point at u falls at the t at which the rate's integral
reaches u (Cinlar, Introduction to Stochastic Processes, 1975, §4.7: inversion of the cumulated
rate).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from eais.errors import UsageError
from eais_client.load.brain.plan import Open, Spacing, Stretch

Moments = NDArray[np.float64]
Scalar = TypeVar("Scalar", bound=np.generic)
BLOCK: Final = 65_536
"""Points that are made at once."""
MOST_BURST: Final = 10_000.0
"""Beyond, nearly all gaps are smaller than a float64 tells from none."""


def moments(load: Open, seed: int) -> Iterator[Moments]:
    """When requests are due, in seconds from the begin, ascending, in blocks.

    Raises `UsageError` ARGUMENT for a burst that is none.
    """
    if not 0 <= load.burst <= MOST_BURST:
        raise UsageError("ARGUMENT", f"a burst is 0 to {MOST_BURST:g}, not {load.burst:g}")
    if load.moments:
        for at in range(0, len(load.moments), BLOCK):
            yield np.asarray(load.moments[at : at + BLOCK], np.float64)
        return
    lasting = [each for each in load.stretches if each.seconds > 0]
    edges, reached, rates = _cumulated(lasting)
    done = 0.0
    for block in _unit_points(load, seed):
        inside = block[block < reached[-1]] if len(reached) else block[:0]
        if len(inside):
            yield _inverted(inside, edges, reached, rates)
        done = float(block[-1])
        if not len(reached) or done >= reached[-1]:
            return


def due_to(load: Open, seconds: float, seed: int, index: int, of: int) -> Moments:
    """What is due before `seconds` of the process `index` of `of`: `share` of all, block by block.

    It holds what it answers and one block, however much is due of all processes.
    """
    parts: list[Moments] = []
    done = 0
    for block in moments(load, seed):
        inside = block[block < seconds]
        parts.append(inside[(index - done) % of :: of].copy())
        done += len(inside)
        if len(inside) < len(block):
            break
    return np.concatenate(parts) if parts else np.zeros(0)


def share(all_of: NDArray[Scalar], index: int, of: int) -> NDArray[Scalar]:
    """What the process `index` of `of` takes: each `of`-th."""
    return all_of[index::of]


def mix(weights: Sequence[int], count: int, seed: int) -> NDArray[np.int64]:
    """The model of each of `count` requests, by its place in `weights`."""
    chances = np.asarray(weights, np.float64) / sum(weights)
    rng = np.random.default_rng([seed, 1])
    return rng.choice(len(weights), size=count, p=chances)


def _unit_points(load: Open, seed: int) -> Iterator[Moments]:
    rng = np.random.default_rng([seed, 0])
    begin = -0.5 if _is_even(load) else 0.0
    while True:
        points = begin + np.cumsum(_gaps(load, rng))
        begin = float(points[-1])
        yield points


def _gaps(load: Open, rng: np.random.Generator) -> Moments:
    if _is_even(load):
        return np.ones(BLOCK)
    if load.spacing is Spacing.POISSON:
        return rng.exponential(1.0, BLOCK)
    return rng.gamma(1 / load.burst, load.burst, BLOCK)


def _is_even(load: Open) -> bool:
    return load.spacing is Spacing.CONSTANT or (load.spacing is Spacing.GAMMA and not load.burst)


def _cumulated(stretches: Sequence[Stretch]) -> tuple[Moments, Moments, list[Stretch]]:
    """Each stretch's begin, and the requests that are due by its end."""
    seconds = np.array([each.seconds for each in stretches])
    counts = np.array([each.seconds * (each.from_per_s + each.to_per_s) / 2 for each in stretches])
    return np.cumsum(seconds) - seconds, np.cumsum(counts), list(stretches)


def _inverted(
    points: Moments, begins: Moments, reached: Moments, stretches: Sequence[Stretch]
) -> Moments:
    """Where the rate's integral reaches each point: within a stretch, the root of a parabola."""
    which = np.searchsorted(reached, points, side="right")
    before = np.concatenate([[0.0], reached])[which]
    rate = np.array([each.from_per_s for each in stretches])[which]
    slope = np.array([(each.to_per_s - each.from_per_s) / each.seconds for each in stretches])[
        which
    ]
    missing = points - before
    root = np.sqrt(np.maximum(rate * rate + 2 * slope * missing, 0.0))
    # At the very begin of a stretch whose rate is 0 there, both are.
    passed = np.divide(2 * missing, rate + root, out=np.zeros_like(missing), where=missing > 0)
    moments: Moments = begins[which] + passed
    return moments
