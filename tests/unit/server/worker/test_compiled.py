"""What confined workers import is compiled before."""

from __future__ import annotations

from importlib.util import cache_from_source
from pathlib import Path

import pytest

from eais_server.worker.compiled import PACKAGES, compile_once


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "below").mkdir()
    for name in ("start.py", "below/other.py"):
        (tmp_path / name).write_text("A = 1\n")
    return tmp_path


def compiled(file: Path) -> Path:
    return Path(cache_from_source(str(file)))


def test_what_is_not_compiled_is_once(package: Path) -> None:
    start, other = package / "start.py", package / "below" / "other.py"
    compile_once(start, [package])
    assert compiled(start).exists()
    assert compiled(other).exists()
    compiled(other).unlink()
    compile_once(start, [package])
    assert not compiled(other).exists(), "a start looks at one file alone"


def test_a_module_that_cannot_be_compiled_is_left_to_who_imports_it(
    package: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (package / "broken.py").write_text("def\n")
    compile_once(package / "start.py", [package])
    assert compiled(package / "start.py").exists()
    assert capfd.readouterr() == ("", "")


def test_a_package_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    compile_once(tmp_path / "start.py", [tmp_path / "nowhere"])
    assert list(tmp_path.iterdir()) == []


def test_the_product_is_where_its_modules_are() -> None:
    names = [(path / "__init__.py").exists() for path in PACKAGES]
    assert names == [True, True]
