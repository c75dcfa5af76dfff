"""The pool's journal: cut, turned, on disks that are full or read-only. Never an older state."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from eais.errors import ConfigError, Unavailable
from eais_pool.brain.facts import Fact, InstanceCreated, PoolStarted
from eais_pool.brain.state import PoolState
from eais_pool.store import Store
from tests.fault.damage import filled, read_only, small_disk

FACTS: tuple[Fact, ...] = (
    PoolStarted("boot", 1.0),
    *(InstanceCreated(f"ei-{n}", "acme", "cpu.1", "exact", True) for n in range(4)),
)
MORE = InstanceCreated("ei-9", "acme", "cpu.1", "exact", True)


def write(path: Path, *, crash: bool) -> PoolState:
    """A journal of `FACTS`, an event each; with a crash all of it is in the write-ahead log."""
    child = os.fork() if crash else 0
    if child:
        assert os.waitpid(child, 0)[1] == 0
        return replayed_copy(path)
    store = Store(path)
    state = store.replay()
    for now, fact in enumerate(FACTS):
        store.append((fact,), float(now), "boot", "event")
        state.apply(fact)
    if crash:
        os._exit(0)
    store.close()
    return state


def replayed_copy(path: Path) -> PoolState:
    """What a copy of the journal says: to read it changes it."""
    folder = path.parent / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(0o700)
    for part in path.parent.glob(f"{path.stem}.*"):
        shutil.copy2(part, folder / part.name)
    store = Store(folder / path.name)
    try:
        return store.replay()
    finally:
        store.close()


def outcome(path: Path, right: PoolState) -> str:
    """What is read: "right", or the reason of the refusal; another state fails."""
    try:
        found = replayed_copy(path)
    except (ConfigError, Unavailable) as error:
        return error.reason
    assert found == right
    return "right"


def forms(data: bytes, cut_step: int, turn_step: int) -> Iterator[bytes]:
    """`data` cut, and with a bit turned, at each step; headers and edges of zeros at every byte."""
    for end in range(0, len(data), cut_step):
        yield data[:end]
    for offset in range(len(data)):
        header = offset % 4096 < 32
        if header or (offset % turn_step == 0 and any(data[max(0, offset - 1) : offset + 1])):
            turned = bytearray(data)
            turned[offset] ^= 1 << (offset % 8)
            yield bytes(turned)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def test_a_file_at_rest(journal: Path) -> None:
    right = write(journal, crash=False)
    found = []
    for damaged in forms(journal.read_bytes(), 509, 7):
        journal.write_bytes(damaged)
        found.append(outcome(journal, right))
    assert set(found) == {"right", "JOURNAL_CORRUPT"}
    assert found.count("JOURNAL_CORRUPT") > found.count("right")


def test_a_log_after_a_crash(journal: Path) -> None:
    """Each of its events was answered, so an earlier state would be a lie."""
    right = write(journal, crash=True)
    log = journal.with_name("journal.sqlite-wal")
    whole = log.read_bytes()
    for damaged in forms(whole, 251, 61):
        log.write_bytes(damaged)
        assert outcome(journal, right) == "JOURNAL_CORRUPT"
    log.unlink()
    assert outcome(journal, right) == "JOURNAL_CORRUPT"
    log.write_bytes(whole)
    assert outcome(journal, right) == "right"


def test_a_log_that_was_cut_before_anything_of_it_was_answered(journal: Path) -> None:
    """After a power cut its end may be missing: what wasn't durable wasn't promised."""
    write(journal, crash=False)
    before = journal.with_name("journal.head").read_bytes()
    right = replayed_copy(journal)
    child = os.fork()
    if not child:
        store = Store(journal)
        store.replay()
        store.append((MORE,), 9.0, "boot", "event")
        os._exit(0)
    os.waitpid(child, 0)
    after = replayed_copy(journal)
    journal.with_name("journal.head").write_bytes(before)
    log = journal.with_name("journal.sqlite-wal")
    whole = log.read_bytes()
    states = []
    for end in range(0, len(whole) + 1, 103):
        log.write_bytes(whole[:end])
        found = replayed_copy(journal)
        assert found in (right, after)
        states.append(found == after)
    assert states == sorted(states)


def test_without_its_note_a_journal_is_taken_as_it_is(
    journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    right = write(journal, crash=False)
    journal.with_name("journal.head").unlink()
    assert replayed_copy(journal) == right
    assert "no note" in caplog.text


def test_a_damaged_note_is_no_permission(journal: Path) -> None:
    right = write(journal, crash=False)
    journal.with_name("journal.head").write_bytes(b"")
    assert outcome(journal, right) == "JOURNAL_CORRUPT"


# Full and read-only disks


def refused(store: Store) -> None:
    with pytest.raises(Unavailable) as caught:
        store.append((MORE,), 9.0, "boot", "event")
    assert caught.value.reason == "JOURNAL_UNAVAILABLE"
    assert "sqlite" not in str(caught.value)


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("how", [filled, read_only])
def test_a_start_on_a_disk_that_takes_nothing(
    tmp_path: Path, how: Callable[[Path], AbstractContextManager[None]], *, crash: bool
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        journal = disk / "journal.sqlite"
        right = write(journal, crash=crash)
        shutil.rmtree(disk / "copy", ignore_errors=True)
        with how(disk):
            store = Store(journal)
            assert store.replay() == right
            refused(store)
            refused(store)
        store.append((MORE,), 9.0, "boot", "event")
        store.close()
        right.apply(MORE)
        assert replayed_copy(journal) == right


def test_a_journal_that_is_another_when_it_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        with filled(disk):
            store = Store(disk / "journal.sqlite")
            store.replay()
            refused(store)
        write(disk / "journal.sqlite", crash=False)
        for _ in range(2):
            refused(store)
        assert "it had 0 rows, and has 5" in caplog.text
        store.close()


def test_a_disk_that_fills_up_and_is_emptied(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        right = write(disk / "journal.sqlite", crash=False)
        store = Store(disk / "journal.sqlite")
        store.replay()
        for _ in range(3):
            with filled(disk):
                refused(store)
        store.append((MORE,), 9.0, "boot", "event")
        store.close()
        right.apply(MORE)
        assert replayed_copy(disk / "journal.sqlite") == right


def test_each_size_of_what_is_left_of_a_disk(tmp_path: Path) -> None:
    """Wherever in a commit the space ends: all of it is there, or nothing."""
    done = []
    for pages in range(8):
        with small_disk(tmp_path / "disk") as disk:
            journal = disk / "journal.sqlite"
            right = write(journal, crash=False)
            store = Store(journal)
            store.replay()
            with filled(disk, leave=4096 * pages):
                try:
                    store.append((MORE,), 9.0, "boot", "event")
                    right.apply(MORE)
                    done.append(True)
                except Unavailable:
                    done.append(False)
            store.close()
            assert replayed_copy(journal) == right
    assert set(done) == {False, True}


def test_a_new_journal_on_a_full_disk_waits_for_space(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        with filled(disk):
            store = Store(disk / "journal.sqlite")
            assert store.replay() == PoolState()
            refused(store)
        store.append(FACTS, 1.0, "boot", "event")
        store.close()
