"""Load made by threads: each calls, waits for the answer, and calls again.

In an open loop each thread takes the next request that is due, sleeps until then, and sends it.
Who takes one that is due already says so: nobody was free, and its latency counts the wait.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator, Sequence

from eais_client.load.generator.counts import Notes
from eais_client.load.generator.work import Request, Work

_STACK_BYTES = 512 * 1024


class ThreadDriver:
    """The callers of a phase, one a thread."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._numbers: Iterator[int] = itertools.count()
        self._notes = [Notes() for _ in range(work.callers)]
        self._under_way: list[Request | None] = [None] * work.callers
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin."""
        run = self._closed if self._work.due is None else self._open
        before = threading.stack_size(_STACK_BYTES)
        try:
            for place in range(self._work.callers):
                thread = threading.Thread(target=run, args=(place,), daemon=True, name="caller")
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
        """Whether somebody still waits for an answer, or for the next moment to send."""
        return any(thread.is_alive() for thread in self._threads)

    def notes(self) -> Sequence[Notes]:
        """What each caller notes."""
        return self._notes

    def under_way(self) -> list[Request]:
        """Requests that nothing was heard of."""
        return [each for each in self._under_way if each is not None]

    def _closed(self, place: int) -> None:
        work, notes = self._work, self._notes[place]
        chance = random.Random(f"{work.seed} {place}")
        work.sleep_until(work.begin)
        for number in self._numbers:
            now = work.now()
            if now >= work.end or work.stopped.is_set():
                return
            self._make(place, Request(work, notes, number, now, now, _checks(work, chance)))

    def _open(self, place: int) -> None:
        work, notes = self._work, self._notes[place]
        chance = random.Random(f"{work.seed} {place}")
        for number in self._numbers:
            free_at = work.now()
            moment = work.wait_for(number)
            if moment is None:
                return
            self._make(place, Request(work, notes, number, moment, free_at, _checks(work, chance)))

    def _make(self, place: int, request: Request) -> None:
        request.model = self._work.model_of(request.number)
        self._under_way[place] = request
        request.make()
        self._under_way[place] = None


def _checks(work: Work, chance: random.Random) -> bool:
    return work.check_share > 0 and chance.random() < work.check_share
