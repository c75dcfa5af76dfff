"""The journal: facts in SQLite, durable when `append` returns, and the state they make.

One row a fact, one transaction an event. Each row carries a CRC over itself,
rows are numbered without a gap, and `head` names the last one, so that a row that
was changed or lost is found at replay; `eais_pool.high_water` finds that the end is missing.
When there are many rows, one transaction replaces them by a snapshot; the newest of demand stay.
What facts of the ledger say is rows of a table of its own, written with them
(`eais_pool.ledger_table`).

A journal that can be read but not written (a full disk, a read-only one) is replayed all the
same, and every `append` tries again whether it can be written now.

    meta(key, value)      schema, head, snapshot
    journal(seq, at, boot_id, kind, payload, crc32)
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from eais.errors import ConfigError, Unavailable
from eais.failpoints import Reach, nowhere
from eais.transition import IllegalMove
from eais_pool.brain import ledger_asked
from eais_pool.brain.codec import from_json, to_json
from eais_pool.brain.facts import DEMAND_KIND, FACTS, Fact
from eais_pool.brain.state import PoolState
from eais_pool.high_water import HighWater, Unreadable
from eais_pool.journal_file import (
    crc_of,
    held_elsewhere,
    may_pass,
    open_journal,
    private_copy,
    row_of,
    says,
    unavailable,
)
from eais_pool.ledger_table import LedgerTable
from eais_pool.snapshot import Snapshot

log = logging.getLogger(__name__)

SCHEMA: Final = 1
COMPACT_ROWS: Final = 20_000
DEMAND_ROWS: Final = 20_000  # a minute of an instance each

_tables = sa.MetaData()
_META = sa.Table(
    "meta",
    _tables,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("value", sa.String, nullable=False),
)
_JOURNAL = sa.Table(
    "journal",
    _tables,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("boot_id", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("payload", sa.String, nullable=False),
    sa.Column("crc32", sa.Integer, nullable=False),
)


class Store:
    """The journal of one pool; one process has it open, one thread at a time uses it.

    `replay` must come before the first `append`.

    Attributes:
        ledger: what leases were charged for and used.
    """

    def __init__(
        self, path: Path, *, compact_rows: int = COMPACT_ROWS, reach: Reach = nowhere
    ) -> None:
        self._path = path
        self._compact_rows = compact_rows
        self._reach = reach
        self._engine = open_journal(path)
        self.ledger = LedgerTable()
        self._high_water = HighWater(path.with_suffix(".head"))
        self._read_only = False
        self._seq = 0
        self._since_snapshot = 0

    def close(self) -> None:
        """Close the file; the write-ahead log goes into it."""
        self._engine.dispose()
        self._high_water.close()

    def replay(self) -> PoolState:
        """The state that the journal says; an empty one for a new journal.

        Raises:
            ConfigError: JOURNAL_CORRUPT, and which row; or a schema of a newer EAIS.
            Unavailable: JOURNAL_UNAVAILABLE, when the file can't be opened or read.
        """
        try:
            state = self._replay(self._engine)
        except Unavailable as error:
            if held_elsewhere(error):
                raise
            state = self._replay_copy(error)
        self._check_high_water()
        if not self._read_only:
            self._high_water.note(self._seq)
        return state

    def _replay(self, engine: sa.Engine) -> PoolState:
        try:
            with engine.begin() as connection:
                _tables.create_all(connection)
                self.ledger.create(connection)
                return self._replayed(connection)
        except SQLAlchemyError as error:
            if may_pass(error):
                raise unavailable(error) from error
            raise self._corrupt(f"{getattr(error, 'orig', error)}") from error
        except UnicodeDecodeError as error:  # Python's, of what SQLite quotes of the file
            raise self._corrupt(f"what it has is no text: {error}") from error

    def _replay_copy(self, why: Unavailable) -> PoolState:
        """What a journal says that SQLite can't open where it is, since it would write there."""
        try:
            with private_copy(self._path) as copy:
                state = self._replay(copy)
        except OSError:
            raise why from None
        log.error("%s can be read only: %s", self._path, why)
        self._engine.dispose()
        self._read_only = True
        return state

    def _check_high_water(self) -> None:
        try:
            answered = self._high_water.read()
        except Unreadable as error:
            raise self._corrupt(f"{error}, so nobody knows whether rows are missing") from None
        except OSError as error:
            raise Unavailable("JOURNAL_UNAVAILABLE", says(error)) from error
        if answered is None and self._seq and not self._read_only:
            log.warning("%s has no note of how many rows it should have", self._path)
        if answered is not None and answered > self._seq:
            raise self._corrupt(f"rows after {self._seq} are missing, of {answered} once durable")

    def _make_sure_it_can_be_written(self) -> None:
        """Replay it anew if so far it couldn't: it must be what it was."""
        if not self._read_only:
            return
        before = self._seq
        try:
            self._replay(self._engine)
            if self._seq != before:
                raise self._corrupt(f"it had {before} rows, and has {self._seq}")
        except ConfigError as error:
            self._seq = before
            # Whoever asked for this event isn't the operator: the message names the place.
            log.error("%s", error)
            raise Unavailable("JOURNAL_UNAVAILABLE", says("it isn't what was read")) from None
        self._read_only = False
        log.info("%s can be written again", self._path)

    def append(self, facts: Sequence[Fact], at: float, boot_id: str, what: str) -> None:
        """Write one event's facts, durably, all or none.

        `at` is the boot clock of `boot_id`; `what` names the event for failpoints.

        Raises:
            Unavailable: JOURNAL_UNAVAILABLE (a full or read-only disk); nothing was written.
        """
        self._make_sure_it_can_be_written()
        rows = [
            row_of(seq, at, boot_id, type(fact).__name__, to_json(fact))
            for seq, fact in enumerate(facts, start=self._seq + 1)
        ]
        try:
            with self._engine.begin() as connection:
                connection.execute(_JOURNAL.insert(), rows)
                _put(connection, "head", str(self._seq + len(rows)))
                self.ledger.write(connection, facts)
                self._reach(f"{what}.written")
        except SQLAlchemyError as error:
            raise unavailable(error) from error
        self._since_snapshot += len(rows)
        self._seq += len(rows)
        self.ledger.written()
        self._high_water.note(self._seq)
        self._reach(f"{what}.committed")

    @property
    def rows(self) -> int:
        """Facts since the last snapshot."""
        return self._since_snapshot

    @property
    def last_seq(self) -> int:
        """The number of the last fact; 0 if there is none."""
        return self._seq

    def demand(self, after: int, until: int, most: int) -> list[tuple[int, str]]:
        """Rows of demand, with their numbers, above `after` and up to `until`, `most` of them.

        As text, which `codec.from_json` reads. Errors as `append`.
        """
        wanted = sa.select(_JOURNAL.c.seq, _JOURNAL.c.payload).where(
            _JOURNAL.c.kind == DEMAND_KIND, _JOURNAL.c.seq > after, _JOURNAL.c.seq <= until
        )
        try:
            with self._engine.begin() as connection:
                rows = connection.execute(wanted.order_by(_JOURNAL.c.seq).limit(most)).all()
        except SQLAlchemyError as error:
            raise unavailable(error) from error
        return [(row.seq, row.payload) for row in rows]

    @property
    def crowded(self) -> bool:
        """Whether it is time to `compact`."""
        return self._since_snapshot > self._compact_rows

    def compact(self, state: PoolState) -> None:
        """Replace the journal by a snapshot of `state`.

        `state` must be what all rows make.

        Raises:
            Unavailable: JOURNAL_UNAVAILABLE; nothing was changed.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(_JOURNAL.delete().where(_JOURNAL.c.kind != DEMAND_KIND))
                connection.execute(_old_demand())
                snapshot = to_json(Snapshot.of(state, self._seq))
                _put(connection, "snapshot", f"{zlib.crc32(snapshot.encode())} {snapshot}")
        except SQLAlchemyError as error:
            raise unavailable(error) from error
        self._since_snapshot = 0

    def used(self, asked: ledger_asked.Asked) -> list[ledger_asked.Used]:
        """What the ledger's rows say; errors as `append`."""
        try:
            with self._engine.begin() as connection:
                return self.ledger.used(connection, asked)
        except SQLAlchemyError as error:
            raise unavailable(error) from error

    def ledger_rows(self) -> list[sa.Row[Any]]:
        """All rows of the ledger, in order."""
        with self._engine.begin() as connection:
            return self.ledger.lines(connection)

    def tidy(self, now: float) -> bool:
        """Merge old rows of the ledger, and drop those that are too old; whether any are left.

        `now` is ledger time; errors as `append`.
        """
        try:
            with self._engine.begin() as connection:
                return self.ledger.tidy(connection, now)
        except SQLAlchemyError as error:
            raise unavailable(error) from error

    def _replayed(self, connection: sa.Connection) -> PoolState:
        meta: dict[str, Any] = {row.key: row.value for row in connection.execute(sa.select(_META))}
        self._check_schema(connection, meta)
        self._check_file(connection)
        snapshot = self._snapshot(meta.get("snapshot"))
        state = snapshot.state() if snapshot else PoolState()
        self._seq = start = snapshot.seq if snapshot else 0
        for row in connection.execute(sa.select(_JOURNAL).order_by(_JOURNAL.c.seq)):
            fact = self._fact(row)
            if row.seq > start or row.kind != DEMAND_KIND:
                self._take(state, row.seq, fact)
        if meta.get("head", "0") != str(self._seq):
            raise self._corrupt(f"rows after {self._seq} are missing")
        self._since_snapshot = self._seq - start
        try:
            self.ledger.found(connection)
        except ValueError as error:
            raise self._corrupt(str(error)) from None
        return state

    def _take(self, state: PoolState, seq: int, fact: Fact) -> None:
        if seq != self._seq + 1:
            raise self._corrupt(f"row {self._seq + 1} is missing")
        try:
            state.apply(fact)
        except (IllegalMove, KeyError, ValueError) as error:
            kind = type(fact).__name__
            raise self._corrupt(f"row {seq} ({kind}) can't follow: {error}") from error
        self._seq = seq

    def _check_schema(self, connection: sa.Connection, meta: dict[str, Any]) -> None:
        if not meta:
            _put(connection, "schema", str(SCHEMA))
            return
        found = meta.get("schema", "")
        if found != str(SCHEMA):
            raise self._corrupt(f"schema {found!r}, and this EAIS reads {SCHEMA}")

    def _check_file(self, connection: sa.Connection) -> None:
        found = connection.execute(sa.text("PRAGMA integrity_check")).scalars().first()
        if found != "ok":
            raise self._corrupt(f"the file is damaged: {str(found)[:200]}")

    def _snapshot(self, text: object) -> Snapshot | None:
        if text is None:
            return None
        crc, _, body = str(text).partition(" ")
        try:
            if crc != str(zlib.crc32(body.encode())):
                raise ValueError("its CRC is wrong")
            return from_json(Snapshot, body)
        except ValueError as error:
            raise self._corrupt(f"the snapshot: {error}") from error

    def _fact(self, row: sa.Row[Any]) -> Fact:
        """The fact of a row, once its CRC was found right."""
        if row.crc32 != crc_of(row.seq, row.at, row.boot_id, row.kind, row.payload):
            raise self._corrupt(f"row {row.seq} is damaged")
        kind = FACTS.get(row.kind)
        if kind is None:
            raise self._corrupt(f"row {row.seq} is a {row.kind[:40]!r}, which this EAIS lacks")
        try:
            return from_json(kind, row.payload)
        except ValueError as error:
            raise self._corrupt(f"row {row.seq} ({row.kind}): {error}") from error

    def _corrupt(self, what: str) -> ConfigError:
        return ConfigError(
            "JOURNAL_CORRUPT",
            f"{self._path}: {what}",
            hint="put the folder's back-up in its place, or start a new pool",
        )


def _old_demand() -> sa.Delete:
    demand = _JOURNAL.c.kind == DEMAND_KIND
    newest = sa.select(_JOURNAL.c.seq).where(demand).order_by(_JOURNAL.c.seq.desc())
    return _JOURNAL.delete().where(demand, _JOURNAL.c.seq.not_in(newest.limit(DEMAND_ROWS)))


def _put(connection: sa.Connection, key: str, value: str) -> None:
    connection.execute(_META.delete().where(_META.c.key == key))
    connection.execute(_META.insert(), {"key": key, "value": value})
