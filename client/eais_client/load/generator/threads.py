"""Load made by threads: each calls, waits for the answer, and calls again.

In an open loop each thread takes the next request that is due, sleeps until then, and sends it.
Who takes one that is due already says since when it was free: before that nobody was, and the
request's latency counts the wait.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator, Sequence
from typing import Final

from eais_client.load.generator.counts import Notes
from eais_client.load.generator.request import Request
from eais_client.load.generator.work import Work

_STACK_BYTES: Final = 512 * 1024


class ThreadDriver:
    """The callers of a phase, one a thread."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._numbers: Iterator[int] = itertools.count()
        self._notes = [Notes() for _ in range(work.callers)]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin."""
        run = self._closed if self._work.due is None else self._open
        before = threading.stack_size(_STACK_BYTES)
        try:
            for notes in self._notes:
                chance = random.Random(f"{self._work.seed} {len(self._threads)}")
                thread = threading.Thread(
                    target=run, args=(notes, chance), daemon=True, name="caller"
                )
                self._threads.append(thread)
                thread.start()
        finally:
            threading.stack_size(before)

    def join(self, until: float) -> None:
        """Wait for the last answers, until that moment at most."""
        for thread in self._threads:
            thread.join(max(0.0, until - self._work.now()))

    @property
    def running(self) -> bool:
        """Whether somebody still waits for an answer, or for the next moment to send.

        A thread can't be taken from a call that doesn't return: one whose request was given up
        is waited for no more.
        """
        alive = sum(thread.is_alive() for thread in self._threads)
        return alive > len(self._work.hung)

    def notes(self) -> Sequence[Notes]:
        """What each caller notes."""
        return self._notes

    def let_go(self, requests: Sequence[Request]) -> None:
        """Of requests that were given up: nothing, the thread can't be taken from its call."""

    def close(self) -> None:
        """After the phase."""

    def _closed(self, notes: Notes, chance: random.Random) -> None:
        work, model_of = self._work, self._work.model_of
        work.sleep_until(work.begin)
        for number in self._numbers:
            now = work.now()
            if now >= work.end or work.stopped.is_set():
                return
            checks = work.checks(now, chance)
            Request(work, notes, number, now, now, checks, model_of(number)).make()

    def _open(self, notes: Notes, chance: random.Random) -> None:
        work, model_of = self._work, self._work.model_of
        free_at = work.begin
        for number in self._numbers:
            moment = work.wait_for(number)
            if moment is None:
                return
            checks = work.checks(moment, chance)
            request = Request(work, notes, number, moment, free_at, checks, model_of(number))
            request.make()
            free_at = request.ended
