"""Cut and turned files: what is read is what was written, or a named error; never another value."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from eais import tls
from eais.errors import ConfigError, EaisError, IdentityError
from eais.identity import Identity
from eais_pool.authority import Authority
from eais_pool.high_water import HighWater, Unreadable
from eais_pool.place import Place, load_place, save_place
from eais_server.listener import place as listener_place
from eais_server.listener.lease import Lease, Share
from eais_server.listener.leases import ListenerFiles
from eais_server.listener.quarantine_file import QuarantineFile
from eais_server.listener.sessions import KeptSession
from eais_server.listener.usage import Counters, UsageRecord
from eais_server.store import ManifestFile, ModelStore
from eais_server.supervision.quarantine import Model, Record
from tests.fault.damage import cuts, turns

# cryptography warns of names and serial numbers that are then refused for their signature.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

NOW = datetime.now(UTC)
LEASE = Lease(
    "ei-1", "acme", 7, (Share(1, "cpu0", 1000, 4001, 2),), "127.64.0.16", "loopback", 600, "exact"
)
SESSIONS = [KeptSession("a" * 32, "acme", b"spec", b"signature")]
USAGE = UsageRecord(7, Counters(1, 2, 3, 4))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("pool") / "ca", "pool", NOW)


@pytest.fixture(scope="module")
def leaf(authority: Authority) -> tls.Bundle:
    return authority.bundle(Identity.worker("pool", "ei-1", 1), NOW)


def each_damage(path: Path, bits: int = 8) -> Iterable[bytes]:
    """Put each damaged form of the file at `path` in its place; whole again afterwards."""
    whole = path.read_bytes()
    for damaged in (*cuts(whole), *turns(whole, bits)):
        path.unlink(missing_ok=True)
        path.write_bytes(damaged)
        path.chmod(0o600)
        yield damaged
    path.write_bytes(whole)


def harmless(read: Callable[[], object], right: object) -> bool:
    """Whether the file reads right; False if that is refused by name. Another value fails."""
    try:
        found = read()
    except (ConfigError, IdentityError):
        return False
    assert found == right
    return True


# What the manager keeps


def test_the_managers_place(tmp_path: Path) -> None:
    place = Place("pool", "127.64.16.0/20", 4001, 4002)
    save_place(tmp_path, place)
    for _ in each_damage(tmp_path / "place.json"):
        with pytest.raises(ConfigError, match=r"place\.json") as caught:
            load_place(tmp_path)
        assert caught.value.reason == "STATE_DIR"
    assert load_place(tmp_path) == place


def test_the_ca(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca", "pool", NOW)

    def read() -> tuple[bytes, str]:
        found = Authority.load(tmp_path / "ca")
        return found.ca_pem, repr(found.roll)

    right = authority.ca_pem, repr(authority.roll)
    outcomes = [harmless(read, right) for _ in each_damage(tmp_path / "ca" / "authority.pem", 2)]
    assert outcomes.count(True) < len(outcomes) / 50


def test_the_note_of_how_far_the_journal_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "journal.head"
    note = HighWater(path)
    note.note(41)
    note.note(42)
    note.close()
    found = set()
    for _ in each_damage(path):
        try:
            found.add(HighWater(path).read())
        except Unreadable:
            found.add(None)
    # The other line is an older promise, which was true too.
    assert found == {None, 41, 42}


# Identities, wherever they are


def test_a_key_and_its_leaf(tmp_path: Path, leaf: tls.Bundle) -> None:
    path = tmp_path / "keys" / "identity.pem"
    tls.save_bundle(path, leaf)

    def read() -> tuple[object, ...]:
        found = tls.load_bundle(path)
        return found.identity, found.not_after, _meaning(found)

    right = leaf.identity, leaf.not_after, _meaning(leaf)
    outcomes = [harmless(read, right) for _ in each_damage(path, 2)]
    assert outcomes.count(True) < len(outcomes) / 50


def _meaning(bundle: tls.Bundle) -> tuple[object, ...]:
    """Key, leaf and CA as they are understood: the PEM around them may have lost a line's end."""
    certificates = tls.load_certificates(bundle.leaf_pem + bundle.ca_pem)
    key = tls.key_to_pem(tls.key_from_pem(bundle.key_pem))
    return key, *certificates


# What the listener keeps


@pytest.fixture
def kept(tmp_path: Path, leaf: tls.Bundle) -> ListenerFiles:
    files = ListenerFiles(tmp_path / "listener")
    files.save_leaf("ei-1", 1, leaf)
    files.save_lease(LEASE)
    files.save_specs("ei-1", SESSIONS)
    files.save_usage("ei-1", USAGE)
    return files


Read = Callable[[ListenerFiles], object]
LISTENER_FILES: list[tuple[str, Read]] = [
    ("leases/ei-1.json", lambda files: list(files.leases())),
    ("specs/ei-1.json", lambda files: list(files.specs())),
    ("usage/ei-1.json", lambda files: files.usage("ei-1")),
]


