"""How many calls of a kind run together, and how long one waits for others. (Brain)

Sizes are powers of two. Each is tried before it is used: the answers of so many calls that ran
alone are compared with those of one run of all of them, in the background, so that no caller
waits for its end. A size whose answers are the same is used as long as it takes less time than its
calls would alone. One that takes too long is tried again after `RETRY_S`, since machines change;
one whose answers differ isn't, for that is no matter of luck: what shows it may not come again. A
trial that failed says nothing of its size, since that may be one call's doing; the next one waits
for longer each time. Small sizes are tried first, and no larger ones once two of them were of no
use, or if they would take too long.

A call that could run now is kept waiting only if a target for latency was given, if calls come
so fast that run threads would be busy most of the time without batches, and only for as long as
leaves the target and its own deadline alone.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf
from typing import Final

from eais_server.worker.batching.kinds import CallKind

SIZES: Final = (2, 4, 8, 16, 32, 64)
MAX_BATCH_BYTES: Final = 32 << 20
"""Of the inputs of a batch: beyond it nothing is gained, and much is held."""
MAX_BATCH_S: Final = 0.25
"""So long a batch may take: who comes next waits for it."""
BATCH_SHARE: Final = 0.5
"""Of the target for latency: nor longer than that."""
LEAST_GAIN: Final = 0.95
"""A batch may take this share of what its calls would take alone."""
REMEMBERED: Final = 9
"""Batches of a size, of which the median counts."""
MEASURED: Final = 16
"""As many batches of a size are measured before it is said not to pay."""
RETRY_S: Final = 60.0
MAX_KINDS: Final = 256
"""Of which something is known; the one that was seen longest ago is forgotten."""
AGAIN_S: Final = 0.1
"""After a trial that showed nothing."""
REST_S: Final = 1.0
"""After something that failed for the first time; then twice as long each time, to `RETRY_S`."""
BUSY_SHARE: Final = 0.5
"""Of the run threads' time: below it nobody is kept waiting for the sake of a batch."""
SLO_SHARE: Final = 0.25
"""Of the target for latency: so long at most a call is kept waiting."""
DEADLINE_SHARE: Final = 0.5
"""Of the time that a call has left: waiting and its batch may take so much."""

_WEIGHT: Final = 1 / 8
_FIRST_CHECK: Final = 8
_LAST_DOUBLING: Final = 1024


class Verdict(Enum):
    """What trials found of a size: nothing yet, the same answers, or others."""

    UNTRIED = auto()
    SAME = auto()
    DIFFERENT = auto()


