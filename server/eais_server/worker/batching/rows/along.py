"""Operators that work along some axes, each other index by itself. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from eais_server.worker.batching.rows.step import Rule, Step
from eais_server.worker.batching.rows.values import (
    Dim,
    Rows,
    Shared,
    Unproven,
    Value,
    broadcast,
    dims_of,
    integers,
    on_axis,
    rows_at_0,
    shared_dims,
    steady,
)

_REDUCING: Final = """
ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
ReduceSumSquare
"""


def _rows(step: Step, axis: int) -> tuple[Rows, int]:
    """The first input, and an axis of it that isn't the batch's."""
    value = step.arg(0)
    if not isinstance(value, Rows):
        raise Unproven("what all rows share")
    found = on_axis(axis, len(value.dims))
    if found == value.axis:
        raise Unproven("rows are put together")
    return value, found


def _reduce(step: Step) -> Value:
    value = step.arg(0)
    axes = step.integers("axes")
    if axes is None and step.given(1) is not None:
        axes = integers(step.given(1))
    if not isinstance(value, Rows):
        raise Unproven("what all rows share")
    if not axes:
        if step.integer("noop_with_empty_axes", 0):
            return value
        raise Unproven("rows are put together")
    return _without(value, axes, kept=bool(step.integer("keepdims", 1)))


def _without(value: Rows, axes: Sequence[int], *, kept: bool) -> Rows:
    gone = {on_axis(axis, len(value.dims)) for axis in axes}
    if value.axis in gone:
        raise Unproven("rows are put together")
    if kept:
        return Rows(tuple(1 if at in gone else d for at, d in enumerate(value.dims)), value.axis)
    left = [axis for axis in range(len(value.dims)) if axis not in gone]
    return Rows(tuple(value.dims[axis] for axis in left), left.index(value.axis))


def _arg_extreme(step: Step) -> Value:
    rows, axis = _rows(step, step.integer("axis", 0))
    return _without(rows, [axis], kept=bool(step.integer("keepdims", 1)))


def _softmax(step: Step) -> Value:
    """Along one axis; before version 13 along all from one on."""
    value = step.arg(0)
    if step.version >= 13:
        return _rows(step, step.integer("axis", -1))[0]
    if not isinstance(value, Rows):
        raise Unproven("what all rows share")
    return _from_axis_on(value, step.integer("axis", 1))


def _from_axis_on(value: Rows, axis: int) -> Rows:
    if value.axis >= on_axis(axis, len(value.dims)):
        raise Unproven("rows are put together")
    return value


def _cumulated(step: Step) -> Value:
    axis = integers(step.arg(1))
    if len(axis) != 1:
        raise Unproven("an axis that isn't known")
    return _rows(step, axis[0])[0]


def _normalised(step: Step) -> Value:
    return _rows(step, step.integer("axis", -1))[0]


def _top(step: Step) -> Sequence[Value]:
    steady(step.arg(1))
    rows, axis = _rows(step, step.integer("axis", -1))
    found = Rows((*rows.dims[:axis], None, *rows.dims[axis + 1 :]), rows.axis)
    return [found, found]


def _layer_norm(step: Step) -> Sequence[Value]:
    """Y, and mean and deviation of what was put together."""
    value = step.arg(0)
    if not isinstance(value, Rows):
        raise Unproven("what all rows share")
    axis = step.integer("axis", -1)
    _from_axis_on(value, axis)
    step.rest_is_steady()
    # Scale and bias may have the dims of the whole.
    whole = broadcast([value, *step.present()[1:]])
    if not isinstance(whole, Rows) or len(whole.dims) != len(value.dims):
        raise Unproven("a scale with more dims than what is scaled")
    gone = range(on_axis(axis, len(value.dims)), len(value.dims))
    left = _without(value, gone, kept=True)
    return [value, left, left]


def _mean_variance(step: Step) -> Value:
    value = step.arg(0)
    if not isinstance(value, Rows):
        raise Unproven("what all rows share")
    _without(value, step.integers("axes") or (0, 2, 3), kept=True)
    return value


def _gather(step: Step) -> Value:
    data, indices = step.arg(0), step.arg(1)
    if isinstance(data, Rows):
        return _gather_of_rows(step, data, indices)
    own = dims_of(data)
    axis = on_axis(step.integer("axis", 0), len(own))
    if isinstance(indices, Shared):
        return _gather_shared(data, indices, axis)
    steady(data)
    dims = (*own[:axis], *indices.dims, *own[axis + 1 :])
    return Rows(dims, axis + indices.axis)


def _gather_of_rows(step: Step, data: Rows, indices: Value) -> Rows:
    """The same indices of each row."""
    rows, axis = _rows(step, step.integer("axis", 0))
    taken = shared_dims(steady(indices))
    dims: tuple[Dim, ...] = (*data.dims[:axis], *taken, *data.dims[axis + 1 :])
    return Rows(dims, rows.axis if rows.axis < axis else rows.axis + len(taken) - 1)


def _gather_shared(data: Shared, indices: Shared, axis: int) -> Shared:
    own, taken = shared_dims(data), shared_dims(steady(indices))
    if data.items is None or len(own) != 1 or len(taken) > 1 or indices.items is None:
        steady(data)
        return Shared((*own[:axis], *taken, *own[axis + 1 :]))
    items = data.items
    where = [at for at in integers(indices) if -len(items) <= at < len(items)]
    if len(where) != len(indices.items):
        raise Unproven("an index beyond a shape")
    return Shared(taken, tuple(items[at] for at in where))


def _gather_elements(step: Step) -> Value:
    rows, _axis = _rows(step, step.integer("axis", 0))
    return _as_many(rows, step.arg(1))


def _scatter_elements(step: Step) -> Value:
    rows, _axis = _rows(step, step.integer("axis", 0))
    _as_many(rows, step.arg(1))
    _as_many(rows, step.arg(2))
    return rows


def _as_many(rows: Rows, other: Value) -> Rows:
    """`other`, that has the same batch on the same axis."""
    same = isinstance(other, Rows) and (other.axis, other.batch) == (rows.axis, rows.batch)
    if not isinstance(other, Rows) or not same or rows.batch.times is None:
        raise Unproven("rows meet what isn't theirs")
    return other


def _gather_nd(step: Step) -> Value:
    """Of each row what its own indices say; or of a table."""
    data, indices = step.arg(0), step.arg(1)
    if not isinstance(indices, Rows) or not isinstance(indices.dims[-1], int):
        raise Unproven("indices that aren't known")
    table, deep = dims_of(data if isinstance(data, Rows) else steady(data)), indices.dims[-1]
    shared = step.integer("batch_dims", 0)
    if isinstance(data, Rows):
        rows_at_0(data)
        _as_many(data, indices)
    if indices.axis == len(indices.dims) - 1 or (shared >= 1) != isinstance(data, Rows):
        raise Unproven("rows meet what isn't theirs")
    return Rows((*indices.dims[:-1], *table[shared + deep :]), indices.axis)


RULES: Final[Mapping[tuple[str, str], Rule]] = {
    **{("", op): _reduce for op in _REDUCING.split()},
    ("", "ArgMax"): _arg_extreme,
    ("", "ArgMin"): _arg_extreme,
    ("", "CumSum"): _cumulated,
    ("", "Gather"): _gather,
    ("", "GatherElements"): _gather_elements,
    ("", "GatherND"): _gather_nd,
    ("", "Hardmax"): _softmax,
    ("", "LayerNormalization"): _layer_norm,
    ("", "LogSoftmax"): _softmax,
    ("", "LpNormalization"): _normalised,
    ("", "MeanVarianceNormalization"): _mean_variance,
    ("", "ScatterElements"): _scatter_elements,
    ("", "Softmax"): _softmax,
    ("", "TopK"): _top,
}
