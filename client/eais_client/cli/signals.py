"""Signals that end a program, for the length of a block."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None] | signal.Handlers

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def handled(numbers: Sequence[signal.Signals], handler: Handler) -> Iterator[None]:
    """`handler` takes these signals in the block; afterwards who took them before."""
    before = [(number, signal.signal(number, handler)) for number in numbers]
    try:
        yield
    finally:
        for number, old in before:
            signal.signal(number, old)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit in the block, so that what it made is taken down."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with handled(_ENDING, end):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """No signal that people send interrupts the block: taking down takes a moment."""
    with handled((signal.SIGINT, *_ENDING), signal.SIG_IGN):
        yield


@contextmanager
def held_back() -> Iterator[None]:
    """Signals that come in the block are felt at its end: what it makes is known by then."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    with handled((signal.SIGINT, *_ENDING), note):
        yield
    for number in noted[:1]:
        signal.raise_signal(number)


@contextmanager
def told_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP call `stop` in the block, and do nothing else."""

    def tell(number: int, frame: FrameType | None) -> None:
        stop()

    with handled((signal.SIGINT, *_ENDING), tell):
        yield
