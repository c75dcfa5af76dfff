"""What a call costs beyond the model's own run, in one run on one machine, beside the floors.

A pool of its own is brought up with one cpu.1 instance. Whoever calls it, and the floors' clients,
run on one core; the worker, and the floors' servers, on another, if there is another. What is
compared takes turns, in rounds; a figure is the median over the rounds of the ratio within each.
`--json` prints one object on one line:

small_over_tls (p50 of a sync 16-byte run over h2, less the model's own run, ÷ bare TLS ping-pong),
small_over_echo (the same ÷ grpcio's bidirectional mTLS echo), small_over_echo_grpcio (over grpcio
instead), large_over_echo (16 MiB in and out ÷ the echo), ring_small_over_pingpong (a ring call,
less the model's run, ÷ an eventfd ping-pong between two processes), ring_large_over_local (16 MiB
in and out by ring ÷ the same run in process), async64_per_s, threads64_per_s (calls a second of 64
tasks and of 64 threads), resnet50_over_local, hol_p99_ratio (p99 of small calls on a connection
that carries 200 MB calls, too ÷ that of small calls of the same process on another), batch_gain
(SqueezeNet, 8 callers, batched ÷ not), cpu_us_per_call (client and worker), worker_rss_mb,
attach_ms_p99 (from `attach` to the first answer; warm: a worker waits to be adopted, cold: none
does), and the microseconds behind the ratios; Triton's beside them where `PEERS_DIR` holds it, else
`triton` says why not. The exit status is 1 if a limit isn't met.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.dataplane import rounds
from benchmarks.dataplane.arena import Process, contestant, cpu_s, floor
from benchmarks.dataplane.attaching import attach_p99_ms, attached
from benchmarks.dataplane.contestant import Spec
from benchmarks.dataplane.models import write_models
from benchmarks.ending import ending
from benchmarks.faults.__main__ import quantile
from benchmarks.faults.processes import titled
from benchmarks.peers import installed, triton
from eais.identity import Identity
from tests.system.stack import Stack, embedded_pool

SMALL_CALLS = 400
LARGE_CALLS = 6
PICTURES = 3
RESNET_ROUNDS = 15
HOL_S = 20.0
_TRITON = ("triton", "tritonclient")

#: Figure -> (limit, whether it is to be at least that; else at most).
LIMITS = {
    "small_over_tls": (4.0, False),
    "small_over_echo": (0.4, False),
    "small_over_echo_grpcio": (1.3, False),
    "large_over_echo": (1.15, False),
    "ring_small_over_pingpong": (1.2, False),
    "ring_large_over_local": (4.5, False),
    "async64_per_s": (50_000, True),
    "threads64_per_s": (12_000, True),
    "resnet50_over_local": (1.03, False),
    "hol_p99_ratio": (3.0, False),
}


@dataclass(frozen=True, slots=True)
class Stand:
    """A pool with one instance, and where everything runs."""

    stack: Stack
    folder: Path
    instance: str
    core: int
    worker_core: int
    rounds: int

    def eais(self, transport: str, *models: str, batching: str = "") -> Spec:
        """A client of the instance."""
        return Spec(
            kind="eais",
            folder=str(self.folder),
            core=self.core,
            instance=self.instance,
            transport=transport,
            batching=batching,
            models=models,
        )

    def local(self, core: int, *models: str) -> Spec:
        """Onnxruntime in process, on `core`."""
        return Spec(kind="local", folder=str(self.folder), core=core, models=models)

    def start(self, spec: Spec) -> contextlib.AbstractContextManager[Process]:
        """A contestant that finds the pool."""
        environ = {**os.environ, "EAIS_CONFIG_DIR": str(self.stack.config)}
        return contestant(spec, environ)

    @contextlib.contextmanager
    def floor(self, kind: str) -> Iterator[Process]:
        """A floor's client, with its server on the worker's core."""
        spec = Spec(kind, str(self.folder), self.core, self.worker_core)
        if kind == "eventfd":
            with contestant(spec) as client:
                yield client
            return
        name = Identity.manager(self.stack.pool).dns_name or ""
        with (
            floor(kind, self.folder, self.worker_core) as port,
            contestant(replace(spec, port=port, name=name)) as client,
        ):
            yield client

    @contextlib.contextmanager
    def peers(self) -> Iterator[list[Process]]:
        """Triton's client, its server on the worker's core; none where there is no Triton."""
        peers = os.environ.get("PEERS_DIR", "")
        if installed.why_not(peers, *_TRITON):
            yield []
            return
        python = installed.python(Path(peers), "client")
        models = ("tiny", "identity")
        with triton.server(Path(peers), self.folder, self.worker_core, models) as server:
            spec = Spec("triton", str(self.folder), self.core, port=server.port)
            with contestant(spec, python=python) as client:
                yield [client]

    def worker(self) -> int:
        """The worker's process."""
        found = titled(self.stack.supervisor.pid, f"eais-worker {self.instance}")
        if found is None:
            raise RuntimeError("the worker is gone")
        return found.pid


