from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eais.errors import ConfigError, EaisError, Unavailable
from eais_server.store import MAX_CHUNK_BYTES, ManifestFile, ModelStore, StoreUse, Upload

CONTENT = bytes(range(256)) * 40


def file_of(content: bytes, location: str = "") -> ManifestFile:
    return ManifestFile(location, hashlib.sha256(content).digest(), len(content))


FILE = file_of(CONTENT)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A store under a directory, and a short way to put things into it."""

    def __init__(self, root: Path) -> None:
        self.root = root / "store"
        self.clock = Clock()
        self.store = self.opened()
        self.uploads = list[Upload]()

    def opened(self, limit: int = 1 << 20) -> ModelStore:
        return ModelStore(self.root, limit_bytes=limit, clock=self.clock, uploads_per_tenant=3)

    def reopen(self, limit: int = 1 << 20) -> ModelStore:
        self.store.close()
        self.store = self.opened(limit)
        return self.store

    def close(self) -> None:
        for upload in self.uploads:
            upload.abort()
        self.store.close()

    def put(self, content: bytes, tenant: str = "a") -> ManifestFile:
        upload = self.store.begin(tenant, file_of(content).sha256, len(content))
        upload.write(0, content)
        upload.finish()
        return file_of(content)

    def begun(self, *chunks: bytes, file: ManifestFile = FILE) -> Upload:
        upload = self.store.begin("a", file.sha256, file.size)
        self.uploads.append(upload)
        for chunk in chunks:
            upload.write(upload.offset, chunk)
        return upload

    def files(self) -> list[Path]:
        found = [path for path in self.root.rglob("*") if path.is_file()]
        return [path for path in found if path.name != "salt"]

    def offsets(self, *files: ManifestFile, tenant: str = "a") -> list[int]:
        return [missing.offset for missing in self.store.missing(tenant, files)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def refusal(attempt: Callable[[], object]) -> EaisError:
    with pytest.raises(EaisError) as caught:
        attempt()
    assert "/" not in caught.value.message, "no paths"
    return caught.value


def test_what_is_sent_is_there_and_placed(bench: Bench, tmp_path: Path) -> None:
    (missing,) = bench.store.missing("a", [FILE])
    assert (missing.sha256, missing.size, missing.offset) == (FILE.sha256, len(CONTENT), 0)
    upload = bench.begun(CONTENT[:1000], CONTENT[1000:])
    upload.finish()
    assert upload.stored
    assert bench.offsets(FILE) == []
    bench.store.place("a", [FILE], tmp_path / "s1")
    assert (tmp_path / "s1" / "model.onnx").read_bytes() == CONTENT
    assert bench.store.use() == StoreUse(len(CONTENT), 1 << 20, 1, 0)


def test_external_data_lies_at_its_location(bench: Bench, tmp_path: Path) -> None:
    model = bench.put(b"model")
    bench.put(b"one")
    bench.put(b"two")
    bench.put(b"")
    one, two, empty = file_of(b"one", "w"), file_of(b"two", "d/e/w"), file_of(b"", "d/z")
    bench.store.place("a", [model, one, two, empty], tmp_path / "s")
    placed = {
        str(path.relative_to(tmp_path / "s")): path.read_bytes()
        for path in (tmp_path / "s").rglob("*")
        if path.is_file()
    }
    assert placed == {"model.onnx": b"model", "w": b"one", "d/e/w": b"two", "d/z": b""}
    assert stat.S_IMODE((tmp_path / "s" / "d").stat().st_mode) == 0o700


def test_only_the_owner_reads_and_nobody_writes(bench: Bench) -> None:
    bench.put(CONTENT)
    (path,) = bench.files()
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    for folder in (bench.root, path.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_tenants_share_nothing_and_no_name_tells(bench: Bench) -> None:
    bench.put(CONTENT, "a")
    assert bench.offsets(FILE, tenant="b") == [0]
    bench.put(CONTENT, "b")
    one, two = bench.files()
    assert one.name != two.name
    assert one.stat().st_ino != two.stat().st_ino
    names = [str(path) for path in bench.root.rglob("*")]
    assert not any(FILE.sha256.hex() in name for name in names)


def test_a_file_is_named_missing_once(bench: Bench) -> None:
    assert len(bench.store.missing("a", [FILE, ManifestFile("w", FILE.sha256, FILE.size)])) == 1


@pytest.mark.parametrize(("offset", "reason"), [(99, "CHUNK_OVERLAP"), (101, "CHUNK_GAP")])
def test_chunks_come_in_order(bench: Bench, offset: int, reason: str) -> None:
    upload = bench.begun(CONTENT[:100])
    error = refusal(lambda: upload.write(offset, b"x"))
    assert (error.reason, error.metadata) == (reason, {"want": "100", "got": str(offset)})
    upload.write(100, CONTENT[100:])
    upload.finish()
    assert bench.offsets(FILE) == []


def test_finishing_early_is_a_gap(bench: Bench) -> None:
    upload = bench.begun(CONTENT[:100])
    assert refusal(upload.finish).reason == "CHUNK_GAP"
    upload.write(100, CONTENT[100:])
    upload.finish()


def test_more_than_was_named_is_refused_and_dropped(bench: Bench) -> None:
    upload = bench.begun(CONTENT)
    error = refusal(lambda: upload.write(len(CONTENT), b"x"))
    assert (error.reason, error.metadata["limit"]) == ("MODEL_TOO_LARGE", str(len(CONTENT)))
    assert bench.files() == []
    assert bench.store.use().used_bytes == 0


def test_a_chunk_has_a_limit(bench: Bench) -> None:
    big = ManifestFile("", FILE.sha256, 1 << 19)
    upload = bench.begun(file=big)
    error = refusal(lambda: upload.write(0, bytes(MAX_CHUNK_BYTES + 1)))
    assert error.reason == "MALFORMED_MESSAGE"


def test_chunks_without_end_are_refused(bench: Bench) -> None:
    upload = bench.begun(CONTENT[:1])

    def trickle() -> None:
        for _ in range(1000):
            upload.write(1, b"")

    assert refusal(trickle).reason == "QUOTA"
    assert bench.files() == []


def test_a_lying_digest_is_found_and_dropped(bench: Bench) -> None:
    upload = bench.begun(b"x" * len(CONTENT))
    assert refusal(upload.finish).reason == "DIGEST_MISMATCH"
    assert bench.files() == []
    assert bench.store.use() == StoreUse(0, 1 << 20, 0, 0)
    bench.put(CONTENT)


def test_a_lying_size_of_a_stored_file_is_found(bench: Bench) -> None:
    bench.put(CONTENT)
    lie = ManifestFile("", FILE.sha256, 7)
    assert refusal(lambda: bench.store.missing("a", [lie])).reason == "DIGEST_MISMATCH"
    assert refusal(lambda: bench.begun(file=lie)).reason == "DIGEST_MISMATCH"


@pytest.mark.parametrize(("sha256", "size"), [(b"short", 1), (FILE.sha256, -1)])
def test_what_names_no_content_is_malformed(bench: Bench, sha256: bytes, size: int) -> None:
    assert refusal(lambda: bench.store.begin("a", sha256, size)).reason == "MALFORMED_MESSAGE"


def test_a_broken_upload_is_gone_on_with(bench: Bench) -> None:
    broken = bench.begun(CONTENT[:100])
    broken.abort()
    broken.abort()
    assert bench.store.use().used_bytes == 100
    assert bench.offsets(FILE) == [100]
    upload = bench.begun()
    assert upload.offset == 100
    upload.write(100, CONTENT[100:])
    upload.finish()
    upload.abort()
    bench.store.place("a", [FILE], bench.root.parent / "s")


def test_also_after_the_listener_was_killed(bench: Bench) -> None:
    bench.begun(CONTENT[:100])  # never ended
    bench.reopen()
    assert bench.offsets(FILE) == [100]
    bench.begun(CONTENT[100:]).finish()
    assert bench.offsets(FILE) == []


def test_a_part_from_before_that_is_too_long_starts_anew(bench: Bench) -> None:
    bench.begun(CONTENT[:100]).abort()
    shorter = ManifestFile("", FILE.sha256, 50)
    assert bench.offsets(shorter) == [0]
    assert bench.begun(file=shorter).offset == 0


def test_an_upload_broken_before_its_first_byte_leaves_nothing(bench: Bench) -> None:
    bench.begun().abort()
    assert bench.files() == []
    assert bench.store.use().files == 0


def test_one_file_is_sent_by_one_call_at_a_time(bench: Bench) -> None:
    first = bench.begun(CONTENT[:100])
    error = refusal(bench.begun)
    assert (error.reason, error.retryable) == ("BUSY", True)
    first.write(100, CONTENT[100:])
    first.finish()


def test_sending_what_is_there_costs_nothing_and_succeeds(bench: Bench) -> None:
    bench.put(CONTENT)
    late = bench.begun()
    assert late.stored
    late.write(0, CONTENT[:10])
    late.finish()
    late.abort()
    assert bench.store.use() == StoreUse(len(CONTENT), 1 << 20, 1, 0)


def test_a_tenant_has_so_many_uploads(bench: Bench) -> None:
    uploads = [bench.begun(file=file_of(bytes([n]))) for n in range(3)]
    assert refusal(bench.begun).reason == "BUSY"
    bench.put(CONTENT, "b")
    uploads[0].abort()
    bench.put(CONTENT)


def test_an_abandoned_upload_is_reclaimed(bench: Bench) -> None:
    bench.begun(CONTENT[:-100]).abort()
    bench.clock.now = 44.0
    assert bench.store.sweep() == 0
    bench.clock.now = 45.0
    assert bench.store.sweep() == len(CONTENT) - 100
    assert bench.files() == []
    assert bench.offsets(FILE) == [0]


def test_an_upload_held_open_in_silence_too(bench: Bench) -> None:
    upload = bench.begun(CONTENT[:100])
    bench.clock.now = 45.0
    assert bench.store.sweep() == len(CONTENT)
    error = refusal(lambda: upload.write(100, b"x"))
    assert (error.reason, error.retryable) == ("STORE_UNAVAILABLE", True)
    other = bench.begun(CONTENT[:50])
    assert refusal(upload.finish).reason == "CHUNK_GAP"
    upload.abort()
    other.write(50, CONTENT[50:])
    other.finish()
    assert bench.offsets(FILE) == []


def test_each_chunk_keeps_an_upload_alive(bench: Bench) -> None:
    upload = bench.begun(CONTENT[:100])
    bench.clock.now = 44.0
    upload.write(100, CONTENT[100:])
    bench.clock.now = 80.0
    assert bench.store.sweep() == 0
    upload.finish()


def test_the_least_recently_used_makes_room(bench: Bench, tmp_path: Path) -> None:
    store = bench.reopen(limit=300)
    old, used, new = (bytes([n]) * 100 for n in range(3))
    for content in (used, old, new):
        bench.put(content)
    store.place("a", [file_of(used)], tmp_path / "s")
    bench.put(b"z" * 100)
    assert bench.offsets(file_of(used), file_of(old), file_of(new)) == [0]
    assert bench.offsets(file_of(old)) == [0]
    assert len(bench.files()) == 3


def test_what_sessions_use_stays_until_they_end(bench: Bench) -> None:
    store = bench.reopen(limit=100)
    kept = file_of(b"k" * 60)
    store.pin("s", "a", [kept])  # before it is there
    bench.put(b"k" * 60)
    error = refusal(lambda: bench.put(b"x" * 50))
    assert (error.reason, error.metadata["limit"]) == ("STORE_FULL", "100")
    assert bench.offsets(kept) == []
    store.unpin("s")
    bench.put(b"x" * 50)
    assert bench.offsets(kept) == [0]


def test_a_file_above_the_limit_is_refused_and_evicts_nothing(bench: Bench) -> None:
    bench.reopen(limit=100)
    kept = bench.put(b"k")
    huge = ManifestFile("", FILE.sha256, 1 << 63)
    assert refusal(lambda: bench.begun(file=huge)).reason == "STORE_FULL"
    assert bench.offsets(kept) == []


def test_the_order_of_use_outlives_the_process(bench: Bench, tmp_path: Path) -> None:
    first, second = bench.put(b"1" * 100), bench.put(b"2" * 100)
    for n, path in enumerate(sorted(bench.files(), key=lambda path: path.read_bytes())):
        os.utime(path, ns=(n, n))
    bench.store.place("a", [first], tmp_path / "s")
    bench.reopen(limit=250)
    bench.put(b"3" * 100)
    assert bench.offsets(first) == []
    assert bench.offsets(second) == [0]


def test_opening_again_finds_all_and_removes_what_is_torn(bench: Bench) -> None:
    bench.put(CONTENT)
    (whole,) = bench.files()
    (whole.parent / f"{'0' * 64}.{'f' * 8}.part").write_bytes(b"of another boot")
    (whole.parent / ".salt.1234.part").write_bytes(b"torn")
    (whole.parent / ("1" * 64)).symlink_to("/etc/passwd")
    bench.reopen()
    assert bench.files() == [whole]
    assert bench.store.use() == StoreUse(len(CONTENT), 1 << 20, 1, 0)
    assert bench.offsets(FILE) == []


def damaged(bench: Bench, content: bytes) -> None:
    """The stored file is `content` after a restart."""
    bench.put(CONTENT)
    (path,) = bench.files()
    path.unlink()
    path.write_bytes(content)
    bench.reopen()


def test_a_shortened_file_is_asked_for_again(bench: Bench, tmp_path: Path) -> None:
    damaged(bench, CONTENT[:-1])
    assert bench.offsets(FILE) == [0]
    bench.put(CONTENT)
    bench.store.place("a", [FILE], tmp_path / "s")


def test_an_altered_file_is_not_used_but_asked_for_again(bench: Bench, tmp_path: Path) -> None:
    damaged(bench, b"x" * len(CONTENT))
    assert bench.offsets(FILE) == []
    error = refusal(lambda: bench.store.place("a", [FILE], tmp_path / "s"))
    assert (error.reason, error.retryable) == ("MODEL_LOST", True)
    assert not (tmp_path / "s").exists()
    assert bench.offsets(FILE) == [0]
    bench.put(CONTENT)
    bench.store.place("a", [FILE], tmp_path / "s")


def test_a_lying_size_is_found_after_a_restart_too(bench: Bench) -> None:
    bench.put(CONTENT)
    bench.reopen()
    lie = ManifestFile("", FILE.sha256, 7)
    assert refusal(lambda: bench.store.missing("a", [lie])).reason == "DIGEST_MISMATCH"
    assert bench.offsets(FILE) == []


def test_a_file_that_vanished_under_the_store_is_asked_for_again(
    bench: Bench, tmp_path: Path
) -> None:
    bench.put(CONTENT)
    bench.files()[0].unlink()
    error = refusal(lambda: bench.store.place("a", [FILE], tmp_path / "m"))
    assert error.reason == "MODEL_LOST"
    assert bench.offsets(FILE) == [0]


def test_placing_is_all_or_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.put(CONTENT)
    absent = file_of(b"absent", "w")
    assert refusal(lambda: bench.store.place("a", [FILE, absent], tmp_path / "s")).retryable
    clash = [FILE, ManifestFile("w", FILE.sha256, FILE.size)] * 2
    assert refusal(lambda: bench.store.place("a", clash, tmp_path / "s")).reason
    assert not (tmp_path / "s").exists()


def test_placing_takes_a_new_folder_and_follows_no_link(bench: Bench, tmp_path: Path) -> None:
    bench.put(CONTENT)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "s").symlink_to(elsewhere)
    error = refusal(lambda: bench.store.place("a", [FILE], tmp_path / "s"))
    assert error.reason == "WRONG_STATE"
    assert list(elsewhere.iterdir()) == []


def test_a_placed_file_outlives_its_eviction(bench: Bench, tmp_path: Path) -> None:
    bench.reopen(limit=len(CONTENT))
    bench.put(CONTENT)
    bench.store.place("a", [FILE], tmp_path / "m")
    bench.put(b"x")
    assert bench.offsets(FILE) == [0]
    assert (tmp_path / "m" / "model.onnx").read_bytes() == CONTENT


def test_calls_of_many_threads_keep_the_accounts_true(bench: Bench) -> None:
    store = bench.reopen(limit=5000)
    contents = [bytes([n]) * (100 + n) for n in range(60)]

    def push(tenant: str, content: bytes) -> None:
        with contextlib.suppress(Unavailable):  # BUSY: another thread sends this very file
            upload = store.begin(tenant, file_of(content).sha256, len(content))
            upload.write(upload.offset, content[upload.offset :])
            upload.finish()

    with ThreadPoolExecutor(8) as pool:
        for tenant in ("a", "b"):
            list(pool.map(push, [tenant] * 120, [*contents, *contents]))
    on_disk = sum(path.stat().st_size for path in bench.files())
    assert store.use() == StoreUse(on_disk, 5000, len(bench.files()), 0)
    assert 0 < on_disk <= 5000


def test_no_descriptor_is_left_open(bench: Bench, tmp_path: Path) -> None:
    def descriptors() -> int:
        gc.collect()  # what earlier tests left to the collector is closed now, not in between
        return len(list(Path("/proc/self/fd").iterdir()))

    bench.put(b"warm")
    before = descriptors()
    bench.put(CONTENT)
    bench.begun(b"x", file=file_of(b"xy")).abort()
    lying = bench.begun(b"ba", file=file_of(b"ab"))
    refusal(lying.finish)
    bench.store.place("a", [FILE, file_of(b"warm", "a/b")], tmp_path / "s")
    assert descriptors() == before


@pytest.mark.parametrize("spoil", ["file", "open"])
def test_a_root_that_cannot_be_used_is_a_state_dir_error(tmp_path: Path, spoil: str) -> None:
    root = tmp_path / "store"
    if spoil == "file":
        root.write_bytes(b"")
    else:
        root.mkdir(mode=0o755)
    with pytest.raises(ConfigError) as caught:
        ModelStore(root, limit_bytes=1, clock=Clock())
    assert caught.value.reason == "STATE_DIR"
