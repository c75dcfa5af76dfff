"""Files that survive a crash whole, and that only their owner may read.

A file is replaced or created as one: a reader sees the old bytes, the new bytes or nothing,
never a part, also after a power cut. Keys, tokens and journals go through here.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_DIR = 0o700
MAX_PRIVATE_BYTES = 1 << 20

_OTHERS = 0o077
_KindTest = Callable[[int], bool]


class UnsafePath(PermissionError):
    """Someone else owns this path or may reach it, or it isn't the kind of file it should be."""


def private_dir(path: Path) -> Path:
    """Make `path` (and the parents it lacks) a directory of mode 0700; return it.

    Raises:
        UnsafePath: it exists and is a link, a file, another user's, or open to others.
        OSError: it can't be made.
    """
    try:
        path.mkdir(mode=PRIVATE_DIR)
    except FileNotFoundError:
        private_dir(path.parent)
        return private_dir(path)
    except FileExistsError:
        _check_owner_only(path, path.lstat(), stat.S_ISDIR)
    else:
        sync_dir(path.parent)
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


def replace_file(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Put `data` at `path` durably, in the place of what was there; all or nothing.

    Raises:
        OSError: nothing was replaced, or the directory couldn't be synced.
    """
    with _part_file(path, data, mode) as part:
        part.replace(path)
        sync_dir(path.parent)


def create_file(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Put `data` at `path` durably, unless something is there already; all or nothing.

    Raises:
        FileExistsError: something is there; it is untouched, also when two create at once.
        OSError: nothing was made, or the directory couldn't be synced.
    """
    with _part_file(path, data, mode) as part:
        # A link, unlike a rename, never takes an existing file's place.
        os.link(part, path)
        sync_dir(path.parent)


def remove_leftovers(directory: Path) -> int:
    """Remove what writers that died left in `directory`; how many files it was.

    Only for a directory with one writing process, before it writes.
    """
    leftovers = list(directory.glob(".*.part"))
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return len(leftovers)


def sync_dir(path: Path) -> None:
    """Make the names in directory `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _part_file(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """A synced sibling of `path` that holds `data`; gone afterwards, however this ends."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        _write_synced(part, data, mode)
        yield part
    finally:
        part.unlink(missing_ok=True)


def _write_synced(path: Path, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb", buffering=0) as file:
        os.fchmod(fd, mode)  # whatever the umask is
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fsync(fd)


def _check_owner_only(path: Path, info: os.stat_result, is_kind: _KindTest) -> None:
    if not is_kind(info.st_mode):
        kind = "directory" if is_kind is stat.S_ISDIR else "regular file"
        raise UnsafePath(f"{path} is no {kind}")
    if info.st_uid != os.geteuid():
        raise UnsafePath(f"{path} belongs to another user")
    if info.st_mode & _OTHERS:
        wanted = PRIVATE_DIR if is_kind is stat.S_ISDIR else PRIVATE_FILE
        raise UnsafePath(f"{path} is open to other users: chmod {wanted:o} it")
