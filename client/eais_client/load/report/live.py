"""How far a load test is: drawn on a terminal once a second, elsewhere a line for each phase.

The load is made by other processes, so drawing doesn't disturb it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from eais_client.cli.printer import has_colour
from eais_client.load.generator.processes import LiveCounts
from eais_client.load.report.amounts import harmless
from eais_client.load.report.live_frame import frame, glance
from eais_client.load.running import Watcher


class Drawn:
    """Drawn on a terminal."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def stage(self, text: str) -> None:
        """Say it until there are counts."""
        self._draw(Text(f"{harmless(text)} …"))

    def counts(self, live: LiveCounts) -> None:
        """Draw them."""
        self._draw(frame(glance(live)))

    def _draw(self, what: object) -> None:
        # A terminal that went away is no reason to end a test.
        with suppress(OSError):
            self._live.update(what, refresh=True)  # type: ignore[arg-type]


class Said:
    """A line for each phase."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._phase: object = None

    def stage(self, text: str) -> None:
        """Phases alone are said."""

    def counts(self, live: LiveCounts) -> None:
        """Say that the phase has begun."""
        if live.phase is self._phase:
            return
        self._phase = live.phase
        shown = glance(live)
        with suppress(OSError):
            self._stream.write(f"{harmless(shown.target)}: {shown.asked}\n")
            self._stream.flush()


@contextmanager
def live_view(stream: TextIO, environ: Mapping[str, str]) -> Iterator[Watcher]:
    """Whom to tell; what was drawn on `stream` is gone afterwards, lines stay."""
    if not stream.isatty() or environ.get("TERM") == "dumb":
        yield Said(stream)
        return
    console = Console(file=stream, no_color=not has_colour(stream, environ))
    with Live(console=console, transient=True, auto_refresh=False) as live:
        yield Drawn(live)
