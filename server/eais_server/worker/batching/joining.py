"""Several calls' inputs as one run's, and its outputs as each call's. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from eais.transport.parts import Buffer, RunPart
from eais.value import Array
from eais_server.worker.batching.kinds import PLAIN, CallKind, Input

Calls: TypeAlias = Sequence[tuple[RunPart, Sequence[Buffer]]]

_NOT_ALIKE: Final = "calls of two kinds were to run as one"


def join(kind: CallKind, calls: Calls) -> dict[str, Array]:
    """The feed of one run: of each input the calls' rows, one call's after the other's.

    Each byte is copied once, from where it came in.

    Args:
        calls: all of them of `kind`, with their deferred tensors.

    Raises:
        ValueError: one of them isn't: its caller would get another call's answer.
    """
    session, outputs, count = kind.session, kind.outputs, len(kind.inputs)
    for run, _ in calls:
        if run.session != session or run.outputs != outputs or len(run.inputs) != count:
            raise ValueError(_NOT_ALIKE)
    feed: dict[str, Array] = {}
    for index, each in enumerate(kind.inputs):
        whole = np.frombuffer(bytearray().join(_column(each, index, calls)), PLAIN[each.type])
        feed[each.name] = whole.reshape(len(calls) * each.dims[0], *each.dims[1:])
    return feed


def _column(each: Input, index: int, calls: Calls) -> list[Buffer]:
    """The bytes of one input, of each call."""
    wanted, kind, dims = each
    found: list[Buffer] = []
    for run, buffers in calls:
        name, part = run.inputs[index]
        if name != wanted or part.type != kind or part.dims != dims:
            raise ValueError(_NOT_ALIKE)
        if part.deferred_bytes:
            before = sum(part.deferred_bytes > 0 for _, part in run.inputs[:index])
            found.append(buffers[before])
        else:
            found.append(part.raw)
    return found


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
