"""Contestants and floors as processes, each of which is idle while another is measured."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.dataplane.contestant import Spec

QUIET_EXIT_S = 30.0


class Process:
    """A contestant that was started."""

    def __init__(self, spec: Spec, environ: Mapping[str, str], python: str) -> None:
        argv = [python, "-m", "benchmarks.dataplane.contestant", json.dumps(asdict(spec))]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**environ}
        )
        self.name = spec.transport or spec.kind
        self._heard()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def took(self, what: str, calls: int) -> list[float]:
        """Seconds of each call."""
        self.begin({"do": what, "calls": calls})
        return self.ended()

    def per_s(self, what: str, seconds: float) -> float:
        """Calls a second."""
        self.begin({"do": what, "seconds": seconds})
        return float(self._heard()["per_s"])

    def beside(self, seconds: float) -> dict[str, list[float]]:
        """See `Sessions.beside`."""
        self.begin({"do": "beside", "seconds": seconds})
        return dict(self._heard()["beside"])

    def begin(self, order: dict[str, Any]) -> None:
        """Have it begin; `ended` waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def ended(self) -> list[float]:
        """The seconds of each call of what was begun."""
        return [float(seconds) for seconds in self._heard()["took"]]

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(QUIET_EXIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self._process.wait()}")
        return dict(json.loads(line))


@contextlib.contextmanager
def contestant(
    spec: Spec, environ: Mapping[str, str] | None = None, python: str = sys.executable
) -> Iterator[Process]:
    """A contestant, ready."""
    process = Process(spec, environ or os.environ, python)
    try:
        yield process
    finally:
        process.close()


@contextlib.contextmanager
def floor(kind: str, folder: Path, core: int) -> Iterator[int]:
    """The server of a floor; its port."""
    argv = [sys.executable, "-m", "benchmarks.dataplane.floors", kind, str(folder), str(core)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()


def cpu_s(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
