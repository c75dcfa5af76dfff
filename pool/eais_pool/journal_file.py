"""The journal's file as SQLite opens it: how, a copy of it, and what its errors mean."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from eais.errors import Unavailable

_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
    }
)

# Somebody else has the file open: what it holds is about to change.
_HELD: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
# Where a copy costs no space of the disk that may be full.
_MEMORY_DIR: Final = Path("/dev/shm")
# The process that made it follows.
_COPY: Final = "eais-journal-"


def open_journal(path: Path) -> sa.Engine:
    """An engine with one connection, that no other process may have beside it."""
    # Any thread may use it, one at a time.
    made = sa.create_engine(
        f"sqlite:///{path}",
        poolclass=sa.StaticPool,
        connect_args={"check_same_thread": False, "timeout": 1},
    )
    event.listen(made, "connect", _configure)
    return made


@contextmanager
def private_copy(path: Path) -> Iterator[sa.Engine]:
    """The journal as it is on the disk, opened elsewhere. Raises OSError."""
    prefix = f"{_COPY}{os.getpid()}-"
    with tempfile.TemporaryDirectory(dir=_copies(), prefix=prefix) as folder:
        copy = Path(folder, path.name)
        shutil.copyfile(path, copy)
        wal = path.with_name(f"{path.name}-wal")
        if wal.exists():
            shutil.copyfile(wal, copy.with_name(wal.name))
        engine = open_journal(copy)
        try:
            yield engine
        finally:
            engine.dispose()


def remove_dead_copies() -> None:
    """Remove the copies of processes that were killed while they read them."""
    for copy in _copies().glob(f"{_COPY}*-*"):
        pid = copy.name.removeprefix(_COPY).partition("-")[0]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            _remove_own(copy)


def _remove_own(copy: Path) -> None:
    with suppress(OSError):  # it is in nobody's way, but for its memory
        if copy.lstat().st_uid == os.geteuid():
            shutil.rmtree(copy)


def _copies() -> Path:
    return _MEMORY_DIR if _MEMORY_DIR.is_dir() else Path(tempfile.gettempdir())


def _configure(connection: Any, _record: object) -> None:
    try:
        # Exclusive first: else the log's index would be a file, which takes space to be opened.
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}").close()
    except (sqlite3.Error, UnicodeDecodeError):
        # Nobody else would, and it may hold the lock that the next attempt needs. What isn't
        # text is an error's: SQLite quotes what it found in the file.
        connection.close()
        raise


def _code(error: BaseException | None) -> int:
    """SQLite's primary error code, -1 if it isn't one of SQLite's."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


def may_pass(error: SQLAlchemyError) -> bool:
    """Whether the file may be fine: it is locked, or the disk is full, failing or read-only."""
    return _code(error) in _PASSING


def held_elsewhere(error: Unavailable) -> bool:
    """Whether `unavailable` made this of a file that another process has open."""
    return _code(error.__cause__) in _HELD


def unavailable(error: SQLAlchemyError) -> Unavailable:
    """JOURNAL_UNAVAILABLE, in SQLite's words, which name no path."""
    return Unavailable("JOURNAL_UNAVAILABLE", says(getattr(error, "orig", None) or error))


def says(cause: object) -> str:
    """The message of JOURNAL_UNAVAILABLE."""
    why = cause.strerror if isinstance(cause, OSError) else cause
    return f"the pool's journal can't be used: {why}"


def row_of(seq: int, at: float, boot_id: str, kind: str, payload: str) -> dict[str, Any]:
    """A row of the journal, with the CRC over itself."""
    crc = crc_of(seq, at, boot_id, kind, payload)
    row = {"seq": seq, "at": at, "boot_id": boot_id, "kind": kind, "payload": payload}
    return {**row, "crc32": crc}


def crc_of(*parts: object) -> int:
    """The CRC of a row of these values."""
    return zlib.crc32(repr(parts).encode(errors="surrogatepass"))
