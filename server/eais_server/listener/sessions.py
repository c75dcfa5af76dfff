"""Which sessions each instance has, who uses them, and when they are dropped. (Brain)

A session is kept as its spec (what it was made from) and its signature (what it
says of itself). It is *held* by the client streams of the instance's workers,
as those tell; held by nobody for long enough it is *idle* and dropped. Sessions
outlive their lease by that time, so that an instance that starts again here has
them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KeptSession:
    """A tenant's session that was loaded once. `spec` and `signature` are serialised messages."""

    id: str
    tenant: str
    spec: bytes
    signature: bytes


def session_id(instance: str, spec: bytes) -> str:
    """The name of the session that `spec` (serialised deterministically) makes: 32 hex digits.

    Equal specs of an instance are one session.
    """
    return hashlib.sha256(instance.encode() + b"\0" + spec).digest()[:16].hex()


@dataclass(slots=True)
class _Entry:
    session: KeptSession
    idle_since: float
    held_by: set[int] = field(default_factory=set)


class SessionBook:
    """All sessions of all instances here; times are seconds of the caller's clock."""

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._entries: dict[str, dict[str, _Entry]] = {}

    def keep(self, instance: str, session: KeptSession, now: float) -> None:
        """The session was loaded (or found on disk); nobody holds it yet."""
        self._entries.setdefault(instance, {})[session.id] = _Entry(session, now)

    def drop(self, instance: str, session: str) -> None:
        """The session is no more; unknown ones are nothing."""
        entries = self._entries.get(instance, {})
        entries.pop(session, None)
        if not entries:
            self._entries.pop(instance, None)

    def get(self, instance: str, session: str) -> KeptSession | None:
        """The session, if it is kept."""
        entry = self._entries.get(instance, {}).get(session)
        return entry.session if entry else None

    def of(self, instance: str) -> tuple[KeptSession, ...]:
        """The instance's sessions, oldest first."""
        return tuple(entry.session for entry in self._entries.get(instance, {}).values())

    def instances(self) -> tuple[str, ...]:
        """The instances that have sessions."""
        return tuple(self._entries)

    def count(self) -> int:
        """How many sessions there are in all."""
        return sum(len(entries) for entries in self._entries.values())

    def touch(self, instance: str, session: str, now: float) -> None:
        """Somebody opened it: give them time to hold it."""
        entry = self._entries[instance][session]
        entry.idle_since = max(entry.idle_since, now)

    def holds(self, instance: str, n: int, sessions: Iterable[str], now: float) -> None:
        """Worker `n` says that these sessions, and no others, are held by clients of its."""
        named = set(sessions)
        for name, entry in self._entries.get(instance, {}).items():
            if name in named:
                entry.held_by.add(n)
            else:
                self._let_go(entry, n, now)

    def gone(self, instance: str, n: int, now: float) -> None:
        """Worker `n` is gone: its clients hold nothing until they are back."""
        self.holds(instance, n, (), now)

    def due(self, now: float) -> list[tuple[str, str]]:
        """(instance, session) of those that nobody held for long enough."""
        return [
            (instance, name)
            for instance, entries in self._entries.items()
            for name, entry in entries.items()
            if now >= self._ends(entry)
        ]

    def _ends(self, entry: _Entry) -> float:
        return math.inf if entry.held_by else entry.idle_since + self._idle_s

    @staticmethod
    def _let_go(entry: _Entry, n: int, now: float) -> None:
        if n in entry.held_by:
            entry.held_by.discard(n)
            entry.idle_since = now
