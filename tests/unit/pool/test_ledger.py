"""What leases are charged for, and what was counted, as lines of the ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eais.device_type import DeviceKind
from eais.net.traffic import Traffic
from eais_pool.brain.actions import Send
from eais_pool.brain.codec import from_json
from eais_pool.brain.events import (
    DeviceReported,
    HostLost,
    ManagerStarted,
    Tick,
    UsageReported,
)
from eais_pool.brain.ledger_facts import UsageBooked
from eais_pool.brain.ledger_records import CountLine, ModelUsage, UsageRecord, growth
from eais_pool.brain.reactor import Reactor
from eais_pool.policy import GRADIENT
from eais_pool.policy.placement.live import policy_of
from eais_pool.policy.prices import Prices
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import SETTINGS, Pool

MODEL = "ab" * 32


@pytest.fixture
def pool() -> Pool:
    return Pool(FakeHost())


def after(pool: Pool, seconds: float) -> None:
    pool.shell.now += seconds


def tick(pool: Pool) -> None:
    pool.shell.feed(Tick(frozenset({"h1"})))


def booked(pool: Pool) -> list[tuple[float, float, str, tuple[CountLine, ...]]]:
    facts = [from_json(UsageBooked, p) for kind, p in pool.shell.journal if kind == "UsageBooked"]
    return [(fact.began, fact.at, fact.kind, fact.lines) for fact in facts]


def test_a_lease_is_charged_for_from_when_its_host_has_it_until_it_is_wanted_no_more(
    pool: Pool,
) -> None:
    pool.ask("attach", type="cpu.2")
    after(pool, 5)
    pool.deliver()
    made = pool.view()
    after(pool, 100)
    pool.ask("stop", made.id)
    after(pool, 7)
    pool.deliver()
    assert pool.lines() == [(1, 1, 1005.0, 1105.0)]
    pool.ask("start", made.id)
    after(pool, 1)
    pool.deliver()
    assert pool.charged(made.id) == [(2, 1, 1113.0)]


def test_a_host_that_is_back_with_its_lease_was_there_all_along(pool: Pool) -> None:
    made = pool.attached()
    after(pool, 10)
    pool.shell.feed(HostLost("h1"))
    after(pool, 50)
    pool.shell.feed(pool.hosts["h1"].join())
    assert (pool.charged(made.id), pool.lines()) == ([(1, 1, 1000.0)], [])


def test_a_host_that_is_back_without_it_is_charged_until_it_was_lost(pool: Pool) -> None:
    made = pool.attached()
    after(pool, 10)
    pool.shell.feed(HostLost("h1"))
    after(pool, 50)
    pool.hosts["h1"].leases.clear()
    pool.shell.feed(pool.hosts["h1"].join())
    assert (pool.charged(made.id), pool.lines()) == ([], [(1, 1, 1000.0, 1010.0)])
    after(pool, 2)
    pool.deliver()
    assert pool.charged(made.id) == [(1, 1, 1062.0)]


def test_a_host_that_was_started_anew_did_not_serve_meanwhile(pool: Pool) -> None:
    made = pool.attached()
    after(pool, 10)
    pool.shell.feed(HostLost("h1"))
    after(pool, 50)
    joined = pool.hosts["h1"].join()
    pool.shell.feed(replace(joined, host=replace(joined.host, boot_id="another")))
    assert pool.lines() == [(1, 1, 1000.0, 1010.0)]
    assert pool.charged(made.id) == [(1, 1, 1060.0)]


def test_what_serves_once_its_host_is_back_is_charged_from_the_end_of_what_it_replaces() -> None:
    host = FakeHost("h1", [device(), device("gpu0", "gpu", 1000)])
    pool = Pool(host)
    pool.ask("attach", type="cpu.2")
    pool.deliver()
    made = pool.view()
    pool.ask("resize", made.id, type="gpu.1-2")
    after(pool, 100)
    (grant,) = pool.shell.said_of(Send)
    host.obey(grant.command)  # the manager dies before it hears of it
    pool.shell.feed(HostLost("h1"))
    after(pool, 60)
    pool.shell.feed(host.join())
    assert pool.lines() == [(1, 1, 1000.0, 1160.0)]
    assert pool.charged(made.id) == [(1, 2, 1160.0)]


def test_what_is_detached_while_its_host_is_away_is_charged_until_that_was_lost(
    pool: Pool,
) -> None:
    made = pool.attached()
    after(pool, 10)
    pool.shell.feed(HostLost("h1"))
    after(pool, 50)
    pool.ask("detach", made.id)
    assert pool.lines() == [(1, 1, 1000.0, 1010.0)]


def test_the_managers_own_death_is_in_no_line(pool: Pool) -> None:
    made = pool.attached()
    after(pool, 10)
    pool.shell.feed(ManagerStarted("boot-1", pool.shell.now))
    after(pool, 3)
    pool.shell.feed(pool.hosts["h1"].join())
    assert (pool.charged(made.id), pool.lines()) == ([(1, 1, 1000.0)], [])


def test_a_device_that_failed_is_not_charged_for_after_that_was_seen() -> None:
    pool = Pool(FakeHost("h1", [device("gpu0", "gpu", 1000)]))
    made = pool.attached("gpu.1-2")
    after(pool, 10)
    pool.shell.feed(DeviceReported("h1", "gpu0", "bad", "it fell off the bus"))
    assert pool.lines() == [(1, 1, 1000.0, 1010.0)]
    assert pool.charged(made.id) == []


def test_lines_end_with_the_hour(pool: Pool) -> None:
    made = pool.attached()
    after(pool, 2700)
    tick(pool)
    assert pool.lines() == [(1, 1, 1000.0, 3600.0)]
    assert pool.charged(made.id) == [(1, 1, 3600.0)]
    tick(pool)
    assert len(pool.lines()) == 1


def test_a_price_that_changes_begins_a_line(pool: Pool) -> None:
    made = pool.attached()
    dearer = replace(SETTINGS, prices=Prices(dict.fromkeys(DeviceKind, 9.0)))
    pool.shell.reactor = Reactor(dearer, policy_of(GRADIENT), lambda: "ei-0000000000000009")
    after(pool, 10)
    pool.shell.feed(ManagerStarted("boot-1", pool.shell.now))
    pool.shell.feed(pool.hosts["h1"].join())
    assert pool.lines() == [(1, 1, 1000.0, 1010.0)]
    (lease,) = pool.shell.state.leases[made.id]
    assert [share.price_per_h for share in lease.charged] == [9.0]


def test_ledger_time_goes_on_over_boots_and_never_back(pool: Pool) -> None:
    made = pool.attached()
    pool.shell.now = 5.0
    pool.shell.feed(ManagerStarted("boot-2", 900.0))
    assert pool.shell.state.ledger_time(5.0) == 1000.0
    joined = pool.hosts["h1"].join()
    pool.shell.feed(replace(joined, host=replace(joined.host, boot_id="another")))
    assert (pool.charged(made.id), pool.lines()) == ([(1, 1, 1000.0)], [])


def test_what_was_counted_is_booked_once_a_minute_and_the_rest_at_the_end(pool: Pool) -> None:
    made = pool.attached()
    key = ("h1", made.id, 1)
    pool.shell.feed(UsageReported(*key, UsageRecord(3, 30, 300, 9, (ModelUsage(MODEL, 2, 20),))))
    after(pool, 59)
    tick(pool)
    assert booked(pool) == []
    after(pool, 1)
    tick(pool)
    tick(pool)
    lines = (CountLine(MODEL, 2, 20, 0, 0), CountLine("", 1, 10, 300, 9))
    assert booked(pool) == [(1000.0, 1060.0, "cpu", lines)]
    after(pool, 3)
    pool.ask("detach", made.id)
    pool.shell.feed(UsageReported(*key, UsageRecord(4, 30, 300, 9, (ModelUsage(MODEL, 3, 20),))))
    pool.deliver()
    assert booked(pool)[1:] == [(1060.0, 1063.0, "cpu", (CountLine(MODEL, 1, 0, 0, 0),))]


def test_counters_of_models_never_go_back() -> None:
    before = UsageRecord(5, models=(ModelUsage("a", 3), ModelUsage("b", 2)))
    now = UsageRecord(4, models=(ModelUsage("b", 4), ModelUsage("c", 1))).at_least(before)
    assert [(each.model, each.requests) for each in now.models] == [("a", 3), ("b", 4), ("c", 1)]
    assert growth(before, before) == ()


def test_what_the_vnic_has_carried_is_of_no_model_and_never_goes_back() -> None:
    before = UsageRecord(5, models=(ModelUsage("a", 5),), vnic=Traffic(10, 20, 1, 2, 7))
    now = UsageRecord(6, models=(ModelUsage("a", 6),), vnic=Traffic(15, 20, 2, 1)).at_least(before)
    assert growth(now, before) == (
        CountLine("a", 1, 0, 0, 0),
        CountLine("", 0, 0, 0, 0, 5, 0, 1, 0),
    )
