"""Several calls' inputs as one run's, and its outputs as each call's. (Brain)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from eais.transport.parts import Buffer, RunPart
from eais.value import Array
from eais_server.worker.batching.kinds import PLAIN, CallKind


def join(kind: CallKind, calls: Sequence[tuple[RunPart, Sequence[Buffer]]]) -> dict[str, Array]:
    """The feed of one run: of each input the calls' rows, one call's after the other's.

    Each byte is copied once, from where it came in.

    Args:
        calls: all of them of `kind`, with their deferred tensors.
    """
    columns = zip(*(_tensors(run, buffers) for run, buffers in calls), strict=True)
    feed: dict[str, Array] = {}
    for each, column in zip(kind.inputs, columns, strict=True):
        whole = np.frombuffer(bytearray().join(column), PLAIN[each.type])
        feed[each.name] = whole.reshape(len(calls) * each.dims[0], *each.dims[1:])
    return feed


def _tensors(run: RunPart, buffers: Sequence[Buffer]) -> Iterator[Buffer]:
    waiting = iter(buffers)
    for _, part in run.inputs:
        yield next(waiting) if part.deferred_bytes else part.raw


def part(feed: Mapping[str, Array], index: int, rows: int) -> dict[str, Array]:
    """What one call of a joined feed gave: views."""
    begin = index * rows
    return {name: whole[begin : begin + rows] for name, whole in feed.items()}


def split(outputs: Sequence[Any], count: int, rows: int) -> list[list[Array]] | None:
    """Each call's outputs, as views of the whole; None if they don't have its rows.

    Args:
        rows: of each of the `count` calls.
    """
    for whole in outputs:
        if not isinstance(whole, np.ndarray) or whole.dtype.hasobject:
            return None
        if not whole.ndim or len(whole) != count * rows:
            return None
    ends = range(rows, count * rows + 1, rows)
    return [[whole[end - rows : end] for whole in outputs] for end in ends]


def is_same(answer: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two calls' outputs are the same to the bit, not-a-numbers and zeros too."""
    return len(answer) == len(other) and all(
        isinstance(a, np.ndarray)
        and isinstance(b, np.ndarray)
        and (a.dtype, a.shape) == (b.dtype, b.shape)
        and np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
        for a, b in zip(answer, other, strict=True)
    )


def shows_something(feed: Mapping[str, Array], count: int) -> bool:
    """Whether each of the calls has inputs by which answers may differ to the bit.

    Of zeros alone every order of adding gives the same.
    """
    broken = [whole for whole in feed.values() if whole.dtype.kind in "fc"]
    return all(whole.reshape(count, -1).any(axis=1).all() for whole in broken)
