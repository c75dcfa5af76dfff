"""A user with a home of their own, who types commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = str(Path(sys.executable).parent / "eais")


@dataclass(frozen=True)
class Terminal:
    """Runs `eais` as a process, with all that it keeps below `home`."""

    home: Path
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """The user's variables; nothing of those that the tests run under."""
        own = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {**own, "HOME": str(self.home), "TMPDIR": str(self.temp), **self.more}

    @property
    def temp(self) -> Path:
        """The user's temporary folder."""
        folder = self.home / "tmp"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def pools(self) -> Path:
        """Where pools keep their state."""
        return self.home / ".local/state/eais/pools"

    def run(
        self, *argv: str, timeout_s: float = 60, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `eais` to its end; `stdin` is what it may read."""
        return subprocess.run(
            [PROGRAM, *argv],
            env=self.environ,
            cwd=self.home,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def data(self, *argv: str, timeout_s: float = 60) -> dict[str, Any]:
        """Run `eais ... -o json`, which must do well; the object it ends with."""
        done = self.run(*argv, "-o", "json", timeout_s=timeout_s)
        assert done.returncode == 0, done.stderr
        *before, last = done.stdout.splitlines()
        assert before == []
        return dict(json.loads(last))

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start `eais` and leave it running."""
        return subprocess.Popen(
            [PROGRAM, *argv],
            env=self.environ,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