@contextlib.contextmanager
def stand(root: Path, number: int) -> Iterator[Stand]:
    """A pool below `root`, an instance, models and certificates."""
    write_models(root)
    with embedded_pool(root, "[listener]\ncpu_cores = 1\n") as stack:
        _write_certificates(stack, root)
        instance = attached(stack)
        made = Stand(stack, root, instance, 0, 0, number)
        worker = min(os.sched_getaffinity(made.worker()))
        others = sorted(os.sched_getaffinity(0) - {worker}) or [worker]
        yield replace(made, core=others[0], worker_core=worker)


def _write_certificates(stack: Stack, root: Path) -> None:
    server, client = stack.bundle(Identity.manager(stack.pool)), stack.frontend()
    for name, bundle in (("server", server), ("client", client)):
        file = root / f"{name}.pem"
        file.touch(0o600)
        file.write_bytes(bundle.key_pem + bundle.leaf_pem)
    (root / "ca.pem").write_bytes(stack.authority.ca_pem)


def small(at: Stand) -> dict[str, Any]:
    """One caller, 16 bytes."""
    with contextlib.ExitStack() as stack:
        start = stack.enter_context
        sides = [
            start(at.floor("tls")),
            start(at.floor("echo")),
            start(at.floor("eventfd")),
            start(at.start(at.local(at.core, "tiny"))),
            *(start(at.start(at.eais(how, "tiny"))) for how in ("h2", "grpcio", "ring")),
            *start(at.peers()),
        ]
        tls, echo, pingpong, local, h2, grpcio, ring = range(7)
        found = rounds.paired(sides, "tiny", SMALL_CALLS, at.rounds)
        cpu = _cpu_per_call_us(sides[h2], at.worker())
        names = ("tls", "echo", "pingpong", "local", "h2", "grpcio", "ring", "triton")
    return {
        "small_over_tls": round(rounds.over(found, h2, tls, local), 2),
        "small_over_echo": round(rounds.over(found, h2, echo, local), 3),
        "small_over_echo_grpcio": round(rounds.over(found, grpcio, echo, local), 2),
        "ring_small_over_pingpong": round(rounds.over(found, ring, pingpong, local), 2),
        "small_us": {
            name: round(rounds.column(found, side) * 1e6, 1)
            for side, name in enumerate(names[: len(sides)])
        },
        "cpu_us_per_call": cpu,
    }


def _cpu_per_call_us(client: Process, worker: int) -> dict[str, float]:
    calls = 20_000
    before = cpu_s(client.pid), cpu_s(worker)
    client.took("tiny", calls)
    after = cpu_s(client.pid), cpu_s(worker)
    used = [(b - a) / calls * 1e6 for a, b in zip(before, after, strict=True)]
    return {"client": round(used[0], 1), "worker": round(used[1], 1)}


def large(at: Stand) -> dict[str, Any]:
    """One caller, 16 MiB."""
    with contextlib.ExitStack() as stack:
        start = stack.enter_context
        sides = [
            start(at.floor("echo")),
            start(at.start(at.local(at.worker_core, "identity"))),
            *(start(at.start(at.eais(how, "identity"))) for how in ("h2", "ring")),
            *start(at.peers()),
        ]
        echo, local, h2, ring = range(4)
        found = rounds.paired(sides, "identity", LARGE_CALLS, at.rounds)
        names = ("echo", "local", "h2", "ring", "triton")
    return {
        "large_over_echo": round(rounds.over(found, h2, echo), 2),
        "ring_large_over_local": round(rounds.over(found, ring, local), 2),
        "large_ms": {
            name: round(rounds.column(found, side) * 1e3, 2)
            for side, name in enumerate(names[: len(sides)])
        },
    }


