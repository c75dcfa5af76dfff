"""The replay of a trace, on a made-up one: what it dumps is checked without any of its code."""

from __future__ import annotations

import csv
import gzip
import json
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from benchmarks.placement.__main__ import measure, missed
from benchmarks.placement.baselines import Drawn, Packing
from benchmarks.placement.replay import BASELINES, Dump, Maker, gradient, replay
from benchmarks.placement.trace import Pod, arrivals, capacity_milli, nodes_of, pods_of
from eais_pool.policy.placement.cluster import Cluster, Node
from eais_pool.policy.placement.demands import Demand, Shape
from eais_pool.policy.placement.placer import Placer
from eais_pool.policy.placement.workload import Workload

NODE_COLUMNS = "sn,cpu_milli,memory_mib,gpu,model"
POD_COLUMNS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos"
SEEDS = range(5, 8)


def a_trace(folder: Path) -> tuple[Path, Path]:
    """Twelve nodes and forty pods, of few kinds, drawn once."""
    rng = random.Random(1)
    pods, nodes = folder / "pods.csv.gz", folder / "nodes.csv"
    kinds = [(8000, 16384, 0, 0, ""), (4000, 8192, 1, 500, ""), (4000, 4096, 1, 300, "T4")]
    kinds += [(8000, 8192, 1, 1000, "T4|P100"), (16000, 32768, 2, 1000, "")]
    with gzip.open(pods, "wt", newline="") as lines:
        lines.write(f"{POD_COLUMNS}\n")
        for n in range(40):
            cpu, memory, count, milli, spec = rng.choice(kinds)
            lines.write(f"pod-{n:03},{cpu},{memory},{count},{milli},{spec},LS\n")
    with nodes.open("w") as lines:
        lines.write(f"{NODE_COLUMNS}\n")
        for n in range(12):
            model = ("T4", "P100", "A10", "")[n % 4]
            lines.write(f"node-{n:02},36000,131072,{4 if model else 0},{model}\n")
    return pods, nodes


def rows(path: Path) -> list[dict[str, str]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="") as lines:
        return list(csv.DictReader(lines))


class Left:
    """What an outside program knows of a node: its line, and what was put there."""

    def __init__(self, line: dict[str, str]) -> None:
        self.model = line["model"]
        self.cpu, self.memory = int(line["cpu_milli"]), int(line["memory_mib"])
        self.gpus = [1000] * int(line["gpu"])

    def has_room(self, pod: dict[str, str]) -> bool:
        count, milli = int(pod["num_gpu"]), int(pod["gpu_milli"])
        able = [left for left in self.gpus if left >= milli]
        suits = not pod["gpu_spec"] or self.model in pod["gpu_spec"].split("|")
        room = self.cpu >= int(pod["cpu_milli"]) and self.memory >= int(pod["memory_mib"])
        return room and (not count or (suits and len(able) >= count))

    def put(self, pod: dict[str, str], gpus: list[int]) -> None:
        assert self.has_room(pod)
        assert len(set(gpus)) == len(gpus) == int(pod["num_gpu"])
        self.cpu -= int(pod["cpu_milli"])
        self.memory -= int(pod["memory_mib"])
        for gpu in gpus:
            assert gpu >= 0
            self.gpus[gpu] -= int(pod["gpu_milli"])
            assert self.gpus[gpu] >= 0


def checked(dumped: Path, pods: Path, nodes: Path) -> dict[int, float]:
    """The percentage allocated, by seed; fails unless every line was possible when it was made.

    A pod may be refused only if no node had room for it.
    """
    known = {line["name"]: line for line in rows(pods)}
    left: dict[str, dict[str, Left]] = {}
    got: defaultdict[str, int] = defaultdict(int)
    arrived: defaultdict[str, list[str]] = defaultdict(list)
    for line in rows(dumped):
        assert set(line) == {"seed", "pod", "node", "gpus"}
        pod = known[line["pod"].rpartition("-tuned-")[0] or line["pod"]]
        here = left.setdefault(line["seed"], {each["sn"]: Left(each) for each in rows(nodes)})
        arrived[line["seed"]].append(line["pod"])
        if line["node"]:
            gpus = [int(gpu) for gpu in line["gpus"].split("|") if gpu]
            here[line["node"]].put(pod, gpus)
            got[line["seed"]] += int(pod["num_gpu"]) * int(pod["gpu_milli"])
        else:
            assert not line["gpus"]
            assert not any(node.has_room(pod) for node in here.values())
    for names in arrived.values():
        assert len(set(names)) == len(names)
        assert set(known) <= set(names)
    total = 1000 * sum(int(line["gpu"]) for line in rows(nodes))
    return {int(seed): 100 * milli / total for seed, milli in got.items()}


def test_every_place_that_is_dumped_was_possible(tmp_path: Path) -> None:
    pods, nodes = a_trace(tmp_path)
    dumped = tmp_path / "dump.csv"
    with dumped.open("w", newline="") as lines:
        figures = measure(nodes_of(nodes), pods_of(pods), SEEDS, dump=Dump(lines))
    by_seed = checked(dumped, pods, nodes)
    assert list(by_seed) == list(SEEDS)
    assert figures["allocated_percent"] == pytest.approx(sum(by_seed.values()) / len(by_seed))
    assert figures["arrivals"] == len(rows(dumped))
    assert set(figures["baselines"]) == set(BASELINES)


