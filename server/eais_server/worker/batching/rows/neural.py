"""Layers of networks: convolutions, pools, normalisations, recurrences. (Brain)"""

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
    rows_at_0,
    shared_dims,
    steady,
)


def _images(step: Step) -> Rows:
    """The first input: rows of at least one channel axis and one more."""
    rows = rows_at_0(step.arg(0))
    if len(rows.dims) < 3:
        raise Unproven("an image without axes")
    step.rest_is_steady()
    return rows


def _conv(step: Step) -> Value:
    """Conv and ConvInteger: filters of [channels out, channels in, ...]."""
    return _convolved(step, _images(step), steady(step.arg(1)))


def _linear_conv(step: Step) -> Value:
    """QLinearConv: x, its scale and zero point, the filters."""
    return _convolved(step, _images(step), steady(step.arg(3)))


def _convolved(step: Step, rows: Rows, filters: Shared) -> Rows:
    shape = shared_dims(filters)
    if len(shape) != len(rows.dims):
        raise Unproven("filters of another rank")
    kernel = step.integers("kernel_shape") or shape[2:]
    return Rows((rows.batch, shape[0], *_windows(step, rows.dims[2:], kernel)))


def _pool(step: Step) -> Value:
    """Of the second output, which counts through all rows, nothing is said."""
    rows = _images(step)
    kernel = step.integers("kernel_shape")
    if len([name for name in step.node.outputs if name]) > 1 or kernel is None:
        raise Unproven("where the largest was, counted through all rows")
    return Rows((rows.batch, rows.dims[1], *_windows(step, rows.dims[2:], kernel)))


def _windows(
    step: Step, dims: Sequence[Dim], kernel: Sequence[int | None]
) -> tuple[int | None, ...]:
    """How many places a window has along each axis."""
    count = len(dims)
    strides = step.integers("strides") or (1,) * count
    dilations = step.integers("dilations") or (1,) * count
    pads = step.integers("pads") or (0,) * (2 * count)
    if not len(kernel) == len(strides) == len(dilations) == count or len(pads) != 2 * count:
        raise Unproven("a window of another rank")
    if step.text("auto_pad", "NOTSET") != "NOTSET" or step.integer("ceil_mode", 0):
        return (None,) * count
    found: list[int | None] = []
    for at, (dim, size) in enumerate(zip(dims, kernel, strict=True)):
        if not isinstance(dim, int) or size is None or strides[at] < 1:
            found.append(None)
            continue
        padded = dim + pads[at] + pads[at + count]
        found.append((padded - dilations[at] * (size - 1) - 1) // strides[at] + 1)
    return tuple(found)


def _conv_transposed(step: Step) -> Value:
    """Filters of [channels in, channels out of a group, ...]."""
    rows, shape = _images(step), shared_dims(steady(step.arg(1)))
    if len(shape) != len(rows.dims):
        raise Unproven("filters of another rank")
    each, groups = shape[1], step.integer("group", 1)
    channels = each * groups if each is not None else None
    return Rows((rows.batch, channels, *[None] * (len(shape) - 2)))


def _global_pool(step: Step) -> Value:
    rows = _images(step)
    return Rows((rows.batch, rows.dims[1], *[1] * (len(rows.dims) - 2)))


def _each_image(step: Step) -> Value:
    """InstanceNormalization, GroupNormalization, LRN."""
    return _images(step)


def _batch_norm(step: Step) -> Value:
    """With the mean and variance of training: of the rows at hand nothing."""
    rows = rows_at_0(step.arg(0))
    outputs = [name for name in step.node.outputs if name]
    trains = step.version >= 14 and step.integer("training_mode", 0)
    if trains or len(outputs) > 1 or not step.integer("spatial", 1) or len(rows.dims) < 2:
        raise Unproven("rows are normalised by each other")
    step.rest_is_steady()
    return rows


def _recurrent(step: Step) -> Sequence[Value]:
    """LSTM, GRU, RNN: [time, batch, ...], with the batch in the middle of all states."""
    value = step.arg(0)
    if not isinstance(value, Rows) or value.axis != 1 or len(value.dims) != 3:
        raise Unproven("rows are steps of time")
    if step.integer("layout", 0) or value.batch.times is None:
        raise Unproven("a layout that isn't known")
    for index in (1, 2):
        steady(step.arg(index))
    for index in (3, 7):
        if step.given(index) is not None:
            steady(step.arg(index))
    _check_states(step, value)
    directions = 2 if step.text("direction", "forward") == "bidirectional" else 1
    hidden = step.integer("hidden_size", 0) or None
    last = Rows((directions, value.batch, hidden), 1)
    return [Rows((value.dims[0], directions, value.batch, hidden), 2), last, last]


def _check_states(step: Step, value: Rows) -> None:
    """Lengths and states that the rows begin with."""
    for index, axis in ((4, 0), (5, 1), (6, 1)):
        given = step.given(index)
        if given is None:
            continue
        if not isinstance(given, Rows) or (given.axis, given.batch) != (axis, value.batch):
            raise Unproven("a state that isn't the rows' own")


RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("", "AveragePool"): _pool,
    ("", "BatchNormalization"): _batch_norm,
    ("", "Conv"): _conv,
    ("", "ConvInteger"): _conv,
    ("", "ConvTranspose"): _conv_transposed,
    ("", "GRU"): _recurrent,
    ("", "GlobalAveragePool"): _global_pool,
    ("", "GlobalLpPool"): _global_pool,
    ("", "GlobalMaxPool"): _global_pool,
    ("", "GroupNormalization"): _each_image,
    ("", "InstanceNormalization"): _each_image,
    ("", "LRN"): _each_image,
    ("", "LSTM"): _recurrent,
    ("", "LpPool"): _pool,
    ("", "MaxPool"): _pool,
    ("", "QLinearConv"): _linear_conv,
    ("", "RNN"): _recurrent,
}
