"""All servers at once: a pool with one instance, and each peer that there is."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.dataplane.attaching import attached
from benchmarks.faults.processes import titled
from benchmarks.peers import kserve, mosec, triton
from benchmarks.peers.models import write_models
from benchmarks.peers.serving import Server
from eais_client.load.generator.usage import Meter
from eais_client.load.target import TargetKind, TargetSpec
from tests.system.stack import embedded_pool

SERVERS: Final = {"triton": triton.server, "kserve": kserve.server, "mosec": mosec.server}
_CONFIG: Final = "[listener]\ncpu_cores = 1\n"


@dataclass(frozen=True, slots=True)
class Stand:
    """What runs, and where.

    Attributes:
        folder: holds the models.
        targets: ours first; onnxruntime in the client's own process last.
        environ: by which the client finds the pool.
        core: of the client; `server_core`: of all servers.
        pids: target -> its first process.
    """

    folder: Path
    targets: tuple[TargetSpec, ...]
    environ: Mapping[str, str]
    core: int
    server_core: int
    pids: Mapping[str, int]

    def idle_cores(self, seconds: float) -> dict[str, float]:
        """CPU time ÷ time of each server while nobody calls it."""
        meters = {name: Meter() for name in self.pids}
        for name, meter in meters.items():
            meter.cpu_and_memory([self.pids[name]])
        time.sleep(seconds)
        spent = {name: each.cpu_and_memory([self.pids[name]])[0] for name, each in meters.items()}
        return {name: round(each / seconds, 4) for name, each in spent.items()}

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of each server, 10^6 bytes."""
        return {
            name: round(Meter().cpu_and_memory([pid])[1] / 1e6) for name, pid in self.pids.items()
        }


@contextlib.contextmanager
def stand(root: Path, peers: Path, names: Sequence[str]) -> Iterator[Stand]:
    """A pool below `root` with an instance, and these peers, on one core."""
    write_models(root)
    with contextlib.ExitStack() as held:
        stack = held.enter_context(embedded_pool(root, _CONFIG))
        instance = attached(stack)
        worker = titled(stack.supervisor.pid, f"eais-worker {instance}")
        if worker is None:
            raise RuntimeError("the instance has no worker")
        core = min(os.sched_getaffinity(worker.pid))
        servers = {name: held.enter_context(SERVERS[name](peers, root, core)) for name in names}
        others = sorted(os.sched_getaffinity(0) - {core}) or [core]
        yield Stand(
            folder=root,
            targets=(*_ours(instance), *map(_peer, servers, servers.values()), _IN_PROCESS),
            environ={**os.environ, "EAIS_CONFIG_DIR": str(stack.config)},
            core=others[0],
            server_core=core,
            pids={"ours": worker.pid, **{name: each.pid for name, each in servers.items()}},
        )


_IN_PROCESS: Final = TargetSpec(TargetKind.ONNXRUNTIME, "onnxruntime", settings={"threads": "1"})


def _ours(instance: str) -> list[TargetSpec]:
    return [
        TargetSpec(TargetKind.INSTANCE, name, instance, {"transport": transport})
        for name, transport in (("ours", "h2"), ("ours_ring", "ring"))
    ]


def _peer(name: str, server: Server) -> TargetSpec:
    address, pids = f"127.0.0.1:{server.port}", {"pids": str(server.pid)}
    if name == "mosec":
        place = "benchmarks.peers.mosec:MosecTarget"
        return TargetSpec(TargetKind.PYTHON, name, place, {"address": address, **pids})
    return TargetSpec(TargetKind.SERVER, name, f"grpc://{address}", pids)


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Have this thread, and what it starts meanwhile, run there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
