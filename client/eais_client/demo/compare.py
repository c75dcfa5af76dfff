"""Answers compared bit by bit, and latencies taken side by side."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


def same_bits(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    """Whether two lists of arrays have equal dtypes, shapes and bytes (NaN as it is written)."""
    return len(ours) == len(theirs) and all(map(_same, ours, theirs))


def _same(one: Any, other: Any) -> bool:
    a, b = np.asarray(one), np.asarray(other)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Median latencies of the same call, in milliseconds."""

    local_ms: float
    remote_ms: float


def side_by_side(
    local: Callable[[], object],
    remote: Callable[[], object],
    *,
    rounds: int,
    clock: Callable[[], float],
) -> SideBySide:
    """Call both in turns `rounds` times, after one round that doesn't count.

    In turns, so that what else the machine does falls on both alike.
    """
    local()
    remote()
    pairs = [(_timed(local, clock), _timed(remote, clock)) for _ in range(rounds)]
    here, there = zip(*pairs, strict=True)
    return SideBySide(statistics.median(here) * 1000, statistics.median(there) * 1000)


def _timed(call: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    call()
    return clock() - began
