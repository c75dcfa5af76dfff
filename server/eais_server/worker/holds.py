"""Which sessions the client streams use. (Brain)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from itertools import islice
from typing import Final

MAX_HELD: Final = 1024
"""Sessions that one stream may hold, or name at once; more are ignored."""
MAX_NAME: Final = 32
"""Characters of a session's name; no session has a longer one, which is ignored, too."""


class Holds:
    """Sessions in use, counted by stream; each change tells whether the union changed."""

    def __init__(self) -> None:
        self._by_stream: dict[Hashable, set[str]] = {}
        self._users: Counter[str] = Counter()

    @property
    def in_use(self) -> tuple[str, ...]:
        """The sessions that at least one stream holds, sorted."""
        return tuple(sorted(self._users))

    def hold(self, stream: Hashable, sessions: Iterable[str]) -> bool:
        """The stream starts to use them."""
        mine = self._by_stream.setdefault(stream, set())
        before = len(self._users)
        for session in islice(sessions, MAX_HELD):
            if session not in mine and len(session) <= MAX_NAME and len(mine) < MAX_HELD:
                mine.add(session)
                self._users[session] += 1
        return len(self._users) != before

    def release(self, stream: Hashable, sessions: Iterable[str]) -> bool:
        """The stream uses them no more."""
        mine = self._by_stream.get(stream, set())
        before = len(self._users)
        for session in mine.intersection(islice(sessions, MAX_HELD)):
            mine.discard(session)
            self._users[session] -= 1
            if not self._users[session]:
                del self._users[session]
        return len(self._users) != before

    def drop(self, stream: Hashable) -> bool:
        """The stream is gone."""
        changed = self.release(stream, self._by_stream.get(stream, set()).copy())
        self._by_stream.pop(stream, None)
        return changed
