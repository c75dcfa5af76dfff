from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

import eais_server
from eais_server.isolation.readable import SecretsReadable, readable_paths

PURELIB = Path(sysconfig.get_path("purelib"))


def covered(path: Path, paths: tuple[Path, ...]) -> bool:
    return any(path.resolve().is_relative_to(above) for above in paths)


def test_a_worker_reads_its_own_folder_and_the_libraries(tmp_path: Path) -> None:
    paths = readable_paths(tmp_path, ())
    wanted = (tmp_path, PURELIB, Path(sysconfig.get_path("stdlib")), Path(eais_server.__path__[0]))
    assert [path for path in wanted if not covered(path, paths)] == []


def test_a_worker_reads_nothing_beside_them(tmp_path: Path) -> None:
    own = tmp_path / "w1"
    own.mkdir()
    paths = readable_paths(own, (tmp_path,))
    beside = (tmp_path, Path("/etc/shadow"), Path("/proc/self"), Path("/home"), Path("/var"))
    assert [path for path in beside if covered(path, paths)] == []
    assert not covered(Path(sys.prefix), paths)


def test_a_package_installed_in_place_opens_its_own_folder_alone(tmp_path: Path) -> None:
    package = Path(eais_server.__path__[0])
    if package.is_relative_to(PURELIB):
        pytest.skip("eais is installed, not in place")
    paths = readable_paths(tmp_path, ())
    assert covered(package, paths)
    assert not covered(package.parent, paths)


def test_paths_are_resolved_and_none_lies_below_another(tmp_path: Path) -> None:
    own = tmp_path / "w1"
    own.mkdir()
    link = tmp_path / "link"
    link.symlink_to(own)
    paths = readable_paths(link, ())
    assert own.resolve() in paths
    assert [(a, b) for a in paths for b in paths if a != b and a.is_relative_to(b)] == []


def test_secrets_below_a_library_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretsReadable, match="lies below"):
        readable_paths(tmp_path, (PURELIB / "state",))


def test_secrets_behind_a_link_into_a_library_folder_are_refused(tmp_path: Path) -> None:
    own = tmp_path / "w1"
    own.mkdir()
    (tmp_path / "state").symlink_to(PURELIB)
    with pytest.raises(SecretsReadable):
        readable_paths(own, (tmp_path / "state",))


def test_secrets_in_the_workers_own_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretsReadable):
        readable_paths(tmp_path, (tmp_path / "secret",))
    with pytest.raises(SecretsReadable):
        readable_paths(tmp_path, (tmp_path,))
