"""`eais top` on a terminal: asks in the background, draws what was answered last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from eais.errors import EaisError
from eais_client.cli.command import Call
from eais_client.cli.keys import Keys
from eais_client.cli.printer import has_colour
from eais_client.cli.signals import ended_by_signals
from eais_client.cli.top_asker import ASK_WITHIN_S, Asker
from eais_client.cli.top_frame import frame
from eais_client.cli.top_model import TopView

_QUIT = frozenset("qQ")


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered last, when, and what went wrong since; None if nothing did."""

    view: TopView
    at: float
    fault: EaisError | None = None


class Poller:
    """Asks every `interval_s` in a thread of its own, and says when there is an answer."""

    def __init__(
        self,
        ask: Callable[[], TopView],
        first: Answer,
        interval_s: float,
        clock: Callable[[], float],
        wake: Callable[[], object],
    ) -> None:
        self.latest = first
        self._ask = ask
        self._interval_s = interval_s
        self._clock = clock
        self._wake = wake
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="eais-top", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()
        self._thread.join(ASK_WITHIN_S)

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()

    def _poll(self) -> None:
        while not self._ended.wait(self._interval_s):
            try:
                self.latest = Answer(self._ask(), self._clock())
            except EaisError as error:
                self.latest = Answer(self.latest.view, self.latest.at, error)
            self._wake()


def show_live(call: Call, interval_s: float) -> None:
    """Show the pool until q or Ctrl-C; what hinders the first answer is raised."""
    outside, asker = call.outside, Asker(call)
    console = Console(file=outside.stdout, no_color=not has_colour(outside.stdout, outside.environ))
    with ExitStack() as stack:
        stack.callback(asker.close)
        with call.progress("asking the pool"):
            first = Answer(asker.ask(), outside.clock())
        stack.enter_context(ended_by_signals())
        keys = stack.enter_context(Keys(outside.stdin))
        live = stack.enter_context(Live(console=console, screen=True, auto_refresh=False))
        poller = stack.enter_context(Poller(asker.ask, first, interval_s, outside.clock, keys.wake))
        try:
            _show(call, live, keys, poller, interval_s)
        except KeyboardInterrupt:
            return  # how people leave it


def _show(call: Call, live: Live, keys: Keys, poller: Poller, interval_s: float) -> None:
    typed = ""
    while not _QUIT & set(typed):
        answer, size = poller.latest, live.console.size
        words = _words(answer, call.outside.clock(), interval_s)
        live.update(frame(answer.view, words, size.width, size.height), refresh=True)
        typed = keys.wait()


def _words(answer: Answer, now: float, interval_s: float) -> Text:
    if answer.fault is None:
        return Text(f"every {interval_s:g} s; q ends", style="dim")
    fault = answer.fault
    age = f"as it was {now - answer.at:.0f} s ago"
    return Text(f"{age}: {fault.reason}: {fault.message}", style="red")
