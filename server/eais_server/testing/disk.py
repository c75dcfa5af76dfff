"""A disk for the model store that fails when told to."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from eais_server.store.disk import Disk
from eais_server.store.index import Key


class FaultyDisk(Disk):
    """A real `Disk` whose next operation of a name can be made to fail."""

    def __init__(self, root: Path, boot_id: str | None = None) -> None:
        super().__init__(root, boot_id)
        self._faults: dict[str, list[OSError]] = defaultdict(list)

    def fail_next(self, op: str, error: OSError) -> None:
        """The next `op` (a method's name) raises `error`; a write does half its work first."""
        self._faults[op].append(error)

    def salt(self, folder: str) -> bytes:
        """As `Disk`."""
        self._trip("salt")
        return super().salt(folder)

    def open_part(self, key: Key) -> int:
        """As `Disk`."""
        self._trip("open_part")
        return super().open_part(key)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """As `Disk`."""
        if self._faults["write"]:
            super().write(fd, data[: len(data) // 2], offset)
        self._trip("write")
        super().write(fd, data, offset)

    def keep(self, fd: int, key: Key) -> None:
        """As `Disk`."""
        self._trip("keep")
        super().keep(fd, key)

    def mark_used(self, key: Key) -> None:
        """As `Disk`."""
        self._trip("mark_used")
        super().mark_used(key)

    def link(self, key: Key, target_fd: int, name: str) -> None:
        """As `Disk`."""
        self._trip("link")
        super().link(key, target_fd, name)

    def remove(self, key: Key) -> None:
        """As `Disk`."""
        self._trip("remove")
        super().remove(key)

    def _trip(self, op: str) -> None:
        if self._faults[op]:
            raise self._faults[op].pop(0)
