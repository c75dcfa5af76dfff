"""Disks that fail when told to: an operation of the model store, or a single system call.

`FaultyDisk` fails by the operation's name. `FaultyOps` counts the calls by which state is
written, and from the chosen one on every call fails (a disk that is full, read-only or broken)
or the process is dead (`Died`), with or without the power.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOSPC
from functools import partial
from pathlib import Path
from typing import Final

from eais.files import Buffer, DiskOps
from eais_server.store.disk import Disk
from eais_server.store.index import Key

_GROWS: Final = frozenset({"open", "write", "link", "mkdir"})


class Died(BaseException):
    """The process ended here: nothing of it runs any more, its `finally` neither."""


@dataclass(frozen=True, slots=True)
class _Unsynced:
    """A change that a power cut undoes: of the file or directory with that device and inode."""

    of: tuple[int, int]
    undo: Callable[[], None]
    forget: Callable[[], None]


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

    def sha256(self, key: Key) -> bytes:
        """As `Disk`."""
        self._trip("sha256")
        return super().sha256(key)

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


class FaultyOps(DiskOps):
    """System calls on a real directory, of which one is the first to fail.

    `fail_at` chooses it by its number, counted from 0. Without one all succeed, and `calls`
    says afterwards how many there are to choose from.

    Attributes:
        calls: the names of the calls so far, those that failed too.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._first = -1
        self._error: Callable[[], BaseException] | None = None
        self._power = False
        self._dead = False
        self._unsynced: list[_Unsynced] = []

    def fail_at(self, number: int, errno: int) -> None:
        """From call `number` on what changes the disk fails with `errno`.

        A full disk (ENOSPC) still takes names and bytes away.
        """
        self._first, self._error = number, lambda: OSError(errno, os.strerror(errno))

    def die_at(self, number: int, *, power: bool = False) -> None:
        """Call `number` raises `Died`, and so do all later ones; a write does half its work.

        With `power`, what wasn't synced is lost: bytes as well as names.
        """
        self._first, self._error, self._power = number, Died, power

    def mend(self) -> None:
        """All succeed again."""
        self._error = None

    def open(self, path: Path | str, flags: int, mode: int, dir_fd: int | None = None) -> int:
        """As `DiskOps`."""
        self._enter("open")
        return super().open(path, flags, mode, dir_fd)

    def write(self, fd: int, data: Buffer, offset: int) -> int:
        """As `DiskOps`; half of it, where this is the call that fails."""
        if len(self.calls) == self._first and self._error:
            super().write(fd, memoryview(data)[: len(data) // 2], offset)
        self._enter("write")
        own = os.dup(fd)
        cut, close = partial(os.ftruncate, own, offset), partial(os.close, own)
        self._unsynced.append(_Unsynced(_identity(os.fstat(fd)), cut, close))
        return super().write(fd, data, offset)

    def truncate(self, fd: int) -> None:
        """As `DiskOps`."""
        self._enter("truncate")
        super().truncate(fd)

    def chmod(self, fd: int, mode: int) -> None:
        """As `DiskOps`."""
        self._enter("chmod")
        super().chmod(fd, mode)

    def fsync(self, fd: int) -> None:
        """As `DiskOps`: the bytes of that file, or the names of that directory, and no others."""
        self._enter("fsync")
        super().fsync(fd)
        synced = _identity(os.fstat(fd))
        for change in self._unsynced:
            if change.of == synced:
                change.forget()
        self._unsynced = [change for change in self._unsynced if change.of != synced]

    def rename(self, source: Path | str, target: Path | str, dir_fd: int | None = None) -> None:
        """As `DiskOps`."""
        self._enter("rename")
        change = _name_change(target, dir_fd)
        super().rename(source, target, dir_fd)
        self._unsynced.append(change)

    def link(
        self,
        source: Path | str,
        target: Path | str,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        """As `DiskOps`."""
        self._enter("link")
        change = _name_change(target, dst_dir_fd)
        super().link(source, target, src_dir_fd, dst_dir_fd)
        self._unsynced.append(change)

    def unlink(self, path: Path | str, dir_fd: int | None = None) -> None:
        """As `DiskOps`."""
        self._enter("unlink")
        change = _name_change(path, dir_fd)
        super().unlink(path, dir_fd)
        self._unsynced.append(change)

    def utime(self, path: str, dir_fd: int) -> None:
        """As `DiskOps`."""
        self._enter("utime")
        super().utime(path, dir_fd)

    def mkdir(self, path: Path) -> None:
        """As `DiskOps`."""
        self._enter("mkdir")
        super().mkdir(path)

    def _enter(self, name: str) -> None:
        number = len(self.calls)
        self.calls.append(name)
        if self._error is None or not 0 <= self._first <= number:
            return
        error = self._error()
        if isinstance(error, Died):
            self._die()
        elif isinstance(error, OSError) and error.errno == ENOSPC and name not in _GROWS:
            return
        raise error

    def _die(self) -> None:
        dead, self._dead = self._dead, True
        while self._unsynced:
            change = self._unsynced.pop()
            if self._power and not dead:
                change.undo()
            change.forget()


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def _name_change(path: Path | str, dir_fd: int | None) -> _Unsynced:
    """What is at `path` now, before it changes."""
    folder = Path() if dir_fd is None else Path(f"/proc/self/fd/{dir_fd}").readlink()
    place = folder / path
    try:
        info = place.lstat()
        content: bytes | None = place.read_bytes() if stat.S_ISREG(info.st_mode) else None
    except FileNotFoundError:
        content = None
    undo = partial(_put_back, place, content)
    return _Unsynced(_identity(place.parent.stat()), undo, lambda: None)


def _put_back(place: Path, content: bytes | None) -> None:
    with suppress(FileNotFoundError):
        place.unlink()
    if content is not None:
        place.write_bytes(content)
        place.chmod(0o600)
