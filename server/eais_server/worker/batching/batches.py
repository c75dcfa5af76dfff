"""Which of the calls that wait run together: the shell around the policy, on the event loop.

Nothing is looked at while a call waits alone: that is most calls' way, and the quickest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from eais.transport.parts import RunPart
from eais_server.devices.driver import PreparedRun
from eais_server.worker.batching.fused import Call, Outcome
from eais_server.worker.batching.kinds import CallKind, is_alike, kind_of
from eais_server.worker.batching.policy import SIZES, Policy
from eais_server.worker.batching.trial import Trial
from eais_server.worker.inline import AT_ONCE_S

MOST: Final = SIZES[-1]
"""Calls of a batch."""
_KEPT_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Batchable:
    """A session whose calls may run together.

    Attributes:
        inputs: the names of the inputs that it takes rows by; a call that gives others, or not
            all of them, runs alone.
    """

    inputs: frozenset[str]


class Batches:
    """What may run together, and the trial that goes on, one at a time.

    Args:
        clock: monotonic nanoseconds.

    Attributes:
        trial: the one that goes on, if any.
    """

    def __init__(self, policy: Policy, clock: Callable[[], int]) -> None:
        self.policy = policy
        self.trial: Trial | None = None
        self._sessions: dict[str, Batchable] = {}
        # Most calls of a session are like the one before.
        self._seen: dict[str, tuple[RunPart, CallKind]] = {}
        self._clock = clock

    @property
    def any_session(self) -> bool:
        """Whether there is a session at all whose calls may run together."""
        return bool(self._sessions)

    def opened(self, session: str, batchable: Batchable) -> None:
        """The session's calls may run together from now on."""
        self._sessions[session] = batchable

    def closed(self, session: str) -> None:
        """The session isn't here any more."""
        if self._sessions.pop(session, None) is not None:
            self._seen.pop(session, None)
            self.policy.forget(session)

    def may(self, session: str) -> bool:
        """Whether calls of the session may run together."""
        return session in self._sessions

    def kind(self, run: RunPart, buffers: Sequence[memoryview] = ()) -> CallKind | None:
        """The kind of a call; None: it runs alone."""
        name = run.session
        batchable = self._sessions.get(name)
        if batchable is None:
            return None
        like = self._seen.get(name)
        if like is not None and is_alike(run, like[0]):
            return like[1]
        found = kind_of(run, buffers, batchable.inputs)
        if found is not None and run.size <= _KEPT_BYTES and not buffers:
            self._seen[name] = run, found
        return found

    def is_short(self, kind: CallKind, size: int) -> bool:
        """Whether batches of the size may run on the event loop, by what they took."""
        return self.policy.usual_s(kind, size) <= AT_ONCE_S

    def worth_looking(self, kind: CallKind, most: int) -> bool:
        """Whether it matters how many calls of the kind wait, of at most so many."""
        return self.policy.may(kind, most, self._now_s)

    def hold_s(
        self, kind: CallKind, waiting: int, ends_ns: int | None, held_s: float = 0.0
    ) -> float:
        """A call came, and so many of its kind wait: how long to wait for more; 0: not at all.

        Args:
            ends_ns: when nobody waits for it any more; None: never.
            held_s: for how long others that wait still do.
        """
        now_ns = self._clock()
        now_s = now_ns / 1e9
        left_s = inf if ends_ns is None else (ends_ns - now_ns) / 1e9
        self.policy.came(kind, now_s)
        return self.policy.hold_s(kind, waiting, now_s, left_s=left_s, held_s=held_s)

    def size(
        self,
        kind: CallKind,
        waiting: int,
        calls: Callable[[], Sequence[Call]],
        prepare: Callable[[], PreparedRun],
        cost_s: float = 0.0,
    ) -> int:
        """How many of the calls, so many of which wait, run together now; 1: each alone.

        A trial of more of them may begin.

        Args:
            cost_s: what one takes alone, by estimate; too little to count if not given.
        """
        now_s = self._now_s
        if self.trial is None and (size := self.policy.to_try(kind, waiting, now_s)):
            self._try(kind, calls()[:size], prepare, cost_s)
        return self.policy.size(kind, waiting, now_s)

    def ran(
        self,
        kind: CallKind,
        calls: Sequence[Call],
        outcome: Outcome,
        prepare: Callable[[], PreparedRun],
    ) -> None:
        """A batch of the calls is over. A check of what it gave may begin."""
        if outcome.failed:
            self.policy.failed(kind, self._now_s)
        if not outcome.took_ns:
            return
        took_s = outcome.took_ns / 1e9
        check = self.policy.took(kind, len(calls), took_s, self._now_s)
        if check and self.trial is None:
            self._try(kind, calls, prepare, took_s / len(calls), check=True)

    def _try(
        self,
        kind: CallKind,
        calls: Sequence[Call],
        prepare: Callable[[], PreparedRun],
        cost_s: float,
        *,
        check: bool = False,
    ) -> None:
        own = [(call.run, call.buffers) for call in calls]
        self.trial = Trial(kind, own, prepare(), self._clock, cost_s, check)

    def tried(self, trial: Trial) -> None:
        """The trial is over."""
        self.trial = None
        found, kind = trial.found, trial.kind
        if kind.session not in self._sessions:
            return
        alone_s, now_s = found.alone_ns / 1e9, self._now_s
        if found.failed:
            self.policy.trial_failed(kind, trial.size, now_s, ended=trial.prepared.terminated)
        elif not found.shown:
            self.policy.given_up(kind, now_s)
        elif trial.check:
            self.policy.checked(kind, trial.size, same=found.same, alone_s=alone_s, now_s=now_s)
        else:
            self.policy.tried(
                kind,
                trial.size,
                same=found.same,
                alone_s=alone_s,
                together_s=found.together_ns / 1e9,
                now_s=now_s,
            )

    @property
    def _now_s(self) -> float:
        return self._clock() / 1e9
