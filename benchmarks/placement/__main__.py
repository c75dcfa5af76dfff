"""How much of a cluster's devices is allocated when more is asked for than there is, measured.

Pods of a trace (`trace.py`) arrive in random order, one by one, until they asked for 130 % of
the cluster's devices; none ever leaves, and who finds no room isn't tried again, as in the
experiments of Weng et al., "Beware of Fragmentation" (USENIX ATC 2023). Figures are means over
`--seeds` orders, from seed `--first-seed`:

- allocated_percent: of all milli-devices, at the end; allocated_sd: its standard deviation;
- baselines: the same of other policies (`baselines.py`), for the same orders;
- decision_ms_mean, decision_ms_p99: of a decision, in processor time; decision_wall_ms_*: by the
  clock, which also counts whoever else had the processor meanwhile.

`--dump FILE` writes where each pod of each seed went, in the order of arrival: lines of
`seed,pod,node,gpus`, with the indices of devices as `0|3`, and no node where it was refused.

`--scale` measures the pool's live policy on its live state instead (`scale.py`), with 10 000
devices and 1 000, 10 000 and 100 000 instances; it needs no trace.

Without `--pods` and `--nodes` nothing is measured. The policy's constants were set on seeds 1000
to 1009. The exit status is 1 if decisions take longer than a mean of 0.5 ms or a p99 of 5 ms, or
if a baseline allocates more.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from benchmarks.ending import ending
from benchmarks.placement import scale
from benchmarks.placement.replay import BASELINES, Dump, Run, gradient, replay
from benchmarks.placement.trace import Pod, arrivals, capacity_milli, nodes_of, pods_of
from eais_pool.policy import GRADIENT, POLICIES
from eais_pool.policy.placement.cluster import Node
from eais_pool.policy.placement.workload import Workload

ARRIVED = 1.3
DEVICES = 10_000
MEAN_MS = 0.5
P99_MS = 5.0


def measure(
    nodes: Sequence[Node],
    pods: Sequence[Pod],
    seeds: Sequence[int],
    *,
    dump: Dump | None = None,
    baselines: bool = True,
) -> dict[str, Any]:
    """All figures."""
    workload = Workload.of(pod.shape for pod in pods)
    most = int(ARRIVED * capacity_milli(nodes))
    orders = {seed: arrivals(pods, most, seed) for seed in seeds}
    runs = [replay(nodes, workload, order, gradient, seed, dump) for seed, order in orders.items()]
    figures: dict[str, Any] = {
        "seeds": len(seeds),
        "nodes": len(nodes),
        "arrivals": sum(map(len, orders.values())),
        **_allocated(runs),
        **_times("decision_ms", [run.decision_s for run in runs]),
        **_times("decision_wall_ms", [run.wall_s for run in runs]),
    }
    if baselines:
        figures["baselines"] = {
            name: fmean(
                replay(nodes, workload, order, make, seed).allocated_percent
                for seed, order in orders.items()
            )
            for name, make in BASELINES.items()
        }
    return figures


def missed(figures: dict[str, Any]) -> list[str]:
    """The limits that aren't met, in words."""
    said = [
        f"{name} is {figures[name]:.3f}, and may be {most}"
        for name, most in (("decision_ms_mean", MEAN_MS), ("decision_ms_p99", P99_MS))
        if figures[name] > most
    ]
    own = figures["allocated_percent"]
    for name, theirs in figures.get("baselines", {}).items():
        if theirs > own:
            said.append(f"{name} allocates {theirs:.2f} %, and this policy {own:.2f} %")
    return said


def _allocated(runs: Sequence[Run]) -> dict[str, float]:
    percents = [run.allocated_percent for run in runs]
    return {"allocated_percent": fmean(percents), "allocated_sd": pstdev(percents)}


def _times(name: str, taken: Sequence[array[float]]) -> dict[str, float]:
    ordered = sorted(each for seconds in taken for each in seconds)
    return {
        f"{name}_mean": 1000 * fmean(ordered),
        f"{name}_p99": 1000 * ordered[int(0.99 * (len(ordered) - 1))],
    }


@contextlib.contextmanager
def _dump(path: Path | None) -> Iterator[Dump | None]:
    if path is None:
        yield None
        return
    with path.open("w", newline="") as lines:
        yield Dump(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pods", type=Path, help="list of pods, CSV, plain or .gz")
    parser.add_argument("--nodes", type=Path, help="list of nodes, likewise")
    parser.add_argument("--seeds", type=int, default=10, help="orders of arrival (10)")
    parser.add_argument("--first-seed", type=int, default=42, help="the first one's seed (42)")
    parser.add_argument("--own", action="store_true", help="without the baselines")
    parser.add_argument("--dump", type=Path, help="write where each pod went to this file")
    parser.add_argument("--scale", action="store_true", help="the live policy on the live state")
    parser.add_argument("--sizes", default="1000,10000,100000", help="of --scale: instances")
    parser.add_argument("--placement", choices=POLICIES, default=GRADIENT, help="of --scale")
    parser.add_argument("--json", action="store_true", help="one object on one line")
    args = parser.parse_args()
    found: dict[str, Any] = {"benchmark": "placement"}
    if args.scale:
        sizes = [int(size) for size in args.sizes.split(",")]
        found |= scale.measure(sizes, DEVICES, args.placement)
        return ending(found, scale.missed(found), as_json=args.json)
    if args.pods is None or args.nodes is None:
        found["skipped"] = "no trace: --pods and --nodes name its lists"
        return ending(found, [], as_json=args.json)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    with _dump(args.dump) as dump:
        found |= measure(
            nodes_of(args.nodes), pods_of(args.pods), seeds, dump=dump, baselines=not args.own
        )
    return ending(found, missed(found), as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
