"""What a worker counts, by model, in a file of the listener's that both map or read.

The file lies in the listener's own folder, so that it outlives both processes: a worker that is
killed has counted what it answered, and a listener that is killed finds what its workers counted.
`PAGE_BYTES`, words of 8 bytes in the machine's order:

    `ROWS` rows of 64 bytes: the model's SHA-256 (32 bytes, zeros for none that has a row of
    its own: that is the first row), then requests, bytes in, bytes out, nanoseconds of computing

A worker runs strangers' models, so what stands there is a claim: it is read within bounds, and
whoever reads takes no counter that goes back.
"""

from __future__ import annotations

import mmap
import os
import secrets
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PAGE_BYTES: Final = 8192
ROWS: Final = 128

_DIGEST_BYTES: Final = 32
_ROW_WORDS: Final = 8
_COUNTS_AT: Final = _DIGEST_BYTES // 8
_ROW: Final = struct.Struct("=32sQQQQ")
_MOST: Final = (1 << 64) - 1
_SUFFIX: Final = ".page"
_SPARE: Final = "spare."


@dataclass(frozen=True, slots=True)
class ModelCounts:
    """What was counted of one model; `model`: SHA-256 in hex, "" for all that have no name.

    Each stays at what the wire can carry.
    """

    model: str
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    busy_ns: int = 0

    def __add__(self, other: ModelCounts) -> ModelCounts:
        return ModelCounts(
            self.model,
            min(_MOST, self.requests + other.requests),
            min(_MOST, self.bytes_in + other.bytes_in),
            min(_MOST, self.bytes_out + other.bytes_out),
            min(_MOST, self.busy_ns + other.busy_ns),
        )

    def at_least(self, other: ModelCounts) -> ModelCounts:
        """Each counter, or that of `other` if it is larger."""
        return ModelCounts(
            self.model,
            max(self.requests, other.requests),
            max(self.bytes_in, other.bytes_in),
            max(self.bytes_out, other.bytes_out),
            max(self.busy_ns, other.busy_ns),
        )

    def since(self, other: ModelCounts) -> ModelCounts:
        """What came since `other`; nothing where that is larger."""
        return ModelCounts(
            self.model,
            max(0, self.requests - other.requests),
            max(0, self.bytes_in - other.bytes_in),
            max(0, self.bytes_out - other.bytes_out),
            max(0, self.busy_ns - other.busy_ns),
        )


class Tally:
    """The worker's side. One thread writes.

    Args:
        buffer: memory of `PAGE_BYTES`; None: some that nobody reads.
    """

    def __init__(self, buffer: mmap.mmap | bytearray | None = None) -> None:
        self._words = memoryview(buffer or bytearray(PAGE_BYTES)).cast("B").cast("Q")
        # Where the counts of a session's model are, and of a model: words.
        self._sessions: dict[str, int] = {}
        self._models: dict[str, int] = {}

    @classmethod
    def from_fd(cls, fd: int) -> Tally:
        """Take over the inherited descriptor `fd`; OSError or ValueError if it is no page."""
        try:
            return cls(mmap.mmap(fd, PAGE_BYTES))
        finally:
            os.close(fd)

    def opened(self, session: str, model: str) -> None:
        """The session's calls are `model`'s (SHA-256 in hex) from now on."""
        at = self._models.get(model)
        if at is None:
            at = self._models[model] = self._row(bytes.fromhex(model))
        self._sessions[session] = at

    def closed(self, session: str) -> None:
        """The session is gone."""
        self._sessions.pop(session, None)

    def _row(self, digest: bytes) -> int:
        number = len(self._models) + 1
        if number >= ROWS or len(digest) != _DIGEST_BYTES:
            return _COUNTS_AT
        at = number * _ROW_WORDS
        self._words[at : at + _COUNTS_AT] = memoryview(digest).cast("Q")
        return at + _COUNTS_AT

    def answered(self, session: str, size: int, sent: int, busy_ns: int) -> None:
        """A call with `size` bytes of inputs is answered with `sent` bytes of outputs.

        To be called before anything of the answer is handed to who carries it: who has an answer
        was counted, whenever this process is killed.
        """
        words, at = self._words, self._sessions.get(session, _COUNTS_AT)
        words[at + 1] += size
        words[at + 2] += sent
        words[at + 3] += busy_ns
        words[at] += 1

    def ran(self, session: str, busy_ns: int) -> None:
        """A call ran so long, and wasn't answered with outputs."""
        self._words[self._sessions.get(session, _COUNTS_AT) + 3] += busy_ns


class CountPage:
    """The listener's side, of one worker.

    Args:
        folder: the listener's own; the file is made there, of full size on the disk.

    Raises:
        OSError: there is no room for it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{_SPARE}{secrets.token_hex(8)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self.descriptor = os.open(self._path, flags, 0o600)
        try:
            # Else a full disk would kill the worker where it counts.
            os.posix_fallocate(self.descriptor, 0, PAGE_BYTES)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """Of the file, once it is some lease's; "" before."""
        return "" if self._path.name.startswith(_SPARE) else self._path.name

    def assign(self, instance: str, epoch: int) -> None:
        """What is counted is that lease's: known by the file's name, so to the next listener too.

        To be called before the worker hears of it; OSError.
        """
        token = self._path.name.removeprefix(_SPARE)
        named = self._path.with_name(f"{instance}.{epoch}.{token}{_SUFFIX}")
        self._path.rename(named)
        self._path = named

    def look(self) -> tuple[ModelCounts, ...]:
        """What stands there now; nothing once it is closed."""
        if self.descriptor < 0:
            return ()
        if os.fstat(self.descriptor).st_size > PAGE_BYTES:
            os.ftruncate(self.descriptor, PAGE_BYTES)  # the worker's doing: it has the descriptor
        return tuple(_rows(os.pread(self.descriptor, PAGE_BYTES, 0)))

    def close(self) -> None:
        """Let go of it. The file stays if it is some lease's."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
            if not self.name:
                with suppress(OSError):
                    self._path.unlink()


def owner(name: str) -> tuple[str, int] | None:
    """The lease (instance, epoch) whose the file of that name is; None: nobody's."""
    parts = name.removesuffix(_SUFFIX).split(".")
    whole = name.endswith(_SUFFIX) and len(parts) == 3 and parts[1].isdecimal()
    return (parts[0], int(parts[1])) if whole else None


def read_page(path: Path) -> tuple[ModelCounts, ...]:
    """What a worker that is gone has counted; OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return tuple(_rows(os.pread(fd, PAGE_BYTES, 0)))
    finally:
        os.close(fd)


def _rows(data: bytes) -> Iterator[ModelCounts]:
    """What stands in a page, whoever wrote it; one of each model, of which something is counted."""
    seen: set[str] = set()
    for digest, *counts in _ROW.iter_unpack(data[: len(data) - len(data) % _ROW.size]):
        if any(counts):
            model = digest.hex() if any(digest) else ""
            if model not in seen:
                seen.add(model)
                yield ModelCounts(model, *counts)
