"""Ours ÷ Triton, KServe and mosec: the same models, calls and answers, on the same core.

All servers are up at once, on one core, each with one instance of a model and one onnxruntime
thread; who isn't measured is idle (`idle_cores` says how much of a core each uses then). One
process makes the load, on another core if there is one: the load generator of `eais loadtest`, by
the open inference protocol for Triton and KServe, HTTP of raw bytes for mosec, an
`eais.InferenceSession` for ours. Targets take turns in rounds, in an order that changes; ratios are
within a round. Answers are compared with onnxruntime's. Ours is with mutual TLS, the peers are
without any.

`--json` prints one object on one line: `cases` has, for `16_bytes`, `600_kb`, `16_mib` and
`resnet50` (one caller), `64_threads` and `64_tasks` (64 callers of 16 bytes in one Python process),
what `figures.case_figures` describes: of the first four p50 latencies, µs, and their ratios (below
1 ours is faster), of the last two calls a second (above 1 ours does more; `generator` is what the
generator does with a target that answers at once). `ours` is the h2 engine, `ours_ring` the ring of
a shared host, `onnxruntime` the model in the client's own process. `client`: our client of the open
protocol ÷ tritonclient, p50, on Triton. `PEERS_DIR` holds the peers (see `installed`); `skipped`
says why one isn't measured, and without any nothing is. The exit status is 1 if a request had no
right answer.
"""

from __future__ import annotations

import argparse
import datetime
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.ending import ending
from benchmarks.peers import installed
from benchmarks.peers.cases import CASES, Case
from benchmarks.peers.clients import client_figures
from benchmarks.peers.figures import case_figures, missed
from benchmarks.peers.running import generator_per_s, runs_of
from benchmarks.peers.stand import SERVERS, Stand, stand
from eais_client.load.result import machine_data

IDLE_S: Final = 3.0


def measured(at: Stand, case: Case, rounds: int, seconds: float) -> dict[str, Any]:
    """A case, on all targets in turns."""
    found = case_figures(case, runs_of(at, case, rounds, seconds))
    if case.callers > 1:
        found["generator"] = generator_per_s(at, case, seconds)
    return found


def measure(root: Path, only: Sequence[str], rounds: int, seconds: float) -> dict[str, Any]:
    """All figures, or those of some cases."""
    folder = os.environ.get("PEERS_DIR")
    skipped = {name: why for name in SERVERS if (why := installed.why_not(folder, name))}
    there = [name for name in SERVERS if name not in skipped]
    found: dict[str, Any] = {
        "benchmark": "peers",
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {**machine_data(), "load_before": round(os.getloadavg()[0], 2)},
        "skipped": skipped,
    }
    if not folder or not there:
        return found
    peers = Path(folder)
    found["versions"] = {name: installed.versions(peers, name) for name in there}
    with stand(root, peers, there) as at:
        found |= {
            "on": {"client_core": at.core, "server_core": at.server_core},
            "rounds": rounds,
            "seconds": seconds,
            "idle_cores": at.idle_cores(IDLE_S),
            "cases": {},
        }
        for case in CASES:
            if not only or case.name in only:
                print(f"measuring: {case.name}", file=sys.stderr)
                found["cases"][case.name] = measured(at, case, rounds, seconds)
        found["memory_mb"] = at.memory_mb()
        if not only or "client" in only:
            print("measuring: client", file=sys.stderr)
            found["client"] = client_figures(at, peers, rounds)
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--rounds", type=int, default=6, help="of each case (6)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (2)")
    names = ", ".join(case.name for case in CASES)
    parser.add_argument("--only", action="append", default=[], help=f"{names}, client")
    given = parser.parse_args()
    # So that whoever ends it early doesn't leave servers behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="eais-peers-") as folder:
        found = measure(Path(folder), given.only, given.rounds, given.seconds)
    return ending(found, missed(found.get("cases", {})), as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
