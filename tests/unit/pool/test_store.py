from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from eais.errors import ConfigError, Unavailable
from eais_pool.brain.actions import Action, Command, Journal, Send
from eais_pool.brain.events import (
    Event,
    HostLost,
    ManagerStarted,
    ModelMeasured,
    OpRequested,
    Tick,
    UsageReported,
)
from eais_pool.brain.facts import Fact, HostWentAway, InstanceCreated, PoolStarted
from eais_pool.brain.ledger_records import UsageRecord
from eais_pool.brain.reactor import Reactor
from eais_pool.brain.records import OpVerb
from eais_pool.brain.state import PoolState
from eais_pool.policy import GRADIENT
from eais_pool.policy.placement.live import policy_of
from eais_pool.store import Store
from eais_pool.testing import FakeHost
from tests.unit.pool.policy.known import CPU, GPU, cpu_times, gpu_times, profile
from tests.unit.pool.rig import SETTINGS, ids, op_id

CREATED = InstanceCreated("ei-1", "acme", "cpu.1", "exact", True)
SMALL: tuple[Fact, ...] = (PoolStarted("boot", 1.0), CREATED)


def life() -> list[Event]:
    """Events in which most kinds of facts come to be."""
    host = FakeHost()
    made = "ei-0000000000000001"
    attach = OpRequested(OpVerb.ATTACH, "acme", "box", op_id(1), type="cpu.1")
    events: list[Event] = [ManagerStarted("boot"), host.join(), attach]
    actions = play(events)[1]
    events.append(host.obey(command_of(actions)))
    events.append(UsageReported("h1", made, 1, UsageRecord(3)))
    events += [HostLost("h1"), host.join()]
    events.append(ModelMeasured((profile(GPU, 1000, gpu_times), profile(CPU, 2000, cpu_times))))
    events.append(OpRequested(OpVerb.DETACH, "acme", "box", op_id(2), made))
    events += [host.obey(command_of(play(events)[1])), Tick(frozenset({"h1"}))]
    return events


def command_of(actions: list[Action]) -> Command:
    (send,) = [action for action in actions if isinstance(action, Send)]
    return send.command


def play(events: list[Event], store: Store | None = None) -> tuple[PoolState, list[Action]]:
    """The state after `events`, journaled in `store`, and the last event's actions."""
    made = ids()
    reactor = Reactor(SETTINGS, policy_of(GRADIENT), lambda: next(made))
    state, actions = PoolState(), list[Action]()
    for now, event in enumerate(events):
        actions = list(reactor.on_event(state, event, float(now)))
        for action in actions:
            if isinstance(action, Journal):
                if store is not None:
                    store.append(action.facts, float(now), "boot", "event")
                for fact in action.facts:
                    state.apply(fact)
    return state, actions


def replayed(path: Path) -> PoolState:
    store = Store(path)
    try:
        return store.replay()
    finally:
        store.close()


def reason(path: Path) -> str:
    with pytest.raises((ConfigError, Unavailable)) as error:
        replayed(path)
    return error.value.reason


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def written(path: Path, *, compact_rows: int = 1000) -> PoolState:
    store = Store(path, compact_rows=compact_rows)
    store.replay()
    state = play(life(), store)[0]
    store.close()
    return state


def test_replay_gives_the_state(journal: Path) -> None:
    state = written(journal)
    assert state.instances
    assert len(state.profiles.profiles) == 2
    assert replayed(journal) == state
    assert replayed(journal) == state


def test_a_snapshot_stands_for_the_rows_that_it_replaced(journal: Path) -> None:
    state = written(journal)
    store = Store(journal, compact_rows=5)
    assert store.replay() == state
    crowded = [store.crowded]
    store.compact(state)
    crowded.append(store.crowded)
    assert crowded == [True, False]
    store.append((CREATED,), 20.0, "boot", "event")
    state.apply(CREATED)
    store.close()
    assert replayed(journal) == state
    with sqlite3.connect(journal) as connection:
        kinds = [kind for (kind,) in connection.execute("select kind from journal order by seq")]
    connection.close()
    assert kinds == ["InstanceCreated"]


def test_what_was_not_committed_is_not_there(journal: Path) -> None:
    class Died(BaseException):
        pass

    def die(point: str) -> None:
        if point == "second.written":
            raise Died

    store = Store(journal, reach=die)
    state = store.replay()
    store.append((PoolStarted("boot", 1.0),), 1.0, "boot", "first")
    state.apply(PoolStarted("boot", 1.0))
    with pytest.raises(Died):
        store.append((CREATED,), 2.0, "boot", "second")
    store.close()
    assert replayed(journal) == state


def test_a_second_opener_is_refused(journal: Path) -> None:
    first = Store(journal)
    first.replay()
    assert reason(journal) == "JOURNAL_UNAVAILABLE"
    first.close()