@pytest.mark.parametrize("name", BASELINES)
def test_so_was_every_place_of_a_baseline(tmp_path: Path, name: str) -> None:
    pods, nodes = a_trace(tmp_path)
    hosts, known = nodes_of(nodes), pods_of(pods)
    order = arrivals(known, int(1.3 * capacity_milli(hosts)), 5)
    workload = Workload.of(pod.shape for pod in known)
    with (tmp_path / "dump.csv").open("w", newline="") as lines:
        run = replay(hosts, workload, order, BASELINES[name], 5, Dump(lines))
    by_seed = checked(tmp_path / "dump.csv", pods, nodes)
    assert by_seed == {5: pytest.approx(run.allocated_percent)}


def test_a_place_that_isnt_possible_is_found_out(tmp_path: Path) -> None:
    """The checker's own test."""
    pods, nodes = a_trace(tmp_path)
    dumped = tmp_path / "dump.csv"
    with dumped.open("w", newline="") as lines:
        measure(nodes_of(nodes), pods_of(pods), SEEDS[:1], dump=Dump(lines), baselines=False)
    lines_of = dumped.read_text().splitlines()
    whole = next(n for n, line in enumerate(lines_of) if line.endswith(",0|1"))
    for wrong in (lines_of[whole].replace("0|1", "0|0"), lines_of[whole].replace("0|1", "0")):
        dumped.write_text("\n".join([*lines_of[:whole], wrong, *lines_of[whole + 1 :]]))
        with pytest.raises(AssertionError):
            checked(dumped, pods, nodes)


def test_of_equal_nodes_the_first_by_lot_is_taken_until_it_is_full() -> None:
    def taken(seed: int) -> list[str]:
        cluster = Cluster([Node(f"n{n:02}", 2000, 0, (1000,)) for n in range(50)])
        placer = Placer(cluster, Drawn(Packing(), len(cluster.nodes), seed))
        for n in range(20):
            placer.place(Demand(str(n), Shape(1000)))
        return [seat.node for seat in cluster.seats]

    found = taken(1)
    assert found[::2] == found[1::2]
    assert found[::2] != sorted(set(found))
    assert len(set(found)) == 10
    assert found == taken(1) != taken(2)


def test_arrivals_are_all_pods_and_copies_up_to_the_most() -> None:
    pods = [Pod(f"p{n}", Shape(1000, 0, 1, 500)) for n in range(10)]
    order = arrivals(pods, 6400, 3)
    assert order == arrivals(pods, 6400, 3)
    assert order != arrivals(pods, 6400, 4)
    assert {pod.name for pod in order[:10]} == {pod.name for pod in pods}
    assert [pod.name.rpartition("-tuned-")[2] for pod in order[10:]] == ["0", "1"]


def test_who_asks_for_more_than_the_most_is_thinned_out() -> None:
    pods = [Pod(f"p{n}", Shape(1000, 0, 1, 500)) for n in range(10)]
    order = arrivals(pods, 2300, 3)
    assert len(order) == 4
    assert {pod.name for pod in order} < {pod.name for pod in pods}


def test_pods_that_want_no_devices_have_no_copies() -> None:
    pods = [Pod("p", Shape(1000))]
    assert arrivals(pods, 1000, 3) == pods


def test_a_list_without_wishes_for_models_is_read(tmp_path: Path) -> None:
    (tmp_path / "pods.csv").write_text(
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli\nb,1000,2048,2,1000\na,500,1,0,0\n"
    )
    assert pods_of(tmp_path / "pods.csv") == [
        Pod("a", Shape(500, 1)),
        Pod("b", Shape(1000, 2048, 2, 1000)),
    ]


def test_it_is_said_what_is_missed() -> None:
    figures: dict[str, Any] = {
        "allocated_percent": 95.0,
        "decision_ms_mean": 0.6,
        "decision_ms_p99": 4.0,
        "baselines": {"best_fit": 94.0, "fgd": 95.2},
    }
    assert missed(figures) == [
        "decision_ms_mean is 0.600, and may be 0.5",
        "fgd allocates 95.20 %, and this policy 95.00 %",
    ]
    del figures["baselines"]
    assert missed(figures | {"decision_ms_mean": 0.5}) == []


def test_foresight_loses_less_than_the_papers_measure_where_cores_run_out(tmp_path: Path) -> None:
    pods, nodes = a_trace(tmp_path)
    hosts, known = nodes_of(nodes), pods_of(pods)
    workload, most = Workload.of(pod.shape for pod in known), int(1.3 * capacity_milli(hosts))
    orders = [arrivals(known, most, seed) for seed in range(6)]

    def allocated(make: Maker) -> float:
        return fmean(replay(hosts, workload, o, make, 0).allocated_percent for o in orders)

    assert allocated(gradient) >= allocated(BASELINES["fgd"])


def run_benchmark(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.placement", "--json", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def test_without_a_trace_it_says_what_is_missing() -> None:
    assert run_benchmark() == {
        "benchmark": "placement",
        "skipped": "no trace: --pods and --nodes name its lists",
    }


def test_the_program_reads_a_trace_and_writes_a_dump(tmp_path: Path) -> None:
    pods, nodes = a_trace(tmp_path)
    dumped = str(tmp_path / "dump.csv")
    given = ["--pods", str(pods), "--nodes", str(nodes), "--dump", dumped, "--seeds", "2", "--own"]
    figures = run_benchmark(*given)
    assert figures["seeds"] == 2
    assert "baselines" not in figures
    assert list(checked(Path(dumped), pods, nodes)) == [42, 43]
