"""The conformance of real programs: which ones a folder has, and what is said without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.apps.__main__ import Compared, main
from tests.conformance.apps.programs import Program, Ran, programs_in, run

README = """
| job | install | what it exercises |
|---|---|---|
| one | `a==1 b` | x |
| two | `c` | `y` |
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "one_job.py").write_text("import os; print(os.environ['APPS_DATA'])")
    return tmp_path


def test_a_program_is_a_script_and_its_row(folder: Path) -> None:
    assert programs_in(folder) == [Program("one", folder / "jobs" / "one_job.py", ("a==1", "b"))]


def test_a_script_without_a_row_is_told(folder: Path) -> None:
    (folder / "jobs" / "three_job.py").write_text("")
    with pytest.raises(ValueError, match="doesn't say what three needs"):
        programs_in(folder)


def test_a_program_finds_its_data(folder: Path) -> None:
    ran = run(["sh", "-c", "echo $APPS_DATA; echo no >&2; exit 3"], folder, {"PATH": "/bin"})
    assert (ran.stdout, ran.stderr, ran.code) == (f"{folder}/data\n".encode(), b"no\n", 3)


@pytest.mark.parametrize(
    ("remote", "same"),
    [
        (Ran(b"a", b"", 0, 2.0), True),
        (Ran(b"a", b"warned", 0, 2.0), True),
        (Ran(b"a\n", b"", 0, 2.0), False),
        (Ran(b"a", b"", 1, 2.0), False),
    ],
)
def test_the_same_bytes_and_success_are_the_same(remote: Ran, same: bool) -> None:
    compared = Compared("one", Ran(b"a", b"", 0, 1.0), remote)
    assert compared.same is same
    assert ("DIFFERENT" in compared.lines()[0]) is not same


def test_programs_that_fail_alike_are_a_difference() -> None:
    failed = Ran(b"", b"no", 1, 1.0)
    assert not Compared("one", failed, failed).same


def test_without_a_folder_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EAIS_APPS_DIR", raising=False)
    assert main(["--json"]) == 0
    data = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert data["programs"] == data["differences"] == 0
    assert data["skipped"].startswith("EAIS_APPS_DIR isn't set")
