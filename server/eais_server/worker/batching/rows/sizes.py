"""Arithmetic with sizes, as exporters put it into graphs to compute shapes. (Brain)"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from eais_server.worker.batching.rows.values import Batch, Item, Shared, Unproven, Value

# Beyond it the sizes' own type may overflow, here or there.
_LARGEST: Final = 1 << 31
_INTEGER_TYPES: Final = frozenset({6, 7})


def fold(op: str, args: Sequence[Shared]) -> Shared | None:
    """What an elementwise operator makes of sizes; None if they aren't such.

    Raises:
        Unproven: it would follow from the number of rows in a way that isn't a multiple of it.
    """
    rule = _RULES.get(op)
    ranks = [arg.dims for arg in args]
    items = [arg.items for arg in args]
    if rule is None or any(dims is None or len(dims) > 1 for dims in ranks):
        return None
    lines = [own for own in items if own is not None and not _fractions(own)]
    length = max((len(own) for own in lines), default=0)
    if len(lines) != len(items) or any(len(own) not in (1, length) for own in lines):
        return None
    found = [rule([own[at % len(own)] for own in lines]) for at in range(length)]
    scalar = all(dims == () for dims in ranks)
    return Shared(() if scalar else (length,), tuple(found))


def items_of(value: Value) -> tuple[Item, ...]:
    """The elements of a shape that is computed or given; one may be a Batch."""
    if not isinstance(value, Shared) or value.items is None:
        raise Unproven("a shape isn't known")
    if any(isinstance(item, float) for item in value.items):
        raise Unproven("a shape of fractions")
    return value.items


def whole(item: Item) -> int | None:
    """The item if it is a known number, else None."""
    return item if isinstance(item, int) else None


def cast(value: Shared, to: int) -> Shared:
    """Sizes as numbers of another type; raises `Unproven` where a Batch would be no integer."""
    if to in _INTEGER_TYPES and value.items is not None and not _fractions(value.items):
        return value
    if not value.steady:
        raise Unproven("the number of rows becomes a number of another type")
    return Shared(value.dims)


def _fractions(items: Sequence[Item]) -> bool:
    return any(isinstance(item, float) for item in items)


def _whole(item: Item) -> int | None:
    return item if isinstance(item, int) and abs(item) < _LARGEST else None


def _add(items: Sequence[Item]) -> Item:
    return _sum(items, 1)


def _subtract(items: Sequence[Item]) -> Item:
    return _sum(items, -1)


def _sum(items: Sequence[Item], sign: int) -> Item:
    first, second = items
    if isinstance(first, Batch) and second == 0:
        return first
    _refuse_batches(items)
    one, other = _whole(first), _whole(second)
    return None if one is None or other is None else one + sign * other


def _multiply(items: Sequence[Item]) -> Item:
    first, second = items
    if isinstance(second, Batch):
        first, second = second, first
    other = _whole(second)
    if isinstance(first, Batch):
        if isinstance(second, Batch) or (other is not None and other < 1):
            raise Unproven("a size isn't a multiple of the number of rows")
        return Batch(None if other is None or first.times is None else first.times * other)
    one = _whole(first)
    return None if one is None or other is None else one * other


def _divide(items: Sequence[Item]) -> Item:
    first, second = items
    if isinstance(first, Batch):
        return _share_of(first, second)
    _refuse_batches(items)
    one, other = _whole(first), _whole(second)
    # Of negative numbers runtimes think differently.
    return None if one is None or other is None or one < 0 or other < 1 else one // other


def _share_of(batch: Batch, by: Item) -> Item:
    other = by.times if isinstance(by, Batch) else _whole(by)
    if batch.times is None or other is None or other < 1 or batch.times % other:
        raise Unproven("a size isn't a multiple of the number of rows")
    share = batch.times // other
    return share if isinstance(by, Batch) else Batch(share)


def _equal(items: Sequence[Item]) -> Item:
    first, second = items
    if isinstance(second, Batch):
        first, second = second, first
    if isinstance(first, Batch):
        other = _whole(second)
        if first == second and first.times is not None:
            return 1
        if other is not None and other < 1:
            return 0
        raise Unproven("something follows from how many rows there are")
    one, other = _whole(first), _whole(second)
    return None if one is None or other is None else int(one == other)


def _where(items: Sequence[Item]) -> Item:
    condition, first, second = items
    if isinstance(condition, int):
        return first if condition else second
    _refuse_batches(items)
    return first if first == second else None


def _refuse_batches(items: Sequence[Item]) -> None:
    if any(isinstance(item, Batch) for item in items):
        raise Unproven("a size isn't a multiple of the number of rows")


_RULES: Final[Mapping[str, Callable[[Sequence[Item]], Item]]] = {
    "Add": _add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _divide,
    "Equal": _equal,
    "Where": _where,
}
