"""An instance's sessions as words: which model, and what runs it at each worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Final

from eais_client.cli.printer import Printer
from eais_client.instances import Instance, Worker
from eais_client.session_states import SessionAt, SessionState

_SHORT: Final = 12
"""Hex digits of a digest, or of a session's name, that tell one from another."""
_COLUMNS: Final = 80


def session_data(states: Sequence[SessionState], instance: Instance) -> list[dict[str, object]]:
    """The sessions for `-o json` and `-o yaml`; a worker that hasn't one has no runtime."""
    return [
        {
            "id": state.id,
            "model_sha256": state.model_sha256,
            "workers": [_worker_data(at, instance) for at in state.workers],
        }
        for state in states
    ]


def _worker_data(at: SessionAt, instance: Instance) -> dict[str, object]:
    worker = _worker(at, instance)
    name, _, precision = at.runtime.partition("/")
    return {
        "n": at.n,
        "device": worker.device if worker else None,
        "kind": worker.kind if worker else None,
        "simulated": worker.simulated if worker else None,
        "runtime": name or None,
        "precision": precision or None,
        "reason": at.reason or None,
        "refused": at.refused or None,
        "unused": [{"runtime": each.runtime, "why": each.why} for each in at.unused],
    }


def session_lines(
    states: Sequence[SessionState], instance: Instance, printer: Printer
) -> list[str]:
    """The sessions for people; `-o wide` has digests and names whole."""
    if not states:
        return ["Sessions:   none"]
    lines = ["Sessions:"]
    for state in states:
        short = None if printer.wide else _SHORT
        lines.append(f"  Session {state.id[:short]}   model {state.model_sha256[:short]}")
        for at in state.workers:
            lines += _worker_lines(at, instance)
    return lines


def _worker_lines(at: SessionAt, instance: Instance) -> Iterator[str]:
    worker = _worker(at, instance)
    where = f" on {worker.device} ({worker.kind}, {worker.made_of})" if worker else ""
    what = at.runtime or ("refused" if at.reason else "not loaded")
    yield f"    Worker {at.n}:  {what}{where}"
    said = [f"{at.reason}: {at.refused}"] if at.reason else []
    for text in [*said, *(f"not {each.runtime}: {each.why}" for each in at.unused)]:
        yield from wrap(text, _COLUMNS, initial_indent=" " * 6, subsequent_indent=" " * 8)


def _worker(at: SessionAt, instance: Instance) -> Worker | None:
    return next((worker for worker in instance.workers if worker.n == at.n), None)
