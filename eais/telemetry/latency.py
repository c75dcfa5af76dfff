"""Calls counted by the time that they took. (Brain)

Counts are cumulative, in buckets that are the same everywhere, so those of workers, hosts and
times can be added and subtracted. Bucket i has the calls that took at most
2^(i/4) x 0.1 ms and more than the bound before: each bound is 19 % above the last, as
fine as any figure needs that is made of it. The last bucket, above 19 minutes, has no bound.
Buckets that are left out at the end are empty.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Final

BUCKETS: Final = 96
BOUNDS_NS: Final = tuple(round(100_000 * 2 ** (i / 4)) for i in range(BUCKETS - 1))

Counts = tuple[int, ...]

# What the wire can carry: a worker may claim anything.
_MOST: Final = (1 << 64) - 1


def bucket(took_ns: int) -> int:
    """The bucket of a call that took so long."""
    return bisect_left(BOUNDS_NS, took_ns)


def trimmed(counts: Sequence[int]) -> Counts:
    """Without the empty buckets at the end, nor what is more than `BUCKETS`."""
    end = min(len(counts), BUCKETS)
    while end and not counts[end - 1]:
        end -= 1
    return tuple(counts[:end])


def added(*all_counts: Counts) -> Counts:
    """Bucket by bucket; no count becomes more than a u64."""
    return tuple(min(_MOST, sum(each)) for each in zip_longest(*all_counts, fillvalue=0))


def larger(one: Counts, other: Counts) -> Counts:
    """The larger one of each bucket."""
    return tuple(map(max, zip_longest(one, other, fillvalue=0)))


def grown(newer: Counts, older: Counts) -> Counts:
    """What was counted since `older`; all of `newer` if it was begun anew since."""
    pairs = list(zip_longest(newer, older, fillvalue=0))
    if any(now < before for now, before in pairs):
        return newer
    return tuple(now - before for now, before in pairs)


def quantile_ms(counts: Iterable[int], share: float) -> float:
    """The time within which that share (0 to 1) of the calls was answered, milliseconds.

    Within a bucket it is interpolated, by ratio as the bounds are; above the last bound it is
    that bound. 0 without calls.
    """
    known = list(counts)
    rank = share * sum(known)
    below = 0
    for i, count in enumerate(known):
        if count and below + count >= rank:
            return _within(i, (rank - below) / count) / 1e6
        below += count
    return 0.0


def _within(i: int, part: float) -> float:
    """Nanoseconds, so far into bucket `i`."""
    if i == 0:
        return BOUNDS_NS[0] * part
    if i >= len(BOUNDS_NS):
        return float(BOUNDS_NS[-1])
    low, high = BOUNDS_NS[i - 1], BOUNDS_NS[i]
    return float(low * (high / low) ** part)
