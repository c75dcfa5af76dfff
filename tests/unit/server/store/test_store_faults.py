"""Disks that are full or broken: the right error, nothing half-stored, and on it goes."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from eais.errors import EaisError
from eais_server.store import ManifestFile, ModelStore
from eais_server.store.index import Key
from eais_server.testing import FaultyDisk

CONTENT = b"content" * 1000
FILE = ManifestFile("", hashlib.sha256(CONTENT).digest(), len(CONTENT))

FAULTS = [
    (errno.ENOSPC, "STORE_FULL"),
    (errno.EDQUOT, "STORE_FULL"),
    (errno.EFBIG, "STORE_FULL"),
    (errno.EROFS, "STORE_UNAVAILABLE"),
    (errno.EIO, "STORE_UNAVAILABLE"),
]


class Opened(Protocol):
    def __call__(self, root: Path, disk: FaultyDisk | None = None) -> ModelStore: ...


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens stores, which are closed after the test."""
    with ExitStack() as held:

        def made(root: Path, disk: FaultyDisk | None = None) -> ModelStore:
            store = ModelStore(root, limit_bytes=1 << 30, clock=lambda: 0.0, disk=disk)
            held.callback(store.close)
            return store

        yield made


def put(store: ModelStore, content: bytes = CONTENT) -> None:
    upload = store.begin("a", hashlib.sha256(content).digest(), len(content))
    try:
        for offset in range(0, len(content), 1 << 20):
            upload.write(offset, content[offset : offset + (1 << 20)])
        upload.finish()
    finally:
        upload.abort()


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path.name != "salt"]


def refusal(attempt: Callable[[], object], root: Path) -> EaisError:
    with pytest.raises(EaisError) as caught:
        attempt()
    assert str(root) not in str(caught.value)
    return caught.value


class HaltingDisk(FaultyDisk):
    """Each write waits until it may go on."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.writing, self.go_on = threading.Event(), threading.Event()

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        self.writing.set()
        self.go_on.wait()
        super().write(fd, data, offset)


def test_an_abort_waits_for_the_write_that_goes_on(tmp_path: Path, opened: Opened) -> None:
    """Else the write's descriptor could be another file's by then."""
    disk = HaltingDisk(tmp_path / "store")
    store = opened(tmp_path / "store", disk)
    upload = store.begin("a", FILE.sha256, FILE.size)
    with ThreadPoolExecutor(2) as pool:
        write = pool.submit(upload.write, 0, CONTENT[:100])
        disk.writing.wait()
        abort = pool.submit(upload.abort)
        wait([abort], timeout=0.1)
        disk.go_on.set()
        write.result()
        abort.result()
    assert [missing.offset for missing in store.missing("a", [FILE])] == [100]


@pytest.mark.parametrize(("number", "reason"), FAULTS)
@pytest.mark.parametrize("op", ["salt", "open_part", "write", "keep"])
def test_a_failing_upload_leaves_nothing_and_the_next_succeeds(
    tmp_path: Path, op: str, number: int, reason: str, opened: Opened
) -> None:
    disk = FaultyDisk(tmp_path / "store")
    store = opened(tmp_path / "store", disk)
    disk.fail_next(op, OSError(number, "no", str(tmp_path)))
    assert refusal(lambda: put(store), tmp_path).reason == reason
    assert files(tmp_path) == []
    assert (store.use().used_bytes, store.use().files) == (0, 0)
    put(store)
    assert store.missing("a", [FILE]) == []


@pytest.mark.parametrize(("number", "reason"), FAULTS)
@pytest.mark.parametrize("op", ["link", "mark_used"])
def test_a_failing_placement_leaves_nothing_and_the_next_succeeds(
    tmp_path: Path, op: str, number: int, reason: str, opened: Opened
) -> None:
    disk = FaultyDisk(tmp_path / "store")
    store = opened(tmp_path / "store", disk)
    put(store)
    disk.fail_next(op, OSError(number, "no", str(tmp_path)))
    folder = tmp_path / "s"
    assert refusal(lambda: store.place("a", [FILE], folder), tmp_path).reason == reason
    assert not folder.exists()
    store.place("a", [FILE], folder)


@pytest.mark.parametrize("ask", ["missing", "begin", "place"])
def test_a_file_that_can_not_be_read_to_judge_its_size_says_so(
    tmp_path: Path, ask: str, opened: Opened
) -> None:
    put(opened(tmp_path / "store"))
    disk = FaultyDisk(tmp_path / "store")
    store = opened(tmp_path / "store", disk)
    lie = ManifestFile("", FILE.sha256, FILE.size + 1)
    asked: dict[str, Callable[[], object]] = {
        "missing": lambda: store.missing("a", [lie]),
        "begin": lambda: store.begin("a", lie.sha256, lie.size),
        "place": lambda: store.place("a", [lie], tmp_path / "folder"),
    }
    disk.fail_next("sha256", OSError(errno.EIO, "broken"))
    assert refusal(asked[ask], tmp_path).reason == "STORE_UNAVAILABLE"
    assert refusal(asked[ask], tmp_path).reason == "DIGEST_MISMATCH"


class ReadingDisk(FaultyDisk):
    """Hashing a file waits until it may go on."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.begun, self.go_on = threading.Semaphore(0), threading.Semaphore(0)

    def sha256(self, key: Key) -> bytes:
        self.begun.release()
        assert self.go_on.acquire(timeout=30)
        return super().sha256(key)


