"""A seat and the worker's side of it, in one process."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable

from eais_server.turns.page import PAGE_BYTES, Descriptors, Seat
from eais_server.turns.turn import Turn


def turn_of(seat: Seat, clock: Callable[[], int]) -> Turn:
    """What a worker makes of what it inherited."""
    return Turn(Descriptors(*map(os.dup, seat.descriptors)), clock)


def claimed(seat: Seat) -> memoryview:
    """What a worker may write at will; see `page`."""
    return memoryview(mmap.mmap(seat.descriptors.own, PAGE_BYTES)).cast("Q")
