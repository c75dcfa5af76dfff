"""Triton as a peer: gRPC of the open inference protocol, without TLS.

Its Python backend runs onnxruntime on one thread, one process a model; requests that wait are
batched, as Triton's users have it (`dynamic_batching` without a delay).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.peers import installed
from benchmarks.peers.models import SHAPES
from benchmarks.peers.serving import Probe, Server, free_ports, serving

MOST_TOGETHER = {"tiny": 256, "identity": 256, "resnet50": 1}
_PROGRAM = Path(__file__).parent / "programs/triton_model.py"
_CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: {most}
input [{{name: "x" data_type: TYPE_FP32 dims: {x}}}]
output [{{name: "y" data_type: TYPE_FP32 dims: {y}}}]
dynamic_batching {{}}
instance_group [{{kind: KIND_CPU count: 1}}]
"""


def server(
    peers: Path, folder: Path, core: int, models: Iterable[str] = SHAPES
) -> AbstractContextManager[Server]:
    """A server of these models, which lie in `folder`, on `core`."""
    packages = installed.packages(peers, "triton")
    grpc, http, metrics = free_ports(3)
    argv = [
        str(packages / "pytriton/tritonserver/bin/tritonserver"),
        f"--model-repository={write_repository(folder / 'triton', models)}",
        f"--backend-directory={peers / 'tb'}",
        f"--grpc-port={grpc}",
        f"--http-port={http}",
        f"--metrics-port={metrics}",
        "--grpc-address=127.0.0.1",
        "--http-address=127.0.0.1",
    ]
    environ = {
        "EAIS_PEERS_MODELS": str(folder),
        "EAIS_PEERS_PACKAGES": str(packages),
        "LD_LIBRARY_PATH": _libraries(packages),
        "PYTHONPATH": str(packages),
    }
    ready = [Probe(http, "/v2/health/ready")]
    log = folder / "triton.log"
    return serving(argv, environ, core=core, port=grpc, probes=ready, log=log)


def write_repository(target: Path, models: Iterable[str]) -> Path:
    """Write what Triton is told of these models; the folder."""
    for name in models:
        (target / name / "1").mkdir(parents=True, exist_ok=True)
        # The batch is no dimension there.
        x, y = (SHAPES[name][tensor][1:] for tensor in ("x", "y"))
        config = _CONFIG.format(name=name, most=MOST_TOGETHER[name], x=x, y=y)
        (target / name / "config.pbtxt").write_text(config)
        shutil.copy(_PROGRAM, target / name / "1/model.py")
    return target


def _libraries(packages: Path) -> str:
    found = {str(file.parent) for file in packages.rglob("libcudart-*")}
    found.add(str(Path(os.__file__).parents[1]))
    return ":".join(sorted(found))
