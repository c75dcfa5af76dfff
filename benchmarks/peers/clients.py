"""Whether our client of the open protocol is a fair one: beside tritonclient, at one Triton."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.dataplane.arena import Process, contestant
from benchmarks.dataplane.contestant import Spec
from benchmarks.peers import installed
from benchmarks.peers.cases import CASES, Case
from benchmarks.peers.running import runs_of
from benchmarks.peers.stand import Stand

CALLS: Final = {"16_bytes": 2000, "16_mib": 20}
"""Case -> calls of tritonclient in a round."""
SECONDS: Final = 1.0


def client_figures(at: Stand, peers: Path, rounds: int) -> dict[str, Any]:
    """Case -> p50 of both, µs, and the median over rounds of ours ÷ tritonclient's."""
    triton = next((each for each in at.targets if each.name == "triton"), None)
    if triton is None or installed.why_not(str(peers), "tritonclient"):
        return {"skipped": installed.why_not(str(peers), "triton", "tritonclient")}
    port = int(triton.place.rpartition(":")[2])
    spec = Spec("triton", str(at.folder), at.core, port=port)
    with contestant(spec, python=installed.python(peers, "client")) as theirs:
        return {
            case.name: _compared(at, case, theirs, rounds) for case in CASES if case.name in CALLS
        }


def _compared(at: Stand, case: Case, theirs: Process, rounds: int) -> dict[str, float]:
    theirs.took(case.model, max(1, CALLS[case.name] // 10))
    pairs = [_round(at, case, theirs) for _ in range(rounds)]
    return {
        "ours_us": round(median(ours for ours, _ in pairs), 1),
        "tritonclient_us": round(median(other for _, other in pairs), 1),
        "ours_over_tritonclient": round(median(ours / other for ours, other in pairs), 3),
    }


def _round(at: Stand, case: Case, theirs: Process) -> tuple[float, float]:
    """The p50 of each, µs."""
    [run] = runs_of(at, case, rounds=1, seconds=SECONDS, only=("triton",))
    return run["p50_ms"] * 1e3, median(theirs.took(case.model, CALLS[case.name])) * 1e6
