"""Operators that join tensors, part them, cut them and pad them. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from eais_server.worker.batching.rows.sizes import items_of, whole
from eais_server.worker.batching.rows.step import Rule, Step
from eais_server.worker.batching.rows.values import (
    Dim,
    Rows,
    Shared,
    Unproven,
    Value,
    dims_of,
    integers,
    on_axis,
    shared_dims,
    steady,
)

_END: Final = (1 << 31) - 1


def _concat(step: Step) -> Value:
    values = step.present()
    axis = on_axis(step.integer("axis", 1), len(dims_of(values[0])))
    first = values[0]
    if isinstance(first, Shared) and all(isinstance(value, Shared) for value in values):
        return _concat_shared([value for value in values if isinstance(value, Shared)], axis)
    rows = [value for value in values if isinstance(value, Rows)]
    one = rows[0]
    same = all(r.axis == one.axis and len(r.dims) == len(one.dims) for r in rows)
    if len(rows) != len(values) or not same or axis == one.axis:
        raise Unproven("rows are joined with what isn't theirs")
    if any(r.batch != one.batch for r in rows):
        raise Unproven("two batches of different size are joined")
    dims = list(one.dims)
    ends = [r.dims[axis] for r in rows]
    dims[axis] = sum(e for e in ends if isinstance(e, int)) if _all_known(ends) else None
    return Rows(tuple(dims), one.axis)


def _all_known(dims: Sequence[Dim]) -> bool:
    return all(isinstance(dim, int) for dim in dims)


def _concat_shared(values: Sequence[Shared], axis: int) -> Shared:
    if all(len(shared_dims(value)) == 1 and value.items is not None for value in values):
        items = tuple(item for value in values for item in value.items or ())
        return Shared((len(items),), items)
    dims: list[int | None] = list(shared_dims(steady(values[0])))
    ends = [shared_dims(steady(value))[axis] for value in values]
    dims[axis] = sum(end or 0 for end in ends) if _all_known(ends) else None
    return Shared(tuple(dims))


def _split(step: Step) -> Sequence[Value]:
    value = step.arg(0)
    step.rest_is_steady()
    count = len(step.node.outputs)
    dims = dims_of(value)
    axis = on_axis(step.integer("axis", 0), len(dims))
    parts = step.integers("split")
    if parts is None and step.given(1) is not None:
        parts = integers(step.arg(1))
    whole = dims[axis]
    if parts is None and isinstance(whole, int) and whole % count == 0:
        parts = (whole // count,) * count
    if isinstance(value, Shared):
        return _split_shared(value, parts)
    if axis == value.axis:
        raise Unproven("rows are parted")
    ends = parts if parts is not None and len(parts) == count else (None,) * count
    return [Rows((*value.dims[:axis], end, *value.dims[axis + 1 :]), value.axis) for end in ends]


def _split_shared(value: Shared, parts: Sequence[int] | None) -> Sequence[Value]:
    if parts is None or value.items is None or len(shared_dims(value)) != 1:
        raise Unproven("parts of a weight")
    begins = [sum(parts[:at]) for at in range(len(parts))]
    found = [value.items[b : b + size] for b, size in zip(begins, parts, strict=True)]
    return [Shared((len(items),), items) for items in found]


def _slice(step: Step) -> Value:
    value = step.arg(0)
    cuts = _cuts(step, len(dims_of(value)))
    if isinstance(value, Shared):
        return _slice_shared(value, cuts)
    dims = list(value.dims)
    for axis, (start, end, by) in cuts.items():
        if axis == value.axis:
            if (start, by) != (0, 1) or end is None or end < _END:
                raise Unproven("rows are cut")
            continue
        whole = dims[axis]
        known = isinstance(whole, int) and start is not None and end is not None
        dims[axis] = len(range(*slice(start, end, by).indices(whole))) if known and by else None  # type: ignore[arg-type]
    return Rows(tuple(dims), value.axis)


_Cut = tuple[int | None, int | None, int]


def _cuts(step: Step, rank: int) -> dict[int, _Cut]:
    """Axis -> where to begin, where to end, and the step."""
    if step.version < 10:
        starts, ends = step.integers("starts"), step.integers("ends")
        if starts is None or ends is None:
            raise Unproven("a cut that isn't known")
        axes, by = step.integers("axes") or tuple(range(len(starts))), (1,) * len(starts)
        return _by_axis(rank, axes, starts, ends, by)
    first = [whole(item) for item in items_of(_bound(step, 1))]
    last = [whole(item) for item in items_of(_bound(step, 2))]
    given = step.given(3)
    axes = tuple(range(len(first))) if given is None else integers(given)
    strides = step.given(4)
    by = (1,) * len(first) if strides is None else integers(strides)
    return _by_axis(rank, axes, first, last, by)


def _bound(step: Step, index: int) -> Shared:
    """Where to begin or to end, of which some may be unknown; not the number of rows."""
    value = steady(step.arg(index))
    if value.items is None and value.dims is not None and len(value.dims) == 1 and value.dims[0]:
        return Shared(value.dims, (None,) * value.dims[0])
    return value


def _by_axis(
    rank: int,
    axes: Sequence[int],
    starts: Sequence[int | None],
    ends: Sequence[int | None],
    by: Sequence[int],
) -> dict[int, _Cut]:
    if not len(axes) == len(starts) == len(ends) == len(by):
        raise Unproven("a cut that isn't known")
    found: dict[int, _Cut] = {}
    for axis, start, end, stride in zip(axes, starts, ends, by, strict=True):
        # Backwards it ends elsewhere than Python's would.
        known = end if stride > 0 else None
        found[on_axis(axis, rank)] = (start, known, stride)
    return found


def _slice_shared(value: Shared, cuts: Mapping[int, _Cut]) -> Shared:
    if value.items is not None and len(shared_dims(value)) == 1 and set(cuts) == {0}:
        start, end, by = cuts[0]
        if start is not None and end is not None and by:
            items = value.items[start:end:by]
            return Shared((len(items),), items)
    dims = shared_dims(steady(value))
    return Shared(tuple(None if axis in cuts else dim for axis, dim in enumerate(dims)))


def _pad(step: Step) -> Value:
    value = step.arg(0)
    step.rest_is_steady()
    if isinstance(value, Shared):
        raise Unproven("a padded weight")
    pads = step.integers("pads") if step.version < 11 else integers(step.given(1))
    rank = len(value.dims)
    axes = tuple(range(rank)) if step.given(3) is None else integers(step.given(3))
    if pads is None or len(pads) != 2 * len(axes):
        raise Unproven("padding that isn't known")
    dims = list(value.dims)
    for at, axis in enumerate(on_axis(axis, rank) for axis in axes):
        before, after = pads[at], pads[at + len(axes)]
        if axis == value.axis and (before or after):
            raise Unproven("rows are added or cut")
        dim = dims[axis]
        dims[axis] = dim + before + after if isinstance(dim, int) else dim
    return Rows(tuple(dims), value.axis)


RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("", "Concat"): _concat,
    ("", "Pad"): _pad,
    ("", "Slice"): _slice,
    ("", "Split"): _split,
}
