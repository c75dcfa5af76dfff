"""Who waits in line is asked for now and then: whose callers still do, and where each stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from eais_pool.brain import line, sleeping
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import OpKey, PoolState
from eais_pool.brain.waiting_records import Position

ANSWER_AFTER_S: Final = 1.0
"""A caller hears of its position at least that often."""
GONE_AFTER_S: Final = 10.0
"""A caller that hasn't asked for so long is gone; as long as clients' own patience."""
_FRESH_S: Final = 0.5


class Presence:
    """The callers of operations in line.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heard: dict[OpKey, float] = {}
        self._places: dict[str, Position] = {}
        self._placed_at = float("-inf")

    def heard(self, key: OpKey) -> None:
        """The caller of an operation has asked for it."""
        self._heard[key] = self._clock()

    def gone(self, state: PoolState) -> frozenset[OpKey]:
        """Those in line whose callers have gone; of one never heard, from now on."""
        now = self._clock()
        asked_for = (key for key in state.line if not sleeping.is_wake(key))
        self._heard = {key: self._heard.get(key, now) for key in asked_for}
        return frozenset(key for key, at in self._heard.items() if now - at >= GONE_AFTER_S)

    def place_of(self, state: PoolState, settings: Settings, instance: str) -> Position | None:
        """Where an instance stands in line, as of half a second ago; None: it doesn't wait."""
        record = state.instances.get(instance)
        if record is None or (record.tenant, record.op_id) not in state.line:
            return None
        now = self._clock()
        if instance not in self._places or now - self._placed_at >= _FRESH_S:
            self._places, self._placed_at = line.positions(state, settings), now
        return self._places[instance]
