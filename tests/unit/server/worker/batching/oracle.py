"""onnxruntime in a process of its own, asked of graphs made by chance: some of them kill it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[5]


@dataclass
class Oracle:
    """Says what becomes of x[n, dims] for some n; starts again after what killed it."""

    deaths: int = 0
    _process: subprocess.Popen[str] | None = field(default=None)

    def rank(self, model: bytes, dims: Sequence[int]) -> int | None:
        """Of what the model gives for one row; None: it doesn't."""
        found: int | None = self._ask("rank", model, dims)
        return found

    def alike(self, model: bytes, dims: Sequence[int]) -> bool | None:
        """Whether calls joined give what each gives alone; None: one alone gives nothing."""
        found: bool | None = self._ask("alike", model, dims)
        return found

    def _ask(self, what: str, model: bytes, dims: Sequence[int]) -> Any:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        asked = {"what": what, "model": base64.b64encode(model).decode(), "dims": list(dims)}
        try:
            print(json.dumps(asked), file=process.stdin, flush=True)
            said = process.stdout.readline()
        except BrokenPipeError:
            said = ""
        if said:
            return json.loads(said)
        self.deaths += 1
        self.close()
        return None

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return self._process

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            with process:
                process.kill()


@contextmanager
def oracle() -> Iterator[Oracle]:
    """One that is closed after."""
    made = Oracle()
    try:
        yield made
    finally:
        made.close()


def _calls(dims: Sequence[int]) -> list[dict[str, Any]]:
    noise = np.random.default_rng(7)
    return [{"x": noise.standard_normal((n, *dims)).astype(np.float32)} for n in (1, 1, 2, 1)]


def _rank(model: bytes, dims: Sequence[int]) -> int | None:
    from tests.unit.server.worker.batching.graphs import answers, session

    try:
        (answer,) = answers(session(model), {"x": np.ones((1, *dims), np.float32)})
    except Exception:  # noqa: BLE001 - onnxruntime's classes have no base of their own
        return None
    return len(answer.shape) or None


def _alike(model: bytes, dims: Sequence[int]) -> bool | None:
    from tests.unit.server.worker.batching.graphs import answers, rows_come_out_alike, session

    try:
        loaded = session(model)
        for feed in _calls(dims):
            answers(loaded, feed)
    except Exception:  # noqa: BLE001 - as above
        return None
    return rows_come_out_alike(model, _calls(dims))


def _serve() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        ask = {"rank": _rank, "alike": _alike}[asked["what"]]
        try:
            said = ask(base64.b64decode(asked["model"]), asked["dims"])
        except Exception:  # noqa: BLE001 - joined they failed, where each alone did not
            said = False
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    _serve()