@pytest.mark.parametrize(("name", "read"), LISTENER_FILES, ids=lambda value: str(value)[:6])
def test_a_damaged_record_of_the_listener_is_said_kept_aside_and_nothing_else(
    tmp_path: Path, kept: ListenerFiles, name: str, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "listener" / name
    assert read(kept)
    for damaged in each_damage(path):
        with caplog.at_level(logging.ERROR):
            assert not read(kept)
        assert path.name in caplog.text
        caplog.clear()
        assert not path.exists()
        assert path.with_name(f"{path.name}.damaged").read_bytes() == damaged
    path.chmod(0o600)
    assert read(kept)
    others = [read for other, read in LISTENER_FILES if other != name]
    assert all(read(ListenerFiles(tmp_path / "listener")) for read in others)


def test_a_record_under_another_instances_name_is_damage(
    tmp_path: Path, kept: ListenerFiles
) -> None:
    for name, _read in LISTENER_FILES:
        path = tmp_path / "listener" / name
        path.rename(path.with_name("ei-2.json"))
    assert (list(kept.leases()), list(kept.specs())) == ([], [])
    assert kept.usage("ei-2") is None


def test_a_lease_is_lost_with_a_workers_key(
    tmp_path: Path, kept: ListenerFiles, leaf: tls.Bundle
) -> None:
    """Said, not guessed at: its grant is asked for again, with new keys."""
    path, lease = (tmp_path / "listener" / "leases" / f"ei-1.{end}" for end in ("1.pem", "json"))
    whole = lease.read_bytes()
    lost = 0
    for _ in each_damage(path, 1):
        found = list(kept.leases())
        if found:
            assert [_meaning(bundle) for bundle in found[0][1].values()] == [_meaning(leaf)]
        else:
            lost += 1
            lease.with_name("ei-1.json.damaged").rename(lease)
    assert lease.read_bytes() == whole
    assert lost > 1000


def test_which_models_killed_workers_is_never_another_list(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "quarantine.json"
    record = Record(Model("acme", "ab" * 32), 2, 0, "load", {"signal": "SIGFPE"}, ends_at=500.0)
    file = QuarantineFile(path, 1000.0, lambda: 0.0, lambda: NOW)
    file.save([record])
    for damaged in each_damage(path):
        with caplog.at_level(logging.ERROR):
            assert file.load() == []
        assert path.name in caplog.text
        caplog.clear()
        assert not path.exists()
        assert path.with_name(f"{path.name}.damaged").read_bytes() == damaged
    path.chmod(0o600)
    assert file.load() == [record]


def test_the_listeners_place_is_chosen_anew(tmp_path: Path) -> None:
    path = tmp_path / "place.json"
    listener_place.save_place(path, listener_place.Place("127.64.0.2", 4001, 4002))
    for _ in each_damage(path):
        found = listener_place.load_place(path, "127.64.0.2")
        assert found == listener_place.Place("127.64.0.2")


# The model store

CONTENT = b"a model's bytes" * 3
FILE = ManifestFile("", hashlib.sha256(CONTENT).digest(), len(CONTENT))


def opened(root: Path) -> ModelStore:
    return ModelStore(root, limit_bytes=1 << 20, clock=lambda: 0.0)


def put(store: ModelStore) -> None:
    upload = store.begin("a", FILE.sha256, FILE.size)
    upload.write(upload.offset, CONTENT[upload.offset :])
    upload.finish()


def placed(store: ModelStore, folder: Path) -> bytes | None:
    """What a worker would be given; None: it is refused, and asked for from now on."""
    reason = refusal(lambda: store.place("a", [FILE], folder))
    if not reason:
        return (folder / "model.onnx").read_bytes()
    assert reason == "MODEL_LOST"
    assert [missing.offset for missing in store.missing("a", [FILE])] == [0]
    return None


def refusal(deed: Callable[[], object]) -> str:
    """The reason that `deed` is refused for, "" if it isn't."""
    try:
        deed()
    except EaisError as error:
        return error.reason
    return ""


def test_a_stored_model_after_a_restart(tmp_path: Path) -> None:
    store = opened(tmp_path / "store")
    put(store)
    store.close()
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file() and path.name != "salt")
    for number, _ in enumerate(each_damage(path)):
        store = opened(tmp_path / "store")
        assert placed(store, tmp_path / str(number)) is None
        put(store)
        assert placed(store, tmp_path / f"{number}-again") == CONTENT
        store.close()


def test_a_stored_model_that_a_worker_found_damaged(tmp_path: Path) -> None:
    store = opened(tmp_path / "store")
    put(store)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file() and path.name != "salt")
    for number, _ in enumerate(each_damage(path, 1)):
        store.doubt("a", [FILE])
        assert placed(store, tmp_path / str(number)) is None
        put(store)


def test_a_part_of_a_model(tmp_path: Path) -> None:
    """It is gone on with, and found out at the end."""
    store = opened(tmp_path / "store")
    upload = store.begin("a", FILE.sha256, FILE.size)
    upload.write(0, CONTENT[:30])
    upload.abort()
    store.close()
    (path,) = tmp_path.rglob("*.part")
    whole, outcomes = path.read_bytes(), []
    for damaged in (*cuts(whole), *turns(whole)):
        path.write_bytes(damaged)
        store = opened(tmp_path / "store")
        outcomes.append(refusal(partial(put, store)))
        if outcomes[-1]:
            assert not path.exists()
            put(store)
        assert placed(store, tmp_path / str(len(outcomes))) == CONTENT
        store.close()
        path.with_name(path.name.partition(".")[0]).unlink()
    assert (outcomes.count(""), outcomes.count("DIGEST_MISMATCH")) == (30, 30 * 8)


def test_a_tenants_salt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without it the tenant's files can't be told: they go, it is said, and they're sent again."""
    store = opened(tmp_path / "store")
    put(store)
    store.close()
    (salt,) = tmp_path.rglob("salt")
    for _ in each_damage(salt, 1):
        store = opened(tmp_path / "store")
        assert store.use().files == 0
        assert "salt is damaged" in caplog.text
        caplog.clear()
        put(store)
        store.close()
        assert len([path for path in salt.parent.iterdir() if path.name != "salt"]) == 1
