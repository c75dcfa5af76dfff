"""The ledger's rows: written with their facts, summed, merged, dropped."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from eais.errors import EaisError
from eais_pool.brain.facts import Fact
from eais_pool.brain.ledger_asked import Asked, By, Used, summed
from eais_pool.brain.ledger_facts import LeaseCharged, UsageBooked
from eais_pool.brain.ledger_records import ChargeLine, CountLine
from eais_pool.ledger_table import FINE_S, KEPT_S, TIDY_AT_ONCE
from eais_pool.store import Store

DAY_S = 86_400.0
ALL = Asked(0, 1e12, last_row=1 << 40)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "journal.sqlite")
    made.replay()
    yield made
    made.close()


def charged(
    began: float, ended: float, *, tenant: str = "acme", instance: str = "ei-1", milli: int = 500
) -> LeaseCharged:
    """Half a device at 3 an hour, unless said otherwise; the lease is gone since."""
    line = ChargeLine(1, "gpu0", "gpu", milli, 3.0, began, ended)
    return LeaseCharged("h1", instance, 1, tenant, ended, (), (line,))


def counted(began: float, ended: float, requests: int, model: str = "m") -> UsageBooked:
    lines = (CountLine(model, requests, 10 * requests, requests, 7),)
    return UsageBooked("h1", "ei-1", 1, "acme", "gpu", began, ended, lines)


def write(store: Store, *facts: Fact) -> None:
    store.append(facts, 1.0, "boot", "event")


def test_lease_time_costs_share_by_time_by_price(store: Store) -> None:
    write(store, charged(0, 7200), counted(0, 7200, 4))
    assert store.used(ALL) == [
        Used(device_s=3600, cost=3.0, requests=4, bytes_in=40, bytes_out=4, busy_ns=7)
    ]


def test_a_time_that_cuts_a_row_has_its_part_of_it(store: Store) -> None:
    write(store, charged(0, 100), counted(0, 100, 200))
    (half,) = store.used(replace(ALL, since=25, until=75))
    assert (half.device_s, half.requests) == (25, 100)
    assert store.used(replace(ALL, since=200)) == []


def test_rows_are_told_apart_as_asked_and_tenants_kept_apart(store: Store) -> None:
    write(store, charged(0, 10), charged(10, 30, instance="ei-2"), charged(0, 50, tenant="other"))
    by = store.used(replace(ALL, by=(By.TENANT, By.INSTANCE)))
    assert {(each.tenant, each.instance): each.device_s for each in by} == {
        ("acme", "ei-1"): 5,
        ("acme", "ei-2"): 10,
        ("other", "ei-1"): 25,
    }
    (own,) = store.used(replace(ALL, tenant="acme", by=(By.KIND,)))
    assert (own.kind, own.device_s) == ("gpu", 15)


def test_rows_after_the_one_that_is_named_are_left_out(store: Store) -> None:
    write(store, charged(0, 10))
    last = store.ledger.last_row
    write(store, charged(10, 20))
    assert [each.device_s for each in store.used(replace(ALL, last_row=last))] == [5]


def test_rows_outlive_snapshots_and_restarts(store: Store, tmp_path: Path) -> None:
    write(store, charged(0, 10))
    before = store.used(ALL)
    store.compact(store.replay())
    store.close()
    again = Store(tmp_path / "journal.sqlite")
    again.replay()
    assert (again.used(ALL), again.ledger.last_row) == (before, 1)
    again.close()


def test_rows_of_facts_that_were_not_committed_are_not_there(tmp_path: Path) -> None:
    class Died(BaseException):
        pass

    def die(point: str) -> None:
        raise Died

    store = Store(tmp_path / "journal.sqlite", reach=die)
    store.replay()
    with pytest.raises(Died):
        write(store, charged(0, 10))
    assert store.ledger.last_row == 0
    store.close()
    again = Store(tmp_path / "journal.sqlite")
    again.replay()
    assert again.used(ALL) == []
    again.close()


def test_old_rows_of_an_hour_become_one_and_their_sums_stay(store: Store, tmp_path: Path) -> None:
    rows = [fact for n in range(10) for fact in (charged(n * 60, n * 60 + 60), counted(0, 60, 3))]
    write(store, *rows, charged(3700, 3800), charged(FINE_S, FINE_S + 10))
    before = store.used(replace(ALL, by=tuple(By)))
    assert not store.tidy(FINE_S + 5000)
    assert store.used(replace(ALL, by=tuple(By))) == before
    store.close()
    again = Store(tmp_path / "journal.sqlite")
    again.replay()
    assert [(row.hourly, row.began, row.ended) for row in again.ledger_rows()] == [
        (True, 0, 600),
        (True, 0, 60),
        (True, 3700, 3800),
        (False, FINE_S, FINE_S + 10),
    ]
    write(again, charged(FINE_S + 10, FINE_S + 20))
    again.close()


def test_a_sum_that_is_asked_while_rows_are_merged_is_the_same(store: Store) -> None:
    write(store, charged(0, 10), charged(10, 20))
    asked = replace(ALL, last_row=store.ledger.last_row)
    before = store.used(asked)
    store.tidy(FINE_S + 100)
    assert store.used(asked) == before


def test_rows_are_dropped_at_last(store: Store) -> None:
    write(store, charged(0, 10), charged(DAY_S, DAY_S + 10))
    store.tidy(KEPT_S + 100)
    assert [each.device_s for each in store.used(ALL)] == [5]
    assert store.tidy(KEPT_S + 2 * DAY_S) is False
    assert store.used(ALL) == []


def test_rows_are_merged_a_few_at_a_time(store: Store) -> None:
    write(store, *(counted(0, 60, 1) for _ in range(TIDY_AT_ONCE + 1)))
    assert store.tidy(FINE_S + 100)
    assert not store.tidy(FINE_S + 100)
    assert [each.requests for each in store.used(ALL)] == [TIDY_AT_ONCE + 1]


def test_sums_of_rows_and_of_what_is_open_are_added() -> None:
    one, other = Used("acme", device_s=1, requests=2), Used("acme", cost=3, requests=4)
    assert summed([one, Used("b"), other]) == [
        Used("acme", device_s=1, cost=3, requests=6),
        Used("b"),
    ]


def carried(began: float, ended: float, size: int) -> UsageBooked:
    lines = (CountLine("", 0, 0, 0, 0, size, 2 * size, 3, 4),)
    return UsageBooked("h1", "ei-1", 1, "acme", "gpu", began, ended, lines)


def test_what_vnics_have_carried_is_summed_and_merged(store: Store) -> None:
    write(store, carried(0, 60, 100), counted(0, 60, 1), carried(60, 120, 11))
    expected = Used(
        requests=1,
        bytes_in=10,
        bytes_out=1,
        busy_ns=7,
        vnic_bytes_in=111,
        vnic_bytes_out=222,
        vnic_packets_in=6,
        vnic_packets_out=8,
    )
    assert store.used(ALL) == [expected]
    store.tidy(FINE_S + DAY_S)
    assert store.used(ALL) == [expected]


def test_a_ledger_of_before_gets_its_columns(store: Store, tmp_path: Path) -> None:
    write(store, counted(0, 60, 1))
    store.close()
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as raw:
        for name in ("vnic_bytes_in", "vnic_bytes_out", "vnic_packets_in", "vnic_packets_out"):
            raw.execute(f"ALTER TABLE ledger DROP COLUMN {name}")
        raw.commit()
    again = Store(path)
    again.replay()
    write(again, carried(60, 120, 5))
    (used,) = again.used(ALL)
    again.close()
    assert (used.requests, used.vnic_bytes_in) == (1, 5)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE ledger SET vnic_bytes_in = 1 WHERE requests")
        raw.commit()
    with pytest.raises(EaisError, match="damaged"):
        Store(path).replay()
