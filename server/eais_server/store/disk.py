"""The store's files on the disk.

    ROOT/<tenant, hashed>/salt                32 random bytes, made at the tenant's first use,
                                              and their SHA-256
    ROOT/<tenant, hashed>/<name>              a whole file, mode 0400
    ROOT/<tenant, hashed>/<name>.<boot>.part  one on its way

Names are hexadecimal digests and everything is reached through descriptors without
following links, so nothing that a tenant says becomes a path.

Without its salt a folder's files have no names that can be told: they are removed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eais.errors import EaisError, make_error
from eais.files import DISK, DiskOps, private_dir, read_private, replace_file, write_all
from eais_server.store.index import Key

log = logging.getLogger(__name__)

_FOLDER: Final = re.compile(r"[0-9a-f]{32}")
_NAME: Final = re.compile(r"(?P<name>[0-9a-f]{64})(?:\.(?P<boot>[0-9a-f]{8})\.part)?")
_SALT: Final = "salt"
_SALT_BYTES: Final = 32
_READ_BYTES: Final = 1 << 20
_DIR: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def store_error(error: OSError) -> EaisError:
    """`error` as tenants may see it: without paths."""
    if error.errno in _FULL:
        return make_error(
            "STORE_FULL",
            "the disk of the model store is full; nothing was kept of this file",
            hint="ask the pool's operator",
        )
    why = os.strerror(error.errno) if error.errno else "unknown"
    return make_error("STORE_UNAVAILABLE", f"the disk of the model store failed: {why}")


@contextlib.contextmanager
def as_store_error() -> Iterator[None]:
    """Raise an OSError of the block as `store_error` tells it."""
    try:
        yield
    except OSError as error:
        raise store_error(error) from error


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a former process: whole, or a part that can be gone on with."""

    key: Key
    whole: bool
    size: int
    used_ns: int


class Disk:
    """Every file operation of the store. Raises OSError.

    Args:
        root: the store's directory; made, mode 0700.
        boot_id: names parts, so that those of a former boot, which may be torn, are told
            apart; the kernel's when None.
        ops: does what changes the disk.
    """

    def __init__(self, root: Path, boot_id: str | None = None, ops: DiskOps = DISK) -> None:
        self._ops = ops
        self._root = private_dir(root, ops)
        boot = _BOOT_ID.read_text().strip() if boot_id is None else boot_id
        self._boot = hashlib.sha256(boot.encode()).hexdigest()[:8]
        self._fd = os.open(root, _DIR)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)

    def salt(self, folder: str) -> bytes:
        """The salt of a tenant's folder; both are made if need be."""
        path = private_dir(self._root / folder, self._ops) / _SALT
        found = _salt_in(path)
        if found is None:
            found = secrets.token_bytes(_SALT_BYTES)
            replace_file(path, found + hashlib.sha256(found).digest(), disk=self._ops)
        return found

    def scan(self) -> list[Found]:
        """What is here from before, the last used last; what is no use is removed."""
        found = [file for folder in self._folders() for file in self._scan_folder(folder)]
        return sorted(found, key=lambda file: file.used_ns)

    def _folders(self) -> list[str]:
        return [name for name in os.listdir(self._fd) if _FOLDER.fullmatch(name)]

    def _scan_folder(self, folder: str) -> Iterator[Found]:
        salted = _salt_in(self._root / folder / _SALT) is not None
        with self._open_folder(folder) as fd:
            for name in os.listdir(fd):
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                match = _NAME.fullmatch(name)
                usable = (
                    match and match["boot"] in (None, self._boot) and stat.S_ISREG(info.st_mode)
                )
                if match and usable and salted:
                    key = Key(folder, match["name"])
                    yield Found(key, match["boot"] is None, info.st_size, info.st_mtime_ns)
                elif not stat.S_ISDIR(info.st_mode) and not (name == _SALT and salted):
                    with contextlib.suppress(OSError):  # a read-only disk keeps it
                        os.unlink(name, dir_fd=fd)

    @contextlib.contextmanager
    def _open_folder(self, folder: str) -> Iterator[int]:
        fd = os.open(folder, _DIR, dir_fd=self._fd)
        try:
            yield fd
        finally:
            os.close(fd)

    def _part(self, key: Key) -> str:
        return f"{key.name}.{self._boot}.part"

    def open_part(self, key: Key) -> int:
        """The part of `key`, made if need be, to be read and written; its descriptor."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._open_folder(key.folder) as folder:
            return self._ops.open(self._part(key), flags, 0o600, folder)

    def whole_size(self, key: Key) -> int:
        """Bytes of the whole file; FileNotFoundError if there is none."""
        with self._open_folder(key.folder) as folder:
            return os.stat(key.name, dir_fd=folder, follow_symlinks=False).st_size

    def sha256(self, key: Key) -> bytes:
        """The whole file's digest, read anew."""
        found = hashlib.sha256()
        with self._open_folder(key.folder) as folder:
            fd = os.open(key.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            for data in self.read(fd):
                found.update(data)
        finally:
            os.close(fd)
        return found.digest()

    def piece(self, key: Key, offset: int, length: int) -> tuple[int, bytes]:
        """The whole file's size, and at most `length` bytes from `offset`."""
        with self._open_folder(key.folder) as folder:
            fd = os.open(key.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            size = os.fstat(fd).st_size
            return size, os.pread(fd, length, offset) if offset < size else b""
        finally:
            os.close(fd)

    def size(self, fd: int) -> int:
        """Bytes of an open file."""
        return os.fstat(fd).st_size

    def empty(self, fd: int) -> None:
        """Take all bytes of an open part away."""
        self._ops.truncate(fd)

    def read(self, fd: int) -> Iterator[bytes]:
        """The content, from the start, a piece at a time."""
        offset = 0
        while data := os.pread(fd, _READ_BYTES, offset):
            offset += len(data)
            yield data

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Put all of `data` at `offset`."""
        write_all(fd, data, offset, self._ops)

    def keep(self, fd: int, key: Key) -> None:
        """Make the part behind `fd` the whole file, durably."""
        self._ops.chmod(fd, 0o400)
        self._ops.fsync(fd)
        with self._open_folder(key.folder) as folder:
            self._ops.rename(self._part(key), key.name, folder)
            self._ops.fsync(folder)

    def mark_used(self, key: Key) -> None:
        """Remember that the file is used now, beyond this process."""
        with self._open_folder(key.folder) as folder:
            self._ops.utime(key.name, folder)

    def link(self, key: Key, target_fd: int, name: str) -> None:
        """Give the file a second name in the directory behind `target_fd`."""
        with self._open_folder(key.folder) as folder:
            self._ops.link(key.name, name, folder, target_fd)

    def remove(self, key: Key) -> None:
        """Remove the file and its part, whichever is there."""
        with self._open_folder(key.folder) as folder:
            for name in (key.name, self._part(key)):
                with contextlib.suppress(FileNotFoundError):
                    self._ops.unlink(name, folder)


def _salt_in(path: Path) -> bytes | None:
    """The salt in a file; None if there is none, or it isn't what was written.

    Raises:
        OSError: it can't be read.
    """
    try:
        data = read_private(path)
    except FileNotFoundError:
        return None
    salt = data[:_SALT_BYTES]
    if data == salt + hashlib.sha256(salt).digest():
        return salt
    log.error("%s is damaged: the models of its folder can't be found any more", path)
    return None
