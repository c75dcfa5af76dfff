"""What the store holds and may take: sizes, reservations, pins, order of use. Does no I/O.

A file is STORED, or PARKED (a part of it is there and nobody sends the rest), or UPLOADING,
or FINISHING (all is there, being made durable). Bytes are counted as what is on the disk,
and for an upload as what it will come to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from eais.errors import EaisError, make_error


class Key(NamedTuple):
    """A file's folder (one a tenant) and name, both made from salted hashes."""

    folder: str
    name: str


class FileState(Enum):
    """Where a file of the store stands."""

    STORED = auto()
    PARKED = auto()
    UPLOADING = auto()
    FINISHING = auto()


_PUSH_BACK_MS = 200
_BUSY = (FileState.UPLOADING, FileState.FINISHING)


@dataclass(slots=True)
class Entry:
    """One file of the store.

    Attributes:
        state: where it stands.
        counted: its bytes against the limit.
        touched_s: when it was last used.
        verified: this process has hashed the whole file.
    """

    state: FileState
    counted: int
    touched_s: float
    verified: bool = False


class Index:
    """The store's accounts.

    Args:
        limit_bytes: all `counted` bytes together.
        uploads_per_folder: at the same time.
        folder_limit_bytes: of one folder; None: all of them.
    """

    def __init__(
        self, limit_bytes: int, uploads_per_folder: int, folder_limit_bytes: int | None = None
    ) -> None:
        self.limit_bytes = limit_bytes
        self._folder_limit_bytes = folder_limit_bytes
        self._uploads_per_folder = uploads_per_folder
        # In order of last use, the oldest first.
        self._entries: dict[Key, Entry] = {}
        self._pins: dict[str, frozenset[Key]] = {}
        self.used_bytes = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Entry | None:
        """The file's entry, if there is one."""
        return self._entries.get(key)

    def uploads(self) -> int:
        """How many files are being sent now."""
        return sum(entry.state in _BUSY for entry in self._entries.values())

    def add(self, key: Key, state: FileState, size: int, now: float) -> None:
        """Enter what was found on the disk; the last used must come last."""
        self._entries[key] = Entry(state, size, now)
        self.used_bytes += size

    def start(self, key: Key, size: int, now: float) -> list[Key]:
        """UPLOADING: reserve `size` bytes for an upload; returns what must be removed for it.

        What it returns is forgotten already. When it raises, nothing has changed.

        Raises:
            Unavailable: BUSY.
            RemoteError: QUOTA, STORE_FULL.
        """
        held = self._entries.get(key)
        self._check_not_busy(key.folder, held)
        more = size - (held.counted if held else 0)
        victims = self._victims(key, more)
        for victim in victims:
            self.drop(victim)
        self.evicted += len(victims)
        self.drop(key)
        self.add(key, FileState.UPLOADING, size, now)
        return victims

    def _check_not_busy(self, folder: str, held: Entry | None) -> None:
        if held and held.state in _BUSY:
            raise make_error("BUSY", "this file is being sent by another call")
        used = sum(entry.state in _BUSY for entry in self._of(folder).values())
        if used >= self._uploads_per_folder:
            limit = str(self._uploads_per_folder)
            metadata = {"quota": "uploads", "used": str(used), "asked": "1", "limit": limit}
            raise make_error(
                "BUSY",
                f"{limit} uploads at a time",
                metadata={**metadata, "push_back_ms": str(_PUSH_BACK_MS)},
            )

    def _of(self, folder: str) -> dict[Key, Entry]:
        return {key: entry for key, entry in self._entries.items() if key.folder == folder}

    def _victims(self, wanted: Key, more: int) -> list[Key]:
        """What goes, oldest first: of the folder's own for its quota, then of all for the limit."""
        victims: list[Key] = []
        if self._folder_limit_bytes is not None:
            victims = self._victims_of_folder(wanted, more, self._folder_limit_bytes)
        gone = sum(self._entries[key].counted for key in victims)
        rest = [key for key in self._evictable(wanted) if key not in victims]
        others, left = self._oldest(rest, self.used_bytes + more - gone - self.limit_bytes)
        if left > 0:
            raise _full(self.limit_bytes, more)
        return victims + others

    def _victims_of_folder(self, wanted: Key, more: int, limit: int) -> list[Key]:
        used = sum(entry.counted for entry in self._of(wanted.folder).values())
        own = [key for key in self._evictable(wanted) if key.folder == wanted.folder]
        excess = used + more - limit
        victims, left = self._oldest(own, excess)
        if left > 0:
            raise _over_quota(limit, used - (excess - left), more)
        return victims

    def _oldest(self, keys: Iterable[Key], excess: int) -> tuple[list[Key], int]:
        """As many of `keys` as make up for `excess` bytes, and what they don't make up for."""
        victims = []
        for key in keys:
            if excess <= 0:
                break
            victims.append(key)
            excess -= self._entries[key].counted
        return victims, excess

    def _evictable(self, wanted: Key) -> Iterator[Key]:
        pinned = frozenset[Key]().union(*self._pins.values())
        for key, entry in self._entries.items():
            if entry.state not in _BUSY and key not in pinned and key != wanted:
                yield key

    def drop(self, key: Key) -> None:
        """Forget the file; unknown ones are nothing."""
        entry = self._entries.pop(key, None)
        if entry:
            self.used_bytes -= entry.counted

    def park(self, key: Key, size: int) -> None:
        """The upload broke off after `size` bytes; it was touched when the last of them came."""
        touched_s = self._entries[key].touched_s
        self.drop(key)
        self.add(key, FileState.PARKED, size, touched_s)

    def store(self, key: Key, now: float) -> None:
        """The upload is whole, verified and durable."""
        entry = self._entries[key]
        entry.state, entry.verified = FileState.STORED, True
        self.touch(key, now)

    def touch(self, key: Key, now: float) -> None:
        """The file was used."""
        entry = self._entries.pop(key)
        entry.touched_s = now
        self._entries[key] = entry

    def stale(self, before: float) -> list[Key]:
        """Parked files and uploads not touched since `before`."""
        return [
            key
            for key, entry in self._entries.items()
            if entry.state in (FileState.PARKED, FileState.UPLOADING) and entry.touched_s <= before
        ]

    def pin(self, session: str, keys: Iterable[Key]) -> None:
        """Keep `keys` for `session`, in the place of what it kept before."""
        self._pins[session] = frozenset(keys)

    def unpin(self, session: str) -> None:
        """Keep nothing for `session` any more."""
        self._pins.pop(session, None)


def _over_quota(limit: int, used: int, more: int) -> EaisError:
    return make_error(
        "QUOTA",
        f"a tenant's models may take {limit} bytes here; {used} of them are in use, and {more} "
        "more are asked for",
        hint="close sessions",
        metadata={
            "quota": "store_bytes",
            "used": str(used),
            "asked": str(more),
            "limit": str(limit),
        },
    )


def _full(limit: int, more: int) -> EaisError:
    return make_error(
        "STORE_FULL",
        f"no room for {more} bytes more; the store's limit is {limit} bytes, and what is "
        "in use stays",
        metadata={"limit": str(limit), "got": str(more)},
    )
