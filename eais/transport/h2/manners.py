"""Whether a peer does too often what costs us more than it: then the connection ends. (Brain.)"""

from __future__ import annotations

from typing import Final

from eais.transport.h2 import frames
from eais.transport.h2.allowance import Allowance
from eais.transport.h2.frames import PeerFault
from eais.transport.h2.limits import H2Limits

# How many updates are counted before time and what we sent are asked about.
_UPDATES_AT_ONCE: Final = 256
_UPDATES_PER_FRAME: Final = 4


class Manners:
    """What one peer has done too often; each method raises `PeerFault` when it is enough."""

    def __init__(self, limits: H2Limits) -> None:
        self._resets = Allowance(limits.resets)
        self._pings = Allowance(limits.pings)
        self._settings = Allowance(limits.settings)
        self._pointless = Allowance(limits.pointless)
        self._updates = Allowance(limits.updates)
        self._update_count = 0
        self._frames_then = 0
        # Our settings are acknowledged once, our pings once each.
        self._answers_due = {frames.SETTINGS: 1, frames.PING: 0}

    def asked(self) -> None:
        """We sent a ping: one answer to it is right."""
        self._answers_due[frames.PING] += 1

    def asks(self, kind: int, answers: bool, now_s: float) -> None:
        """The peer sent SETTINGS or PING, or with `answers` an answer to ours."""
        if not answers:
            allowance = self._pings if kind == frames.PING else self._settings
            text = "too_many_pings" if kind == frames.PING else "too many settings"
            self._spend(allowance, now_s, text)
        elif self._answers_due[kind]:
            self._answers_due[kind] -= 1
        else:
            self.pointless(now_s)

    def refused(self, now_s: float) -> None:
        """A stream was reset by the peer, or refused because of what it sent."""
        self._spend(self._resets, now_s, "too many streams are reset")

    def pointless(self, now_s: float) -> None:
        """A frame that is allowed and good for nothing."""
        self._spend(self._pointless, now_s, "too many frames that say nothing")

    def update(self, now_s: float, data_frames: int) -> None:
        """A frame that follows what we sent, `data_frames` in all, or should."""
        self._update_count += 1
        if self._update_count >= _UPDATES_AT_ONCE:
            due = (data_frames - self._frames_then) * _UPDATES_PER_FRAME
            cost = max(0, self._update_count - due)
            self._update_count = 0
            self._frames_then = data_frames
            self._spend(self._updates, now_s, "too many window updates", cost)

    def _spend(self, allowance: Allowance, now_s: float, text: str, cost: int = 1) -> None:
        if not allowance.spend(now_s, cost):
            raise PeerFault(frames.ENHANCE_YOUR_CALM, text)
