from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools.gen_proto import COMPILER_PYTHONS, CannotGenerateError, compiler_python, stale


def test_what_is_missing_changed_or_left_over_is_stale() -> None:
    fresh = {"a_pb2.py": b"1", "b_pb2.py": b"2", "c_pb2.py": b"3"}
    present = {"a_pb2.py": b"1", "b_pb2.py": b"old", "d_pb2.py": b"4"}
    assert stale(fresh, present) == ["b_pb2.py", "c_pb2.py", "d_pb2.py"]


def test_nothing_is_stale_when_all_is_equal() -> None:
    assert stale({"a_pb2.py": b"1"}, {"a_pb2.py": b"1"}) == []


@pytest.mark.parametrize("running", COMPILER_PYTHONS)
def test_a_python_that_the_compiler_runs_on_is_used(running: str, tmp_path: Path) -> None:
    assert compiler_python(running, path=str(tmp_path)) == sys.executable


def test_on_a_newer_python_an_older_one_on_path_is_found(tmp_path: Path) -> None:
    older = tmp_path / "python3.11"
    older.symlink_to(sys.executable)
    assert compiler_python("3.13", path=str(tmp_path)) == str(older)


def test_a_shim_of_a_python_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    with pytest.raises(CannotGenerateError):
        compiler_python("3.13", path=str(tmp_path))


def test_without_one_it_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(CannotGenerateError, match=r"3\.12 or 3\.11.*no wheels for 3\.13.*PATH"):
        compiler_python("3.13", path=str(tmp_path))