def test_who_names_a_wrong_size_has_nobody_wait_for_the_hash(
    tmp_path: Path, opened: Opened
) -> None:
    put(opened(tmp_path))
    disk = ReadingDisk(tmp_path)
    store = opened(tmp_path, disk)
    with ThreadPoolExecutor(2) as threads:
        lie = threads.submit(store.missing, "a", [ManifestFile("", FILE.sha256, FILE.size + 1)])
        assert disk.begun.acquire(timeout=30)
        try:
            assert threads.submit(store.missing, "b", [FILE]).result(timeout=30)
        finally:
            disk.go_on.release()
        assert refusal(lie.result, tmp_path).reason == "DIGEST_MISMATCH"


def test_what_cannot_be_removed_is_counted_again_when_opened_next(
    tmp_path: Path, opened: Opened
) -> None:
    disk = FaultyDisk(tmp_path / "store")
    store = opened(tmp_path / "store", disk)
    upload = store.begin("a", FILE.sha256, FILE.size)
    upload.write(0, b"x" * FILE.size)
    disk.fail_next("remove", OSError(errno.EIO, "no"))
    assert refusal(upload.finish, tmp_path).reason == "DIGEST_MISMATCH"
    assert opened(tmp_path / "store").use().used_bytes == FILE.size


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = tmp_path / "disk"
    place.mkdir()
    if libc.mount(b"tmpfs", bytes(place), b"tmpfs", 0, b"size=1m,mode=0700"):
        pytest.skip(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")
    yield place
    libc.umount2(bytes(place), 2)


def test_a_disk_that_is_full_indeed(small_disk: Path, opened: Opened) -> None:
    store = opened(small_disk / "store")
    error = refusal(lambda: put(store, bytes(3 << 20)), small_disk)
    assert error.reason == "STORE_FULL"
    assert files(small_disk) == []
    assert store.use().used_bytes == 0
    put(store)
    store.place("a", [FILE], small_disk / "s")
    assert (small_disk / "s" / "model.onnx").read_bytes() == CONTENT


def test_a_process_that_may_write_no_larger_file(tmp_path: Path, opened: Opened) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    store = opened(tmp_path / "store")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, limits[1]))
        error = refusal(lambda: put(store, bytes(1 << 20)), tmp_path)
        put(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.reason == "STORE_FULL"
    assert len(files(tmp_path)) == 1
