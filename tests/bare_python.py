"""A Python whose environment is this one's, but for some of its packages; made in a moment."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path


def bare_python(folder: Path, *, without: str) -> Path:
    """The interpreter of a new virtual environment in `folder`.

    It has a link to each package of this environment whose name doesn't begin with `without`.
    """
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.lower().startswith(without):
            (packages / entry.name).symlink_to(entry)
    return folder / "bin" / "python"
