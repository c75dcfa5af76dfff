"""What one worker does under ten times the load that it can carry, on a real embedded pool.

Four measurements of one cpu.1 instance and a model of a few ms: one caller at a time; eight
callers at a time (its peak); an open loop of ten times the peak; and an open loop of one
front-end a twentieth of the peak, alone and beside another front-end that asks for fifty times
as much. Load comes from processes of their own that don't use the client library (`load.py`),
so what is measured is the worker. They keep off its core, if there is another.

`--json` prints one object on one line, whose keys are: peak_per_s; goodput_per_s (answers
a second at ten times the peak) and goodput_share (of the peak); unloaded_p50_ms,
unloaded_p99_ms; admitted_p50_ms, admitted_p99_ms (from the time at which a call was to be
sent); queue_bound_ms (the listener's `queue_limit_ms`); p99_within (admitted_p99_ms is at most
twice unloaded_p99_ms and queue_bound_ms); offered, refused, refused_without_pushback,
push_back_max_ms, failed; victim_alone_p99_ms, victim_p99_ms, victim_p99_ratio, victim_refused;
memory_before_mib, memory_after_mib (of the worker); load_before (of the machine). The exit
status is 1 if a limit isn't met.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.ending import ending
from benchmarks.faults.__main__ import quantile
from benchmarks.faults.processes import titled
from benchmarks.overload.load import Outcome, Spec
from benchmarks.overload.model import model
from eais import tls
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_server.worker.plane import DEFAULT_QUEUE_LIMIT_S
from tests.system.raw import open_session
from tests.system.stack import Stack, embedded_pool, eventually, op

PEAK_CALLERS = 8
OVERLOAD = 10
VICTIM_SHARE = 20
NOISE = 50
WARM_S = 1.0


@dataclass(frozen=True, slots=True)
class Stand:
    """A pool with one instance, and where its worker is."""

    stack: Stack
    folder: Path
    target: Spec

    def bundle(self, name: str) -> str:
        """A file with key, leaf and CA of the front-end `name`."""
        file = self.folder / f"{name}.pem"
        tls.save_bundle(file, self.stack.frontend(name=name))
        return str(file)

    def load(
        self, seconds: float, *, name: str = "owner", callers: int = 0, rate: float = 0.0
    ) -> subprocess.Popen[str]:
        """Begin to load the worker as the front-end `name`."""
        spec = replace(
            self.target,
            bundle=self.bundle(name),
            callers=callers,
            rate=rate,
            seconds=seconds,
            cores=self.other_cores(),
        )
        argv = [sys.executable, "-m", "benchmarks.overload.load", json.dumps(asdict(spec))]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    def memory_mib(self) -> float:
        """Resident memory of the worker."""
        pages = int(Path(f"/proc/{self._worker()}/statm").read_text().split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), 1)

    def other_cores(self) -> tuple[int, ...]:
        """Cores that the worker doesn't run on; none if there are no others."""
        return tuple(sorted(os.sched_getaffinity(0) - os.sched_getaffinity(self._worker())))

    def _worker(self) -> int:
        found = titled(self.stack.supervisor.pid, f"eais-worker {self.target.instance}")
        if found is None:
            raise RuntimeError("the worker is gone")
        return found.pid


def outcome(process: subprocess.Popen[str]) -> Outcome:
    """What became of a load's calls."""
    printed, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"a load ended with {process.returncode}")
    return Outcome(**json.loads(printed))


def stand(stack: Stack, folder: Path) -> Stand:
    """Attach one core and open the model there."""
    made = stack.ask(verbs.POOL_ATTACH, pool_pb2.AttachRequest(op_id=op(), type="cpu.1")).instance

    def ready() -> pool_pb2.Instance | None:
        at = stack.instance(made.id)
        return at if at.workers and at.workers[0].serving else None

    at = eventually(ready, "a worker serves")
    session = open_session(stack, at, model(), {}).id
    place = at.workers[0].endpoint
    target = Spec(
        address=f"{place.address}:{place.port}",
        server_name=place.server_name,
        bundle="",
        instance=at.id,
        epoch=at.epoch,
        session=session,
        callers=0,
        rate=0.0,
        warm_s=WARM_S,
        seconds=0.0,
    )
    return Stand(stack, folder, target)


