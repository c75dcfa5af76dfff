"""Products of matrices. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping
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
    shared_dims,
    steady,
)


def _matmul(step: Step) -> Value:
    return _product(step.arg(0), step.arg(1))


def _product(one: Value, other: Value) -> Value:
    """As numpy's matmul."""
    left, right = dims_of(one), dims_of(other)
    if not left or not right:
        raise Unproven("a product of scalars")
    if isinstance(one, Shared) and isinstance(other, Shared):
        raise Unproven("what all rows share")
    _check_contracted(one, -1)
    _check_contracted(other, -2 if len(right) > 1 else -1)
    if len(left) == 1:
        raise Unproven("a product with a vector on the left")
    if len(right) == 1:
        return _vector_product(one, other)
    return broadcast([_with_1(one, -1), _with_1(other, -2)])


def _check_contracted(value: Value, axis: int) -> None:
    if isinstance(value, Rows) and value.axis == len(value.dims) + axis:
        raise Unproven("rows are put together")


def _with_1(value: Value, at: int) -> Value:
    """`value` with 1 in the place of the axis that is summed over, as the other sees it."""
    if isinstance(value, Rows):
        dims = list(value.dims)
        dims[at] = 1
        return Rows(tuple(dims), value.axis)
    own = list(shared_dims(steady(value)))
    own[at] = 1
    return Shared(tuple(own))


def _vector_product(one: Value, other: Value) -> Value:
    if not isinstance(one, Rows):
        raise Unproven("a product with a vector")
    steady(other)
    return Rows(one.dims[:-1], one.axis)


def _integer_matmul(step: Step) -> Value:
    """MatMulInteger: zero points of the whole."""
    for index in (2, 3):
        _check_single(step.given(index))
    return _product(step.arg(0), step.arg(1))


def _linear_matmul(step: Step) -> Value:
    """QLinearMatMul: a, its scale, its zero point, b, its two, those of y."""
    for index in (1, 2, 4, 5, 6, 7):
        _check_single(step.given(index))
    return _product(step.arg(0), step.arg(3))


def _check_single(value: Value | None) -> None:
    if value is not None and shared_dims(steady(value)) not in ((), (1,)):
        raise Unproven("scales that aren't of the whole")


def _gemm(step: Step) -> Value:
    one, other = step.arg(0), step.arg(1)
    turned, other_turned = step.integer("transA", 0), step.integer("transB", 0)
    if not isinstance(one, Rows) or len(one.dims) != 2 or one.axis != (1 if turned else 0):
        raise Unproven("rows are put together")
    weights = shared_dims(steady(other))
    if len(weights) != 2:
        raise Unproven("a product with what is no matrix")
    found = Rows((one.batch, weights[0 if other_turned else 1]))
    added = step.given(2)
    if added is None:
        return found
    whole = broadcast([found, added])
    if not isinstance(whole, Rows) or len(whole.dims) != 2:
        raise Unproven("a sum of more dims than the product")
    return Rows(found.dims)


def _einsum(step: Step) -> Value:
    """Where the batch has one letter, that stays, and is no weight's."""
    given, arrow, result = step.text("equation", "").replace(" ", "").partition("->")
    terms, values = given.split(","), step.present()
    if not arrow or "." in given + result or len(terms) != len(values):
        raise Unproven("an equation that isn't read")
    letters: dict[str, Dim] = {}
    for term, value in zip(terms, values, strict=True):
        _name_dims(term, value, letters)
    named = list(zip(terms, values, strict=True))
    rows = [(term, value) for term, value in named if isinstance(value, Rows)]
    marks = {term[value.axis] for term, value in rows}
    if len(marks) != 1 or len(set(result)) != len(result) or not set(result) <= letters.keys():
        raise Unproven("two batches on different axes meet")
    mark = marks.pop()
    if mark not in result or any(
        mark in term for term, value in named if isinstance(value, Shared)
    ):
        raise Unproven("rows are put together")
    batch = rows[0][1].batch
    if len(rows) > 1 and (batch.times is None or any(v.batch != batch for _, v in rows)):
        raise Unproven("two batches of different size meet")
    dims = [batch if letter == mark else letters[letter] for letter in result]
    return Rows(tuple(dims), result.index(mark))


def _name_dims(term: str, value: Value, letters: dict[str, Dim]) -> None:
    """What each letter of a term stands for; None where terms don't say the same."""
    dims = dims_of(value if isinstance(value, Rows) else steady(value))
    if len(term) != len(dims) or len(set(term)) != len(term):
        raise Unproven("an equation that isn't read")
    for letter, dim in zip(term, dims, strict=True):
        letters[letter] = dim if letters.get(letter, dim) == dim else None


RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("", "Einsum"): _einsum,
    ("", "Gemm"): _gemm,
    ("", "MatMul"): _matmul,
    ("", "MatMulInteger"): _integer_matmul,
    ("", "QLinearMatMul"): _linear_matmul,
}
