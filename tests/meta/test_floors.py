from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_no_import_goes_up_a_floor_or_across() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_folders_above_the_packages_are_no_packages() -> None:
    above = ("client", "server", "pool", "proto")
    assert [name for name in above if (ROOT / name / "__init__.py").exists()] == []
