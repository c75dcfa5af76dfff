"""Operators that treat each element alone, and broadcast. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from eais_server.worker.batching.rows import sizes
from eais_server.worker.batching.rows.step import Rule, Step
from eais_server.worker.batching.rows.values import (
    Shared,
    Unproven,
    Value,
    broadcast,
    integers,
    on_axis,
    steady,
)

_OF_ONE: Final = """
Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu
HardSigmoid HardSwish IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink
Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu
"""
_OF_SEVERAL: Final = """
Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less
LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum Where Xor
"""
_NAMED_BY_MICROSOFT: Final = ("BiasGelu", "FastGelu", "Gelu", "QuickGelu")


def _of_one(step: Step) -> Value:
    step.rest_is_steady()
    return broadcast([step.arg(0)])


def _of_several(step: Step) -> Value:
    args = step.present()
    shared = [arg for arg in args if isinstance(arg, Shared)]
    folded = sizes.fold(step.node.op, shared) if len(shared) == len(args) else None
    return broadcast(args) if folded is None else folded


def _identity(step: Step) -> Value:
    return step.arg(0)


def _cast(step: Step) -> Value:
    value = step.arg(0)
    return sizes.cast(value, step.integer("to", 0)) if isinstance(value, Shared) else value


def _cast_like(step: Step) -> Value:
    # Of the second argument only the type counts.
    return broadcast([step.arg(0)])


def _clip(step: Step) -> Value:
    step.rest_is_steady()
    return broadcast([step.arg(0), *step.present()[1:]])


def _dropout(step: Step) -> Sequence[Value]:
    """The identity, unless it trains."""
    step.rest_is_steady()
    training = step.given(2)
    if training is not None and integers(training) != (0,):
        raise Unproven("Dropout may be training")
    value = broadcast([step.arg(0)])
    return [value, value]


def _per_tensor(step: Step) -> Value:
    """x, scale and zero point: of the whole tensor, or of each index of one axis."""
    value, scale = step.arg(0), steady(step.arg(1))
    step.rest_is_steady()
    if scale.dims is None or len(scale.dims) > 1 or step.integer("block_size", 0):
        raise Unproven("scales that are neither one nor one an index of an axis")
    if isinstance(value, Shared) or scale.dims in ((), (1,)):
        return broadcast([value])
    axis = step.integer("axis", 1)
    if on_axis(axis, len(value.dims)) == value.axis:
        raise Unproven("what is said of each row by its number")
    return value


RULES: Final[Mapping[tuple[str, str], Rule]] = {
    **{("", op): _of_one for op in _OF_ONE.split()},
    **{("", op): _of_several for op in _OF_SEVERAL.split()},
    **{("com.microsoft", op): _of_several for op in _NAMED_BY_MICROSOFT},
    ("", "Cast"): _cast,
    ("", "CastLike"): _cast_like,
    ("", "Clip"): _clip,
    ("", "DequantizeLinear"): _per_tensor,
    ("", "Dropout"): _dropout,
    ("", "Identity"): _identity,
    ("", "QuantizeLinear"): _per_tensor,
}