def many(at: Stand, seconds: float) -> dict[str, Any]:
    """64 callers of one process: asyncio's tasks, and threads; the median of three."""
    with at.start(at.eais("h2", "tiny")) as client:
        tasks = [client.per_s("tasks:64:tiny", seconds) for _ in range(3)]
        threads = [client.per_s("threads:64:tiny", seconds) for _ in range(3)]
    return {"async64_per_s": round(median(tasks)), "threads64_per_s": round(median(threads))}


def resnet50(at: Stand) -> dict[str, Any]:
    """A real model, in process and remotely, on the same core."""
    with (
        at.start(at.local(at.worker_core, "resnet50")) as local,
        at.start(at.eais("h2", "resnet50")) as remote,
    ):
        found = rounds.paired([local, remote], "resnet50", PICTURES, RESNET_ROUNDS)
    return {
        "resnet50_over_local": round(rounds.over(found, 1, 0), 3),
        "resnet50_ms": {
            "local": round(rounds.column(found, 0) * 1e3, 2),
            "h2": round(rounds.column(found, 1) * 1e3, 2),
        },
    }


def head_of_line(at: Stand) -> dict[str, Any]:
    """Small calls of a process that carries 200 MB ones, on the same connection and on another."""
    with at.start(at.eais("h2", "tiny", "huge")) as client:
        client.took("huge", 1)
        found = client.beside(HOL_S)
    shared, apart = found["shared"], found["apart"]
    p99 = quantile(shared, 0.99), quantile(apart, 0.99)
    return {
        "hol_p99_ratio": round(p99[0] / p99[1], 2),
        "hol_ms": {
            "shared_p50": round(quantile(shared, 0.5) * 1e3, 2),
            "shared_p99": round(p99[0] * 1e3, 2),
            "apart_p50": round(quantile(apart, 0.5) * 1e3, 2),
            "apart_p99": round(p99[1] * 1e3, 2),
        },
    }


def batching(at: Stand, seconds: float) -> dict[str, Any]:
    """What running waiting calls together gains."""
    with (
        at.start(at.eais("h2", "squeezenet", batching="off")) as off,
        at.start(at.eais("h2", "squeezenet")) as on,
    ):
        found = []
        for _ in range(3):
            alone, together = (each.per_s("threads:8:squeezenet", seconds) for each in (off, on))
            found.append(together / alone)
    return {"batch_gain": round(median(found), 2)}


def measure(root: Path, number: int, seconds: float, only: str) -> dict[str, Any]:
    """All figures, or those of one part."""
    figures: dict[str, Any] = {
        "benchmark": "dataplane",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}",
        "load_before": round(os.getloadavg()[0], 2),
        "triton": installed.why_not(os.environ.get("PEERS_DIR"), *_TRITON) or "measured",
    }
    with stand(root, number) as at:
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "small": lambda: small(at),
            "large": lambda: large(at),
            "many": lambda: many(at, seconds),
            "resnet50": lambda: resnet50(at),
            "hol": lambda: head_of_line(at),
            "batching": lambda: batching(at, seconds),
        }
        for name, part in parts.items():
            if only in ("", name):
                print(f"measuring: {name}", file=sys.stderr)
                figures |= part()
        pages = int(Path(f"/proc/{at.worker()}/statm").read_text().split()[1])
        figures["worker_rss_mb"] = round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    if only in ("", "attach"):
        print("measuring: attach", file=sys.stderr)
        figures["attach_ms_p99"] = attach_p99_ms(root)
    return figures


def missed(figures: dict[str, Any]) -> list[str]:
    """Which figures don't meet their limit."""
    said = []
    for name, (limit, at_least) in LIMITS.items():
        if name in figures:
            got = figures[name]
            if (got < limit) if at_least else (got > limit):
                said.append(f"{name}: {got}, not {'>=' if at_least else '<='} {limit}")
    return said


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--rounds", type=int, default=11, help="of each comparison (11)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each rate (4)")
    parser.add_argument("--only", default="", help="small, large, many, resnet50, hol, ...")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="eais-dataplane-") as folder:
        figures = measure(Path(folder), given.rounds, given.seconds, given.only)
    return ending(figures, missed(figures), as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