@dataclass(eq=False, slots=True)
class _Size:
    """Batches of one size.

    Attributes:
        last: what its trial and the last of them took.
        runs: how many there were since its trial.
        due: its answers are to be compared again.
        anew_s: when it is to be tried anew, since it takes too long; inf if it doesn't.
    """

    verdict: Verdict = Verdict.UNTRIED
    last: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    runs: int = 0
    due: bool = False
    anew_s: float = inf

    @property
    def usual_s(self) -> float:
        """The median: one that the machine held up says nothing."""
        return sorted(self.last)[len(self.last) // 2] if self.last else 0.0

    def took(self, seconds: float) -> None:
        self.runs += 1
        self.last.append(seconds)
        doubled = self.runs >= _FIRST_CHECK and self.runs & (self.runs - 1) == 0
        if doubled if self.runs <= _LAST_DOUBLING else not self.runs % _LAST_DOUBLING:
            self.due = True


@dataclass(eq=False, slots=True)
class _Kind:
    """What is known of one kind of call.

    Attributes:
        good: sizes whose batches give the same answers, and pay.
        next: the size to be tried next, if as many wait; 0: none.
        alone_s: what one takes alone.
        gap_s: between two that come, in the mean; inf while that isn't known.
        trying: the size of which a trial goes on; the next one begins at `try_from_s` or later.
        put_off_s: for how long the next one was put off when the last one failed.
        rest_until_s: nothing runs together before then, for a batch failed; `rest_s` is how
            long that was last.
        anew_s: when the first of the sizes is to be tried anew.
    """

    sizes: dict[int, _Size] = field(default_factory=lambda: {size: _Size() for size in SIZES})
    good: tuple[int, ...] = ()
    next: int = 0
    alone_s: float = 0.0
    gap_s: float = inf
    came_s: float = -inf
    trying: int = 0
    try_from_s: float = -inf
    put_off_s: float = 0.0
    rest_until_s: float = -inf
    rest_s: float = 0.0
    anew_s: float = inf


class Policy:
    """What is known of each kind of call, and what follows from it.

    Args:
        threads: how many runs go on at a time.
        slo_s: what callers want of the 99th percentile; 0: they haven't said.
    """

    def __init__(self, threads: int = 1, slo_s: float = 0.0) -> None:
        self._threads = threads
        self._slo_s = slo_s
        self._most_s = min(MAX_BATCH_S, slo_s * BATCH_SHARE) if slo_s else MAX_BATCH_S
        self._kinds: OrderedDict[CallKind, _Kind] = OrderedDict()

    @property
    def holds(self) -> bool:
        """Whether calls may be kept waiting at all: then `came` is to be told of each."""
        return self._slo_s > 0

    def may_double(self, seconds: float) -> bool:
        """Whether twice as many calls may be worth a trial, if so many take so long.

        They take no less, and on most devices twice as long.
        """
        return seconds <= self._most_s and seconds * 2 <= MAX_BATCH_S

    def forget(self, session: str) -> None:
        """Nothing is known of the session's calls."""
        for kind in [kind for kind in self._kinds if kind.session == session]:
            del self._kinds[kind]

    def came(self, kind: CallKind, now_s: float) -> None:
        """A call came."""
        known = self._known(kind, now_s)
        gap_s, known.came_s = now_s - known.came_s, now_s
        if gap_s == inf:
            return
        known.gap_s = gap_s if known.gap_s == inf else known.gap_s + (gap_s - known.gap_s) * _WEIGHT

    def size(self, kind: CallKind, waiting: int, now_s: float) -> int:
        """How many of the `waiting` calls of the kind run together now; 1: each alone."""
        known = self._kinds.get(kind)
        if known is None or now_s < known.rest_until_s:
            return 1
        return max((size for size in known.good if size <= waiting), default=1)

    def to_try(self, kind: CallKind, waiting: int, now_s: float) -> int:
        """The size of which a trial is to begin, as so many wait; 0: none. It has begun then."""
        known = self._known(kind, now_s)
        if known.trying or now_s < max(known.rest_until_s, known.try_from_s):
            return 0
        known.trying = known.next if known.next <= waiting else 0
        return known.trying

    def tried(
        self,
        kind: CallKind,
        size: int,
        *,
        same: bool,
        alone_s: float,
        together_s: float,
        now_s: float,
    ) -> None:
        """A trial is over, and answers were compared.

        Args:
            same: whether the answers were.
            alone_s: what a call of it took alone.
            together_s: what all of them took together.
        """
        known = self._known(kind, now_s)
        known.trying, known.put_off_s = 0, 0.0
        if same:
            known.alone_s = alone_s
        found = _Size(Verdict.SAME if same else Verdict.DIFFERENT)
        found.last.append(together_s)
        known.sizes[size] = found
        self._judge(known, kind, now_s)

    def checked(
        self, kind: CallKind, size: int, *, same: bool, alone_s: float, now_s: float
    ) -> None:
        """A batch's answers were compared again with those of its calls alone."""
        known = self._kinds.get(kind)
        if known is None:
            return
        known.sizes[size].due = False
        if same:
            known.alone_s = alone_s
        else:
            known.sizes[size].verdict = Verdict.DIFFERENT
        self._judge(known, kind, now_s)

    def trial_failed(self, kind: CallKind, size: int, now_s: float, *, ended: bool) -> None:
        """A trial or a check failed: the size isn't used before a trial that doesn't.

        Args:
            ended: it was, since it took too long.
        """
        known = self._known(kind, now_s)
        known.put_off_s = RETRY_S if ended else _longer(known.put_off_s)
        known.trying, known.try_from_s = 0, now_s + known.put_off_s
        known.sizes[size] = _Size()
        self._judge(known, kind, now_s)

    def given_up(self, kind: CallKind, now_s: float) -> None:
        """The trial or check that went on came to nothing: its inputs would not have shown it."""
        known = self._kinds.get(kind)
        if known is not None:
            known.trying, known.try_from_s = 0, now_s + AGAIN_S

    def usual_s(self, kind: CallKind, size: int) -> float:
        """What batches of the size take; inf if that isn't known."""
        known = self._kinds.get(kind)
        return (known.sizes[size].usual_s or inf) if known is not None else inf

    def may(self, kind: CallKind, most: int, now_s: float) -> bool:
        """Whether it is worth looking for calls of the kind, of which at most so many wait."""
        known = self._kinds.get(kind)
        if known is None:
            return True
        if now_s < known.rest_until_s:
            return False
        if known.good and known.good[0] <= most:
            return True
        return now_s >= known.try_from_s and (0 < known.next <= most or now_s >= known.anew_s)

    def took(self, kind: CallKind, size: int, seconds: float, now_s: float) -> bool:
        """A batch took so long. Whether its answers are to be checked again: now and then.

        It is said of each that follows, until one is.
        """
        known = self._kinds.get(kind)
        if known is None:
            return False
        own = known.sizes[size]
        own.took(seconds)
        known.rest_s = 0.0
        if not own.runs % MEASURED:
            self._judge(known, kind, now_s)
        return own.due and now_s >= known.try_from_s

    def failed(self, kind: CallKind, now_s: float) -> None:
        """A batch failed: one of its calls is of the sort that does, and more may come."""
        known = self._known(kind, now_s)
        known.rest_s = _longer(known.rest_s)
        known.rest_until_s = now_s + known.rest_s

    def hold_s(
        self,
        kind: CallKind,
        waiting: int,
        now_s: float,
        *,
        left_s: float = inf,
        held_s: float = 0.0,
    ) -> float:
        """How long to wait for more calls, since so many wait and could run now; 0: run them.

        It is as long as the next size takes to come together, if that is soon enough.

        Args:
            left_s: before the deadline of the call that came; inf without one.
            held_s: for how long others that wait still do, and it with them.
        """
        known = self._kinds.get(kind)
        if known is None or not self.holds or now_s < known.rest_until_s:
            return 0.0
        busy = known.alone_s / known.gap_s / self._threads
        target = next((size for size in known.good if size > waiting), 0)
        if busy < BUSY_SHARE or not target:
            return 0.0
        wanted_s = (target - waiting) * known.gap_s
        usual_s = known.sizes[target].usual_s
        if max(wanted_s, held_s) + usual_s > left_s * DEADLINE_SHARE:
            return 0.0
        return wanted_s if wanted_s + usual_s <= self._slo_s * SLO_SHARE else 0.0

    def _judge(self, known: _Kind, kind: CallKind, now_s: float) -> None:
        for size, own in known.sizes.items():
            slow = own.verdict is Verdict.SAME and not self._is_good(known, kind, size)
            own.anew_s = min(own.anew_s, now_s + RETRY_S) if slow else inf
        known.anew_s = min(own.anew_s for own in known.sizes.values())
        known.good = tuple(size for size in SIZES if self._is_good(known, kind, size))
        known.next = self._next_size(known, kind)

    def _is_good(self, known: _Kind, kind: CallKind, size: int) -> bool:
        """Whether batches of the size give the same answers, and pay."""
        own = known.sizes[size]
        if own.verdict is not Verdict.SAME or size * kind.size > MAX_BATCH_BYTES:
            return False
        return own.usual_s <= self._most_s and _pays(known, size)

    def _next_size(self, known: _Kind, kind: CallKind) -> int:
        useless = 0
        for size in SIZES:
            if size * kind.size > MAX_BATCH_BYTES:
                return 0
            own = known.sizes[size]
            if own.verdict is Verdict.UNTRIED:
                return size
            useless += own.verdict is Verdict.DIFFERENT or not _pays(known, size)
            if useless > 1:
                return 0
            if not self.may_double(own.usual_s):
                return 0
        return 0

    def _known(self, kind: CallKind, now_s: float) -> _Kind:
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = _Kind()
            self._judge(known, kind, now_s)
        elif now_s >= known.anew_s:
            late = [size for size, own in known.sizes.items() if now_s >= own.anew_s]
            known.sizes.update({size: _Size() for size in late})
            self._judge(known, kind, now_s)
        self._kinds.move_to_end(kind)
        if len(self._kinds) > MAX_KINDS:
            self._kinds.popitem(last=False)
        return known


def _longer(rest_s: float) -> float:
    return min(RETRY_S, rest_s * 2 or REST_S)


def _pays(known: _Kind, size: int) -> bool:
    own = known.sizes[size]
    return own.runs < MEASURED or own.usual_s <= LEAST_GAIN * size * known.alone_s
