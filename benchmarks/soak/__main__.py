"""Everything at once on a real embedded pool for as long as asked: nothing may grow.

Threads here and in another process call in every way there is; instances are attached, sent a
new model, called and detached; sessions come and go; a worker is killed every 5 s. In the first
half the listener, the manager and the steady instance's worker are killed too, so that in the
second, which is judged, all of them are warm, and stay the processes that they are. At rest
before and after that half all is counted: descriptors, threads, processes, zombies, shared
memory (all that the machine has), temporary and state files must be as they were. Memory is a
line by least squares through samples of the second half. Logs grow with what happens and aren't
judged: `log_bytes` says by how much.

`--json` ends standard output with one object on one line. Keys: seconds, calls, lost (raised
what they should not have, or late), wrong, ways (how calls ended), attaches, sessions, uploads,
kills, failed (attaches and sessions that didn't go well), memory (by role: grown_kib, its 95 %
interval, allowed_kib, kib_per_100k_calls, rss_kib), more (what there is more of at the end),
log_bytes and state_bytes (at rest before and after the second half), samples, shortcomings
(in words, what isn't flat), flat. The exit status is 1 if something isn't flat, lost, wrong or
failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import eais
from benchmarks.ending import ending
from benchmarks.soak.caller import Caller, another_process
from benchmarks.soak.calls import CALL_TIMEOUT_S, Tally, callers
from benchmarks.soak.census import Census, Use, take
from benchmarks.soak.doings import KILL_WORKER_EVERY_S, Doings, going_on
from benchmarks.soak.models import affine
from benchmarks.soak.verdict import Sample, left_over, memory, shortcomings
from tests.system.stack import Stack, embedded_pool

CONFIG = """
[listener]
cpu_cores = 6
spares = 2
session_idle_s = 1
store_limit_bytes = 8388608
"""
SAMPLES = 120
LEAST_PAUSE_S = 0.5
REST_S = 20.0
TERMS = (1, 2, 3)


@dataclass
class Soak:
    """One pool under everything."""

    stack: Stack
    temp: Path
    steady: str
    killed: str
    doings: Doings
    sessions: list[tuple[eais.InferenceSession, int]]
    caller: Caller
    tally: Tally = field(default_factory=Tally)
    samples: list[Sample] = field(default_factory=list)

    def half(self, seconds: float, *, rough: bool) -> None:
        """All of it for that long; `rough`: whatever is judged later is killed too, at first."""
        gentle_s = time.monotonic() + seconds / 2
        works: dict[str, tuple[Callable[[], None], float]] = {
            "lives": (self.doings.one_life, 0.0),
            "other_lives": (self.doings.one_life, 0.0),
            "sessions": (lambda: self.doings.one_session(self.steady), 0.05),
            "kills": (lambda: self.doings.kill(f"eais-worker {self.killed}"), KILL_WORKER_EVERY_S),
        }
        if rough:
            works["rough"] = (lambda: self._kill_next(gentle_s), max(2.0, seconds / 12))
        with (
            self.caller.calling(self.tally),
            callers(self.sessions, self.tally, first=0),
            going_on(self.doings.done, **works),
        ):
            self._watch(seconds, keep=not rough)

    def _kill_next(self, until_s: float) -> None:
        if time.monotonic() > until_s:
            return  # what is judged later has its memory warm by then
        count = self.doings.done.kills["rough"]
        self.doings.done.kills["rough"] += 1
        titles = ("eais-listener", "eais-manager", f"eais-worker {self.steady}")
        self.doings.kill(titles[count % len(titles)])

    def _watch(self, seconds: float, *, keep: bool) -> None:
        until, pause = time.monotonic() + seconds, max(LEAST_PAUSE_S, seconds / SAMPLES)
        while (left := until - time.monotonic()) > 0:
            threading.Event().wait(min(pause, left))
            if keep:
                self.samples.append(self.sample())

    def sample(self) -> Sample:
        """Count now."""
        done = self.doings.done
        return Sample(time.monotonic(), self.tally.calls, done.attaches, self.census())

    def census(self) -> Census:
        """What is there now."""
        roles = {"client": os.getpid(), "caller": self.caller.process.pid}
        worker = self.doings.pid_of(f"eais-worker {self.steady}")
        if worker is not None:
            roles["worker"] = worker
        return take(roles, self.stack.supervisor.pid, self.stack.state, self.temp)

    def at_rest(self, before: Census | None) -> Census:
        """The census once all has ended: when it is no more than `before`, or after a while."""
        until = time.monotonic() + REST_S
        while True:
            threading.Event().wait(1.0)
            found = self.census()
            settled = before is not None and not left_over(before, found, self.doings.done.attaches)
            if settled or time.monotonic() > until:
                return found


@contextmanager
def soak(root: Path, leaf_life_s: float | None) -> Iterator[Soak]:
    """A pool below `root` with two instances, and sessions on both."""
    temp = root / "tmp"
    temp.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temp)
    with ExitStack() as held:
        stack = held.enter_context(embedded_pool(root, CONFIG, leaf_life_s=leaf_life_s))
        os.environ["EAIS_CONFIG_DIR"] = str(stack.config)
        doings = Doings(stack)
        steady, killed = doings.attach(), doings.attach()
        sessions = []
        for term, instance in zip(TERMS, (steady, steady, killed), strict=True):
            options = [{"instance": instance, "timeout_s": CALL_TIMEOUT_S}]
            session = eais.InferenceSession(affine(term), provider_options=options)
            sessions.append((held.enter_context(session), term))
        caller = held.enter_context(another_process(steady))
        yield Soak(stack, temp, steady, killed, doings, sessions, caller)


def measure(seconds: float, root: Path, leaf_life_s: float | None) -> dict[str, Any]:
    """Run both halves on a pool below `root`; all figures by name."""
    with soak(root, leaf_life_s) as running:
        running.half(seconds / 2, rough=True)
        print(f"first half: {running.tally.calls} calls", file=sys.stderr)
        before = running.at_rest(None)
        running.half(seconds / 2, rough=False)
        after = running.at_rest(before)
        return report(running, before, after, seconds)


def report(running: Soak, before: Census, after: Census, seconds: float) -> dict[str, Any]:
    """The figures by name."""
    done, samples = running.doings.done, running.samples
    calls = samples[-1].calls - samples[0].calls
    more = left_over(before, after, samples[-1].attaches - samples[0].attaches)
    short = shortcomings(samples, before, after)
    by_role = {
        role: {
            "grown_kib": round(line.grown),
            "low_kib": round(line.low),
            "high_kib": round(line.high),
            "allowed_kib": round(allowed),
            "kib_per_100k_calls": round(line.grown / max(1, calls) * 100_000),
            "rss_kib": samples[-1].census.roles[role].rss_kib,
        }
        for role, (line, allowed) in memory(samples).items()
    }
    return {
        "benchmark": "soak",
        "seconds": seconds,
        **running.tally.data(),
        "attaches": done.attaches,
        "sessions": done.sessions,
        "uploads": done.uploads,
        "kills": {name: count for name, count in done.kills.items() if name != "rough"},
        "failed": dict(done.failed),
        "memory": by_role,
        "more": more,
        "log_bytes": [before.log_bytes, after.log_bytes],
        "store_bytes": after.store_bytes,
        "state_bytes": [before.state_bytes, after.state_bytes],
        "before": {role: _said(use) for role, use in before.roles.items()},
        "after": {role: _said(use) for role, use in after.roles.items()},
        "samples": len(samples),
        "shortcomings": short,
        "flat": not short,
    }


def _said(use: Use) -> dict[str, Any]:
    return {
        "rss_kib": use.rss_kib,
        "uss_kib": use.uss_kib,
        "threads": use.threads,
        "descriptors": None if use.descriptors is None else dict(use.descriptors),
    }


def missed(found: dict[str, Any]) -> list[str]:
    """What was lost, wrong or failed, and what grew."""
    counted = (f"{key} = {found[key]}" for key in ("lost", "wrong", "failed") if found[key])
    return [*counted, *found["shortcomings"]]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--minutes", type=float, default=60.0, metavar="N", help="in all")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave logs and state there")
    parser.add_argument("--leaf-life-s", type=float, metavar="N", help="of certificates; else 1 h")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="eais-soak-") as folder:
            found = measure(args.minutes * 60, args.keep or Path(folder), args.leaf_life_s)
    except KeyboardInterrupt:
        print("interrupted: nothing is left", file=sys.stderr)
        return 130
    return ending(found, missed(found), as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
