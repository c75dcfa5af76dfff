"""Calls of sessions that may have killed a worker: they run one at a time, alone. (Brain)

A suspect's call first lets all those go that wait when its turn comes, so that what dies with
it was sent after; then it waits until nothing runs, and nothing starts until it is over. A call
that gives outputs clears its session. Suspects have a turn each in order of trust, then again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """A call that waits."""

    @property
    def session(self) -> str:
        """What it runs."""
        ...

    @property
    def stream(self) -> Hashable:
        """Who is answered."""
        ...


J = TypeVar("J", bound=Waiting)
MayRun = Callable[[Hashable], bool]


class Suspects(Generic[J]):
    """The suspects, and their calls that wait."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[J]] = {}
        self._held: set[str] = set()
        # Those that have yet to have their turn in this round.
        self._round: list[str] = []
        # Calls that waited for a suspect which was cleared: nobody's before theirs.
        self._cleared: deque[J] = deque()
        self._ahead: set[J] | None = None
        self._alone: J | None = None

    def __contains__(self, session: str) -> bool:
        return session in self._lines

    def __len__(self) -> int:
        # Asked at each call, of which most have no suspects to wait for.
        if not (self._lines or self._cleared):
            return 0
        return len(self._cleared) + sum(map(len, self._lines.values()))

    @property
    def any_named(self) -> bool:
        """Whether there are suspects, or calls that waited for one."""
        return bool(self._lines or self._cleared or self._alone is not None)

    def waiting(self) -> list[J]:
        """All calls that wait here."""
        return [*self._cleared, *(job for line in self._lines.values() for job in line)]

    def name(self, sessions: Iterable[str]) -> list[str]:
        """These are the suspects from now on, the most trusted first; which of them are new."""
        old, waiting = self._lines, self.waiting()
        self._lines = {session: deque() for session in sessions}
        self._held &= self._lines.keys()
        self._round, self._ahead = [], None
        self._cleared.clear()
        for job in waiting:
            self.add(job)
        return [session for session in self._lines if session not in old]

    def hold(self, session: str) -> None:
        """Let none of its calls run until `release`."""
        self._held.add(session)

    def release(self, session: str) -> None:
        """Its calls may run in their turn."""
        self._held.discard(session)

    def add(self, job: J) -> None:
        """A call comes to wait here."""
        self._lines.get(job.session, self._cleared).append(job)

    def discard(self, job: J) -> bool:
        """Take a call out; whether it waited here."""
        line = next((line for line in (self._cleared, *self._lines.values()) if job in line), None)
        if line is not None:
            line.remove(job)
        return line is not None

    def over(self, job: J, *, answered: bool) -> None:
        """A call has run; `answered`: it gave outputs."""
        if job is self._alone:
            self._alone = None
        if answered and job.session in self._lines:
            self._cleared.extend(self._lines.pop(job.session))
            self._held.discard(job.session)

    def take(
        self,
        others: Iterable[J],
        take_other: Callable[[], J | None],
        may_run: MayRun,
        *,
        running: bool,
    ) -> J | None:
        """The call that is to start now, if any.

        Args:
            others: the calls that wait and aren't suspects'.
            take_other: takes the next of them.
            may_run: whether calls of a stream may run.
            running: whether anything runs.
        """
        if self._alone is not None:
            return None
        suspect = self._due(may_run)
        if suspect is None:
            self._ahead = None
            return self._other(take_other, may_run)
        # Without those that don't get a turn, for which it would wait for ever.
        before = {job for job in (*self._cleared, *others) if may_run(job.stream)}
        self._ahead = before if self._ahead is None else self._ahead & before
        other = self._other(take_other, may_run) if self._ahead else None
        if other is not None or running:
            return other
        return self._begin(suspect)

    def _due(self, may_run: MayRun) -> J | None:
        """The first call of the suspect whose turn it is."""
        for session in (*self._round, *self._lines):
            if session not in self._held:
                ready = (job for job in self._lines.get(session, ()) if may_run(job.stream))
                if (job := next(ready, None)) is not None:
                    return job
        return None

    def _other(self, take_other: Callable[[], J | None], may_run: MayRun) -> J | None:
        for job in self._cleared:
            if may_run(job.stream):
                self._cleared.remove(job)
                return job
        return take_other()

    def _begin(self, job: J) -> J:
        self._lines[job.session].remove(job)
        left = self._round if job.session in self._round else list(self._lines)
        self._round = [session for session in left if session != job.session]
        self._alone, self._ahead = job, None
        return job
