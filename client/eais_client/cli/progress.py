"""Progress on waits: a line that moves, on standard error, only on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from eais_client.cli.printer import has_colour

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Progress(Protocol):
    """What a long step may say while it goes on."""

    def step(self, text: str, done: float = 0.0, total: float | None = None) -> None:
        """Now at `text`; `done` of `total` parts, of None when nobody knows how many."""
        ...


class Silent:
    """No terminal, no progress."""

    def step(self, text: str, done: float = 0.0, total: float | None = None) -> None:
        """Say nothing."""


class Part:
    """One step of a longer way, with steps of its own."""

    def __init__(self, whole: Progress, done: float, total: float) -> None:
        self._whole = whole
        self._done = done
        self._total = total

    def step(self, text: str, done: float = 0.0, total: float | None = None) -> None:
        """Now at `text`; the whole is as far as this step has come within its part."""
        within = min(1.0, done / total) if total else 0.0
        self._whole.step(text, self._done + within, self._total)


class _Bar:
    def __init__(self, rich: RichProgress, task: TaskID) -> None:
        self._rich = rich
        self._task = task

    def step(self, text: str, done: float = 0.0, total: float | None = None) -> None:
        self._rich.update(self._task, description=text, completed=done, total=total)


@contextmanager
def progress(stream: TextIO, environ: Mapping[str, str], text: str) -> Iterator[Progress]:
    """A bar on `stream` that is gone afterwards; silent unless `stream` is a terminal."""
    if not stream.isatty() or environ.get("TERM") == "dumb":
        yield Silent()
        return
    with _rich_progress(stream, environ) as rich:
        yield _Bar(rich, rich.add_task(text, total=None))


def _rich_progress(stream: TextIO, environ: Mapping[str, str]) -> RichProgress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(file=stream, no_color=not has_colour(stream, environ))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24))
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
