"""One file on its way into the store: in order, hashed as it comes, resumable."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from eais.errors import EaisError, make_error
from eais_server.store.disk import Disk, store_error
from eais_server.store.index import Entry, FileState, Index, Key

MAX_CHUNK_BYTES: Final = 4 << 20

# A client that cuts a file smaller than this wastes our time; a few more are allowed for.
_SMALL_CHUNK_BYTES: Final = 4096
_SPARE_CHUNKS: Final = 64


@dataclass(frozen=True, slots=True)
class Holdings:
    """What all calls of one store share; `lock` guards `index` and removals from `disk`."""

    disk: Disk
    index: Index
    clock: Callable[[], float]
    lock: threading.RLock = field(default_factory=threading.RLock)

    def remove(self, key: Key) -> None:
        """Forget a file and remove it. Holding the lock.

        What the disk doesn't let go now is counted again when the store is next opened.
        """
        self.index.drop(key)
        with contextlib.suppress(OSError):
            self.disk.remove(key)


class Upload:
    """Made by `ModelStore.begin`; `write`, `finish` and `abort` wait for each other.

    Attributes:
        size: of the whole file, in bytes.
        offset: where the next chunk must begin.
        stored: nothing needs to be sent: the store has the file, now or since before.
    """

    def __init__(self, holdings: Holdings, key: Key, sha256: bytes, size: int) -> None:
        self.size = size
        self.offset = 0
        self.stored = False
        self._holdings = holdings
        self._key = key
        self._sha256 = sha256
        self._hash = hashlib.sha256()
        self._chunks_left = size // _SMALL_CHUNK_BYTES + _SPARE_CHUNKS
        # Another upload of the same file has another entry, so this tells ours.
        self._entry: Entry | None = holdings.index.get(key)
        self._fd: int | None = None
        # A caller that is cancelled aborts while its last write still goes on in a thread; the
        # descriptor must not be another file's by then.
        self._turn = threading.Lock()

    def open(self) -> None:
        """Take up what an earlier upload left; called once, by the store.

        Raises:
            EaisError: as `write`.
        """
        disk = self._holdings.disk
        with self._dropped_on_error():
            self._fd = disk.open_part(self._key)
            if disk.size(self._fd) > self.size:
                disk.empty(self._fd)
            for data in disk.read(self._fd):
                self._hash.update(data)
                self.offset += len(data)

    def write(self, offset: int, data: bytes) -> None:
        """Add the chunk at `offset`, at most `MAX_CHUNK_BYTES`; nothing if `stored`.

        After any error but CHUNK_GAP and CHUNK_OVERLAP what had come is dropped.

        Raises:
            UsageError: CHUNK_GAP, CHUNK_OVERLAP, MALFORMED_MESSAGE for a chunk too long.
            ModelRejected: MODEL_TOO_LARGE, the chunk goes past `size`.
            RemoteError: QUOTA, far more chunks than the size needs; STORE_FULL, the disk is.
            Unavailable: STORE_UNAVAILABLE, the disk failed, or the upload lay idle too long.
        """
        with self._turn:
            if self.stored:
                return
            self._check_place(offset)
            self._check_chunk(len(data))
            fd = self._touch(FileState.UPLOADING)
            with self._dropped_on_error():
                self._holdings.disk.write(fd, data, offset)
            self._hash.update(data)
            self.offset += len(data)

    def finish(self) -> None:
        """Make the file the store's, durably; nothing if `stored`.

        Raises:
            UsageError: CHUNK_GAP, bytes are missing (what came is kept).
            RemoteError: DIGEST_MISMATCH, the content isn't what was named; it is dropped.
                STORE_FULL.
            Unavailable: STORE_UNAVAILABLE.
        """
        with self._turn:
            if self.stored:
                return
            self._check_place(self.size)
            fd = self._touch(FileState.FINISHING)
            if self._hash.digest() != self._sha256:
                raise self._dropped(
                    "DIGEST_MISMATCH", "what came has another SHA-256 than was named"
                )
            with self._dropped_on_error():
                self._holdings.disk.keep(fd, self._key)
            with self._holdings.lock:
                self._holdings.index.store(self._key, self._holdings.clock())
            self._close()
            self.stored = True

    def abort(self) -> None:
        """End without finishing; what came is kept for a while to go on from. Idempotent.

        Does nothing after `finish`, so a `finally` may call it always.
        """
        with self._turn:
            if self._fd is None:
                return
            self._close()
            with self._holdings.lock:
                if not self._live():
                    return
                if self.offset == 0:
                    self._holdings.remove(self._key)
                else:
                    self._holdings.index.park(self._key, self.offset)

    def _check_place(self, offset: int) -> None:
        reason = "CHUNK_GAP" if offset > self.offset else "CHUNK_OVERLAP"
        if offset != self.offset:
            raise make_error(
                reason,
                f"byte {self.offset} is next, not {offset}",
                metadata={"want": str(self.offset), "got": str(offset)},
            )

    def _check_chunk(self, length: int) -> None:
        self._chunks_left -= 1
        if length > MAX_CHUNK_BYTES:
            raise self._dropped(
                "MALFORMED_MESSAGE", f"a chunk of {length} bytes, the limit is {MAX_CHUNK_BYTES}"
            )
        if self.offset + length > self.size:
            raise self._dropped("MODEL_TOO_LARGE", f"more came than the {self.size} bytes named")
        if self._chunks_left < 0:
            raise self._dropped("QUOTA", "too many small chunks; 1 MiB each is a good size")

    def _touch(self, state: FileState) -> int:
        """The descriptor, if the store hasn't given this upload up meanwhile."""
        with self._holdings.lock:
            if self._fd is None or self._entry is None or not self._live():
                raise make_error(
                    "STORE_UNAVAILABLE", "the upload lay idle too long or had failed; start anew"
                )
            self._entry.state = state
            self._holdings.index.touch(self._key, self._holdings.clock())
        return self._fd

    def _live(self) -> bool:
        return self._holdings.index.get(self._key) is self._entry

    def _dropped(self, reason: str, message: str) -> EaisError:
        """The error to raise, after all that came was removed."""
        self._drop()
        return make_error(reason, message, metadata={"limit": str(self.size)})

    @contextlib.contextmanager
    def _dropped_on_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._drop()
            raise store_error(error) from error

    def _drop(self) -> None:
        self._close()
        with self._holdings.lock:
            if self._live():
                self._holdings.remove(self._key)

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):  # all that matters was synced before
                os.close(fd)
