"""Operators that put elements elsewhere: reshape, transpose, widen, repeat. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from eais_server.worker.batching.rows.graph import MAX_ITEMS
from eais_server.worker.batching.rows.sizes import items_of, whole
from eais_server.worker.batching.rows.step import Rule, Step
from eais_server.worker.batching.rows.values import (
    Batch,
    Dim,
    Item,
    Rows,
    Shared,
    Unproven,
    Value,
    dims_of,
    integers,
    on_axis,
    product,
    rows_at_0,
    shared_dims,
    steady,
    times,
)


def _axes(step: Step, index: int) -> tuple[int, ...] | None:
    """The attribute `axes`, or the input that took its place; None if neither is there."""
    axes = step.integers("axes")
    if axes is None and step.given(index) is not None:
        axes = integers(step.arg(index))
    return axes


def _reshape(step: Step) -> Value:
    value, wanted = step.arg(0), list(items_of(step.arg(1)))
    if step.integer("allowzero", 0) and 0 in wanted:
        raise Unproven("a shape with zeros that mean zero")
    if isinstance(value, Shared):
        return _reshape_shared(value, wanted)
    rows = rows_at_0(value)
    if not wanted:
        raise Unproven("a scalar of rows")
    leading = _leading(rows, wanted)
    return Rows((leading, *(_trailing(rows, wanted, at) for at in range(1, len(wanted)))))


def _leading(rows: Rows, wanted: Sequence[Item]) -> Batch:
    """The first dim of reshaped rows: they stay whole, and in order, if it is a Batch."""
    first = wanted[0]
    if isinstance(first, Batch):
        return first
    if first == 0:
        return rows.batch
    if first != -1:
        raise Unproven("a shape with a fixed number of rows")
    others = product([_trailing(rows, wanted, at) for at in range(1, len(wanted))])
    each, per_batch = product(rows.dims[1:]), rows.batch.times
    if not others or each is None or per_batch is None or (each * per_batch) % others:
        raise Unproven("a shape whose number of rows isn't known")
    return Batch(each * per_batch // others)


def _trailing(rows: Rows, wanted: Sequence[Item], at: int) -> int | None:
    item = wanted[at]
    if isinstance(item, Batch):
        raise Unproven("the number of rows is in the middle of a shape")
    if item == 0:
        same = rows.dims[at] if at < len(rows.dims) else None
        return same if isinstance(same, int) else None
    return _inferred(rows, wanted, at) if item == -1 else whole(item)


def _inferred(rows: Rows, wanted: Sequence[Item], at: int) -> int | None:
    """The dim that is left to be computed, if all others are known."""
    first = rows.batch if wanted[0] == 0 else wanted[0]
    each = product(rows.dims[1:])
    known = [wanted[i] for i in range(1, len(wanted)) if i != at]
    others = product([item for item in known if isinstance(item, int) and item > 0])
    if (
        not isinstance(first, Batch)
        or not first.times
        or len(known) != sum(isinstance(item, int) and item > 0 for item in known)
    ):
        return None
    if each is None or rows.batch.times is None or not others:
        return None
    return each * rows.batch.times // (others * first.times)


def _reshape_shared(value: Shared, wanted: Sequence[Item]) -> Shared:
    if any(isinstance(item, Batch) for item in wanted):
        raise Unproven("what all rows share becomes rows")
    items = value.items
    count = product(value.dims) if value.dims is not None else None
    if value.items is not None:
        count = len(value.items)
    dims = [whole(item) for item in wanted]
    if 0 in dims:
        return Shared((None,) * len(dims), items)
    if -1 in dims:
        others = product([dim for dim in dims if dim != -1])
        dims[dims.index(-1)] = count // others if count is not None and others else None
    return Shared(tuple(dims), items)


def _flatten(step: Step) -> Value:
    value = step.arg(0)
    axis = step.integer("axis", 1)
    if isinstance(value, Shared):
        steady(value)
        return Shared((None, None))
    rows = rows_at_0(value)
    axis = axis if axis == len(rows.dims) else on_axis(axis, len(rows.dims))
    if axis == 0:
        raise Unproven("all rows become one")
    return Rows((times(rows.batch, product(rows.dims[1:axis])), product(rows.dims[axis:])))


def _transpose(step: Step) -> Value:
    value = step.arg(0)
    dims = dims_of(value if isinstance(value, Rows) else steady(value))
    order = step.integers("perm") or tuple(reversed(range(len(dims))))
    if sorted(order) != list(range(len(dims))):
        raise Unproven("a permutation that is none")
    turned = tuple(dims[axis] for axis in order)
    if isinstance(value, Rows):
        return Rows(turned, order.index(value.axis))
    return Shared(tuple(dim for dim in turned if not isinstance(dim, Batch)))


def _unsqueeze(step: Step) -> Value:
    value, axes = step.arg(0), _axes(step, 1)
    dims = dims_of(value)
    if axes is None:
        raise Unproven("no axes")
    rank = len(dims) + len(axes)
    new = {on_axis(axis, rank) for axis in axes}
    old = iter(range(len(dims)))
    where = [None if axis in new else next(old, None) for axis in range(rank)]
    if isinstance(value, Rows):
        return Rows(tuple(1 if at is None else dims[at] for at in where), where.index(value.axis))
    own = shared_dims(value)
    return Shared(tuple(1 if at is None else own[at] for at in where), value.items)


def _squeeze(step: Step) -> Value:
    value, axes = step.arg(0), _axes(step, 1)
    if isinstance(value, Shared):
        return _squeeze_shared(value, axes)
    if axes is None:
        raise Unproven("a single row would lose its axis")
    gone = {on_axis(axis, len(value.dims)) for axis in axes}
    if value.axis in gone:
        raise Unproven("a single row would lose its axis")
    kept = [axis for axis in range(len(value.dims)) if axis not in gone]
    return Rows(tuple(value.dims[axis] for axis in kept), kept.index(value.axis))


def _squeeze_shared(value: Shared, axes: tuple[int, ...] | None) -> Shared:
    dims = shared_dims(value)
    if axes is None and None in dims:
        steady(value)
        return Shared()
    found = range(len(dims)) if axes is None else axes
    gone = {on_axis(axis, len(dims)) for axis in found if axes is not None or dims[axis] == 1}
    return Shared(tuple(d for at, d in enumerate(dims) if at not in gone), value.items)


def _shape(step: Step) -> Value:
    value = step.arg(0)
    dims = dims_of(value if isinstance(value, Rows) else steady(value))
    begin, end = step.integer("start", 0), step.integer("end", len(dims))
    found = dims[begin:end]
    return Shared((len(found),), tuple(found))


def _size(step: Step) -> Value:
    value = step.arg(0)
    if isinstance(value, Shared):
        return Shared((), (product(shared_dims(steady(value))),))
    others = [dim for axis, dim in enumerate(value.dims) if axis != value.axis]
    return Shared((), (times(value.batch, product(others)),))


def _constant_of_shape(step: Step) -> Value:
    wanted = items_of(step.arg(0))
    dims = _filled(wanted)
    if isinstance(dims, Rows):
        return dims
    fill = step.node.attributes.tensors.get("value")
    each = fill.items if fill is not None else (0.0,)
    count = product(dims)
    if each is None or count is None or not 0 < count <= MAX_ITEMS:
        return Shared(dims)
    return Shared(dims, tuple(each) * count)


def _filled(wanted: Sequence[Item]) -> Rows | tuple[int | None, ...]:
    """A shape with the same everywhere: rows, if it has as many of them."""
    where = [axis for axis, item in enumerate(wanted) if isinstance(item, Batch)]
    if len(where) > 1:
        raise Unproven("a tensor with the number of rows in it twice")
    if not where:
        return tuple(whole(item) for item in wanted)
    return Rows(tuple(_dim(item) for item in wanted), where[0])


def _dim(item: Item) -> Dim:
    return item if isinstance(item, Batch) else whole(item)


def _expand(step: Step) -> Value:
    value, wanted = step.arg(0), items_of(step.arg(1))
    dims = dims_of(value if isinstance(value, Rows) else steady(value))
    rank = max(len(dims), len(wanted))
    old: list[Dim] = [*[1] * (rank - len(dims)), *dims]
    new: list[Item] = [*[1] * (rank - len(wanted)), *wanted]
    axis = rank - value.from_right if isinstance(value, Rows) else None
    found = [_widened(old[at], new[at], rows=at == axis) for at in range(rank)]
    batches = [at for at, dim in enumerate(found) if isinstance(dim, Batch)]
    if len(batches) > 1:
        raise Unproven("a tensor with the number of rows in it twice")
    if batches:
        return Rows(tuple(found), batches[0])
    return Shared(tuple(dim for dim in found if not isinstance(dim, Batch)))


def _widened(old: Dim, new: Item, *, rows: bool) -> Dim:
    if rows:
        if new != 1 and (new != old or new == Batch(None)):
            raise Unproven("rows are widened")
        return old
    if isinstance(new, Batch):
        if old != 1:
            raise Unproven("what all rows share is taken for rows")
        return new
    if new == 1:
        return old
    if isinstance(new, int):
        return new
    return old if isinstance(old, int) and old != 1 else None


def _tile(step: Step) -> Value:
    value, repeats = step.arg(0), items_of(step.arg(1))
    dims = dims_of(value if isinstance(value, Rows) else steady(value))
    if len(repeats) != len(dims):
        raise Unproven("a tensor is repeated on axes that it lacks")
    axis = value.axis if isinstance(value, Rows) else None
    found: list[Dim] = []
    for at, (dim, often) in enumerate(zip(dims, repeats, strict=True)):
        if at == axis and often != 1:
            raise Unproven("rows are repeated")
        found.append(_repeated(dim, often))
    batches = [at for at, dim in enumerate(found) if isinstance(dim, Batch)]
    if len(batches) > 1:
        raise Unproven("a tensor with the number of rows in it twice")
    if batches:
        return Rows(tuple(found), batches[0])
    return Shared(tuple(dim for dim in found if not isinstance(dim, Batch)))


def _repeated(dim: Dim, often: Item) -> Dim:
    if isinstance(often, Batch):
        if dim != 1:
            raise Unproven("what all rows share is taken for rows")
        return often
    if often == 1:
        return dim
    return dim * often if isinstance(dim, int) and isinstance(often, int) else None


def _blocks(step: Step) -> Value:
    """DepthToSpace and SpaceToDepth."""
    rows = rows_at_0(step.arg(0), 4)
    side = step.integer("blocksize", 0)
    _batch, depth, high, wide = rows.dims
    if side < 1 or not (isinstance(depth, int) and isinstance(high, int) and isinstance(wide, int)):
        return Rows((rows.batch, None, None, None))
    if step.node.op == "DepthToSpace":
        return Rows((rows.batch, depth // (side * side), high * side, wide * side))
    return Rows((rows.batch, depth * side * side, high // side, wide // side))


def _one_hot(step: Step) -> Value:
    value = step.arg(0)
    step.rest_is_steady()
    if isinstance(value, Shared):
        raise Unproven("what all rows share")
    axis = on_axis(step.integer("axis", -1), len(value.dims) + 1)
    dims = (*value.dims[:axis], None, *value.dims[axis:])
    return Rows(dims, value.axis + (axis <= value.axis))


def _trilu(step: Step) -> Value:
    value = step.arg(0)
    step.rest_is_steady()
    if isinstance(value, Rows) and value.from_right <= 2:
        raise Unproven("a row is changed by its number")
    return value if isinstance(value, Rows) else steady(value)


def _resize(step: Step) -> Value:
    """Resize and Upsample: rows stay as they are if their axis is neither scaled nor cut."""
    rows = rows_at_0(step.arg(0))
    mode = step.text("coordinate_transformation_mode", "half_pixel")
    policy = step.text("keep_aspect_ratio_policy", "stretch")
    if mode == "tf_crop_and_resize" or policy != "stretch" or step.has("axes"):
        raise Unproven("a part of the whole is resized")
    unlike = Rows((rows.batch, *[None] * (len(rows.dims) - 1)))
    if step.given(3) is not None:
        first, *others = items_of(step.arg(3)) or (None,)
        steady(Shared(None, tuple(others)))
        if first == rows.batch and rows.batch.times is not None:
            return unlike
        raise Unproven("rows are resized")
    scales = step.numbers("scales")
    if scales is None:
        scales = _numbers(step.arg(2 if step.version >= 11 else 1))
    if scales[:1] != (1.0,):
        raise Unproven("rows are resized")
    return unlike


def _numbers(value: Value) -> tuple[int | float, ...]:
    items = steady(value).items
    if items is None:
        raise Unproven("an argument isn't known")
    return tuple(item for item in items if isinstance(item, int | float))


def _reversed(step: Step) -> Value:
    """ReverseSequence: each row has a length of its own."""
    value, lengths = step.arg(0), rows_at_0(step.arg(1), 1)
    axis, along = step.integer("batch_axis", 1), step.integer("time_axis", 0)
    if not isinstance(value, Rows) or value.axis != axis or along == axis:
        raise Unproven("rows are reversed")
    if value.batch != lengths.batch or lengths.batch.times is None:
        raise Unproven("two batches of different size meet")
    return value


RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("", "ConstantOfShape"): _constant_of_shape,
    ("", "DepthToSpace"): _blocks,
    ("", "Expand"): _expand,
    ("", "Flatten"): _flatten,
    ("", "OneHot"): _one_hot,
    ("", "Reshape"): _reshape,
    ("", "Resize"): _resize,
    ("", "ReverseSequence"): _reversed,
    ("", "Shape"): _shape,
    ("", "Size"): _size,
    ("", "SpaceToDepth"): _blocks,
    ("", "Squeeze"): _squeeze,
    ("", "Tile"): _tile,
    ("", "Transpose"): _transpose,
    ("", "Trilu"): _trilu,
    ("", "Unsqueeze"): _unsqueeze,
    ("", "Upsample"): _resize,
}
