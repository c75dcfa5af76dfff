"""Files that survive a crash whole, and that only their owner may read.

A file is replaced or created as one: a reader sees the old bytes, the new bytes or nothing,
never a part, also after a power cut. Keys, tokens and journals go through here.

What changes a disk is done by a `DiskOps`, so that a test may have any step of it fail, or be
the last one before a crash (`eais_server.testing.disk`).
"""

from __future__ import annotations

import errno
import glob
import math
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias

PRIVATE_FILE = 0o600
PRIVATE_DIR = 0o700
MAX_PRIVATE_BYTES = 1 << 20

Buffer: TypeAlias = bytes | memoryview

_OTHERS = 0o077
_KindTest = Callable[[int], bool]


class DiskOps:
    """The system calls by which state is written: those of `os`, of the same names.

    All raise OSError. Paths may be relative to a descriptor (`dir_fd`), as in `os`.
    """

    def open(self, path: Path | str, flags: int, mode: int, dir_fd: int | None = None) -> int:
        """Make a file that isn't there (or open a part of one), to be written."""
        return os.open(path, flags, mode, dir_fd=dir_fd)

    def write(self, fd: int, data: Buffer, offset: int) -> int:
        """Write some of `data` at `offset`; how many bytes."""
        return os.pwrite(fd, data, offset)

    def truncate(self, fd: int) -> None:
        """Take all bytes away."""
        os.ftruncate(fd, 0)

    def chmod(self, fd: int, mode: int) -> None:
        """Set an open file's mode."""
        os.fchmod(fd, mode)

    def fsync(self, fd: int) -> None:
        """Make a file's content durable, or a directory's names."""
        os.fsync(fd)

    def rename(self, source: Path | str, target: Path | str, dir_fd: int | None = None) -> None:
        """Give a file the name `target`, in the place of what has it."""
        os.rename(source, target, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)

    def link(
        self,
        source: Path | str,
        target: Path | str,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        """Give a file, which isn't a link itself, a second name, which nothing has."""
        os.link(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=False)

    def unlink(self, path: Path | str, dir_fd: int | None = None) -> None:
        """Take a name away."""
        os.unlink(path, dir_fd=dir_fd)

    def utime(self, path: str, dir_fd: int) -> None:
        """Set a file's times to now."""
        os.utime(path, dir_fd=dir_fd, follow_symlinks=False)

    def mkdir(self, path: Path) -> None:
        """Make a directory of mode 0700."""
        path.mkdir(mode=PRIVATE_DIR)


DISK: Final = DiskOps()


class UnsafePath(PermissionError):
    """Someone else owns this path or may reach it, or it isn't the kind of file it should be."""


def private_dir(path: Path, disk: DiskOps = DISK) -> Path:
    """Make `path` (and the parents it lacks) a directory of mode 0700; return it.

    Raises:
        UnsafePath: it exists and is a link, a file, another user's, or open to others.
        OSError: it can't be made.
    """
    try:
        disk.mkdir(path)
    except FileNotFoundError:
        private_dir(path.parent, disk)
        return private_dir(path, disk)
    except OSError:
        # There already? A disk that is read-only may say that instead.
        if not os.path.lexists(path):
            raise
        _check_owner_only(path, path.lstat(), stat.S_ISDIR)
    else:
        sync_dir(path.parent, disk)
    return path


def read_private(path: Path, limit: int = MAX_PRIVATE_BYTES) -> bytes:
    """The bytes of a file that only its owner may reach.

    Raises:
        FileNotFoundError: there is none.
        UnsafePath: it is a link, no regular file, another user's, or open to others.
        OSError: it is larger than `limit` bytes, or can't be read.
    """
    if path.is_symlink():
        raise UnsafePath(f"{path} is a link")
    # O_NONBLOCK so that a FIFO put in the file's place can't hold us.
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_owner_only(path, os.fstat(fd), stat.S_ISREG)
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(fd)
    if len(data) > limit:
        raise OSError(f"{path} is larger than {limit} bytes")
    return data


def replace_file(
    path: Path, data: bytes, *, mode: int = PRIVATE_FILE, disk: DiskOps = DISK
) -> None:
    """Put `data` at `path` durably, in the place of what was there; all or nothing.

    Raises:
        OSError: nothing was replaced, or the directory couldn't be synced.
    """
    with _part_file(path, data, mode, disk) as part:
        disk.rename(part, path)
        sync_dir(path.parent, disk)


def create_file(path: Path, data: bytes, *, mode: int = PRIVATE_FILE, disk: DiskOps = DISK) -> None:
    """Put `data` at `path` durably, unless something is there already; all or nothing.

    Raises:
        FileExistsError: something is there; it is untouched, also when two create at once.
        OSError: nothing was made, or the directory couldn't be synced.
    """
    with _part_file(path, data, mode, disk) as part:
        # A link, unlike a rename, never takes an existing file's place.
        disk.link(part, path)
        sync_dir(path.parent, disk)


def remove_file(path: Path, disk: DiskOps = DISK) -> None:
    """Take `path` away, durably; nothing if it isn't there.

    Raises:
        OSError: it is still there, or may be there again after a power cut.
    """
    with suppress(FileNotFoundError):
        disk.unlink(path)
    sync_dir(path.parent, disk)


def remove_leftovers(directory: Path) -> int:
    """Remove what writers that died left in `directory`; how many files it was.

    Only for a directory with one writing process, before it writes. What a read-only disk
    keeps is in nobody's way.
    """
    return _remove(directory.glob(".*.part"))


def remove_leftovers_of(path: Path, until: float = math.inf) -> int:
    """Remove what writers of `path` that died left beside it; how many files it was.

    Args:
        path: the file that they were to write.
        until: seconds since 1970; what was written later may be a living writer's. All of it
            goes by default, which is for a file with one writing process, before it writes.
    """
    found = path.parent.glob(f".{glob.escape(path.name)}.*.part")
    return _remove(part for part in found if _written(part) <= until)


def _written(path: Path) -> float:
    with suppress(FileNotFoundError):  # its writer has ended it
        return path.lstat().st_mtime
    return math.inf


def _remove(leftovers: Iterable[Path]) -> int:
    removed = 0
    for leftover in leftovers:
        with suppress(OSError):
            leftover.unlink()
            removed += 1
    return removed


def open_lock(path: Path) -> int:
    """A descriptor of the lock file at `path`, made if need be. Raises OSError."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
    # To hold a lock is no write: what is on a read-only disk can be served.
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def sync_dir(path: Path, disk: DiskOps = DISK) -> None:
    """Make the names in directory `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        disk.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _part_file(path: Path, data: bytes, mode: int, disk: DiskOps) -> Iterator[Path]:
    """A synced sibling of `path` that holds `data`; gone afterwards, however this ends."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        _write_synced(part, data, mode, disk)
        yield part
    finally:
        # The next start removes what stays.
        with suppress(OSError):
            disk.unlink(part)


def _write_synced(path: Path, data: bytes, mode: int, disk: DiskOps) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = disk.open(path, flags, mode)
    try:
        disk.chmod(fd, mode)  # whatever the umask is
        write_all(fd, data, 0, disk)
        disk.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: Buffer, offset: int, disk: DiskOps = DISK) -> None:
    """Put all of `data` at `offset`. Raises OSError; then a part of it may be there."""
    view = memoryview(data)
    while view:
        written = disk.write(fd, view, offset)
        view, offset = view[written:], offset + written


def _check_owner_only(path: Path, info: os.stat_result, is_kind: _KindTest) -> None:
    if not is_kind(info.st_mode):
        kind = "directory" if is_kind is stat.S_ISDIR else "regular file"
        raise UnsafePath(f"{path} is no {kind}")
    if info.st_uid != os.geteuid():
        raise UnsafePath(f"{path} belongs to another user")
    if info.st_mode & _OTHERS:
        wanted = PRIVATE_DIR if is_kind is stat.S_ISDIR else PRIVATE_FILE
        raise UnsafePath(f"{path} is open to other users: chmod {wanted:o} it")
