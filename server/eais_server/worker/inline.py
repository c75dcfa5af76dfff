"""Which calls are run on the event loop itself, since a thread would cost more. (Brain)

To hand a call to a run thread, and its answer back, takes longer than a small model does. So
calls of a kind (a session's, with inputs of about a size) that have taken little time, and
steadily so, are run where they came in. Each run is watched: one that lasts is ended there, and
run again on a thread, and its session has to earn that right anew after `BAN_S`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SHORT_S: Final = 3e-4
"""What a run of the kind may take in the mean."""
AT_ONCE_S: Final = 1e-3
"""So long may runs follow each other before the event loop does something else."""
OVERLONG_S: Final = 0.02
"""A run that has a processor for as long is ended, after about twice that at the latest."""
BAN_S: Final = 60.0
SMALL_BYTES: Final = 256 << 10
"""Calls of more bytes are not looked at: they take their time."""
MAX_KINDS: Final = 4096
"""Of which something is known; with one more it is learnt anew."""

# The longest counts as no more: it may have been the machine, and is no reason to wait for long.
_MOST_S: Final = 1e-3
_WEIGHT: Final = 1 / 8


@dataclass(eq=False, slots=True)
class Kind:
    """Calls that take about the same; `mean_s`, of runs lately, begins as if they were long."""

    mean_s: float = _MOST_S

    def took(self, seconds: float) -> None:
        """One of them has run for so long."""
        self.mean_s += (min(seconds, _MOST_S) - self.mean_s) * _WEIGHT


class InlineRights:
    """What is known of each kind of call."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, int], Kind] = {}
        self._banned: dict[str, float] = {}

    def kind(self, session: str, size: int) -> Kind | None:
        """The kind of a call with `size` bytes of inputs, if it may run on the event loop."""
        kind = self._kinds.get((session, size.bit_length()))
        return kind if kind is not None and kind.mean_s <= SHORT_S else None

    def took(self, session: str, size: int, seconds: float, now_s: float) -> None:
        """A call's run took so long, on a thread."""
        if size > SMALL_BYTES or self._is_banned(session, now_s):
            return
        if len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        self._kinds.setdefault((session, size.bit_length()), Kind()).took(seconds)

    def overran(self, session: str, now_s: float) -> None:
        """One of the session's runs lasted on the event loop, and was ended."""
        self.forget(session)
        self._banned[session] = now_s + BAN_S

    def forget(self, session: str) -> None:
        """Nothing is known of the session."""
        self._kinds = {key: kind for key, kind in self._kinds.items() if key[0] != session}

    def _is_banned(self, session: str, now_s: float) -> bool:
        until_s = self._banned.get(session)
        if until_s is None:
            return False
        if now_s < until_s:
            return True
        del self._banned[session]
        return False
