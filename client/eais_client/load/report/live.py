"""How far a load test is: drawn on a terminal once a second, elsewhere a line for each phase.

The load is made by other processes, so drawing doesn't disturb it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from eais_client.cli.printer import has_colour
from eais_client.load.brain.plan import Phase
from eais_client.load.generator.processes import LiveCounts
from eais_client.load.report.amounts import harmless
from eais_client.load.report.live_frame import frame, glance
from eais_client.load.running import Watcher


class View(Watcher, Protocol):
    """Who is told how far a test is, and what is to stay on the screen."""

    def note(self, text: str) -> None:
        """Say it above what is drawn; who writes to the stream itself would be drawn over."""
        ...


class Drawn:
    """Drawn on a terminal."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._counts: LiveCounts | None = None
        self._stage = ""

    def stage(self, text: str) -> None:
        """Show it, beside the counts of the phase that it is a part of."""
        self._stage = harmless(text)
        self._draw()

    def counts(self, live: LiveCounts) -> None:
        """Draw them."""
        if self._counts is None or self._counts.phase is not live.phase:
            self._stage = ""
        self._counts = live
        self._draw()

    def note(self, text: str) -> None:
        """A line that stays."""
        with suppress(OSError):
            self._live.console.print(Text(harmless(text)))

    def _draw(self) -> None:
        parts: list[RenderableType] = [Text(f"{self._stage} …")] if self._stage else []
        if self._counts is not None:
            parts.append(frame(glance(self._counts)))
        # A terminal that went away is no reason to end a test.
        with suppress(OSError):
            self._live.update(Group(*parts), refresh=True)


class Said:
    """A line for each phase on each target."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said: tuple[str, Phase] | None = None

    def stage(self, text: str) -> None:
        """Phases alone are said."""

    def counts(self, live: LiveCounts) -> None:
        """Say that the phase has begun."""
        if (live.target, live.phase) == self._said:
            return
        self._said = (live.target, live.phase)
        shown = glance(live)
        self.note(f"{shown.target}: {shown.asked}")

    def note(self, text: str) -> None:
        """A line."""
        with suppress(OSError):
            self._stream.write(f"{harmless(text)}\n")
            self._stream.flush()


@contextmanager
def live_view(stream: TextIO, environ: Mapping[str, str]) -> Iterator[View]:
    """Whom to tell; what was drawn on `stream` is gone afterwards, lines stay."""
    if not stream.isatty() or environ.get("TERM") == "dumb":
        yield Said(stream)
        return
    console = Console(file=stream, no_color=not has_colour(stream, environ))
    with Live(console=console, transient=True, auto_refresh=False) as live:
        yield Drawn(live)
