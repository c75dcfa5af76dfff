"""Reads a log that is being written to, across the copying and emptying of `eais.log_files`."""

from __future__ import annotations

import os
from pathlib import Path

from eais.log_files import older_log

_MARK_BYTES = 256


class LogTail:
    """The lines of one log: what was in it before, what is in it now, what comes.

    When it was emptied, what had been written and not been read by then is read from the older
    log, to which it was copied.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._at = 0
        # The last bytes before `_at`: if others are there now, the log was emptied meanwhile.
        self._mark = b""
        self._rest = b""

    def begin(self) -> list[str]:
        """All lines that are there, the oldest first."""
        return _lines(_read(older_log(self._log), 0)) + self.more()

    def more(self) -> list[str]:
        """The whole lines that came since the last look."""
        new = b""
        if not self._goes_on():
            new = self._left_behind()
            self._at, self._mark = 0, b""
        now = _read(self._log, self._at)
        self._at += len(now)
        self._mark = (self._mark + now)[-_MARK_BYTES:]
        whole, newline, self._rest = (self._rest + new + now).rpartition(b"\n")
        return _lines(whole + newline)

    def rest(self) -> list[str]:
        """The line that isn't ended yet, if there is one."""
        return _lines(self._rest)

    def _goes_on(self) -> bool:
        """Whether what was read is still before what comes."""
        mark = len(self._mark)
        return _read(self._log, self._at - mark, mark) == self._mark

    def _left_behind(self) -> bytes:
        """What the log had after what was read, when it was emptied."""
        older, mark = _read(older_log(self._log), 0), self._mark
        if older[max(0, self._at - len(mark)) : self._at] == mark:
            return older[self._at :]
        # Only the end of a log that was too long is kept.
        found = older.rfind(mark)
        return older[found + len(mark) :] if found >= 0 else older


def _read(file: Path, at: int, size: int = -1) -> bytes:
    """What is in the file from there on; nothing if there is no such file."""
    try:
        with file.open("rb") as stream:
            stream.seek(at, os.SEEK_SET)
            return stream.read(size)
    except FileNotFoundError:
        return b""


def _lines(data: bytes) -> list[str]:
    return data.decode(errors="replace").splitlines()
