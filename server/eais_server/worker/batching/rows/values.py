"""What the proof knows of a tensor. (Brain)

A dim is a number, a `Batch`, or None: not known, but the same whatever the number of rows is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias


class Unproven(Exception):
    """What is asked can't be proven; its text says why."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The number of rows, `times` a number that is the same for any of them (None: unknown).

    An axis of that size has, for each row in turn, `times` indices that follow from it.
    """

    times: int | None = 1


Dim: TypeAlias = int | Batch | None
#: An element of a `Shared`, as a Dim or a fraction.
Item: TypeAlias = int | float | Batch | None


@dataclass(frozen=True, slots=True)
class Rows:
    """A tensor of which each index of one axis belongs to one row.

    Attributes:
        dims: that of `axis` is a Batch, and no other is.
    """

    dims: tuple[Dim, ...]
    axis: int = 0

    @property
    def batch(self) -> Batch:
        """The dim of the axis."""
        found = self.dims[self.axis]
        if not isinstance(found, Batch):
            raise ValueError(f"{self} has no batch on its axis")
        return found

    @property
    def from_right(self) -> int:
        """The axis, counted as broadcasting does: 1 is the last."""
        return len(self.dims) - self.axis


@dataclass(frozen=True, slots=True)
class Shared:
    """A tensor that is the same for all rows.

    Attributes:
        dims: None: not even how many is known.
        items: its elements in row-major order, where they are known; where one is a Batch,
            the tensor changes with the number of rows.
    """

    dims: tuple[int | None, ...] | None = None
    items: tuple[Item, ...] | None = None

    @property
    def steady(self) -> bool:
        """Whether it is the same for any number of rows."""
        return not any(isinstance(item, Batch) for item in self.items or ())


Value: TypeAlias = Rows | Shared


def shared_dims(value: Shared) -> tuple[int | None, ...]:
    """Its dims. Raises `Unproven` if they aren't known."""
    if value.dims is None:
        raise Unproven("a weight of unknown rank")
    return value.dims


def dims_of(value: Value) -> tuple[Dim, ...]:
    """Its dims. Raises `Unproven` if they aren't known."""
    return value.dims if isinstance(value, Rows) else shared_dims(value)


def steady(value: Value | None) -> Shared:
    """An argument that must be the same whatever the rows are.

    Raises:
        Unproven: it isn't.
    """
    if not isinstance(value, Shared) or not value.steady:
        raise Unproven("an argument that has to be the same for all rows follows from them")
    return value


def integers(value: Value | None) -> tuple[int, ...]:
    """The elements of an argument of which all are known integers; raises `Unproven`."""
    items = steady(value).items
    if items is None:
        raise Unproven("an argument isn't known")
    found = tuple(item for item in items if isinstance(item, int))
    if len(found) != len(items):
        raise Unproven("an argument isn't known")
    return found


def on_axis(axis: int, rank: int) -> int:
    """`axis`, counted from the left. Raises `Unproven` if there is no such axis."""
    if not -rank <= axis < rank:
        raise Unproven(f"axis {axis} of {rank}")
    return axis % rank


def product(dims: Sequence[Dim]) -> int | None:
    """Of dims none of which is a Batch; None if one isn't known."""
    known = [dim for dim in dims if isinstance(dim, int)]
    return math.prod(known) if len(known) == len(dims) else None


def times(batch: Batch, factor: int | None) -> Batch:
    """So many times as much."""
    if batch.times is None or factor is None:
        return Batch(None)
    return Batch(batch.times * factor)


def rows_at_0(value: Value | None, rank: int | None = None) -> Rows:
    """An argument that must be Rows on axis 0, and of that rank if one is given.

    Raises:
        Unproven: it isn't.
    """
    if not isinstance(value, Rows) or value.axis != 0:
        raise Unproven("the batch isn't on axis 0")
    if rank is not None and len(value.dims) != rank:
        raise Unproven(f"{len(value.dims)} dims, not {rank}")
    return value


def broadcast(values: Sequence[Value]) -> Value:
    """What an operator gives that treats each element alone, as numpy broadcasts them.

    Raises:
        Unproven: a row would meet what belongs to another, or to all of them.
    """
    rows = [value for value in values if isinstance(value, Rows)]
    if not rows:
        return _shared_broadcast([steady(value) for value in values])
    first = rows[0]
    for value in values:
        _check_meets(first, value)
    rank = max(len(dims_of(value)) for value in values)
    dims = [
        _common([_from_right(value, right) for value in values]) for right in range(rank, 0, -1)
    ]
    dims[rank - first.from_right] = first.batch
    return Rows(tuple(dims), rank - first.from_right)


def _shared_broadcast(values: Sequence[Shared]) -> Shared:
    if any(value.dims is None for value in values):
        return Shared()
    rank = max(len(shared_dims(value)) for value in values)
    dims = [
        _common([_from_right(value, right) for value in values]) for right in range(rank, 0, -1)
    ]
    return Shared(tuple(dim for dim in dims if not isinstance(dim, Batch)))


def _check_meets(first: Rows, other: Value) -> None:
    if isinstance(other, Rows):
        same = other.from_right == first.from_right and other.batch == first.batch
        if not same or (other.batch.times is None and other is not first):
            raise Unproven("two batches on different axes meet")
    elif _from_right(steady(other), first.from_right) != 1:
        raise Unproven("what is said of each row by its number")


def _from_right(value: Value, right: int) -> Dim:
    """Its dim there; 1 if it has no such axis, for so it is broadcast."""
    dims = dims_of(value)
    return dims[-right] if right <= len(dims) else 1


def _common(dims: Sequence[Dim]) -> Dim:
    """Of dims that are broadcast together, none of which is a Batch."""
    others = [dim for dim in dims if dim != 1]
    if not others:
        return 1
    known = [dim for dim in others if isinstance(dim, int)]
    return known[0] if known else None
