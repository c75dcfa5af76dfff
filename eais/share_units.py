"""Where shares lie in a device of several units, such as a CPU of so many cores. (Brain)

A share below one unit is a piece of a single one, and several pieces may lie on one unit; a larger
share has whole units, of which no piece has any. So what is free in sum isn't free for every share:
3/4 and 3/4 of two cores leave no room for 1/2. The pool chooses the unit of a piece, and the host
obeys, so that both know what is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from eais.device_type import WHOLE_MILLI

Taken = tuple[int, int]
"""A share that isn't free: in milli-devices, and the unit that it is a piece of, or 0."""


def unit_for(milli: int, capacity_milli: int, taken: Iterable[Taken]) -> int | None:
    """The unit for a share of `milli`, the fullest that has room for it; None: there is none.

    Of shares of whole units it is 0: which those are is for their host to say.
    """
    pieces, whole = _by_unit(taken)
    unused = capacity_milli // WHOLE_MILLI - len(pieces) - whole
    if milli >= WHOLE_MILLI:
        return 0 if milli <= unused * WHOLE_MILLI else None
    fits = [(WHOLE_MILLI - used, unit) for unit, used in pieces.items()]
    tight = min((each for each in fits if each[0] >= milli), default=None)
    if tight is not None:
        return tight[1]
    return next(n for n in range(len(pieces) + 1) if n not in pieces) if unused > 0 else None


def fits_in(unit: int, milli: int, capacity_milli: int, taken: Iterable[Taken]) -> bool:
    """Whether a piece of `milli` has room on that very unit."""
    pieces, whole = _by_unit(taken)
    unused = capacity_milli // WHOLE_MILLI - len(pieces) - whole
    return pieces[unit] + milli <= WHOLE_MILLI if unit in pieces else unused > 0


def units_left(capacity_milli: int, taken: Iterable[Taken]) -> list[Taken]:
    """What is left of each unit that isn't whole, and its number: pieces first, then the unused."""
    pieces, whole = _by_unit(taken)
    unused = max(0, capacity_milli // WHOLE_MILLI - len(pieces) - whole)
    found = [(WHOLE_MILLI - used, unit) for unit, used in sorted(pieces.items())]
    numbers = (n for n in range(len(pieces) + unused) if n not in pieces)
    return [*found, *((WHOLE_MILLI, n) for n in islice(numbers, unused))]


def _by_unit(taken: Iterable[Taken]) -> tuple[dict[int, int], int]:
    """Milli-devices of the pieces of each unit that has some, and how many units are whole."""
    pieces: dict[int, int] = {}
    whole = 0
    for milli, unit in taken:
        if milli < WHOLE_MILLI:
            pieces[unit] = pieces.get(unit, 0) + milli
        else:
            whole += milli // WHOLE_MILLI
    return pieces, whole
