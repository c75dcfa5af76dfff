"""The program of `tests.net.job`, as a test talks to it."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.net.machines import Site


class Job:
    """The program of `tests.net.job`, on the front-end's machine."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, line: str) -> dict[str, Any]:
        """Have it do something; its answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        if line:
            stdin.write(f"{line}\n")
            stdin.flush()
        answer = stdout.readline()
        assert answer, f"the program ended: {self._process.wait()}"
        return dict(json.loads(answer))


@contextlib.contextmanager
def job(site: Site, **environ: str) -> Iterator[Job]:
    """It runs until the block ends, with these variables."""
    with site.front.program("-m", "tests.net.job", **environ) as process:
        made = Job(process)
        made.tell("")
        yield made
