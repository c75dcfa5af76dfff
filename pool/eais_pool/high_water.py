"""How far the journal was answered for, kept beside it.

SQLite takes the end of its write-ahead log to be where the first page's checksum is wrong:
right after a power cut, but one bit that turns there later makes all that follows vanish
unseen. So the number of the last durable row is noted in a file of its own, after each commit.
A journal that ends before it has lost rows.

The note is written in place and not synced: after a crash of the process it is exact, after a
power cut it may be an older one, which promises less. It has two lines, written in turn, so that
one that is damaged leaves the other.
"""

from __future__ import annotations

import logging
import os
import zlib
from pathlib import Path
from typing import Final

from eais import files

log = logging.getLogger(__name__)

_DIGITS: Final = 20
_LINE_BYTES: Final = _DIGITS + 1 + 8 + 1


class Unreadable(ValueError):
    """Neither line is what was written."""


class HighWater:
    """The note at `path`; one process writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._turn = 0
        self._said = False

    def read(self) -> int | None:
        """The number that was noted last; None if nothing ever was.

        Raises:
            Unreadable: the file is there, and damaged.
            OSError: it can't be read.
        """
        try:
            data = files.read_private(self._path)
        except FileNotFoundError:
            return None
        noted = [_parsed(data[at : at + _LINE_BYTES]) for at in (0, _LINE_BYTES)]
        found = [number for number in noted if number is not None]
        if not found or len(data) != 2 * _LINE_BYTES:
            raise Unreadable(f"{self._path.name} is damaged")
        self._turn = 1 - noted.index(max(found))
        if len(found) < len(noted):
            log.error("a line of %s is damaged; the other one is used", self._path)
        return max(found)

    def note(self, number: int) -> None:
        """Note `number`. A disk that fails only makes the note older, so that is but logged."""
        try:
            if self._fd is None:
                self._fd = self._opened(number)
            os.pwrite(self._fd, _line(number), self._turn * _LINE_BYTES)
            self._turn = 1 - self._turn
            self._said = False
        except OSError as error:
            if not self._said:
                log.warning("%s can't be written: %s", self._path, error.strerror)
            self._said = True

    def close(self) -> None:
        """Give the descriptor back."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _opened(self, number: int) -> int:
        """A descriptor of the file, made whole and durable if need be: what is written later
        then changes nothing but its bytes."""
        if not self._path.exists():
            files.replace_file(self._path, 2 * _line(number))
        return os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _line(number: int) -> bytes:
    text = f"{number:0{_DIGITS}d}".encode()
    return text + f" {zlib.crc32(text):08x}\n".encode()


def _parsed(line: bytes) -> int | None:
    text = line[:_DIGITS]
    whole = text.isdigit() and line == _line(int(text))
    return int(text) if whole else None
