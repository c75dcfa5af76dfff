"""Millions of small calls and a thousand large ones on one stream: memory stays as it is.

64 tasks of one event loop call a tiny model until `--small` calls were answered, then one caller
after the other sends and gets 16 MiB `--large` times, each answer compared. Memory of this process,
the worker and the listener is sampled all the time; what came before a tenth of either kind was
done is warmth, and isn't judged.

`--json` ends standard output with one object on one line: small, large (calls answered), wrong,
per_s (small calls a second), memory (by phase and role, as of `benchmarks.soak`), more (what there
is more of at the end), shortcomings, flat. The exit status is 1 if it isn't flat or one was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import eais
from benchmarks.context import context_of
from benchmarks.dataplane.attaching import attached
from benchmarks.dataplane.models import feed, write_one_node_models
from benchmarks.ending import ending
from benchmarks.faults.processes import titled
from benchmarks.soak.census import Census, take
from benchmarks.soak.verdict import Sample, memory, shortcomings
from eais import aio
from tests.system.stack import embedded_pool

TASKS = 64
SAMPLES = 60
WARM = 0.1
CHECKED_EVERY = 64


@dataclass
class Flood:
    """Calls of one kind, and what the processes held meanwhile."""

    count: int
    census: Callable[[], Census]
    done: int = 0
    wrong: int = 0
    samples: list[Sample] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)

    def answered(self, *, right: bool) -> None:
        """One more; a sample when it is time for one."""
        self.done += 1
        self.wrong += not right
        if self.done % max(1, self.count // SAMPLES) == 0 and self.done > WARM * self.count:
            self.samples.append(Sample(time.monotonic(), self.done, 0, self.census()))

    @property
    def per_s(self) -> float:
        """Calls a second so far."""
        return self.done / (time.monotonic() - self.began_s)


async def small_calls(flood: Flood, model: Path, instance: str) -> None:
    """Answer `flood.count` calls by 64 tasks."""
    async with aio.InferenceSession(str(model), provider_options={"instance": instance}) as session:
        numbers = itertools.count()
        await asyncio.gather(*(_small(flood, session, numbers) for _ in range(TASKS)))


async def _small(flood: Flood, session: Any, numbers: Iterator[int]) -> None:
    x = feed("tiny")
    while flood.done < flood.count:
        number = next(numbers) % 1_000_000
        x[0, 0] = number
        [y] = await session.run(None, {"x": x})
        flood.answered(right=bool(y[0, 0] == 2 * number))


def large_calls(flood: Flood, model: Path, instance: str) -> None:
    """Answer `flood.count` calls one after the other."""
    x = feed("identity")
    with eais.InferenceSession(str(model), provider_options={"instance": instance}) as session:
        for number in range(flood.count):
            x[0, number % x.size] = -number
            [y] = session.run(None, {"x": x})
            whole = number % CHECKED_EVERY == 0
            right = np.array_equal(x, y) if whole else y[0, number % x.size] == -number
            flood.answered(right=bool(right))


def measure(root: Path, small: int, large: int) -> dict[str, Any]:
    """Both kinds on a pool below `root`; all figures by name."""
    write_one_node_models(root)
    with embedded_pool(root, "[listener]\ncpu_cores = 1\n") as stack, context_of(stack):
        instance = attached(stack)

        def census() -> Census:
            found = titled(stack.supervisor.pid, f"eais-worker {instance}")
            roles = {"client": os.getpid(), **({"worker": found.pid} if found else {})}
            return take(roles, stack.supervisor.pid, stack.state, root / "absent")

        floods = {"small": Flood(small, census), "large": Flood(large, census)}
        asyncio.run(small_calls(floods["small"], root / "tiny.onnx", instance))
        per_s = floods["small"].per_s
        print(f"{small} small calls, {per_s:.0f} a second", file=sys.stderr)
        large_calls(floods["large"], root / "identity.onnx", instance)
        return report(floods, per_s)


def report(floods: dict[str, Flood], per_s: float) -> dict[str, Any]:
    """The figures by name."""
    short = {name: _short(flood.samples) for name, flood in floods.items()}
    said = [f"{name}: {what}" for name, found in short.items() for what in found]
    return {
        "benchmark": "flood",
        **{name: flood.done for name, flood in floods.items()},
        "wrong": sum(flood.wrong for flood in floods.values()),
        "per_s": round(per_s),
        "memory": {name: _memory(flood.samples) for name, flood in floods.items()},
        "shortcomings": said,
        "flat": not said,
    }


def _short(samples: list[Sample]) -> list[str]:
    return shortcomings(samples, samples[0].census, samples[-1].census)


def _memory(samples: list[Sample]) -> dict[str, dict[str, int]]:
    return {
        role: {
            "grown_kib": round(line.grown),
            "low_kib": round(line.low),
            "allowed_kib": round(most),
        }
        for role, (line, most) in memory(samples).items()
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--small", type=int, default=10_000_000, metavar="N", help="calls")
    parser.add_argument("--large", type=int, default=1_000, metavar="N", help="calls of 16 MiB")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="eais-flood-") as folder:
        found = measure(Path(folder), given.small, given.large)
    wrong = [f"wrong = {found['wrong']}"] if found["wrong"] else []
    return ending(found, [*wrong, *found["shortcomings"]], as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
