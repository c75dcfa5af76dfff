"""Each call by which the listener writes fails in turn, or is the last one before a death.

After each: what was there before or what was to be there, whole; never a part, never a mixture;
what was said to be durable is; and the next attempt succeeds, with nothing left behind.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eais import tls
from eais.errors import EaisError
from eais.files import DISK, DiskOps
from eais.identity import Identity
from eais_pool.authority import Authority
from eais_server.listener.lease import Lease, Share
from eais_server.listener.leases import ListenerFiles
from eais_server.listener.quarantine_file import QuarantineFile
from eais_server.listener.sessions import KeptSession
from eais_server.listener.usage import Counters, UsageRecord
from eais_server.store import ManifestFile, ModelStore
from eais_server.store.disk import Disk
from eais_server.supervision.quarantine import Model, Record
from eais_server.testing import Died, FaultyOps

NOW = datetime.now(UTC)
OLD = Lease(
    "ei-1", "acme", 7, (Share(1, "cpu0", 1000, 4001, 2),), "127.64.0.16", "loopback", 600, "exact"
)
NEW = replace(OLD, shares=(Share(1, "cpu0", 1000, 4001, 3),))
OLD_SESSIONS = [KeptSession("a", "acme", b"spec", b"")]
NEW_SESSIONS = [*OLD_SESSIONS, KeptSession("b", "acme", b"other", b"")]
KILLER = Record(Model("acme", "ab" * 32), 2, 0, "load", {"signal": "SIGFPE"}, ends_at=500.0)
OLD_KILLERS = [KILLER]
NEW_KILLERS = [KILLER, replace(KILLER, model=Model("other", "cd" * 32))]
OLD_USAGE, NEW_USAGE = UsageRecord(7, Counters(1)), UsageRecord(7, Counters(2))
BROKEN = [errno.ENOSPC, errno.EROFS, errno.EIO]


@pytest.fixture(scope="module")
def leaf(tmp_path_factory: pytest.TempPathFactory) -> tls.Bundle:
    authority = Authority.create(tmp_path_factory.mktemp("pool") / "ca", "pool", NOW)
    return authority.bundle(Identity.worker("pool", "ei-1", 1), NOW)


@dataclass(frozen=True, slots=True)
class Kept:
    """All that a listener keeps, as one that starts in `root` finds it."""

    files: ListenerFiles
    quarantine: QuarantineFile

    @classmethod
    def at(cls, root: Path, disk: DiskOps = DISK) -> Kept:
        files = ListenerFiles(root, disk)
        path = root / "quarantine.json"
        return cls(files, QuarantineFile(path, 1000.0, lambda: 0.0, lambda: NOW, disk))


Write = Callable[[Kept], None]
Read = Callable[[Kept], object]


def lease(kept: Kept) -> list[Lease]:
    return [lease for lease, _leaves in kept.files.leases()]


#: What is written; how it is read; what is read before and after.
WRITES: dict[str, tuple[Write, Read, object, object]] = {
    "lease": (lambda kept: kept.files.save_lease(NEW), lease, [OLD], [NEW]),
    "no lease": (lambda kept: kept.files.remove_lease("ei-1"), lease, [OLD], []),
    "specs": (
        lambda kept: kept.files.save_specs("ei-1", NEW_SESSIONS),
        lambda kept: dict(kept.files.specs()),
        {"ei-1": OLD_SESSIONS},
        {"ei-1": NEW_SESSIONS},
    ),
    "no specs": (
        lambda kept: kept.files.save_specs("ei-1", []),
        lambda kept: dict(kept.files.specs()),
        {"ei-1": OLD_SESSIONS},
        {},
    ),
    "usage": (
        lambda kept: kept.files.save_usage("ei-1", NEW_USAGE),
        lambda kept: kept.files.usage("ei-1"),
        OLD_USAGE,
        NEW_USAGE,
    ),
    "quarantine": (
        lambda kept: kept.quarantine.save(NEW_KILLERS),
        lambda kept: kept.quarantine.load(),
        OLD_KILLERS,
        NEW_KILLERS,
    ),
}


def before(root: Path, leaf: tls.Bundle, ops: FaultyOps) -> Kept:
    kept = Kept.at(root, ops)
    kept.files.save_leaf("ei-1", 1, leaf)
    kept.files.save_lease(OLD)
    kept.files.save_specs("ei-1", OLD_SESSIONS)
    kept.files.save_usage("ei-1", OLD_USAGE)
    kept.quarantine.save(OLD_KILLERS)
    return kept


def steps_of(write: Write, root: Path, leaf: tls.Bundle) -> range:
    """The numbers of the calls that a write makes."""
    ops = FaultyOps()
    kept = before(root, leaf, ops)
    first = len(ops.calls)
    write(kept)
    assert len(ops.calls) > first
    return range(first, len(ops.calls))


@pytest.mark.parametrize("number", BROKEN)
@pytest.mark.parametrize("what", WRITES)
def test_a_write_that_fails_at_any_step(
    tmp_path: Path, leaf: tls.Bundle, what: str, number: int
) -> None:
    write, read, old, new = WRITES[what]
    for step in steps_of(write, tmp_path / "all", leaf):
        root = tmp_path / str(step)
        ops = FaultyOps()
        kept = before(root, leaf, ops)
        ops.fail_at(step, number)
        try:
            write(kept)
            failed = False
        except OSError:
            failed = True
        found = read(Kept.at(root))
        assert found in (old, new)
        assert failed or found == new
        ops.mend()
        write(kept)
        assert read(kept) == read(Kept.at(root)) == new
        assert not list(root.rglob(".*"))


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("what", WRITES)
def test_a_death_at_any_step(tmp_path: Path, leaf: tls.Bundle, what: str, *, power: bool) -> None:
    write, read, old, new = WRITES[what]
    seen = list[object]()
    for step in steps_of(write, tmp_path / "all", leaf):
        root = tmp_path / str(step)
        ops = FaultyOps()
        kept = before(root, leaf, ops)
        ops.die_at(step, power=power)
        with pytest.raises(Died):
            write(kept)
        after = Kept.at(root)
        seen.append(read(after))
        # Counters aren't synced each second: a power cut may cost them.
        lost = seen[-1] is None and what == "usage" and power
        assert lost or seen[-1] in (old, new)
        assert not list(root.rglob(".*"))
        write(after)
        assert read(after) == new
    assert old in seen or (what, power) == ("usage", True)


@pytest.mark.parametrize("what", [what for what in WRITES if what != "usage"])
def test_what_was_written_outlives_the_power(tmp_path: Path, leaf: tls.Bundle, what: str) -> None:
    write, read, _old, new = WRITES[what]
    ops = FaultyOps()
    kept = before(tmp_path, leaf, ops)
    write(kept)
    ops.die_at(len(ops.calls), power=True)
    with pytest.raises(Died):
        kept.files.save_usage("ei-9", OLD_USAGE)
    assert read(Kept.at(tmp_path)) == new


# The model store

CONTENT = b"content" * 100
FILE = ManifestFile("", hashlib.sha256(CONTENT).digest(), len(CONTENT))


def opened(root: Path, ops: FaultyOps) -> ModelStore:
    return ModelStore(root, limit_bytes=1 << 20, clock=lambda: 0.0, disk=Disk(root, "boot", ops))


def put(store: ModelStore) -> None:
    upload = store.begin("a", FILE.sha256, FILE.size)
    try:
        for offset in range(upload.offset, FILE.size, 100):
            upload.write(offset, CONTENT[offset : offset + 100])
        upload.finish()
    finally:
        upload.abort()


def steps_of_a_push(root: Path) -> range:
    ops = FaultyOps()
    store = opened(root, ops)
    first = len(ops.calls)
    put(store)
    store.close()
    return range(first, len(ops.calls))


def right(store: ModelStore, folder: Path) -> bool:
    """Whether the store has the file; what it has is right."""
    if store.missing("a", [FILE]):
        return False
    store.place("a", [FILE], folder)
    assert (folder / "model.onnx").read_bytes() == CONTENT
    return True


def refusal(store: ModelStore) -> EaisError | None:
    try:
        put(store)
    except EaisError as error:
        return error
    return None


@pytest.mark.parametrize("number", BROKEN)
def test_a_push_that_fails_at_any_step(tmp_path: Path, number: int) -> None:
    reasons = set()
    for step in steps_of_a_push(tmp_path / "all"):
        root, ops = tmp_path / str(step) / "store", FaultyOps()
        store = opened(root, ops)
        ops.fail_at(step, number)
        error = refusal(store)
        if error is not None:
            reasons.add(error.reason)
            assert str(tmp_path) not in str(error)
            assert store.use().used_bytes == 0
        ops.mend()
        put(store)
        assert right(store, root.with_name("s"))
        store.close()
    assert reasons == {"STORE_FULL" if number == errno.ENOSPC else "STORE_UNAVAILABLE"}


@pytest.mark.parametrize("power", [False, True])
def test_a_death_amid_a_push(tmp_path: Path, *, power: bool) -> None:
    whole = []
    for step in steps_of_a_push(tmp_path / "all"):
        root, ops = tmp_path / str(step) / "store", FaultyOps()
        store = opened(root, ops)
        ops.die_at(step, power=power)
        with pytest.raises(Died):
            put(store)
        store.close()
        after = opened(root, FaultyOps())
        whole.append(right(after, root.with_name("before")))
        if not whole[-1]:
            put(after)
            assert right(after, root.with_name("s"))
        assert after.use().used_bytes == FILE.size
        after.close()
    assert whole[0] is False
