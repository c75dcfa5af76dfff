"""How many calls came for each instance, second by second, as its front-ends say. (Brain)

A front-end's process says about once a second how many of its calls were answered and how many
wait: both together is how many came. Words don't keep the second, so what came is spread evenly
between two of them, and told a second late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

LATE_S: Final = 1.0
"""What a second's count is late: as far apart as words are."""
_KEPT: Final = 16
_LEFT_MOST: Final = 4096
"""Instances of which nobody asked what came: most aren't asked about."""


@dataclass(slots=True)
class _Speaker:
    """Of one process: (when, how many had come), the newest last; what was told so far."""

    said: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    told: float = 0.0

    def came_by(self, at: float) -> float:
        """How many had come then."""
        before = self.said[0]
        for word in self.said:
            if word[0] >= at:
                span = word[0] - before[0]
                part = (at - before[0]) / span if span > 0 else 1.0
                return before[1] + max(0.0, part) * (word[1] - before[1])
            before = word
        return before[1]


class Arrivals:
    """Of all instances."""

    def __init__(self) -> None:
        self._speakers: dict[str, dict[Hashable, _Speaker]] = {}
        # Of those that are gone: what wasn't told yet.
        self._left: dict[str, float] = {}

    def said(
        self, speaker: Hashable, instance: str, answered: int, waiting: int, now: float
    ) -> None:
        """A front-end's process says how its calls stand."""
        speakers = self._speakers.setdefault(instance, {})
        known = speakers.get(speaker)
        if known is None:
            # What was answered before its first word came longer ago, for all that is known.
            known = speakers[speaker] = _Speaker(told=float(answered))
            known.said.append((now - LATE_S, float(answered)))
        # A call that ended unanswered came all the same.
        came = max(known.said[-1][1], float(answered + waiting))
        known.said.append((now, came))

    def silent(self, speaker: Hashable) -> None:
        """It has gone."""
        for instance, speakers in list(self._speakers.items()):
            gone = speakers.pop(speaker, None)
            if gone is not None:
                rest = gone.said[-1][1] - gone.told
                self._left[instance] = self._left.pop(instance, 0.0) + rest
            if not speakers:
                del self._speakers[instance]
        while len(self._left) > _LEFT_MOST:
            del self._left[next(iter(self._left))]

    def keep(self, since: float) -> None:
        """Who said nothing since then has told all that it had to."""
        for instance, speakers in list(self._speakers.items()):
            fresh = {who: each for who, each in speakers.items() if each.said[-1][0] > since}
            if fresh:
                self._speakers[instance] = fresh
            else:
                del self._speakers[instance]

    def take(self, instance: str, now: float) -> float:
        """How many came since this was asked last."""
        count = self._left.pop(instance, 0.0)
        for speaker in self._speakers.get(instance, {}).values():
            came = max(speaker.told, speaker.came_by(now - LATE_S))
            count += came - speaker.told
            speaker.told = came
        return count