def measure(made: Stand, seconds: float) -> dict[str, Any]:
    """All measurements, `seconds` for the long ones and half of it for the others."""
    load_before = os.getloadavg()[0]
    one = outcome(made.load(seconds / 2, callers=1))
    peak = outcome(made.load(seconds / 2, callers=PEAK_CALLERS))
    peak_per_s = len(peak.latencies_ms) / (seconds / 2)
    before = made.memory_mib()
    many = outcome(made.load(seconds, rate=OVERLOAD * peak_per_s))
    after = made.memory_mib()
    alone, beside = _victim(made, peak_per_s / VICTIM_SHARE, seconds)
    return {
        "benchmark": "overload",
        "seconds": seconds,
        "load_before": round(load_before, 2),
        **_overload(one, peak_per_s, many, seconds),
        "victim_alone_p99_ms": _p(alone.latencies_ms, 0.99),
        "victim_p99_ms": _p(beside.latencies_ms, 0.99),
        "victim_p99_ratio": round(
            quantile(beside.latencies_ms, 0.99) / (quantile(alone.latencies_ms, 0.99) or 1.0), 2
        ),
        "victim_refused": beside.refused,
        "memory_before_mib": before,
        "memory_after_mib": after,
    }


def _victim(made: Stand, rate: float, seconds: float) -> tuple[Outcome, Outcome]:
    alone = outcome(made.load(seconds, name="victim", rate=rate))
    noise = made.load(seconds + 2 * WARM_S, name="noisy", rate=NOISE * rate)
    beside = outcome(made.load(seconds, name="victim", rate=rate))
    outcome(noise)
    return alone, beside


def _overload(one: Outcome, peak_per_s: float, many: Outcome, seconds: float) -> dict[str, Any]:
    goodput = len(many.latencies_ms) / seconds
    bound_ms = DEFAULT_QUEUE_LIMIT_S * 1000
    unloaded, admitted = quantile(one.latencies_ms, 0.99), quantile(many.latencies_ms, 0.99)
    return {
        "peak_per_s": round(peak_per_s, 1),
        "goodput_per_s": round(goodput, 1),
        "goodput_share": round(goodput / peak_per_s, 3),
        "unloaded_p50_ms": _p(one.latencies_ms, 0.5),
        "unloaded_p99_ms": _p(one.latencies_ms, 0.99),
        "admitted_p50_ms": _p(many.latencies_ms, 0.5),
        "admitted_p99_ms": _p(many.latencies_ms, 0.99),
        "queue_bound_ms": bound_ms,
        "p99_within": admitted <= 2 * unloaded + bound_ms,
        "offered": many.offered,
        "refused": many.refused,
        "refused_without_pushback": many.without_push_back,
        "push_back_max_ms": many.push_back_ms,
        "failed": many.failed,
    }


def _p(values: Sequence[float], share: float) -> float:
    return round(quantile(values, share), 2)


def missed(found: dict[str, Any]) -> list[str]:
    """Which figures don't meet their limit."""
    checks = {
        "goodput_share < 0.90": found["goodput_share"] < 0.90,
        "p99_within is false": not found["p99_within"],
        "refused_without_pushback > 0": found["refused_without_pushback"] > 0,
        "victim_refused > 0": found["victim_refused"] > 0,
        f"failed: {found['failed']}": bool(found["failed"]),
    }
    return [text for text, is_so in checks.items() if is_so]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="N", help="of overload")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="eais-overload-") as folder:
        root = Path(folder)
        with embedded_pool(root) as stack:
            found = measure(stand(stack, root), args.seconds)
    return ending(found, missed(found), as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