@pytest.fixture
def file_limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_refuses_and_is_over_when_there_is_space(
    journal: Path, file_limit: None
) -> None:
    store = Store(journal)
    state = store.replay()
    store.append((PoolStarted("boot", 1.0),), 1.0, "boot", "event")
    state.apply(PoolStarted("boot", 1.0))
    wal = journal.with_name("journal.sqlite-wal")
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size, hard))
    for _ in range(2):
        with pytest.raises(Unavailable) as error:
            store.append((CREATED,), 2.0, "boot", "event")
        assert error.value.reason == "JOURNAL_UNAVAILABLE"
        assert str(journal.parent) not in str(error.value)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    store.append((CREATED,), 3.0, "boot", "event")
    state.apply(CREATED)
    store.close()
    assert replayed(journal) == state


# Damage


def change(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        assert connection.execute(sql).rowcount != 0
    connection.close()


@pytest.mark.parametrize(
    "sql",
    [
        "delete from journal where seq = 2",
        "delete from journal where seq = (select max(seq) from journal)",
        "update journal set payload = replace(payload, 'acme', 'evil')",
        "update journal set at = at + 1 where seq = 3",
        "update journal set boot_id = 'other' where seq = 3",
        "update journal set kind = 'InstanceStopped' where kind = 'InstanceDraining'",
        "update journal set crc32 = crc32 + 1 where seq = 1",
        "update journal set seq = 1000 where seq = (select max(seq) from journal)",
        "update journal set seq = seq + 1000 where seq = 2",
        "update meta set value = '1' where key = 'head'",
        "update meta set value = '2' where key = 'schema'",
        "delete from meta where key = 'head'",
        "delete from meta where key = 'schema'",
    ],
)
def test_damage_is_found_and_the_place_named(journal: Path, sql: str) -> None:
    written(journal)
    change(journal, sql)
    with pytest.raises(ConfigError, match=r"row|schema") as error:
        replayed(journal)
    assert error.value.reason == "JOURNAL_CORRUPT"


@pytest.mark.parametrize(
    "sql",
    [
        "update meta set value = replace(value, 'boot', 'toob') where key = 'snapshot'",
        "update meta set value = '1 {}' where key = 'snapshot'",
        "delete from meta where key = 'snapshot'",
        "delete from ledger where id = 1",
        "update ledger set cost = cost * 2 where id = 1",
        "update ledger set tenant = 'evil' where id = 1",
    ],
)
def test_damage_behind_a_snapshot_is_found(journal: Path, sql: str) -> None:
    state = written(journal)
    store = Store(journal)
    store.replay()
    store.compact(state)
    store.close()
    change(journal, sql)
    assert reason(journal) == "JOURNAL_CORRUPT"


def test_a_row_that_cannot_follow_is_found(journal: Path) -> None:
    store = Store(journal)
    store.replay()
    store.append((HostWentAway("h9"),), 1.0, "boot", "event")
    store.close()
    assert reason(journal) == "JOURNAL_CORRUPT"


def test_a_file_that_is_no_journal(journal: Path) -> None:
    journal.write_bytes(b"not a database, " * 1000)
    assert reason(journal) == "JOURNAL_CORRUPT"


def small(path: Path) -> PoolState:
    store = Store(path)
    state = store.replay()
    for now, fact in enumerate(SMALL):
        store.append((fact,), float(now), "boot", "event")
        state.apply(fact)
    store.close()
    return state


def test_each_byte_that_flips_is_found_or_harmless(journal: Path, tmp_path: Path) -> None:
    state = small(journal)
    data = journal.read_bytes()
    copy = tmp_path / "copy.sqlite"
    # Runs of zeros are free space: every byte else, and each run's edge.
    offsets = [n for n in range(1, len(data)) if data[n] or data[n - 1]]
    outcomes = {"found": 0, "harmless": 0}
    for offset in offsets:
        copy.write_bytes(data[:offset] + bytes([data[offset] ^ 0x41]) + data[offset + 1 :])
        try:
            assert replayed(copy) == state, offset
            outcomes["harmless"] += 1
        except (ConfigError, Unavailable):
            outcomes["found"] += 1
        for left in tmp_path.glob("copy.sqlite-*"):
            left.unlink()
    assert outcomes["found"] > outcomes["harmless"]


def test_each_torn_write_ahead_log_is_an_earlier_state(journal: Path, tmp_path: Path) -> None:
    store = Store(journal)
    state = store.replay()
    states = [state.copy()]
    for now, fact in enumerate(SMALL):
        store.append((fact,), float(now), "boot", "event")
        state.apply(fact)
        states.append(state.copy())
    wal = journal.with_name("journal.sqlite-wal").read_bytes()
    base = journal.read_bytes()
    store.close()
    seen = []
    for end in [*range(0, len(wal), 97), len(wal)]:
        copy = tmp_path / "copy.sqlite"
        copy.write_bytes(base)
        copy.with_name("copy.sqlite-wal").write_bytes(wal[:end])
        seen.append(states.index(replayed(copy)))
        for left in tmp_path.glob("copy.*"):
            left.unlink()
    assert seen == sorted(seen)
    assert set(seen) == {0, 1, 2}
