from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from eais import files


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_replaced_file_is_whole_private_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    files.replace_file(path, b"old")
    files.replace_file(path, b"new")
    assert files.read_private(path) == b"new"
    assert mode(path) == 0o600
    assert names(tmp_path) == ["key"]


def test_the_mode_is_what_was_asked_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        files.replace_file(tmp_path / "public", b"x", mode=0o644)
    finally:
        os.umask(old)
    assert mode(tmp_path / "public") == 0o644


def test_create_never_takes_an_existing_files_place(tmp_path: Path) -> None:
    path = tmp_path / "ca"
    files.create_file(path, b"first")
    with pytest.raises(FileExistsError):
        files.create_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["ca"]


def test_a_write_that_fails_leaves_the_old_bytes_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    files.replace_file(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            files.replace_file(path, b"n" * 8192)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["journal"]


class SyncFails(files.DiskOps):
    """A disk that takes bytes, and says only later that it lost them."""

    def fsync(self, fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_what_the_disk_loses_when_it_is_synced_takes_nothings_place(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    files.replace_file(path, b"old")
    with pytest.raises(OSError, match="Input/output error"):
        files.replace_file(path, b"new", disk=SyncFails())
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["lease"]


WRITER = """
import pathlib, sys
from eais import files
path = pathlib.Path(sys.argv[1])
for fill in "abcdefgh" * 1000:
    files.replace_file(path, fill.encode() * 200_000)
    print(fill, flush=True)
"""


def test_a_killed_writer_leaves_one_whole_file_and_leftovers_that_go(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    for lines in (1, 4, 9):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                assert writer.stdout.readline()
            writer.kill()
        data = files.read_private(path)
        assert len(data) == 200_000
        assert len(set(data)) == 1
    files.remove_leftovers(tmp_path)
    assert names(tmp_path) == ["bundle"]


def test_leftovers_are_removed_and_nothing_else_is(tmp_path: Path) -> None:
    files.replace_file(tmp_path / "key", b"k")
    (tmp_path / ".key.0123.part").write_bytes(b"half")
    (tmp_path / ".hidden").write_bytes(b"mine")
    assert files.remove_leftovers(tmp_path) == 1
    assert names(tmp_path) == [".hidden", "key"]


def test_what_may_be_at_work_is_no_leftover(tmp_path: Path) -> None:
    for name in (".[k].1.part", ".[k].2.part", ".k.1.part", "[k]"):
        (tmp_path / name).write_bytes(b"half")
    os.utime(tmp_path / ".[k].1.part", (1000, 1000))
    os.utime(tmp_path / ".[k].2.part", (1001, 1001))
    assert files.remove_leftovers_of(tmp_path / "[k]", until=1000) == 1
    assert names(tmp_path) == [".[k].2.part", ".k.1.part", "[k]"]
    assert files.remove_leftovers_of(tmp_path / "[k]") == 1
    assert names(tmp_path) == [".k.1.part", "[k]"]


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o666, 0o601])
def test_a_file_that_others_may_reach_is_refused(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "key"
    files.replace_file(path, b"k", mode=bits)
    with pytest.raises(files.UnsafePath, match="chmod 600"):
        files.read_private(path)


def test_links_pipes_and_directories_are_no_private_files(tmp_path: Path) -> None:
    files.replace_file(tmp_path / "key", b"k")
    (tmp_path / "link").symlink_to("key")
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "dir").mkdir(0o700)
    for name in ("link", "pipe", "dir"):
        with pytest.raises(files.UnsafePath):
            files.read_private(tmp_path / name)


def test_reading_is_bounded(tmp_path: Path) -> None:
    files.replace_file(tmp_path / "big", b"12345")
    assert files.read_private(tmp_path / "big", limit=5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        files.read_private(tmp_path / "big", limit=4)
    with pytest.raises(FileNotFoundError):
        files.read_private(tmp_path / "none")


def test_a_private_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    path = files.private_dir(tmp_path / "a" / "b" / "c")
    assert files.private_dir(path) == path
    assert [mode(p) for p in (path, path.parent, path.parent.parent)] == [0o700] * 3


def test_a_directory_that_is_not_private_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "file").write_bytes(b"")
    files.private_dir(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    for name in ("open", "file", "link"):
        with pytest.raises(files.UnsafePath):
            files.private_dir(tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(tmp_path: Path) -> None:
    files.replace_file(tmp_path / "key", b"k")
    os.chown(tmp_path / "key", 65534, 65534)
    with pytest.raises(files.UnsafePath, match="another user"):
        files.read_private(tmp_path / "key")


def test_a_file_is_removed_once_and_for_all(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    for _ in range(2):
        files.remove_file(path)
        assert not path.exists()


def test_a_lock_file_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for _ in range(2):
        os.close(files.open_lock(path))
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileNotFoundError):
        files.open_lock(tmp_path / "nowhere" / "lock")
