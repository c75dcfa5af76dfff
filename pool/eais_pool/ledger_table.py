"""The ledger: rows of what leases were charged for and used, which outlive all else.

A row is written in the transaction of the fact that says it, and never changed: a correction would
be one more. After `FINE_S` the rows of an hour that are alike become one, with their sums; after
`KEPT_S` they are dropped.

    ledger_rows(number)
    ledger(id, hourly, began, ended, tenant, instance, epoch, host, kind, milli, price_per_h,
           device_s, cost, model, requests, bytes_in, bytes_out, busy_ns, vnic_bytes_in,
           vnic_bytes_out, vnic_packets_in, vnic_packets_out, crc32)

A row of lease time has a share, a price and no model; one of counters has no share. Each has a CRC
over itself, and it is written down how many there are.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eais.device_type import WHOLE_MILLI
from eais_pool.brain.charges import HOUR_S, charge
from eais_pool.brain.facts import Fact
from eais_pool.brain.ledger_asked import COUNTS, SUMS, Asked, By, Used
from eais_pool.brain.ledger_facts import LeaseCharged, UsageBooked

FINE_S: Final = 2 * 86_400.0
KEPT_S: Final = 400 * 86_400.0
TIDY_AT_ONCE: Final = 5_000
"""Rows that are merged, or dropped, in one transaction."""

_TABLES = sa.MetaData()
_LATER: Final = tuple(name for name in COUNTS if name.startswith("vnic_"))
"""Columns that ledgers of before hadn't: where they are 0, a row's CRC is as if it had none."""
_ALIKE: Final = ("tenant", "instance", "epoch", "host", "kind", "milli", "price_per_h", "model")
_LEDGER = sa.Table(
    "ledger",
    _TABLES,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hourly", sa.Boolean, nullable=False),
    sa.Column("began", sa.Float, nullable=False),
    sa.Column("ended", sa.Float, nullable=False, index=True),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("instance", sa.String, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("host", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("milli", sa.Integer, nullable=False),
    sa.Column("price_per_h", sa.Float, nullable=False),
    sa.Column("device_s", sa.Float, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    *(sa.Column(name, sa.Integer, nullable=False, server_default="0") for name in COUNTS),
    sa.Column("crc32", sa.Integer, nullable=False),
)
_COUNT: Final = sa.Table("ledger_rows", _TABLES, sa.Column("number", sa.Integer, nullable=False))
_MOST: Final = (1 << 63) - 1


class LedgerTable:
    """The table, of a `Store`'s transactions.

    Attributes:
        last_row: the id of the last row that is durable.
    """

    def __init__(self) -> None:
        self.last_row = 0
        self._next = 0

    def create(self, connection: sa.Connection) -> None:
        """Make sure that it is there, with all of its columns."""
        _TABLES.create_all(connection)
        there = {column["name"] for column in sa.inspect(connection).get_columns(_LEDGER.name)}
        for name in _LATER:
            if name not in there:
                more = f"ALTER TABLE {_LEDGER.name} ADD COLUMN {name} INTEGER DEFAULT 0 NOT NULL"
                connection.execute(sa.text(more))

    def found(self, connection: sa.Connection) -> None:
        """Know which row is the last.

        Raises:
            ValueError: a row is missing, or damaged.
        """
        count = 0
        for row in connection.execute(sa.select(_LEDGER)):
            count += 1
            self.last_row = max(self.last_row, row.id)
            if row.crc32 != _crc(row._mapping):
                raise ValueError(f"row {row.id} of the ledger is damaged")
        said = connection.execute(sa.select(_COUNT.c.number)).scalar() or 0
        if count != said:
            raise ValueError(f"the ledger has {count} rows, of {said}")
        self._next = self.last_row

    def write(self, connection: sa.Connection, facts: Sequence[Fact]) -> None:
        """Write the rows of these facts."""
        said = [row for fact in facts for row in _rows(fact)]
        rows = [{"id": self.last_row + n, **row} for n, row in enumerate(said, start=1)]
        if rows:
            _insert(connection, rows)
            _count(connection, len(rows))
        self._next = self.last_row + len(rows)

    def written(self) -> None:
        """The transaction is durable."""
        self.last_row = self._next

    def used(self, connection: sa.Connection, asked: Asked) -> list[Used]:
        """What the rows up to `asked.last_row` say of a time; of one that is cut, its part."""
        names = [column for by in By if by in asked.by for column in (_LEDGER.c[by.value],)]
        length = _LEDGER.c.ended - _LEDGER.c.began
        inside = sa.func.min(_LEDGER.c.ended, asked.until) - sa.func.max(
            _LEDGER.c.began, asked.since
        )
        part = sa.case((length > 0, inside / length), else_=1.0)
        sums = [sa.func.sum(_LEDGER.c[name] * part).label(name) for name in SUMS]
        found = sa.select(*names, *sums).where(
            _LEDGER.c.ended >= asked.since,
            _LEDGER.c.began <= asked.until,
            _LEDGER.c.id <= asked.last_row,
        )
        if asked.tenant:
            found = found.where(_LEDGER.c.tenant == asked.tenant)
        if names:
            found = found.group_by(*names)
        return [_used(row) for row in connection.execute(found) if row.device_s is not None]

    def lines(self, connection: sa.Connection) -> list[sa.Row[Any]]:
        """All rows, in order."""
        return list(connection.execute(sa.select(_LEDGER).order_by(_LEDGER.c.id)).all())

    def tidy(self, connection: sa.Connection, now: float) -> bool:
        """Merge some rows that are old, and drop some that are too old; whether more may be."""
        too_old = sa.select(_LEDGER.c.id).where(_LEDGER.c.ended < now - KEPT_S).limit(TIDY_AT_ONCE)
        dropped = connection.execute(_LEDGER.delete().where(_LEDGER.c.id.in_(too_old))).rowcount
        fine = sa.select(_LEDGER).where(_LEDGER.c.hourly.is_(False), _LEDGER.c.ended < now - FINE_S)
        rows = connection.execute(fine.order_by(_LEDGER.c.id).limit(TIDY_AT_ONCE)).all()
        if rows:
            last = rows[-1].id
            old = sa.and_(
                _LEDGER.c.hourly.is_(False), _LEDGER.c.ended < now - FINE_S, _LEDGER.c.id <= last
            )
            connection.execute(_LEDGER.delete().where(old))
            merged = _merged(rows)
            _insert(connection, merged)
            dropped += len(rows) - len(merged)
        if dropped:
            _count(connection, -dropped)
        return dropped >= TIDY_AT_ONCE or len(rows) == TIDY_AT_ONCE


def _insert(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    connection.execute(_LEDGER.insert(), [{**row, "crc32": _crc(row)} for row in rows])


def _count(connection: sa.Connection, more: int) -> None:
    changed = connection.execute(_COUNT.update().values(number=_COUNT.c.number + more))
    if not changed.rowcount:
        connection.execute(_COUNT.insert(), {"number": more})


def _crc(row: Mapping[Any, Any]) -> int:
    parts = [
        _plain(row, column)
        for column in _LEDGER.c
        if column.name != "crc32" and (column.name not in _LATER or row[column.name])
    ]
    return zlib.crc32(repr(parts).encode(errors="surrogatepass"))


def _plain(row: Mapping[Any, Any], column: sa.Column[Any]) -> object:
    """The value as it is read again."""
    value = row[column.name]
    return float(value) if isinstance(column.type, sa.Float) else value


def _rows(fact: Fact) -> Iterator[dict[str, Any]]:
    match fact:
        case LeaseCharged():
            for line in fact.lines:
                device_s = (line.ended - line.began) * line.milli / WHOLE_MILLI
                yield {
                    **_head(fact, line.began, line.ended),
                    "kind": line.kind,
                    "milli": line.milli,
                    "price_per_h": line.price_per_h,
                    "device_s": device_s,
                    "cost": charge(line.price_per_h, device_s),
                    "model": "",
                    **dict.fromkeys(COUNTS, 0),
                }
        case UsageBooked():
            for count in fact.lines:
                yield {
                    **_head(fact, fact.began, fact.at),
                    "kind": fact.kind,
                    "milli": 0,
                    "price_per_h": 0.0,
                    "device_s": 0.0,
                    "cost": 0.0,
                    "model": count.model,
                    **{name: min(_MOST, getattr(count, name)) for name in COUNTS},
                }


def _head(fact: LeaseCharged | UsageBooked, began: float, ended: float) -> dict[str, Any]:
    return {
        "hourly": False,
        "began": began,
        "ended": ended,
        "tenant": fact.tenant,
        "instance": fact.instance,
        "epoch": fact.epoch,
        "host": fact.host,
    }


def _merged(rows: Sequence[sa.Row[Any]]) -> list[dict[str, Any]]:
    """One of those that are alike and began in the same hour, with the last one's id."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = (int(row.began // HOUR_S), *(getattr(row, name) for name in _ALIKE))
        new = {**row._mapping, "hourly": True}
        old = found.get(key)
        if old is not None:
            new |= {name: old[name] + new[name] for name in ("device_s", "cost")}
            new |= {name: min(_MOST, old[name] + new[name]) for name in COUNTS}
            new |= {
                "began": min(old["began"], new["began"]),
                "ended": max(old["ended"], new["ended"]),
            }
        found[key] = new
    return list(found.values())


def _used(row: sa.Row[Any]) -> Used:
    names: dict[str, Any] = {by.value: getattr(row, by.value, "") for by in By}
    counts: dict[str, Any] = {name: round(getattr(row, name)) for name in COUNTS}
    return Used(**names, device_s=row.device_s, cost=row.cost, **counts)
